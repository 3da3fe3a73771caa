//! Answers with all headers of its request, including headers that a guest cannot set itself. `/set` answers whether it
//! could set them.

use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Request, Response};
use spin_sdk::wasip3::wit_future;

const OF_THE_HOST: [&str; 7] =
    ["connection", "host", "http2-settings", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

struct Reflect;

spin_sdk::wasip3::http::service::export!(Reflect);

impl Guest for Reflect {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let headers = request.get_headers();
        if request.get_path_with_query().as_deref() == Some("/set") {
            // A copy can be changed, but not everything in it.
            let copy = headers.clone();
            let set: Vec<_> = OF_THE_HOST.into_iter().filter(|name| copy.set(name, &[b"1".to_vec()]).is_ok()).collect();
            let own = Fields::from_list(&[("host".to_owned(), b"1".to_vec())]);
            if !set.is_empty() || own.is_ok() {
                return Err(ErrorCode::InternalError(Some(format!("could set {set:?}"))));
            }
        }
        let (trailers, reader) = wit_future::new(|| Ok(None));
        drop(trailers);
        Ok(Response::new(headers, None, reader).0)
    }
}

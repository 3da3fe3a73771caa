//! A middleware without background tasks. It adds the header `depth` to each request, and passes the request on.

use spin_sdk::http::{HeaderName, HeaderValue, IntoResponse, Request, next};
use spin_sdk::http_service;

#[http_service]
async fn handle(mut request: Request) -> anyhow::Result<impl IntoResponse> {
    // Headers that only a host may set.
    for header in ["connection", "host"] {
        request.headers_mut().remove(header);
    }
    request.headers_mut().insert(HeaderName::from_static("depth"), HeaderValue::from_static("1"));
    Ok(next(request).await?)
}

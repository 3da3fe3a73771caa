//! Sends requests through WASI 0.2, as a guest does whose library has not moved to 0.3. `/now?URL` sends one from the
//! handler, `/later?URL` from a task, `/hoard` makes header fields
//! without end, in a task.

use anyhow::anyhow;
use epilogue_sdk::BackgroundTasks;
use spin_sdk::http::{IntoResponse, Request, Uri};
use spin_sdk::http_service;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, OutgoingRequest, Scheme};

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let query = request.uri().query().unwrap_or_default();
    Ok(match request.uri().path() {
        "/now" => fetch(query)?,
        "/later" => {
            BackgroundTasks::current().add_task(fetch_later, (query.to_owned(),))?;
            "later".to_owned()
        }
        "/hoard" => {
            BackgroundTasks::current().add_task(hoard, ())?;
            "hoarding".to_owned()
        }
        other => other.to_owned(),
    })
}

#[epilogue_sdk::task]
fn fetch_later(url: String) -> anyhow::Result<()> {
    println!("task: {}", fetch(&url)?);
    Ok(())
}

/// Makes header fields without end.
#[epilogue_sdk::task]
fn hoard() -> anyhow::Result<()> {
    let value = [vec![b'x'; 100_000]];
    let mut kept = Vec::new();
    loop {
        let fields = Fields::new();
        fields.set("name", &value)?;
        kept.push(fields);
    }
}

/// The response's status and body, or the error.
fn fetch(url: &str) -> anyhow::Result<String> {
    let url: Uri = url.parse()?;
    let request = OutgoingRequest::new(Fields::new());
    let scheme = if url.scheme_str() == Some("https") { Scheme::Https } else { Scheme::Http };
    let set = request
        .set_scheme(Some(&scheme))
        .and_then(|()| request.set_authority(url.authority().map(|authority| authority.as_str())))
        .and_then(|()| request.set_path_with_query(url.path_and_query().map(|path| path.as_str())));
    set.map_err(|()| anyhow!("{url} is no URL for a request"))?;
    let response = match outgoing_handler::handle(request, None) {
        Ok(response) => response,
        Err(error) => return Ok(format!("{error:?}")),
    };
    response.subscribe().block();
    match response.get() {
        Some(Ok(Ok(response))) => {
            let body = response.consume().map_err(|()| anyhow!("the body is taken twice"))?;
            let stream = body.stream().map_err(|()| anyhow!("the stream is taken twice"))?;
            let mut text = Vec::new();
            while let Ok(bytes) = stream.blocking_read(1 << 16) {
                text.extend(bytes);
            }
            Ok(format!("{} {}", response.status(), String::from_utf8_lossy(&text)))
        }
        other => Ok(format!("{other:?}")),
    }
}

//! Answers with the request that it received, and with its name from the manifest.

use std::collections::BTreeMap;

use serde_json::json;
use spin_sdk::http::{IntoResponse, Json, Request};
use spin_sdk::http_service;

#[http_service]
async fn mirror(request: Request) -> impl IntoResponse {
    let mut headers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in request.headers() {
        headers.entry(name.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    let uri = request.uri();
    Json(json!({
        "name": std::env::var("NAME").ok(),
        "method": request.method().as_str(),
        "scheme": uri.scheme_str(),
        "authority": uri.authority().map(|authority| authority.as_str()),
        "path": uri.path_and_query().map(|path| path.as_str()),
        "headers": headers,
    }))
}

//! Has two tasks of one name. No host can tell them apart, so a host refuses to load the component.

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(_request: Request) -> impl IntoResponse {
    "no task is used"
}

mod mail {
    #[epilogue_sdk::task(name = "send")]
    fn send() {}
}

mod post {
    #[epilogue_sdk::task(name = "send")]
    fn send_letter() {}
}

#[epilogue_sdk::task]
fn other() {}

//! Knows nothing of Epilogue: a component of spin-sdk's as it is.

use spin_sdk::http::Request;
use spin_sdk::http_service;

#[http_service]
async fn hello(_: Request) -> &'static str {
    "Hello, world!"
}

//! A component of spin-sdk that does not use Epilogue.

use spin_sdk::http::Request;
use spin_sdk::http_service;

#[http_service]
async fn hello(_: Request) -> &'static str {
    "Hello, world!"
}

//! A middleware that opens the default key-value store through each version of the interface that it can, and answers what
//! happened. It passes on requests for `/pass`.

#![allow(unsafe_code, missing_docs, unreachable_pub, reason = "generated")]

use spin_sdk::http::{IntoResponse, Request, next};
use spin_sdk::http_service;
use spin_sdk::key_value::Store;
use spin_sdk::wasip3::http::types::Response;

wit_bindgen::generate!({
    inline: "package test:key-value-middleware;
        world key-value-middleware {
            import fermyon:spin/key-value;
            import fermyon:spin/key-value@2.0.0;
            import wasi:keyvalue/store@0.2.0-draft2;
            import wasi:keyvalue/batch@0.2.0-draft2;
            import wasi:keyvalue/atomics@0.2.0-draft2;
        }",
    path: [
        "../../host/spin/wit/deps/fermyon-spin",
        "../../host/spin/wit/deps/fermyon-spin@2.0.0",
        "../../host/spin/wit/deps/wasi-keyvalue@0.2.0-draft2",
    ],
    generate_all,
});

use fermyon::spin::key_value as v1;
use fermyon::spin2_0_0::key_value as v2;
use wasi::keyvalue::{atomics, batch, store as wasi_store};

#[http_service]
async fn handle(request: Request) -> anyhow::Result<Response> {
    if request.uri().path() == "/pass" {
        return Ok(next(request).await?.into_response()?);
    }
    let opened = (v1::open("default").map(drop), v2::Store::open("default").map(drop), Store::open_default().await);
    let (v1, v2, v3) = opened;
    let wasi = wasi_store::open("default").map(|bucket| {
        _ = batch::get_many(&bucket, &["a".to_owned()]);
        _ = atomics::increment(&bucket, "a", 0);
    });
    Ok(format!("{v1:?}, {v2:?}, {:?}, {wasi:?}", v3.map(drop)).into_response()?)
}

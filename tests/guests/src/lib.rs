//! The code that the test guests share. `examples/` has one guest in each file.
//!
//! The contract: a guest answers 200. For each event that its test looks for, it prints one line to stdout.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::stream;

/// A streamed body of a known length.
pub fn streamed(size: usize) -> Response {
    const CHUNK: usize = 64 * 1024;
    let chunk = Bytes::from(vec![b'x'; CHUNK]);
    let chunks = stream::unfold(size, move |left| {
        let next = chunk.slice(..left.min(CHUNK));
        async move { (left > 0).then(|| (Ok::<_, std::io::Error>(next.clone()), left - next.len())) }
    });
    let mut response = Body::from_stream(chunks).into_response();
    response.headers_mut().insert("content-length", size.into());
    response
}

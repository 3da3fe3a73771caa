//! What the test guests share: see `examples/`, one guest a file.
//!
//! The contract: a guest answers 200, and prints to stdout what its test looks for, one line an event.

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

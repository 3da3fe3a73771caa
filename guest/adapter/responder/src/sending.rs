//! Sends the response (S2, S8).
//!
//! The adapter must know when the host has sent the response, but stock hosts do not tell the adapter. `Response.new`
//! returns a future, but this future resolves long before the end of the response. So the adapter creates its own
//! stream for the body, and copies the guest's body into this stream. The last write to the adapter's stream ends when
//! the host has taken the last byte. If the host does not take all bytes of a write, the client has left.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::future::{IntoFuture as _, poll_fn};
use core::pin::pin;
use core::task::Poll;

use epilogue_rules::limits::cut;
use epilogue_rules::words;

use crate::bindings::epilogue::background::types::ResponseOutcome;
use crate::bindings::wasi::http::types::{ErrorCode, Fields, Response, Trailers};
use crate::bindings::{wit_future, wit_stream};
use wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult, StreamWriter};

const CHUNK: usize = 64 * 1024;

type TrailersResult = Result<Option<Trailers>, ErrorCode>;

/// The part of a response that the adapter still has to send: the body and the trailers.
pub(crate) struct Sending {
    source: Source,
    body: StreamWriter<u8>,
    trailers: FutureWriter<TrailersResult>,
    /// True if the response has no body, because of its status or because the request's method is HEAD.
    bodyless: bool,
}

enum Source {
    Guest {
        body: StreamReader<u8>,
        trailers: FutureReader<TrailersResult>,
        /// The length of the body, if the response has the header `content-length`.
        length: Option<u64>,
    },
    Text(&'static str),
}

impl Sending {
    /// Creates a response with the status and the headers of the guest's response. [`Sending::finish`] copies the body
    /// later. If HTTP allows no body for this status, the header `content-length` of the new response does not announce
    /// a body.
    pub(crate) fn copy(response: Response, head: bool) -> (Response, Self) {
        let (status, mut headers) = (response.get_status_code(), response.get_headers());
        if let 204 | 205 | 304 = status {
            // The guest's headers are immutable, but the clone is mutable.
            headers = headers.clone();
            let zero = [b"0".to_vec()];
            _ = headers.set("content-length", if status == 205 { &zero } else { &[] });
        }
        let length = length(&headers);
        Self::start(status, headers, head, |transmitted| {
            let (body, trailers) = Response::consume_body(response, transmitted);
            Source::Guest { body, trailers, length }
        })
    }

    /// Creates a response with the body `text`, which is the name of the status.
    pub(crate) fn text(status: u16, text: &'static str, head: bool) -> (Response, Self) {
        Self::start(status, Fields::new(), head, |_transmitted| Source::Text(text))
    }

    fn start(
        status: u16,
        headers: Fields,
        head: bool,
        source: impl FnOnce(FutureReader<Result<(), ErrorCode>>) -> Source,
    ) -> (Response, Self) {
        let (body, body_reader) = wit_stream::new();
        let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
        // If the status allows no body, this line drops the reader, so the host never reads a body.
        let contents = (!matches!(status, 204 | 205 | 304)).then_some(body_reader);
        let (response, transmitted) = Response::new(headers, contents, trailers_reader);
        // The status is valid, because it comes from another response.
        _ = response.set_status_code(status);
        let bodyless = head || matches!(status, 204 | 205 | 304);
        (response, Self { source: source(transmitted), body, trailers, bodyless })
    }

    /// Sends the body, and returns the outcome of the response.
    pub(crate) async fn finish(self) -> ResponseOutcome {
        let Self { source, mut body, trailers, bodyless } = self;
        let taken = match source {
            Source::Guest { body: from, trailers: from_trailers, length } => {
                let length = length.filter(|_| !bodyless);
                match copy(from, from_trailers, length, &mut body).await {
                    Some(copied) => {
                        // The host reads the trailers only after the end of the body's stream.
                        drop(body);
                        let error = copied.as_ref().err().map(|code| describe(code, length));
                        // If the host ignores the trailers, this write fails. The error has no effect, because the host
                        // has taken the whole body.
                        _ = trailers.write(copied).await;
                        if let Some(error) = error {
                            return ResponseOutcome::ResponseFailed(cut(error));
                        }
                        true
                    }
                    None => false,
                }
            }
            Source::Text(text) => body.write_all(text.into()).await.is_empty(),
        };
        if taken || bodyless { ResponseOutcome::Delivered } else { ResponseOutcome::ClientGone }
    }
}

/// Reads the length of a body from the header `content-length`.
fn length(headers: &Fields) -> Option<u64> {
    let values = headers.get("content-length");
    core::str::from_utf8(values.first()?).ok()?.parse().ok()
}

/// Returns the error text for a body that ended with an error. If the body's length differs from its `content-length`,
/// the text is the same as on Epilogue's host.
fn describe(code: &ErrorCode, length: Option<u64>) -> String {
    match (code, length) {
        (ErrorCode::HttpResponseBodySize(Some(written)), Some(length)) => words::wrong_length(*written, length),
        _ => format!("{code:?}"),
    }
}

/// Copies the guest's body to the host, and returns the trailers. If the guest ends the body with an error, returns
/// this error. If the body's length differs from `length`, returns an error. If the host does not take the rest of the
/// body, returns `None`.
async fn copy(
    mut body: StreamReader<u8>,
    trailers: FutureReader<TrailersResult>,
    length: Option<u64>,
    out: &mut StreamWriter<u8>,
) -> Option<TrailersResult> {
    let mut trailers = pin!(trailers.into_future());
    let mut end = None;
    let mut written = 0;
    let mut chunk = Vec::with_capacity(CHUNK);
    loop {
        let mut read = pin!(body.read(chunk));
        // The guest may report an error before it ends the stream. The adapter must read such an error now, because the
        // guest waits until the adapter has read the error.
        let read = poll_fn(|context| {
            if let Poll::Ready(read) = read.as_mut().poll(context) {
                return Poll::Ready(Some(read));
            }
            if end.is_none()
                && let Poll::Ready(told) = trailers.as_mut().poll(context)
            {
                let failed = told.is_err();
                end = Some(told);
                if failed {
                    return Poll::Ready(None);
                }
            }
            Poll::Pending
        });
        let Some((result, filled)) = read.await else { return end };
        written += filled.len() as u64;
        if length.is_some_and(|length| written > length) {
            return Some(Err(ErrorCode::HttpResponseBodySize(Some(written))));
        }
        chunk = out.write_all(filled).await;
        if !chunk.is_empty() {
            return None;
        }
        if result == StreamResult::Dropped {
            let end = match end {
                Some(end) => end,
                None => trailers.await,
            };
            let short = end.is_ok() && length.is_some_and(|length| written < length);
            return Some(if short { Err(ErrorCode::HttpResponseBodySize(Some(written))) } else { end });
        }
    }
}

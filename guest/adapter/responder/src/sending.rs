//! The response on its way out (S2, S8).
//!
//! A host that knows nothing of tasks does not say when a response has been sent: the future that `Response.new` returns
//! resolves long before. So the body is copied through a stream of our own. Its last write ends when the host has taken
//! the last byte; a write that the host does not take to its end says that the client has left.

use alloc::format;
use alloc::vec::Vec;

use crate::bindings::epilogue::background::types::ResponseOutcome;
use crate::bindings::wasi::http::types::{ErrorCode, Fields, Response, Trailers};
use crate::bindings::{wit_future, wit_stream};
use wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult, StreamWriter};

const CHUNK: usize = 64 * 1024;

type TrailersResult = Result<Option<Trailers>, ErrorCode>;

/// What is still to be sent.
pub(crate) struct Sending {
    source: Source,
    body: StreamWriter<u8>,
    trailers: FutureWriter<TrailersResult>,
    /// Whether the host takes no body with such a response.
    bodyless: bool,
}

enum Source {
    Guest {
        body: StreamReader<u8>,
        trailers: FutureReader<TrailersResult>,
        /// Tells the guest, when it is dropped, that its response has been handled.
        _handled: FutureWriter<Result<(), ErrorCode>>,
    },
    Text(&'static str),
}

impl Sending {
    /// A response like the guest's, whose body is copied from it.
    pub(crate) fn copy(response: Response, head: bool) -> (Response, Self) {
        let (status, headers) = (response.get_status_code(), response.get_headers());
        let (handled, is_handled) = wit_future::new(|| Ok(()));
        let (body, trailers) = Response::consume_body(response, is_handled);
        Self::start(status, headers, Source::Guest { body, trailers, _handled: handled }, head)
    }

    /// A response of a status and its name.
    pub(crate) fn text(status: u16, text: &'static str, head: bool) -> (Response, Self) {
        Self::start(status, Fields::new(), Source::Text(text), head)
    }

    fn start(status: u16, headers: Fields, source: Source, head: bool) -> (Response, Self) {
        let (body, body_reader) = wit_stream::new();
        let (trailers, trailers_reader) = wit_future::new(|| Ok(None));
        let (response, _says_nothing) = Response::new(headers, Some(body_reader), trailers_reader);
        // It is another response's, hence valid.
        _ = response.set_status_code(status);
        let bodyless = head || matches!(status, 100..=199 | 204 | 304);
        (response, Self { source, body, trailers, bodyless })
    }

    /// Sends what there is to send, and says how that ended.
    pub(crate) async fn finish(self) -> ResponseOutcome {
        let Self { source, body: mut out, trailers: trailers_out, bodyless } = self;
        let taken = match source {
            Source::Guest { mut body, trailers, _handled } => {
                if copy(&mut body, &mut out).await {
                    // The stream ends before the trailers can be read.
                    drop(out);
                    let trailers = trailers.await;
                    if let Err(code) = &trailers {
                        let reason = format!("{code:?}");
                        _ = trailers_out.write(trailers).await;
                        return ResponseOutcome::ResponseFailed(reason);
                    }
                    // A host that takes no trailers drops them: the body is out all the same.
                    _ = trailers_out.write(trailers).await;
                    true
                } else {
                    false
                }
            }
            Source::Text(text) => out.write_all(text.into()).await.is_empty(),
        };
        if taken || bodyless { ResponseOutcome::Delivered } else { ResponseOutcome::ClientGone }
    }
}

/// Copies a body to its end. False if its reader does not want the rest.
async fn copy(body: &mut StreamReader<u8>, out: &mut StreamWriter<u8>) -> bool {
    let mut chunk = Vec::with_capacity(CHUNK);
    loop {
        let (result, filled) = body.read(chunk).await;
        chunk = out.write_all(filled).await;
        if !chunk.is_empty() {
            return false;
        }
        if result == StreamResult::Dropped {
            return true;
        }
    }
}

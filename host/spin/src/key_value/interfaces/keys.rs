//! The stream through which a guest reads a store's keys. After the guest has read all keys of one page, the host reads
//! the next page from the store.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, StreamProducer, StreamResult, VecBuffer};

use super::v3::told;
use crate::bindings::spin::key_value::key_value as v3;
use crate::key_value::{Page, Result, Store};

type Reading = Pin<Box<dyn Future<Output = Result<Page>> + Send>>;

/// The rest of a stream: the keys that the guest has not read yet.
pub(super) struct Keys {
    store: Arc<dyn Store>,
    /// The future that reads the next page. After the last page, the value is `None`.
    reading: Option<Reading>,
    end: Option<oneshot::Sender<std::result::Result<(), v3::Error>>>,
}

impl Keys {
    /// Creates the stream of all keys of a store. When the stream ends, `end` gets the result: success, or the store's
    /// error.
    pub(super) fn new(store: Arc<dyn Store>, end: oneshot::Sender<std::result::Result<(), v3::Error>>) -> Self {
        let reading = Some(read(&store, None));
        Self { store, reading, end: Some(end) }
    }

    fn end(&mut self, result: Result<()>) {
        self.reading = None;
        if let Some(end) = self.end.take() {
            // If the guest does not wait for the result, the receiver is already dropped, so `send` fails.
            _ = end.send(result.map_err(told));
        }
    }
}

fn read(store: &Arc<dyn Store>, from: Option<String>) -> Reading {
    let store = store.clone();
    Box::pin(async move { store.keys(from).await })
}

impl<D> StreamProducer<D> for Keys {
    type Item = String;
    type Buffer = VecBuffer<String>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _: StoreContextMut<'a, D>,
        mut to: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let Some(reading) = &mut self.reading else { return Poll::Ready(Ok(StreamResult::Dropped)) };
        let page = match reading.as_mut().poll(cx) {
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            page => ready!(page),
        };
        match page {
            Ok(Page { keys, next }) => {
                to.set_buffer(keys.into());
                match next {
                    Some(from) => self.reading = Some(read(&self.store, Some(from))),
                    None => self.end(Ok(())),
                }
            }
            Err(error) => self.end(Err(error)),
        }
        let result = if self.reading.is_some() { StreamResult::Completed } else { StreamResult::Dropped };
        Poll::Ready(Ok(result))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.end(Ok(()));
    }
}

//! Lists the responses of a connection that count as sent at the connection's next flush.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::Delivery;
use crate::contract::bindings::ResponseOutcome;

/// The error for a response that was not sent because the host has ended the connection.
pub(super) const HOST_LEFT: &str = "the host stopped before the response was sent";

/// The responses of one connection that hyper has taken completely but has not flushed.
///
/// All code that uses this value runs on one thread. Trailers hold this value in their header values. Header values
/// must be `Send`, so the value needs a lock.
#[derive(Clone, Default)]
pub(crate) struct Unflushed(Arc<Outgoing>);

#[derive(Default)]
struct Outgoing {
    waiting: Mutex<Waiting>,
    writes: AtomicUsize,
    flushes: AtomicUsize,
    /// True if the host ended the connection. False if the client ended the connection.
    left: AtomicBool,
    /// True if the client has sent bytes of a request and the host has not read the whole request. If the value is
    /// true, the client may still be sending more bytes.
    unread: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    deliveries: Vec<Arc<Delivery>>,
    /// True if the connection has ended, so that it cannot be flushed any more.
    closed: bool,
}

impl Unflushed {
    pub(super) fn push(&self, delivery: &Arc<Delivery>) {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.closed {
            drop(waiting);
            delivery.lose();
        } else {
            waiting.deliveries.push(delivery.clone());
        }
    }

    pub(super) fn written(&self) {
        self.0.writes.fetch_add(1, Relaxed);
    }

    pub(super) fn flushed(&self) {
        self.0.flushes.fetch_add(1, Relaxed);
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for delivery in waiting.deliveries.drain(..) {
            delivery.settle(ResponseOutcome::Delivered);
        }
    }

    pub(super) fn close(&self) {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.closed = true;
        for delivery in waiting.deliveries.drain(..) {
            delivery.lose();
        }
    }

    /// Returns the number of times that the operating system has taken bytes from this connection.
    pub(super) fn writes(&self) -> usize {
        self.0.writes.load(Relaxed)
    }

    /// Returns the number of times that hyper has flushed the connection. After each flush, the operating system has
    /// everything that hyper held before.
    pub(super) fn flushes(&self) -> usize {
        self.0.flushes.load(Relaxed)
    }

    /// Records that the host itself is about to end the connection. Without this record, the outcome of the
    /// connection's responses would say that the client has left.
    pub(crate) fn leave(&self) {
        self.0.left.store(true, Relaxed);
    }

    pub(super) fn received(&self) {
        self.0.unread.store(true, Relaxed);
    }

    /// Records that the host has read the whole current request.
    pub(crate) fn read_whole(&self) {
        self.0.unread.store(false, Relaxed);
    }

    /// Reports whether the client may still be sending bytes of a request that the host has not read to its end.
    pub(crate) fn is_unread(&self) -> bool {
        self.0.unread.load(Relaxed)
    }

    /// Returns the outcome of a response on this connection that can no longer be sent.
    pub(super) fn loss(&self) -> ResponseOutcome {
        match self.0.left.load(Relaxed) {
            true => ResponseOutcome::ResponseFailed(HOST_LEFT.to_owned()),
            false => ResponseOutcome::ClientGone,
        }
    }
}

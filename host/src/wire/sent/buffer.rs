//! Observes when hyper has consumed or dropped the buffers of a response.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::{Buf, Bytes};
use http::HeaderValue;

use super::Delivery;

/// A piece of a response's body that hyper holds.
pub(crate) struct TrackedBuf {
    bytes: Bytes,
    delivery: Arc<Delivery>,
}

impl TrackedBuf {
    pub(super) fn new(bytes: Bytes, delivery: &Arc<Delivery>) -> Self {
        delivery.held.fetch_add(1, Relaxed);
        Self { bytes, delivery: delivery.clone() }
    }
}

impl Buf for TrackedBuf {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.delivery.moved();
        self.bytes.advance(count);
    }
}

impl Drop for TrackedBuf {
    fn drop(&mut self) {
        self.delivery.held.fetch_sub(1, Relaxed);
        if self.bytes.has_remaining() {
            self.delivery.lose();
        } else {
            self.delivery.check();
        }
    }
}

/// The value of a trailer, which holds a tracked buffer until the value is dropped.
pub(super) struct Fence(
    #[expect(dead_code, reason = "its drop is what counts")] pub(super) TrackedBuf,
    pub(super) HeaderValue,
);

impl AsRef<[u8]> for Fence {
    fn as_ref(&self) -> &[u8] {
        self.1.as_bytes()
    }
}

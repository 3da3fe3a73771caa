//! Limits the linear memory of one instance.

use wasmtime::ResourceLimiterAsync;

use crate::budget::memory::{Grown, left_for_growth};
use crate::component::fair;

/// If a guest grows its memory by at least this number of bytes, the guest first waits for its turn. Most guests write
/// to all of the new bytes at once. The system zeroes each page at the first write. For 4 MiB, the zeroing takes a
/// millisecond, and no epoch can interrupt it.
const LARGE: usize = 4 << 20;

/// Limits the linear memories of one instance.
pub(crate) struct LinearMemory {
    /// The largest size of each memory, in bytes.
    most: usize,
    grown: Grown,
    /// True after the instance has started. The instance's initial memory does not count as growth.
    started: bool,
}

impl LinearMemory {
    /// Makes the limits of an instance that is about to start. Each memory of the instance may have up to `most` bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, grown: Grown::default(), started: false }
    }

    /// Records that the instance has started.
    pub(crate) fn start(&mut self) {
        self.started = true;
    }

    /// Records that the guest has done its current work. The guest has now written to the memory that it needs.
    pub(crate) fn settle(&mut self) {
        self.grown.settle();
    }
}

#[async_trait::async_trait]
impl ResourceLimiterAsync for LinearMemory {
    /// Decides whether the guest's `memory.grow` succeeds. If `memory.grow` fails, the guest can still send a response.
    async fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.most || maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let more = desired.saturating_sub(current);
        if self.started {
            // If a guest grows again, it has mostly written to the memory that it got before.
            self.grown.settle();
            if more >= LARGE {
                fair::turn().await;
            }
            if !left_for_growth(more as u64) {
                return Ok(false);
            }
        }
        self.grown.add(more as u64);
        Ok(true)
    }

    async fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(maximum.is_none_or(|maximum| desired <= maximum))
    }
}

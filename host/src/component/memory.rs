//! The linear memory of one instance: how far it may grow, and when.

use wasmtime::ResourceLimiterAsync;

use crate::budget::memory::{Grown, left_for_growth};
use crate::component::fair;

/// A guest that grows by so many bytes waits for its turn first. Most guests then write to all of these bytes at once.
/// The system zeroes each page at the first write, which takes a millisecond here, and no epoch interrupts that.
const LARGE: usize = 4 << 20;

/// Limits the linear memories of one instance.
pub(crate) struct LinearMemory {
    /// The largest size of each memory, in bytes.
    most: usize,
    grown: Grown,
    /// Whether the instance exists. The memory that it has at its start is not growth.
    started: bool,
}

impl LinearMemory {
    /// Limits each memory of an instance that is about to start to `most` bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, grown: Grown::default(), started: false }
    }

    /// Notes that the instance has started.
    pub(crate) fn start(&mut self) {
        self.started = true;
    }

    /// Records that the guest has done its work for now, so it has written to the memory that it needs.
    pub(crate) fn settle(&mut self) {
        self.grown.settle();
    }
}

#[async_trait::async_trait]
impl ResourceLimiterAsync for LinearMemory {
    /// Answers `memory.grow`. If the guest may not grow its memory, `memory.grow` fails, and the guest can still send a
    /// response.
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
            // A guest that grows again has mostly written to what it got before.
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

//! Limits the linear memory of one instance.

use wasmtime::ResourceLimiterAsync;

use crate::budget::memory::{Grown, left_for_growth};
use crate::component::fair;

/// If a guest grows its memory by at least this number of bytes, the guest first waits for its turn to compute. Most
/// guests immediately write to all new bytes, and the system zeroes each page when the guest writes to the page for the
/// first time. For 4 MiB, the system needs a millisecond, and the host cannot interrupt the guest during this time.
const LARGE: usize = 4 << 20;

/// Limits the linear memories of one instance.
pub(crate) struct LinearMemory {
    /// The largest size of each linear memory, in bytes.
    most: usize,
    grown: Grown,
    /// True after the instance has started. While the instance starts, wasmtime also asks for the instance's initial
    /// memory. The host then does not check whether the process has enough free memory.
    started: bool,
}

impl LinearMemory {
    /// Makes the limits for a new instance. Each linear memory of the instance may have up to `most` bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, grown: Grown::default(), started: false }
    }

    /// Records that the instance has started. From now on, the host checks whether the process has enough free memory
    /// before the instance grows its memory.
    pub(crate) fn start(&mut self) {
        self.started = true;
    }

    /// Records that the guest has ended its current work. The guest has probably written to its new memory, so the
    /// system itself now counts this memory. Therefore, the host no longer adds this memory to the system's count.
    pub(crate) fn settle(&mut self) {
        self.grown.settle();
    }
}

#[async_trait::async_trait]
impl ResourceLimiterAsync for LinearMemory {
    /// Decides whether the guest's instruction `memory.grow` succeeds. If the instruction fails, the guest goes on and
    /// can still send a response.
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
            // If a guest grows again, it has probably written to the memory that it got before.
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

//! The shared parts of the host's replacements for `wasi:filesystem`.

use std::sync::Arc;

use wasmtime_wasi::WasiView;
use wasmtime_wasi::filesystem::WasiFilesystemView as _;
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types as preview2;
use wasmtime_wasi::p3::bindings::filesystem::types as preview3;
use wasmtime_wasi::p3::filesystem::FilesystemResult;

use crate::budget::disk::{Disk, DiskFull};
use crate::interfaces::wasi::Wasi;

/// The component's budget, if its guests may write to files.
pub(super) fn disk<T>(state: &mut T, get: fn(&mut T) -> &Wasi) -> Option<Arc<Disk>> {
    get(state).disk.clone()
}

/// Counts `bytes` against the budget. A guest that may not write to files has no budget. wasmtime refuses its writes.
pub(super) fn charge<T>(state: &mut T, get: fn(&mut T) -> &Wasi, bytes: u64) -> Result<(), DiskFull> {
    disk(state, get).map_or(Ok(()), |disk| disk.charge(bytes))
}

/// Converts a result for a guest of WASI 0.2. An error that the interface does not have becomes a trap.
pub(super) fn told2<T: WasiView, R>(
    state: &mut T,
    done: FsResult<R>,
) -> wasmtime::Result<Result<R, preview2::ErrorCode>> {
    use preview2::Host as _;
    done.map_or_else(|error| state.filesystem().convert_error_code(error).map(Err), |done| Ok(Ok(done)))
}

/// Converts a result for a guest of WASI 0.3. An error that the interface does not have becomes a trap.
pub(super) fn told3<R>(done: FilesystemResult<R>) -> wasmtime::Result<Result<R, preview3::ErrorCode>> {
    done.map_or_else(|error| error.downcast().map(Err), |done| Ok(Ok(done)))
}

//! Helpers for the host's replacements of functions of `wasi:filesystem`.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use wasmtime_wasi::WasiView;
use wasmtime_wasi::filesystem::WasiFilesystemView as _;
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types as preview2;
use wasmtime_wasi::p3::bindings::filesystem::types as preview3;
use wasmtime_wasi::p3::filesystem::FilesystemResult;

use crate::budget::disk::{Disk, DiskFull, Writing};

/// The longest path, in bytes. Linux has the same limit: its `PATH_MAX` of 4,096 bytes includes a final zero. wasmtime
/// needs more time for a longer path, and the thread does nothing else during that time.
const MAX_PATH: usize = 4095;

/// Reports whether one of `paths` is longer than [`MAX_PATH`].
pub(super) fn are_too_long<const N: usize>(paths: [&String; N]) -> bool {
    paths.into_iter().any(|path| path.len() > MAX_PATH)
}

/// Counts `bytes` against the component's disk budget. If `disk` is `None`, the guest may not write to files. If the
/// guest may not write, nothing is counted, because wasmtime refuses the writes.
pub(super) async fn charge(disk: Option<Arc<Disk>>, bytes: u64) -> Result<Option<Writing>, DiskFull> {
    match disk {
        Some(disk) => disk.charge(bytes).await.map(Some),
        None => Ok(None),
    }
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

/// Converts an I/O error of the operating system to an error code of WASI 0.2.
pub(super) fn code2(error: io::Error) -> preview2::ErrorCode {
    match error.kind() {
        ErrorKind::QuotaExceeded => preview2::ErrorCode::Quota,
        _ => error.into(),
    }
}

/// Converts an I/O error of the operating system to an error code of WASI 0.3.
pub(super) fn code3(error: io::Error) -> preview3::ErrorCode {
    match error.kind() {
        ErrorKind::QuotaExceeded => preview3::ErrorCode::Quota,
        _ => error.into(),
    }
}

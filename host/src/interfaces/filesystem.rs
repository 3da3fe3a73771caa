//! Helper functions for the host's code that replaces functions of `wasi:filesystem`.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use wasmtime_wasi::WasiView;
use wasmtime_wasi::filesystem::WasiFilesystemView as _;
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types as preview2;
use wasmtime_wasi::p3::bindings::filesystem::types as preview3;
use wasmtime_wasi::p3::filesystem::FilesystemResult;

use crate::budget::disk::{Disk, DiskFull, Writing};

/// The longest path that a guest may pass, in bytes. Linux has the same limit: its `PATH_MAX` of 4,096 bytes includes a
/// final zero. The limit is necessary because wasmtime blocks the thread while it processes a path.
const MAX_PATH: usize = 4095;

/// Reports whether one of `paths` is longer than [`MAX_PATH`].
pub(super) fn are_too_long<const N: usize>(paths: [&String; N]) -> bool {
    paths.into_iter().any(|path| path.len() > MAX_PATH)
}

/// Counts `bytes` bytes for the component's limit on disk space. If `disk` is `None`, counts nothing: the guest may not
/// write to files, and wasmtime refuses the write.
pub(super) async fn charge(disk: Option<Arc<Disk>>, bytes: u64) -> Result<Option<Writing>, DiskFull> {
    match disk {
        Some(disk) => disk.charge(bytes).await.map(Some),
        None => Ok(None),
    }
}

/// Converts the result of a file function to the result that a guest of WASI 0.2 gets. If WASI has no code for an
/// error, the guest traps.
pub(super) fn told2<T: WasiView, R>(
    state: &mut T,
    done: FsResult<R>,
) -> wasmtime::Result<Result<R, preview2::ErrorCode>> {
    use preview2::Host as _;
    done.map_or_else(|error| state.filesystem().convert_error_code(error).map(Err), |done| Ok(Ok(done)))
}

/// Converts the result of a file function to the result that a guest of WASI 0.3 gets. If WASI has no code for an
/// error, the guest traps.
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

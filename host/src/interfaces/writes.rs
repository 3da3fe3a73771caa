//! `wasi:filesystem`: limits how much a guest may write to the copy of its files.
//!
//! Each function that makes the files larger first counts the bytes against the component's [`Disk`]. If that is used
//! up, the guest gets `error-code.quota`. The functions that create entries are in `files.rs` and `entries.rs`.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::io::Errno;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use wasmtime::StoreContextMut;
use wasmtime::component::{FutureReader, Linker, Resource, Source, StreamConsumer, StreamReader, StreamResult};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::filesystem::types as preview2;
use wasmtime_wasi::p2::{DynOutputStream, OutputStream, Pollable, StreamError, StreamResult as Written};
use wasmtime_wasi::p3::bindings::filesystem::types as preview3;
use wasmtime_wasi::{WasiView, async_trait};

use crate::budget::disk::{Disk, DiskFull};
use crate::interfaces::filesystem::{charge, disk, told2};
use crate::interfaces::wasi::Wasi;

/// How many bytes of a stream are written at a time.
const PIECE: usize = 64 << 10;

/// Replaces the functions with which a guest makes files larger. `get` finds the component's budget
/// in the store's data.
pub(crate) fn add_to_linker<T: WasiView + 'static>(
    linker: &mut Linker<T>,
    get: fn(&mut T) -> &Wasi,
) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    preview2(linker, get)?;
    preview3(linker, get)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn preview2<T: WasiView + 'static>(linker: &mut Linker<T>, get: fn(&mut T) -> &Wasi) -> wasmtime::Result<()> {
    use preview2::{ErrorCode, HostDescriptor as _};
    let mut types = linker.instance("wasi:filesystem/types@0.2.12")?;
    types.func_wrap_async(
        "[method]descriptor.write",
        move |mut store: StoreContextMut<'_, T>, (file, bytes, offset): (Resource<Descriptor>, Vec<u8>, u64)| {
            Box::new(async move {
                let state = store.data_mut();
                if charge(state, get, bytes.len() as u64).is_err() {
                    return Ok((Err(ErrorCode::Quota),));
                }
                let written = state.filesystem().write(file, bytes, offset).await;
                Ok((told2(state, written)?,))
            })
        },
    )?;
    types.func_wrap(
        "[method]descriptor.write-via-stream",
        move |mut store: StoreContextMut<'_, T>, (file, offset): (Resource<Descriptor>, u64)| {
            let state = store.data_mut();
            let stream = state.filesystem().write_via_stream(file, offset);
            let stream = told2(state, stream)?;
            Ok((stream.map(|stream| metered(state, get, stream)).transpose_trap()?,))
        },
    )?;
    types.func_wrap(
        "[method]descriptor.append-via-stream",
        move |mut store: StoreContextMut<'_, T>, (file,): (Resource<Descriptor>,)| {
            let state = store.data_mut();
            let stream = state.filesystem().append_via_stream(file);
            let stream = told2(state, stream)?;
            Ok((stream.map(|stream| metered(state, get, stream)).transpose_trap()?,))
        },
    )
}

fn preview3<T: WasiView + 'static>(linker: &mut Linker<T>, get: fn(&mut T) -> &Wasi) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:filesystem/types@0.3.0")?;
    types.func_wrap(
        "[method]descriptor.write-via-stream",
        move |mut store: StoreContextMut<'_, T>,
              (file, data, offset): (Resource<Descriptor>, StreamReader<u8>, u64)| {
            Ok((write(&mut store, get, &file, data, Some(offset))?,))
        },
    )?;
    types.func_wrap(
        "[method]descriptor.append-via-stream",
        move |mut store: StoreContextMut<'_, T>, (file, data): (Resource<Descriptor>, StreamReader<u8>)| {
            Ok((write(&mut store, get, &file, data, None)?,))
        },
    )
}

/// A result whose error may be a trap.
trait TransposeTrap<R, E> {
    fn transpose_trap(self) -> wasmtime::Result<Result<R, E>>;
}

impl<R, E> TransposeTrap<R, E> for Result<wasmtime::Result<R>, E> {
    fn transpose_trap(self) -> wasmtime::Result<Result<R, E>> {
        self.map_or_else(|error| Ok(Err(error)), |done| done.map(Ok))
    }
}

/// Counts the bytes of a stream that writes to a file.
fn metered<T: WasiView>(
    state: &mut T,
    get: fn(&mut T) -> &Wasi,
    stream: Resource<DynOutputStream>,
) -> wasmtime::Result<Resource<DynOutputStream>> {
    let Some(disk) = disk(state, get) else { return Ok(stream) };
    let entry = state.filesystem().table.get_mut(&stream)?;
    let inner = std::mem::replace(entry, Box::new(wasmtime_wasi::p2::pipe::ClosedOutputStream));
    *entry = Box::new(Metered { inner, disk });
    Ok(stream)
}

/// A file's stream of WASI 0.2, whose bytes are counted.
struct Metered {
    inner: DynOutputStream,
    disk: Arc<Disk>,
}

impl Metered {
    fn charge(&self, bytes: usize) -> Written<()> {
        let charged = self.disk.charge(bytes as u64);
        charged.map_err(|DiskFull| StreamError::LastOperationFailed(io::Error::from(Errno::DQUOT).into()))
    }
}

#[async_trait]
impl OutputStream for Metered {
    fn write(&mut self, bytes: Bytes) -> Written<()> {
        self.charge(bytes.len())?;
        self.inner.write(bytes)
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> Written<()> {
        self.charge(bytes.len())?;
        self.inner.blocking_write_and_flush(bytes).await
    }

    fn flush(&mut self) -> Written<()> {
        self.inner.flush()
    }

    fn check_write(&mut self) -> Written<usize> {
        self.inner.check_write()
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

#[async_trait]
impl Pollable for Metered {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}

/// Writes a stream of WASI 0.3 to a file, from `offset` on or at the end.
fn write<T: WasiView + 'static>(
    store: &mut StoreContextMut<'_, T>,
    get: fn(&mut T) -> &Wasi,
    file: &Resource<Descriptor>,
    mut data: StreamReader<u8>,
    offset: Option<u64>,
) -> wasmtime::Result<FutureReader<Result<(), preview3::ErrorCode>>> {
    use preview3::ErrorCode;
    let (end, ended) = oneshot::channel();
    let state = store.data_mut();
    let disk = disk(state, get);
    let refused = match (state.filesystem().table.get(file)?, disk) {
        (Descriptor::File(file), Some(disk)) if !file.perms.write_not_permitted() => {
            let file = file.file.clone();
            data.pipe(&mut *store, Writer { file, offset, disk, writing: None, end: Some(end) })?;
            return FutureReader::new(&mut *store, ended);
        }
        (Descriptor::File(_), _) => ErrorCode::NotPermitted,
        (Descriptor::Dir(_), _) => ErrorCode::BadDescriptor,
    };
    data.close(&mut *store)?;
    _ = end.send(Err(refused));
    FutureReader::new(&mut *store, ended)
}

/// Reads a stream of WASI 0.3 and writes it to a file.
struct Writer {
    file: Arc<std::fs::File>,
    /// The position of the next byte. None for the file's end.
    offset: Option<u64>,
    disk: Arc<Disk>,
    /// The piece that is written now.
    writing: Option<JoinHandle<io::Result<usize>>>,
    end: Option<oneshot::Sender<Result<(), preview3::ErrorCode>>>,
}

impl Writer {
    /// Sends the result of the writing to the guest.
    fn end(&mut self, result: Result<(), preview3::ErrorCode>) -> StreamResult {
        if let Some(end) = self.end.take() {
            // Whoever does not wait for it misses it.
            _ = end.send(result);
        }
        StreamResult::Dropped
    }

    fn begin(&self, piece: Vec<u8>) -> JoinHandle<io::Result<usize>> {
        let (file, offset) = (self.file.clone(), self.offset);
        spawn_blocking(move || match offset {
            Some(offset) => file.write_at(&piece, offset),
            None => append(&file, &piece),
        })
    }
}

/// Appends to a file that was opened for writing, even if the file has grown meanwhile.
fn append(file: &std::fs::File, piece: &[u8]) -> io::Result<usize> {
    let piece = [io::IoSlice::new(piece)];
    Ok(rustix::io::pwritev2(file, &piece, 0, rustix::io::ReadWriteFlags::APPEND)?)
}

impl<D> StreamConsumer<D> for Writer {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        from: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut from = from.as_direct(store);
        let mut writing = match self.writing.take() {
            Some(writing) => writing,
            None => {
                let piece = from.remaining();
                let piece = piece[..piece.len().min(PIECE)].to_vec();
                if self.disk.charge(piece.len() as u64).is_err() {
                    return Poll::Ready(Ok(self.end(Err(preview3::ErrorCode::Quota))));
                }
                self.begin(piece)
            }
        };
        let written = match Pin::new(&mut writing).poll(cx) {
            // If the piece is being written already, this waits until it is.
            Poll::Pending if finish => {
                writing.abort();
                Pin::new(&mut writing).poll(cx)
            }
            polled => polled,
        };
        if written.is_pending() {
            self.writing = Some(writing);
        }
        match ready!(written) {
            Ok(Ok(count)) => {
                from.mark_read(count);
                self.offset = self.offset.map(|offset| offset.saturating_add(count as u64));
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Ok(Err(error)) => Poll::Ready(Ok(self.end(Err(error.into())))),
            Err(error) if error.is_cancelled() => Poll::Ready(Ok(StreamResult::Cancelled)),
            Err(_) => Poll::Ready(Ok(self.end(Err(preview3::ErrorCode::Io)))),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        _ = self.end(Ok(()));
    }
}

//! Replaces the functions of `wasi:filesystem` that write to files, to limit the size of a guest's files.
//!
//! Before one of these functions makes a file larger, the function counts the new bytes for the component's limit on
//! disk space ([`Disk`]). If the limit is reached, the guest gets `error-code.quota`. `files.rs` and `paths.rs` count
//! the files, folders and links that a guest creates.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use rustix::io::{Errno, ReadWriteFlags, pwritev2};
use tokio::io::AsyncWrite;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use wasmtime::StoreContextMut;
use wasmtime::component::{FutureReader, Linker, Resource, Source, StreamConsumer, StreamReader, StreamResult};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView as _};
use wasmtime_wasi::p2::DynOutputStream;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode as Error2;
use wasmtime_wasi::p2::pipe::AsyncWriteStream;
use wasmtime_wasi::p3::bindings::filesystem::types::ErrorCode as Error3;

use crate::budget::disk::Disk;
use crate::interfaces::filesystem::{code2, code3};
use crate::interfaces::wasi::Wasi;

/// The largest number of bytes of a stream that the host writes to a file in one step.
const PIECE: usize = 64 << 10;

/// Replaces the functions with which a guest makes files larger. `get` finds the instance's WASI state in the store's
/// data.
pub(crate) fn add_to_linker<T: WasiView + 'static>(
    linker: &mut Linker<T>,
    get: fn(&mut T) -> &Wasi,
) -> wasmtime::Result<()> {
    preview2(linker, get)?;
    preview3(linker, get)
}

fn preview2<T: WasiView + 'static>(linker: &mut Linker<T>, get: fn(&mut T) -> &Wasi) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:filesystem/types@0.2.12")?;
    types.func_wrap_async(
        "[method]descriptor.write",
        move |mut store: StoreContextMut<'_, T>, (file, bytes, offset): (Resource<Descriptor>, Vec<u8>, u64)| {
            Box::new(async move {
                let file = match Writable::open(store.data_mut(), get, &file)? {
                    Ok(file) => file,
                    Err(error) => return Ok((Err(code2(error)),)),
                };
                let count = bytes.len() as u64;
                Ok((file.write(bytes, Some(offset)).await.map(|()| count).map_err(code2),))
            })
        },
    )?;
    types.func_wrap(
        "[method]descriptor.write-via-stream",
        move |mut store: StoreContextMut<'_, T>, (file, offset): (Resource<Descriptor>, u64)| {
            Ok((output_stream(store.data_mut(), get, &file, Some(offset))?,))
        },
    )?;
    types.func_wrap(
        "[method]descriptor.append-via-stream",
        move |mut store: StoreContextMut<'_, T>, (file,): (Resource<Descriptor>,)| {
            Ok((output_stream(store.data_mut(), get, &file, None)?,))
        },
    )
}

fn preview3<T: WasiView + 'static>(linker: &mut Linker<T>, get: fn(&mut T) -> &Wasi) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:filesystem/types@0.3.0")?;
    types.func_wrap(
        "[method]descriptor.write-via-stream",
        move |mut store: StoreContextMut<'_, T>,
              (file, data, offset): (Resource<Descriptor>, StreamReader<u8>, u64)| {
            Ok((write_stream(&mut store, get, &file, data, Some(offset))?,))
        },
    )?;
    types.func_wrap(
        "[method]descriptor.append-via-stream",
        move |mut store: StoreContextMut<'_, T>, (file, data): (Resource<Descriptor>, StreamReader<u8>)| {
            Ok((write_stream(&mut store, get, &file, data, None)?,))
        },
    )
}

/// Makes a stream of WASI 0.2 that writes to a file, beginning at the position `offset`. If `offset` is `None`, the
/// stream appends to the file.
fn output_stream<T: WasiView>(
    state: &mut T,
    get: fn(&mut T) -> &Wasi,
    file: &Resource<Descriptor>,
    offset: Option<u64>,
) -> wasmtime::Result<Result<Resource<DynOutputStream>, Error2>> {
    let file = match Writable::open(state, get, file)? {
        Ok(file) => file,
        Err(error) => return Ok(Err(code2(error))),
    };
    let stream: DynOutputStream = Box::new(AsyncWriteStream::new(PIECE, Sink { file, offset, writing: None }));
    Ok(Ok(state.filesystem().table.push(stream)?))
}

/// Writes a stream of WASI 0.3 to a file, beginning at the position `offset`. If `offset` is `None`, appends to the
/// file.
fn write_stream<T: WasiView + 'static>(
    store: &mut StoreContextMut<'_, T>,
    get: fn(&mut T) -> &Wasi,
    file: &Resource<Descriptor>,
    mut data: StreamReader<u8>,
    offset: Option<u64>,
) -> wasmtime::Result<FutureReader<Result<(), Error3>>> {
    let (end, ended) = oneshot::channel();
    match Writable::open(store.data_mut(), get, file)? {
        Ok(file) => {
            let sink = Sink { file, offset, writing: None };
            data.pipe(&mut *store, Consumer { sink, end: Some(end) })?;
        }
        Err(error) => {
            data.close(&mut *store)?;
            _ = end.send(Err(code3(error)));
        }
    }
    FutureReader::new(&mut *store, ended)
}

/// A file that a guest may write to, with the component's limit on disk space.
#[derive(Clone)]
struct Writable {
    file: Arc<File>,
    disk: Arc<Disk>,
}

impl Writable {
    /// Returns the file of a handle, or an error if the guest may not write to the file.
    fn open<T: WasiView>(
        state: &mut T,
        get: fn(&mut T) -> &Wasi,
        file: &Resource<Descriptor>,
    ) -> wasmtime::Result<Result<Self, io::Error>> {
        let disk = get(state).disk.clone();
        Ok(match (state.filesystem().table.get(file)?, disk) {
            (Descriptor::File(file), Some(disk)) if !file.perms.write_not_permitted() => {
                Ok(Self { file: file.file.clone(), disk })
            }
            (Descriptor::File(_), _) => Err(Errno::PERM.into()),
            (Descriptor::Dir(_), _) => Err(Errno::BADF.into()),
        })
    }

    /// Writes all of `bytes` to the file, beginning at the position `offset`. If `offset` is `None`, appends to the
    /// file. If the guest's instance dies during the write, the host still finishes the write.
    async fn write(self, bytes: Vec<u8>, offset: Option<u64>) -> io::Result<()> {
        let writing = self.disk.charge(bytes.len() as u64).await?;
        let write = spawn_blocking(move || {
            let written = match offset {
                Some(offset) => self.file.write_all_at(&bytes, offset),
                None => append(&self.file, &bytes),
            };
            drop(writing);
            written
        });
        write.await.map_err(io::Error::other)?
    }
}

/// Appends to a file that is open for writing. The bytes go to the current end of the file, even if the file has grown
/// since it was opened.
fn append(file: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match pwritev2(file, &[io::IoSlice::new(bytes)], 0, ReadWriteFlags::APPEND) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Writes the bytes of a stream to a file, piece by piece.
struct Sink {
    file: Writable,
    /// The position of the next byte in the file. The value is `None` if the stream appends to the file.
    offset: Option<u64>,
    /// The running write of a piece, and the length of the piece in bytes.
    writing: Option<(BoxFuture<'static, io::Result<()>>, usize)>,
}

impl AsyncWrite for Sink {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sink = &mut *self;
        let (writing, count) = sink.writing.get_or_insert_with(|| {
            let piece = &bytes[..bytes.len().min(PIECE)];
            (sink.file.clone().write(piece.to_vec(), sink.offset).boxed(), piece.len())
        });
        let written = ready!(writing.poll_unpin(cx)).map(|()| *count);
        sink.writing = None;
        let count = written?;
        sink.offset = sink.offset.map(|offset| offset.saturating_add(count as u64));
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Reads a stream of WASI 0.3 and writes the bytes to a file.
struct Consumer {
    sink: Sink,
    end: Option<oneshot::Sender<Result<(), Error3>>>,
}

impl Consumer {
    /// Sends the result of the write to the guest.
    fn end(&mut self, result: Result<(), Error3>) -> StreamResult {
        if let Some(end) = self.end.take() {
            // Sending fails only if the guest does not wait for the result.
            _ = end.send(result);
        }
        StreamResult::Dropped
    }
}

impl<D> StreamConsumer<D> for Consumer {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        from: Source<'_, u8>,
        // The host cannot cancel the write of a piece.
        _: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut from = from.as_direct(store);
        Poll::Ready(Ok(match ready!(Pin::new(&mut self.sink).poll_write(cx, from.remaining())) {
            Ok(count) => {
                from.mark_read(count);
                StreamResult::Completed
            }
            Err(error) => self.end(Err(code3(error))),
        }))
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        _ = self.end(Ok(()));
    }
}

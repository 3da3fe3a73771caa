//! Replaces the functions of `wasi:filesystem` that list the entries of a folder.
//!
//! For WASI 0.2, wasmtime's own `read-directory` reads the whole list into memory. For WASI 0.3, wasmtime's own
//! `read-directory` blocks a thread until the guest has read the whole stream. Each time that the guest asks for more
//! entries, the host's replacement reads only a limited number of entries. While a guest lists a folder, the folder
//! counts as an open file.

use std::collections::VecDeque;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::iter;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::fs::{AtFlags, Dir, DirEntry, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Destination, FutureReader, Linker, Resource, ResourceType, StreamProducer, StreamReader, StreamResult, VecBuffer,
};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::filesystem::types as preview2;
use wasmtime_wasi::p3::bindings::filesystem::types as preview3;

use crate::budget::instance::Budgeted;
use crate::budget::places::Place;
use crate::interfaces::filesystem::{code2, code3};

/// The largest number of entries that the host reads in one step.
const BATCH: usize = 64;

/// Replaces the functions with which a guest lists a folder. If the guest has too many open files, the functions return
/// `error-code.quota`.
pub(crate) fn add_to_linker<T: WasiView + Budgeted + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:filesystem/types@0.2.12")?;
    types.resource("directory-entry-stream", ResourceType::host::<Listing>(), |mut store, listing| {
        store.data_mut().filesystem().table.delete(Resource::<Listing>::new_own(listing))?;
        Ok(())
    })?;
    types.func_wrap_async(
        "[method]descriptor.read-directory",
        |mut store: StoreContextMut<'_, T>, (folder,): (Resource<Descriptor>,)| {
            Box::new(async move {
                let state = store.data_mut();
                Ok((match Listing::begin(state, &folder).await? {
                    Ok(listing) => Ok(state.filesystem().table.push(listing)?),
                    Err(error) => Err(code2(error)),
                },))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]directory-entry-stream.read-directory-entry",
        |mut store: StoreContextMut<'_, T>, (listing,): (Resource<Listing>,)| {
            Box::new(async move {
                let listing = store.data_mut().filesystem().table.get_mut(&listing)?;
                let entry = poll_fn(|cx| listing.poll_next(cx)).await.transpose();
                let entry =
                    entry.map(|entry| entry.map(|(kind, name)| preview2::DirectoryEntry { type_: kind2(kind), name }));
                Ok((entry.map_err(code2),))
            })
        },
    )?;
    linker.instance("wasi:filesystem/types@0.3.0")?.func_wrap_async(
        "[method]descriptor.read-directory",
        |mut store: StoreContextMut<'_, T>, (folder,): (Resource<Descriptor>,)| {
            Box::new(async move {
                let (end, ended) = oneshot::channel();
                let entries = match Listing::begin(store.data_mut(), &folder).await? {
                    Ok(listing) => StreamReader::new(&mut store, Entries { listing, end: Some(end) })?,
                    Err(error) => {
                        _ = end.send(Err(code3(error)));
                        StreamReader::new(&mut store, iter::empty())?
                    }
                };
                Ok(((entries, FutureReader::new(&mut store, ended)?),))
            })
        },
    )?;
    Ok(())
}

/// The type and the name of an entry.
type Entry = (FileType, String);

/// A folder that a guest is listing, and the entries that the host has read so far.
struct Listing {
    /// The open folder. The value is `None` while the host is reading entries, and after the host has read the last
    /// entry.
    folder: Option<Dir>,
    reading: Option<JoinHandle<(Dir, VecDeque<io::Result<Entry>>)>>,
    /// The entries that the host has read and that the guest has not taken yet.
    entries: VecDeque<io::Result<Entry>>,
    _place: Place,
}

impl Listing {
    /// Begins to list a folder, and counts the folder as an open file.
    async fn begin<T: WasiView + Budgeted>(
        state: &mut T,
        folder: &Resource<Descriptor>,
    ) -> wasmtime::Result<io::Result<Self>> {
        let folder = match state.filesystem().table.get(folder)? {
            Descriptor::Dir(folder) => folder.dir.clone(),
            Descriptor::File(_) => return Ok(Err(Errno::NOTDIR.into())),
        };
        let Ok(place) = state.budget().0.files.take() else { return Ok(Err(ErrorKind::QuotaExceeded.into())) };
        let folder = spawn_blocking(move || open(&folder)).await.map_err(io::Error::other).flatten();
        Ok(folder.map(|folder| Self { folder: Some(folder), reading: None, entries: VecDeque::new(), _place: place }))
    }

    /// Returns the next entry of the folder. Returns `None` after the last entry.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Entry>>> {
        loop {
            if let Some(entry) = self.entries.pop_front() {
                return Poll::Ready(Some(entry));
            }
            if let Some(folder) = self.folder.take() {
                self.reading = Some(spawn_blocking(move || read(folder)));
            }
            let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
            let read = ready!(Pin::new(reading).poll(cx));
            self.reading = None;
            match read {
                Ok((_, entries)) if entries.is_empty() => {}
                Ok((folder, entries)) => (self.folder, self.entries) = (Some(folder), entries),
                Err(error) => return Poll::Ready(Some(Err(io::Error::other(error)))),
            }
        }
    }
}

/// Opens the folder once more, so that each listing has its own file descriptor. A file descriptor has only one
/// position in the folder. If two listings shared this position, each listing would miss the entries that the other
/// listing reads.
fn open(folder: &File) -> io::Result<Dir> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(Dir::new(openat(folder, ".", flags, Mode::empty())?)?)
}

/// Reads the next entries of a folder. Returns an empty list after the last entry.
fn read(mut folder: Dir) -> (Dir, VecDeque<io::Result<Entry>>) {
    let mut entries = VecDeque::new();
    while entries.len() < BATCH {
        match folder.read() {
            Some(Ok(entry)) if [c".", c".."].contains(&entry.file_name()) => {}
            Some(entry) => entries.push_back(entry.map_err(io::Error::from).and_then(|entry| told(&folder, &entry))),
            None => break,
        }
    }
    (folder, entries)
}

fn told(folder: &Dir, entry: &DirEntry) -> io::Result<Entry> {
    let name = entry.file_name().to_str().map_err(|_| Errno::ILSEQ)?.to_owned();
    let kind = match entry.file_type() {
        // Some file systems do not report the type of an entry.
        FileType::Unknown => {
            FileType::from_raw_mode(statat(folder.fd()?, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?.st_mode)
        }
        kind => kind,
    };
    Ok((kind, name))
}

/// A stream of WASI 0.3 that gives the guest the entries of a folder.
struct Entries {
    listing: Listing,
    end: Option<oneshot::Sender<Result<(), preview3::ErrorCode>>>,
}

impl Entries {
    /// Sends the result of the listing to the guest.
    fn end(&mut self, result: io::Result<()>) {
        if let Some(end) = self.end.take() {
            // Sending fails only if the guest does not wait for the result.
            _ = end.send(result.map_err(code3));
        }
    }
}

impl<D> StreamProducer<D> for Entries {
    type Item = preview3::DirectoryEntry;
    type Buffer = VecBuffer<preview3::DirectoryEntry>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut to: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let wanted = to.remaining(&mut store).unwrap_or(BATCH).min(BATCH);
        let mut entries = Vec::new();
        let mut result = StreamResult::Completed;
        while entries.len() < wanted {
            match self.listing.poll_next(cx) {
                Poll::Ready(Some(Ok((kind, name)))) => {
                    entries.push(preview3::DirectoryEntry { type_: kind3(kind), name });
                    continue;
                }
                Poll::Ready(end) => {
                    self.end(end.map_or(Ok(()), |error| error.map(drop)));
                    result = StreamResult::Dropped;
                }
                Poll::Pending if !entries.is_empty() => {}
                Poll::Pending if finish => result = StreamResult::Cancelled,
                Poll::Pending => return Poll::Pending,
            }
            break;
        }
        to.set_buffer(entries.into());
        Poll::Ready(Ok(result))
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        self.end(Ok(()));
    }
}

fn kind2(kind: FileType) -> preview2::DescriptorType {
    use preview2::DescriptorType;
    match kind {
        FileType::RegularFile => DescriptorType::RegularFile,
        FileType::Directory => DescriptorType::Directory,
        FileType::Symlink => DescriptorType::SymbolicLink,
        FileType::Fifo => DescriptorType::Fifo,
        FileType::Socket => DescriptorType::Socket,
        FileType::CharacterDevice => DescriptorType::CharacterDevice,
        FileType::BlockDevice => DescriptorType::BlockDevice,
        FileType::Unknown => DescriptorType::Unknown,
    }
}

fn kind3(kind: FileType) -> preview3::DescriptorType {
    use preview3::DescriptorType;
    match kind {
        FileType::RegularFile => DescriptorType::RegularFile,
        FileType::Directory => DescriptorType::Directory,
        FileType::Symlink => DescriptorType::SymbolicLink,
        FileType::Fifo => DescriptorType::Fifo,
        FileType::Socket => DescriptorType::Socket,
        FileType::CharacterDevice => DescriptorType::CharacterDevice,
        FileType::BlockDevice => DescriptorType::BlockDevice,
        FileType::Unknown => DescriptorType::Other(None),
    }
}

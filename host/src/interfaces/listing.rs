//! `wasi:filesystem`: how a guest lists a folder.
//!
//! wasmtime's own `read-directory` of WASI 0.3 blocks a thread until the guest has read the whole stream. A guest that
//! does not read its streams could block all file reads in this way. Here the thread is free as soon as the folder has
//! been read.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use wasmtime::component::{Destination, FutureReader, Linker, Resource, StreamProducer, StreamReader, StreamResult};
use wasmtime::{StoreContextMut, component::VecBuffer};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView as _};
use wasmtime_wasi::p2::ReaddirIterator;
use wasmtime_wasi::p2::bindings::filesystem::types as preview2;
use wasmtime_wasi::p3::bindings::filesystem::types::{DescriptorType, DirectoryEntry, ErrorCode};

use crate::budget::Limit;
use crate::budget::instance::{Budgeted, MAX_ENTRIES, Place};
use crate::interfaces::filesystem::told2;

/// How many entries a guest gets at a time.
const BATCH: usize = 256;

/// Replaces the functions with which a guest lists a folder. Beyond the budget, they fail with `error-code.quota`. In
/// WASI 0.3, a folder with more than [`MAX_ENTRIES`] fails with `error-code.overflow`.
pub(crate) fn add_to_linker<T: WasiView + Budgeted + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.instance("wasi:filesystem/types@0.2.12")?.func_wrap_async(
        "[method]descriptor.read-directory",
        |mut store: StoreContextMut<'_, T>, (folder,): (Resource<Descriptor>,)| {
            Box::new(async move {
                let state = store.data_mut();
                if state.charge(Limit::Listings, 1).is_err() {
                    return Ok((Err(preview2::ErrorCode::Quota),));
                }
                Ok((read(state, folder).await?,))
            })
        },
    )?;
    linker.instance("wasi:filesystem/types@0.3.0")?.func_wrap_async(
        "[method]descriptor.read-directory",
        |mut store: StoreContextMut<'_, T>, (folder,): (Resource<Descriptor>,)| {
            Box::new(async move {
                let (end, ended) = oneshot::channel();
                let mut listing = Listing { entries: VecDeque::new(), result: Ok(()), end: Some(end), _place: None };
                match store.data_mut().budget().0.listings.take() {
                    None => listing.result = Err(ErrorCode::Quota),
                    place => {
                        listing._place = place;
                        list(store.data_mut(), folder, &mut listing).await?;
                    }
                }
                if listing.entries.is_empty() {
                    listing.end();
                }
                let entries = StreamReader::new(&mut store, listing)?;
                Ok(((entries, FutureReader::new(&mut store, ended)?),))
            })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Reads a whole folder, on a thread that may block.
async fn read<T: WasiView>(
    state: &mut T,
    folder: Resource<Descriptor>,
) -> wasmtime::Result<Result<Resource<ReaddirIterator>, preview2::ErrorCode>> {
    use preview2::HostDescriptor as _;
    let entries = state.filesystem().read_directory(folder).await;
    told2(state, entries)
}

/// Reads a folder into `listing`.
async fn list<T: WasiView>(state: &mut T, folder: Resource<Descriptor>, listing: &mut Listing) -> wasmtime::Result<()> {
    let entries = match read(state, folder).await? {
        Ok(entries) => state.filesystem().table.delete(entries)?,
        Err(error) => {
            listing.result = Err(told(error));
            return Ok(());
        }
    };
    for entry in entries {
        let Ok(entry) = entry else {
            listing.result = Err(ErrorCode::IllegalByteSequence);
            break;
        };
        if listing.entries.len() == MAX_ENTRIES {
            Limit::Listings.hit();
            listing.result = Err(ErrorCode::Overflow);
            break;
        }
        listing.entries.push_back(DirectoryEntry { type_: kind(entry.type_), name: entry.name });
    }
    Ok(())
}

/// The entries that a guest has not read yet.
struct Listing {
    entries: VecDeque<DirectoryEntry>,
    /// The result of the listing after the last entry.
    result: Result<(), ErrorCode>,
    end: Option<oneshot::Sender<Result<(), ErrorCode>>>,
    _place: Option<Place>,
}

impl Listing {
    /// Sends the result of the listing to the guest.
    fn end(&mut self) {
        if let Some(end) = self.end.take() {
            // Whoever does not wait for it misses it.
            _ = end.send(self.result.clone());
        }
    }
}

impl<D> StreamProducer<D> for Listing {
    type Item = DirectoryEntry;
    type Buffer = VecBuffer<DirectoryEntry>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut to: Destination<'a, Self::Item, Self::Buffer>,
        _: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let listing = self.get_mut();
        let wanted = to.remaining(&mut store).unwrap_or(BATCH).min(BATCH).min(listing.entries.len());
        to.set_buffer(listing.entries.drain(..wanted).collect::<Vec<_>>().into());
        if !listing.entries.is_empty() {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        listing.end();
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}

fn kind(kind: preview2::DescriptorType) -> DescriptorType {
    match kind {
        preview2::DescriptorType::BlockDevice => DescriptorType::BlockDevice,
        preview2::DescriptorType::CharacterDevice => DescriptorType::CharacterDevice,
        preview2::DescriptorType::Directory => DescriptorType::Directory,
        preview2::DescriptorType::Fifo => DescriptorType::Fifo,
        preview2::DescriptorType::SymbolicLink => DescriptorType::SymbolicLink,
        preview2::DescriptorType::RegularFile => DescriptorType::RegularFile,
        preview2::DescriptorType::Socket => DescriptorType::Socket,
        preview2::DescriptorType::Unknown => DescriptorType::Other(None),
    }
}

/// The error of a folder that cannot be read.
fn told(error: preview2::ErrorCode) -> ErrorCode {
    match error {
        preview2::ErrorCode::Access => ErrorCode::Access,
        preview2::ErrorCode::BadDescriptor => ErrorCode::BadDescriptor,
        preview2::ErrorCode::NoEntry => ErrorCode::NoEntry,
        preview2::ErrorCode::NotDirectory => ErrorCode::NotDirectory,
        preview2::ErrorCode::NotPermitted => ErrorCode::NotPermitted,
        _ => ErrorCode::Io,
    }
}

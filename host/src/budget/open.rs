//! Counts the open files and sockets of an instance. A file or socket counts until the guest has dropped its handle and
//! all its streams have ended.
//!
//! In WASI 0.3, a stream keeps its file or socket open even after the guest has dropped the handle.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Weak};

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{p2, sockets};

use super::places::{Exceeded, Place, Places};
use super::{Limit, descriptors};

/// The number of files and folders that an instance may have open at the same time.
const MAX_FILES: usize = 128;
/// The number of sockets that an instance may have open at the same time.
const MAX_SOCKETS: usize = 32;

/// Counts the files and folders that an instance has open.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    places: Places,
    open: Vec<(Weak<File>, Place)>,
}

/// Counts the sockets that an instance has open.
#[derive(Debug)]
pub(crate) struct OpenSockets {
    places: Places,
    /// For each socket's handle, the [`Place`] that the socket takes within the limit on open sockets. A socket and its
    /// streams together take only one place.
    open: HashMap<u32, Arc<Place>>,
}

impl Default for OpenFiles {
    fn default() -> Self {
        Self { places: Places::new(Limit::Files, MAX_FILES), open: Vec::new() }
    }
}

impl Default for OpenSockets {
    fn default() -> Self {
        Self { places: Places::new(Limit::Sockets, MAX_SOCKETS), open: HashMap::new() }
    }
}

impl OpenFiles {
    /// Counts a file or folder that the guest is about to open.
    ///
    /// # Errors
    ///
    /// Returns an error if the instance has reached its limit of open files and folders, or if the process has no file
    /// descriptor left for guests.
    pub(crate) fn take(&mut self) -> Result<Place, Exceeded> {
        if self.places.are_taken() {
            self.open.retain(|(file, _)| file.strong_count() > 0);
        }
        take(&self.places)
    }

    /// Records that the guest has opened `file`. The file counts as open until the guest has dropped the file's handle
    /// and all the file's streams have ended.
    pub(crate) fn opened(&mut self, file: &Arc<File>, place: Place) {
        self.open.push((Arc::downgrade(file), place));
    }
}

impl OpenSockets {
    /// Counts a socket that the guest is about to open. `table` holds the instance's handles.
    ///
    /// # Errors
    ///
    /// Returns an error if the instance has reached its limit of open sockets, or if the process has no file descriptor
    /// left for guests.
    pub(crate) fn take(&mut self, table: &mut ResourceTable) -> Result<Place, Exceeded> {
        if self.places.are_taken() {
            self.open.retain(|handle, _| is_socket(table, *handle));
        }
        take(&self.places)
    }

    /// Records that the guest has opened the socket with this handle. The socket counts as open until the guest has
    /// dropped the handle and all the socket's streams have ended.
    pub(crate) fn opened(&mut self, handle: u32, place: Place) {
        self.open.insert(handle, Arc::new(place));
    }

    /// Returns the [`Place`] that the socket with this handle takes within the limit on open sockets.
    pub(crate) fn place(&self, handle: u32) -> Option<Arc<Place>> {
        self.open.get(&handle).cloned()
    }
}

fn take(places: &Places) -> Result<Place, Exceeded> {
    let place = places.take()?;
    if descriptors::left_for_guests() { Ok(place) } else { Err(Exceeded(Limit::Descriptors, 0)) }
}

fn is_socket(table: &mut ResourceTable, handle: u32) -> bool {
    table.get_any_mut(handle).is_ok_and(|entry| {
        let preview2 = entry.is::<p2::TcpSocket>() || entry.is::<p2::UdpSocket>();
        preview2 || entry.is::<sockets::TcpSocket>() || entry.is::<sockets::UdpSocket>()
    })
}

//! The budget of an instance: what the host keeps for its guest in addition to the guest's own memory.

use std::sync::Arc;

use epilogue_manifest::values::Size;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};
use wasmtime_wasi::{filesystem, p2, sockets};
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p3::{Request, Response};

use super::Limit;
use super::descriptors;

/// How many handles one instance may hold at a time. A guest that opens one more traps. A request takes some ten
/// handles, and so does each request that a guest sends.
pub(crate) const MAX_HANDLES: usize = 4096;
/// How many handles an instance may keep after its first request. Some handles stay open, such as stdout and a pool of
/// connections. A guest that leaves more handles open would probably leave more at each request.
pub(crate) const MAX_KEPT: usize = 64;
/// How many bytes of header fields one `fields` may hold: wasmtime's own default.
pub(crate) const MAX_MAP: usize = 128 << 10;
/// How many bytes of header fields an instance may hold: as many as 64 full maps.
const MAX_FIELDS: usize = 64 * MAX_MAP;
/// How many sockets an instance may hold open.
const MAX_SOCKETS: usize = 32;
/// How many files and folders an instance may hold open.
const MAX_FILES: usize = 128;
/// How many requests an instance may send at the same time.
const MAX_OUTGOING: usize = 256;
/// How many folders an instance may list at the same time.
const MAX_LISTINGS: usize = 16;
/// How many entries of a folder a guest may list. The host keeps them until the guest has read them.
pub(crate) const MAX_ENTRIES: usize = 16_384;
/// How many random bytes a guest may ask for in one call. wasmtime makes about 200 bytes per microsecond, and meanwhile
/// nothing else runs on the thread.
pub(crate) const MAX_RANDOM: u64 = 64 << 10;

/// How many bytes a guest may pass in one call. A guest that passes more traps. The largest useful argument is that of
/// a task, at most `max_task_args`. While wasmtime copies the bytes, nothing else runs on the thread.
pub(crate) fn largest_call(max_task_args: Size) -> usize {
    max_task_args.bytes().saturating_add(128 << 10)
}

/// What the host keeps for an instance, as far as the host has counted it.
///
/// The host counts what a guest opens, and does not subtract what it closes. So no resource needs a wrapper. When a
/// count reaches its limit, the host counts what the instance's table really holds, and continues from there.
#[derive(Debug)]
pub(crate) struct InstanceBudget {
    fields: usize,
    sockets: usize,
    files: usize,
    /// Listings of WASI 0.2, which are in the table.
    listed: usize,
    /// Listings of WASI 0.3, which are streams.
    pub(crate) listings: Places,
}

impl Default for InstanceBudget {
    fn default() -> Self {
        Self { fields: 0, sockets: 0, files: 0, listed: 0, listings: Places::for_listings() }
    }
}

/// The error that the instance would exceed its budget.
#[derive(Debug)]
pub(crate) struct Exceeded(Limit);

impl std::fmt::Display for Exceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Limit::Fields => write!(f, "an instance may hold {MAX_FIELDS} bytes of header fields, and this one does"),
            Limit::Sockets => write!(f, "an instance may hold {MAX_SOCKETS} sockets open, and this one does"),
            Limit::Files => write!(f, "an instance may hold {MAX_FILES} files open, and this one does"),
            _ => write!(f, "the host has no file descriptor left for guests"),
        }
    }
}

impl std::error::Error for Exceeded {}

/// The data of a store whose guest has a budget.
pub(crate) trait Budgeted {
    /// The budget, and the table that holds the instance's resources.
    fn budget(&mut self) -> (&mut InstanceBudget, &mut ResourceTable);

    /// Counts `amount` more for `limit`, before the guest gets it.
    ///
    /// # Errors
    ///
    /// If the instance would then exceed the limit, or if it needs a descriptor and the process has none left for
    /// guests.
    fn charge(&mut self, limit: Limit, amount: usize) -> Result<(), Exceeded> {
        let (budget, table) = self.budget();
        budget.charge(limit, amount, table)
    }
}

impl InstanceBudget {
    fn charge(&mut self, limit: Limit, amount: usize, table: &mut ResourceTable) -> Result<(), Exceeded> {
        let (charged, most) = match limit {
            Limit::Fields => (&mut self.fields, MAX_FIELDS),
            Limit::Sockets => (&mut self.sockets, MAX_SOCKETS),
            Limit::Files => (&mut self.files, MAX_FILES),
            Limit::Listings => (&mut self.listed, MAX_LISTINGS),
            // Not an instance's.
            _ => return Ok(()),
        };
        if *charged + amount > most {
            *charged = held(limit, table);
        }
        if *charged + amount > most {
            limit.hit();
            return Err(Exceeded(limit));
        }
        if limit != Limit::Fields && !descriptors::left_for_guests() {
            return Err(Exceeded(Limit::Descriptors));
        }
        *charged += amount;
        Ok(())
    }
}

/// A limit on what an instance does at the same time: requests that it sends, or folders that it lists.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    limit: Limit,
    most: usize,
    taken: Arc<()>,
}

/// One place, which is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _taken: Arc<()>,
}

impl Places {
    /// The places for the requests of one instance.
    pub(crate) fn for_requests() -> Self {
        Self { limit: Limit::Outgoing, most: MAX_OUTGOING, taken: Arc::default() }
    }

    /// The places for the listings of one instance.
    pub(crate) fn for_listings() -> Self {
        Self { limit: Limit::Listings, most: MAX_LISTINGS, taken: Arc::default() }
    }

    /// Takes a place, or returns none if all are taken.
    pub(crate) fn take(&self) -> Option<Place> {
        if Arc::strong_count(&self.taken) > self.most {
            self.limit.hit();
            return None;
        }
        Some(Place { _taken: self.taken.clone() })
    }
}

/// How much the table holds of the things that `limit` counts.
fn held(limit: Limit, table: &mut ResourceTable) -> usize {
    table.iter_mut().map(|entry| held_by(limit, entry)).sum()
}

fn held_by(limit: Limit, entry: &dyn std::any::Any) -> usize {
    match limit {
        Limit::Fields => {
            let fields = entry.downcast_ref::<FieldMap>();
            let fields = fields.or_else(|| Some(&entry.downcast_ref::<Request>()?.headers));
            let fields = fields.or_else(|| Some(&entry.downcast_ref::<Response>()?.headers));
            fields.map_or(0, |fields| size_of_fields(fields))
        }
        Limit::Sockets => {
            let preview2 = entry.is::<p2::TcpSocket>() || entry.is::<p2::UdpSocket>();
            usize::from(preview2 || entry.is::<sockets::TcpSocket>() || entry.is::<sockets::UdpSocket>())
        }
        // A stream keeps its file open after the guest has closed the file itself.
        Limit::Files => {
            let stream = entry.is::<DynInputStream>() || entry.is::<DynOutputStream>();
            usize::from(stream || entry.is::<filesystem::Descriptor>())
        }
        Limit::Listings => usize::from(entry.is::<p2::ReaddirIterator>()),
        _ => 0,
    }
}

/// The bytes that the host keeps for these fields.
pub(crate) fn size_of_fields(fields: &http::HeaderMap) -> usize {
    fields.iter().map(|(name, value)| size_of_field(name.as_str().len(), value.len())).sum()
}

/// The bytes that the host keeps for a field with these lengths of name and value, as wasmtime counts them.
pub(crate) fn size_of_field(name: usize, value: usize) -> usize {
    name + size_of::<http::HeaderName>() + value + size_of::<http::HeaderValue>()
}

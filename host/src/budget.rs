//! Limits on the data that the host keeps for guests and clients.
//!
//! wasmtime limits the guest's own memory. [`Limit`] lists the limits on all other data that the host keeps for a guest
//! or a client. `docs/guide/reference/limits.md` describes all limits for operators.

pub(crate) mod address;
pub(crate) mod descriptors;
pub(crate) mod disk;
pub(crate) mod instance;
pub(crate) mod lookups;
pub(crate) mod memory;
pub(crate) mod open;
pub(crate) mod places;
pub(crate) mod refusals;
pub(crate) mod requests;

/// A limit on the data that the host keeps for a guest or a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Limits the bytes of header fields that the host keeps for an instance. The limit counts the names and the values
    /// of the header fields.
    Fields,
    /// Limits the number of TCP and UDP sockets that an instance holds open.
    Sockets,
    /// Limits the number of files and folders that an instance has open, including folders that the instance is
    /// listing.
    Files,
    /// Limits the number of requests that an instance sends at the same time.
    Outgoing,
    /// Limits how many of the process's file descriptors the guests may use.
    Descriptors,
    /// Limits the disk space of a component's writable files, in bytes.
    Disk,
    /// Limits the number of instances in the process.
    Instances,
    /// Limits the memory of the process, in bytes.
    Memory,
    /// Limits the number of handles that an instance still keeps open when a request has ended.
    Kept,
    /// Limits the number of open connections of one client address.
    Connections,
}

impl Limit {
    /// Returns the limit's name for metrics and log events.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fields => "fields",
            Self::Sockets => "sockets",
            Self::Files => "files",
            Self::Outgoing => "outgoing-requests",
            Self::Descriptors => "descriptors",
            Self::Disk => "disk",
            Self::Instances => "instances",
            Self::Memory => "memory",
            Self::Kept => "kept-handles",
            Self::Connections => "connections-per-address",
        }
    }

    /// Adds 1 to the metric `epilogue_limit_hits_total`, because a guest, a client or the process has just reached this
    /// limit.
    pub(crate) fn hit(self) {
        metrics::counter!("epilogue_limit_hits_total", "limit" => self.name()).increment(1);
    }
}

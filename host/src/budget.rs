//! Limits on the data that the host keeps for guests and clients.
//!
//! wasmtime limits a guest's memory. This module's [`Limit`] lists the limits on all other data that the host keeps for
//! a guest or a client. `docs/guide/reference/limits.md` lists the limits for operators.

pub(crate) mod address;
pub(crate) mod descriptors;
pub(crate) mod disk;
pub(crate) mod instance;
pub(crate) mod lookups;
pub(crate) mod memory;
pub(crate) mod open;
pub(crate) mod places;
pub(crate) mod requests;

/// A limit on the data that the host keeps for a guest or a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Limits the header fields of an instance, in bytes. The size of a header field includes its name and its value.
    Fields,
    /// Limits the number of TCP and UDP sockets that an instance holds open.
    Sockets,
    /// Limits the number of files and folders that an instance holds open or lists.
    Files,
    /// Limits the number of requests that an instance sends at the same time.
    Outgoing,
    /// Limits the number of file descriptors of the process that guests may take.
    Descriptors,
    /// Limits the disk space of a component's writable files, in bytes.
    Disk,
    /// Limits the number of instances in the process.
    Instances,
    /// Limits the memory of the process, in bytes.
    Memory,
    /// Limits the number of handles that an instance keeps open after the request that opened them.
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

    /// Counts in the metric `epilogue_limit_hits_total` that a guest, a client or the process has reached the limit.
    pub(crate) fn hit(self) {
        metrics::counter!("epilogue_limit_hits_total", "limit" => self.name()).increment(1);
    }
}

//! The limits on everything that the host keeps for a guest or a client.
//!
//! wasmtime limits a guest's memory. All other data that the host keeps for a guest or a client has a [`Limit`] here.
//! `docs/guide/reference/limits.md` lists the limits for operators.

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
    /// Bytes of header fields that an instance holds: names and values, as the host stores them.
    Fields,
    /// TCP and UDP sockets that an instance holds open.
    Sockets,
    /// Files and folders that an instance holds open, and folders that it lists.
    Files,
    /// Requests that an instance sends at the same time.
    Outgoing,
    /// File descriptors of the process that guests may take.
    Descriptors,
    /// Bytes on the disk that a component's writable files take.
    Disk,
    /// Instances that exist in the process.
    Instances,
    /// Memory of the process.
    Memory,
    /// Handles that an instance keeps after the request that opened them.
    Kept,
    /// Open connections of one client address.
    Connections,
}

impl Limit {
    /// The limit's name: in the metric, and in log events.
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

    /// Counts that the limit was reached, in the metric `epilogue_limit_hits_total`.
    pub(crate) fn hit(self) {
        metrics::counter!("epilogue_limit_hits_total", "limit" => self.name()).increment(1);
    }
}

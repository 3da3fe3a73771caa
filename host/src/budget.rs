//! The budgets: what the host keeps on behalf of a guest or a client, and the most that it keeps of each kind.
//!
//! wasmtime bounds a guest's memory. Whatever else a guest or a client makes the host keep has a [`Limit`] here.
//! `docs/guide/reference/limits.md` lists them for operators.

pub(crate) mod address;
pub(crate) mod descriptors;
pub(crate) mod disk;
pub(crate) mod instance;
pub(crate) mod lookups;
pub(crate) mod requests;

/// A limit on what the host keeps on behalf of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Bytes of header fields that an instance holds, names and values, as the host stores them.
    Fields,
    /// TCP and UDP sockets that an instance holds open.
    Sockets,
    /// Files and folders that an instance holds open.
    Files,
    /// Requests that an instance sends at the same time.
    Outgoing,
    /// Folders that an instance lists at the same time, and entries of one of them.
    Listings,
    /// File descriptors of the process that guests may take.
    Descriptors,
    /// Bytes on the disk that a component's writable files take.
    Disk,
    /// Instances that exist in the process.
    Instances,
    /// Handles that an instance keeps after the request that opened them.
    Kept,
}

impl Limit {
    /// The limit's name: in the metric, and in log events.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fields => "fields",
            Self::Sockets => "sockets",
            Self::Files => "files",
            Self::Outgoing => "outgoing-requests",
            Self::Listings => "listings",
            Self::Descriptors => "descriptors",
            Self::Disk => "disk",
            Self::Instances => "instances",
            Self::Kept => "kept-handles",
        }
    }

    /// Counts that somebody has reached the limit, in the metric `epilogue_limit_hits_total`.
    pub(crate) fn hit(self) {
        metrics::counter!("epilogue_limit_hits_total", "limit" => self.name()).increment(1);
    }
}

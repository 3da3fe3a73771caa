//! Limits how many things of one kind an instance may hold or do at the same time, such as open files. Each file,
//! socket or request takes one place within its limit.

use std::fmt;
use std::sync::Arc;

use super::Limit;

/// A fixed number of places for one kind of thing, such as open files or outgoing requests.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    limit: Limit,
    most: usize,
    taken: Arc<()>,
}

/// One place that a file, a socket or a request takes within a limit. When this value is dropped, the place is free
/// again.
#[derive(Debug)]
pub(crate) struct Place {
    _taken: Arc<()>,
}

/// The error for an instance that would exceed one of its limits.
#[derive(Debug)]
pub(crate) struct Exceeded(pub(super) Limit, pub(super) usize);

impl Places {
    /// Makes `most` free places for the things that `limit` counts, such as open files for [`Limit::Files`].
    pub(super) fn new(limit: Limit, most: usize) -> Self {
        Self { limit, most, taken: Arc::default() }
    }

    /// Reports whether all places are taken.
    pub(super) fn are_taken(&self) -> bool {
        Arc::strong_count(&self.taken) > self.most
    }

    /// Takes a place.
    ///
    /// # Errors
    ///
    /// Returns an error if all places are taken.
    pub(crate) fn take(&self) -> Result<Place, Exceeded> {
        if self.are_taken() {
            self.limit.hit();
            return Err(Exceeded(self.limit, self.most));
        }
        Ok(Place { _taken: self.taken.clone() })
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(limit, most) = self;
        match limit {
            Limit::Fields => write!(f, "this instance has reached the limit of {most} bytes of header fields"),
            Limit::Sockets => write!(f, "this instance has reached the limit of {most} open sockets"),
            Limit::Files => write!(f, "this instance has reached the limit of {most} open files"),
            _ => write!(f, "the host has no file descriptor left for guests"),
        }
    }
}

impl std::error::Error for Exceeded {}

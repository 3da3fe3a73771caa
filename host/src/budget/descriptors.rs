//! The process's file descriptors: a reserve of them is for clients.

use std::os::fd::AsRawFd as _;
use std::sync::LazyLock;

use rustix::process::{Resource, getrlimit};

use super::Limit;

/// Guests get no descriptor with this number or a higher one: the last eighth is for the clients' connections.
static FIRST_RESERVED: LazyLock<i32> = LazyLock::new(|| {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let reserved = (limit / 8).max(64);
    i32::try_from(limit.saturating_sub(reserved)).unwrap_or(i32::MAX)
});

/// Whether the process has a file descriptor left for a guest. If not, the metric of [`Limit::Descriptors`] counts it.
///
/// The system always hands out the lowest number that is free. So the number of a new descriptor says whether those
/// below are all in use, without counting them.
pub(crate) fn left_for_guests() -> bool {
    let next = rustix::io::dup(std::io::stderr()).ok();
    let left = next.is_some_and(|next| next.as_raw_fd() < *FIRST_RESERVED);
    if !left {
        Limit::Descriptors.hit();
    }
    left
}

//! Checks how many file descriptors the process has left. Some descriptors are reserved for clients, and some for the
//! host.

use std::os::fd::AsRawFd as _;
use std::sync::LazyLock;

use epilogue_manifest::settings::HostOptions;
use rustix::process::{Resource, getrlimit};

use super::Limit;

/// How many file descriptors the process may have open. The host raises the system's limit at startup, before the first
/// read of this value.
static LIMIT: LazyLock<u64> = LazyLock::new(|| getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX));

/// Guests get no descriptor with this number or a higher number. The last eighth of the descriptors is reserved for the
/// connections of clients.
static FIRST_RESERVED: LazyLock<i32> = LazyLock::new(|| before_the_last((*LIMIT / 8).max(64)));

/// If a connection has a descriptor with this number or a higher number, further connections wait. The last descriptors
/// are reserved for the host itself: for requests of metrics, for the task engine, and for the files of a reload.
static FIRST_OF_THE_HOST: LazyLock<i32> = LazyLock::new(|| before_the_last((*LIMIT / 64).max(32)));

fn before_the_last(count: u64) -> i32 {
    i32::try_from(LIMIT.saturating_sub(count)).unwrap_or(i32::MAX)
}

/// Reports whether the process has a file descriptor left for a guest. If no descriptor is left, the function counts a
/// hit of [`Limit::Descriptors`].
pub(crate) fn left_for_guests() -> bool {
    let left = is_left(*FIRST_RESERVED);
    if !left {
        Limit::Descriptors.hit();
    }
    left
}

/// Reports whether the process has a file descriptor left for a further connection.
pub(crate) fn left_for_connections() -> bool {
    is_left(*FIRST_OF_THE_HOST)
}

/// Reports whether further connections can still get a descriptor, if the newest connection has the number
/// `descriptor`.
pub(crate) fn leaves_some_for_connections(descriptor: i32) -> bool {
    descriptor < *FIRST_OF_THE_HOST
}

/// Reports whether the next free descriptor is below `first_reserved`. The system always gives out the lowest free
/// number. If the system gives out a number, all lower numbers are in use.
fn is_left(first_reserved: i32) -> bool {
    let next = rustix::io::dup(std::io::stderr()).ok();
    next.is_some_and(|next| next.as_raw_fd() < first_reserved)
}

/// Warns if `max-connections` is higher than the limit of file descriptors allows.
pub(crate) fn check(options: &HostOptions) {
    let (max_connections, fit) = (options.max_connections.get(), *FIRST_OF_THE_HOST);
    if usize::try_from(fit).is_ok_and(|fit| max_connections > fit) {
        tracing::warn!(
            target: "epilogue::server",
            max_connections,
            open_files = *LIMIT,
            "max-connections is too high: the limit of open files allows {fit} connections. Raise it, for example with ulimit -n"
        );
    }
}

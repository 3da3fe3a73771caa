//! Checks whether the process has file descriptors left. The host reserves some descriptors for the connections of
//! clients, and some for itself.

use std::os::fd::AsRawFd as _;
use std::sync::LazyLock;

use epilogue_manifest::settings::HostOptions;
use rustix::process::{Resource, getrlimit};

use super::Limit;

/// The number of file descriptors that the process may have open. When the host starts, it raises the system's limit
/// for the process, and reads the raised limit into this value.
static LIMIT: LazyLock<u64> = LazyLock::new(|| getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX));

/// The lowest descriptor number that guests may not use. The host reserves the last eighth of the descriptors for the
/// connections of clients.
static FIRST_RESERVED: LazyLock<i32> = LazyLock::new(|| before_the_last((*LIMIT / 8).max(64)));

/// The lowest descriptor number that is reserved for the host itself. If a connection gets this number or a higher
/// number, the host accepts no further connection for now. The host needs the reserved descriptors to serve metrics, to
/// reach the task engine, and to read files when it reloads the application.
static FIRST_OF_THE_HOST: LazyLock<i32> = LazyLock::new(|| before_the_last((*LIMIT / 64).max(32)));

fn before_the_last(count: u64) -> i32 {
    i32::try_from(LIMIT.saturating_sub(count)).unwrap_or(i32::MAX)
}

/// Reports whether the process has a file descriptor left for a guest. If no descriptor is left, this function also
/// records that the limit [`Limit::Descriptors`] was reached.
pub(crate) fn left_for_guests() -> bool {
    let left = is_left(*FIRST_RESERVED);
    if !left {
        Limit::Descriptors.hit();
    }
    left
}

/// Reports whether the process has a file descriptor left for one more client connection.
pub(crate) fn left_for_connections() -> bool {
    is_left(*FIRST_OF_THE_HOST)
}

/// Reports whether the process has a file descriptor left for one more client connection, if the newest connection has
/// the descriptor number `descriptor`.
pub(crate) fn leaves_some_for_connections(descriptor: i32) -> bool {
    descriptor < *FIRST_OF_THE_HOST
}

/// Reports whether a descriptor number below `first_reserved` is free. This function opens a descriptor and compares
/// the descriptor's number with `first_reserved`, because the system always gives out the lowest free number.
fn is_left(first_reserved: i32) -> bool {
    let next = rustix::io::dup(std::io::stderr()).ok();
    next.is_some_and(|next| next.as_raw_fd() < first_reserved)
}

/// Logs a warning if the process's limit of file descriptors is too low for `max-connections` connections.
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

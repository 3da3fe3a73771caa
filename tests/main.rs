//! The end-to-end suite: real guests, real sockets, and the host as `epilogue up` runs it. One file a promise.

mod closure;
mod failure;
mod kinds;
mod order;
mod parity;
mod states;

mod client;
mod support;
mod telling;

/// Where the guests' components are.
mod guests {
    test_artifacts::guests!();
}

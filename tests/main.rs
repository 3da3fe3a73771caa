//! The end-to-end suite: real guests, real sockets, and the host as `epilogue up` runs it. One file a promise.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod closure;
mod compose;
mod disconnect;
mod failure;
mod identity;
mod kinds;
mod order;
mod parity;
mod scope;
mod sent;
mod shutdown;
mod spawned;
mod states;
mod stock;

mod gate;
mod socket;
mod support;
mod telling;

/// Where the guests' components are.
mod guests {
    test_artifacts::guests!();
}

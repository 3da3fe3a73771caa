//! The end-to-end suite: real guests, real sockets, and the host as `epilogue up` runs it. One file a promise.

mod disconnect;
mod order;
mod scope;
mod sent;
mod shutdown;
mod spawned;

mod client;
mod gate;

/// Where the guests' components are.
mod guests {
    test_artifacts::guests!();
}

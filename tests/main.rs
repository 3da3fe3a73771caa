//! The end-to-end suite: real guests, real sockets, and the host as `epilogue up` runs it. One file a promise.

mod order;

mod support;

/// Where the guests' components are.
mod guests {
    test_artifacts::guests!();
}

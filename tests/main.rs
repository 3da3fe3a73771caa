//! The end-to-end suite: real guests, real sockets, and the host as `epilogue up` runs it. One file a promise.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod order;

// What is around the core.
mod binary;
mod examples;
mod outbound;
mod refusals;
mod routes;
mod system;
mod tidy;
mod tls;
mod wit;

// What the tests share.
mod client;
mod process;
mod upstream;

/// Where the guests' components are.
mod guests {
    test_artifacts::guests!();
}

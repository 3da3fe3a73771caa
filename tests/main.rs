//! The end-to-end suite: real guests, real sockets, and the host as `epilogue up` runs it. One file a promise.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on should fail")]

// The promises, by number, and the cases of others.
mod admission;
mod answers;
mod broken;
mod budget;
mod chaining;
mod clients;
mod closure;
mod compose;
mod descriptors;
mod disconnect;
mod durable;
mod failure;
mod fault;
mod hostile;
mod identity;
mod kinds;
mod middleware;
mod order;
mod overload;
mod panics;
mod parity;
mod pipes;
mod scope;
mod sent;
mod shutdown;
mod spawned;
mod spin;
mod states;
mod stock;

// What is around the core.
mod binary;
mod dashboard;
mod dependencies;
mod downloads;
mod examples;
mod guide;
mod logs;
mod measured;
mod monitor;
mod new;
mod outbound;
mod plugin;
mod prometheus;
mod received;
mod refusals;
mod reload;
mod reports;
mod room;
mod routes;
mod scratch;
mod system;
mod telemetry;
mod tidy;
mod tls;
mod variables;
mod watch;
mod wit;

// What the tests share.
mod client;
mod gate;
mod heap;
mod process;
mod socket;
mod support;
mod telling;
mod upstream;

/// Where the guests' components are.
mod guests {
    test_artifacts::guests!();
}

//! Tests the promises of every engine: memory, SQLite, and servers of Redis and NATS that the tests start themselves.
//!
//! A test waits for time only if time is its subject: the end of a lease, or the delay of a retry. Then the engine
//! waits in `lease`, and the bounds are generous.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on should fail")]

/// Makes a test of each function, for each engine.
macro_rules! on_every_engine {
    ($($engine:ident: $kind:ident),*; $module:ident: $tests:tt) => {
        $( on_every_engine!(@ $engine $kind $module $tests); )*
    };
    // One engine.
    (@ $engine:ident $kind:ident $module:ident [$($test:ident),* $(,)?]) => {
        mod $engine {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    $crate::$module::$test($crate::fixture::Kind::$kind).await;
                }
            )*
        }
    };
}

mod clocks;
mod failover;
mod fixture;
mod full;
mod held;
mod kills;
mod load;
mod lost_answers;
mod mistakes;
mod model;
mod nats;
mod outage;
mod pages;
mod server_kills;
mod servers;
mod sqlite;
mod suite;

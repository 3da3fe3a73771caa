//! Tests that every task engine keeps its promises. The tests start their own servers of Redis and NATS.
//!
//! A test waits only if it tests a time, for example the end of a lease or the delay of a retry. A test waits in a call
//! of `lease`. A test also accepts times that are longer than expected, because the machine may be busy.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on should fail")]

/// Makes one test for each listed function and each listed engine.
macro_rules! on_every_engine {
    ($($engine:ident: $kind:ident),*; $module:ident: $tests:tt) => {
        $( on_every_engine!(@ $engine $kind $module $tests); )*
    };
    // This rule makes the tests for one engine.
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

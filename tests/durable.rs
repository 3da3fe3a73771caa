//! Durable tasks: after the response, a stored task runs even if any of the processes is killed. Each test runs on each
//! engine.

mod books;
mod core;
mod cuts;
pub(crate) mod fixture;
mod kills;
mod limits;
mod mistakes;
mod network;
mod pauses;
mod reload;
mod requests;
#[path = "../host/engines/tests/conformance/servers.rs"]
pub(crate) mod servers;
mod tasks;
mod workers;

pub(crate) use self::core::{Otherwise, only_in_process};

/// Makes a test of each case for each engine.
macro_rules! on_each_engine {
    ($($case:ident,)+) => {
        mod sqlite {
            $(#[test] fn $case() { super::$case(&mut $crate::durable::fixture::Fixture::new($crate::durable::fixture::Kind::Sqlite)); })+
        }
        $crate::durable::on_each_server! { $($case,)+ }
    };
}
use on_each_engine;

/// Makes a test of each case for each engine that is a server.
macro_rules! on_each_server {
    ($($case:ident,)+) => {
        mod redis {
            $(#[test] fn $case() { super::$case(&mut $crate::durable::fixture::Fixture::new($crate::durable::fixture::Kind::Redis)); })+
        }
        mod nats {
            $(#[test] fn $case() { super::$case(&mut $crate::durable::fixture::Fixture::new($crate::durable::fixture::Kind::Nats)); })+
        }
    };
}
use on_each_server;

//! Epilogue runs WebAssembly HTTP components. After each response has been sent, it runs the background tasks that the
//! handler enqueued, in order, and records each of them. Then it tears down the request's resources.
//!
//! The life of a request is one function, `request::serve`:
//!
//! 1. a request gets an instance of its component, from its thread's pool;
//! 2. **handle**: the guest's handler runs, and adds tasks to the request's queue. The host then stores the durable
//!    tasks;
//! 3. **send**: the response goes out, until the operating system has its last byte;
//! 4. **drain**: the tasks run, in order, one at a time. Each ends in exactly one recorded state;
//! 5. **tear down**: the guest closes the request's scope, and the instance returns to the pool.
//!
//! The binary `epilogue` is [`run`]; guest authors test with [`testing`]. The numbers
//! S1 to S18 in the documentation are the promises in `docs/guide/reference/promises.md`.

mod app;
#[doc(hidden)]
pub mod bench;
mod budget;
mod commands;
mod component;
mod contract;
mod dashboard;
mod interfaces;
mod process;
mod reports;
mod request;
mod server;
mod tasks;
mod telemetry;
pub mod testing;
mod wire;
mod worker;

pub use commands::run;

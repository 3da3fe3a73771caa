//! Epilogue runs WebAssembly HTTP components. After Epilogue has sent a response, it runs the background tasks that the
//! handler enqueued, in order, and records each task. After the last task, Epilogue tears down the request's resources.
//!
//! The function `request::serve` handles a request from beginning to end:
//!
//! 1. the request gets an instance of its component, from its thread's pool;
//! 2. **handle**: the guest's handler runs, and adds tasks to the request's queue. After the handler, the host stores
//!    the durable tasks;
//! 3. **send**: the host sends the response, and waits until the operating system has the response's last byte;
//! 4. **drain**: the host runs the tasks in order, one at a time. Each task ends in exactly one recorded state;
//! 5. **tear down**: the guest closes the request's scope, and the instance returns to the pool.
//!
//! The binary `epilogue` calls [`run`]. Authors of guests write tests with [`testing`]. The numbers S1 to S18 in the
//! documentation are the promises in `docs/guide/reference/promises.md`.

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

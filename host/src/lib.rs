//! Epilogue runs HTTP components that are compiled to WebAssembly. After Epilogue has sent a response, it runs the
//! background tasks that the handler enqueued, in order, and records the result of each task. After the last task,
//! Epilogue closes the resources of the request.
//!
//! The function `request::serve` handles a request from beginning to end:
//!
//! 1. **instance**: the host takes an instance of the component from the pool of the thread, or makes a new instance.
//! 2. **handle**: the guest's handler runs, and adds tasks to the request's queue. When the handler has returned, the
//!    host stores the durable tasks.
//! 3. **send**: the host sends the response, and waits until the operating system has the last byte of the response.
//! 4. **drain**: the host runs the tasks in order, one at a time. The host records exactly one final state for each
//!    task.
//! 5. **tear down**: the guest runs its teardown callbacks, and the host puts the instance back into the pool.
//!
//! The program `epilogue` calls [`run`]. Authors of guests write tests with the module [`testing`]. The numbers S1 to
//! S18 in the doc comments are the numbers of the promises in `docs/guide/reference/promises.md`.

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

//! Epilogue runs WebAssembly HTTP components and, after each response has been sent, the background tasks that their
//! handlers enqueued: in order, observably, and before the request's resources are torn down.
//!
//! The life of a request is one function, `request::serve`:
//!
//! 1. a connection's request gets an instance of its component, from its thread's pool;
//! 2. **handle**: the guest's handler runs, and adds tasks to the request's queue; the durable ones are then stored;
//! 3. **send**: the response goes out, until the operating system has its last byte;
//! 4. **drain**: the tasks run, in order, one at a time, each to exactly one recorded state;
//! 5. **tear down**: the guest closes the request's scope, and the instance goes back to the pool.
//!
//! The binary `epilogue` is [`cli`], [`up`], [`work`], [`tasks`], [`builder`], [`compose`] and [`new`]; guest authors test with [`testing`]. The numbers
//! S1 to S18 in the documentation are the promises of the README.

// In reading order: a request's life, what it uses, how requests get there, the application, the command.
mod drain;
mod durable;
mod fair;
mod instance;
mod last_words;
mod queue;
mod record;
mod reply;
mod request;
mod request_headers;
mod response;
mod scope;
mod sent;

mod background;
#[doc(hidden)]
pub mod bench;
mod bindings;
pub mod outbound;
mod outgoing;
mod runner;
mod state;
mod status;

mod activity;
mod admission;
mod connection;
mod incoming;
mod lag;
mod linger;
mod pool;
pub mod server;
pub mod shutdown;
mod summary;
mod threads;
mod tick;
mod worker;

pub mod app;
mod component;
pub mod engine;
pub mod manifest;
mod middleware;
mod names;
pub mod routes;
pub mod scratch;
pub mod settings;
mod spin_headers;
pub mod values;
mod wasm_file;

pub mod builder;
pub mod cli;
pub mod compose;
#[doc(hidden)]
pub mod logging;
mod monitor;
pub mod new;
pub mod output;
mod reload;
mod signals;
pub mod tasks;
pub mod testing;
mod tls;
pub mod up;
pub mod variables;
mod watch;
pub mod work;

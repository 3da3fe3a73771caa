//! The tasks of requests: the queue of each request, the records of tasks, and the store for durable tasks.

pub(crate) mod backlog;
pub(crate) mod change;
pub(crate) mod ids;
pub(crate) mod layer;
pub(crate) mod leases;
pub(crate) mod live;
pub(crate) mod observer;
pub(crate) mod queue;
pub(crate) mod readers;
pub(crate) mod record;
pub(crate) mod scope;
pub(crate) mod store;
pub(crate) mod summary;
pub(crate) mod timeline;

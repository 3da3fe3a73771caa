//! Runs durable tasks in this process: each worker leases batches of tasks from the task engine and runs the batches'
//! tasks.

mod held;
mod lease;
mod moment;
mod outage;
mod workers;

pub(crate) use workers::Workers;

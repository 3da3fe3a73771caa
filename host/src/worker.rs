//! Workers lease durable tasks from the task engine and run the tasks in this process.

mod held;
mod lease;
mod moment;
mod outage;
mod workers;

pub(crate) use workers::Workers;

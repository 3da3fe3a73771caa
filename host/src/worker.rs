//! Workers: the durable tasks that this process leases from the task engine and runs.

mod held;
mod lease;
mod moment;
mod outage;
mod workers;

pub(crate) use workers::Workers;

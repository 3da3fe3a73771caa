//! What the host exports to an OpenTelemetry collector. The collector is the test's own: an HTTP server that reads
//! protobuf.

mod collector;
mod failures;
mod logs;
mod metrics;
mod tasks;
mod traces;

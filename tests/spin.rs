//! What an application of Spin finds here: Spin's interfaces, and its command line.

mod candidate;
mod key_value;
mod outbound_p2;
mod unbacked;
mod variables;
mod vault;

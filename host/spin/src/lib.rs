//! The interfaces of Spin that a component can import.
//!
//! Each capability has a module. Its core is plain Rust that does not know wasmtime. Around it is a file for each version
//! of its WIT, because SDKs of different age import different versions. The WIT is in `wit/deps`, copied from the
//! releases of spin-sdk.

mod bindings;
pub mod key_value;
mod names;
pub mod unbacked;
pub mod variables;

//! The contract between host and guest: `wit/` in Rust, and what a component's file must be.

pub(crate) mod bindings;
pub(crate) mod check;
mod names;
pub(crate) mod wasm_file;

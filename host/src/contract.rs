//! The contract between host and guest: Rust bindings to the interfaces in `wit/`, and checks that a component's file
//! keeps to the contract.

pub(crate) mod bindings;
pub(crate) mod check;
mod names;
mod nesting;
mod sections;
pub(crate) mod versions;
pub(crate) mod wasm_file;

//! The contract between host and guest: Rust bindings to `wit/`, and checks of a component's file.

pub(crate) mod bindings;
pub(crate) mod check;
mod names;
mod nesting;
mod sections;
pub(crate) mod versions;
pub(crate) mod wasm_file;

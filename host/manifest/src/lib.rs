//! Reads an application's manifest: Spin's `spin.toml`, which may have additional tables with this host's settings.
//!
//! This crate only reads the manifest's text, and looks for the files that the manifest names. This crate does not
//! depend on wasmtime: other crates compile and serve the application.

pub mod manifest;
pub mod outbound;
pub mod routes;
pub mod settings;
pub mod template;
pub mod values;

pub use manifest::Manifest;

//! Reads an application's manifest: Spin's `spin.toml`, with an additional table for the host's settings.
//!
//! This crate does not depend on a runtime. The crate reads text and looks for files. The crate does not compile or serve
//! anything.

pub mod manifest;
pub mod outbound;
pub mod routes;
pub mod settings;
pub mod template;
pub mod values;

pub use manifest::Manifest;

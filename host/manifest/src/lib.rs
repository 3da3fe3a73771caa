//! What an application's manifest means: Spin's `spin.toml`, with a table of our own for the host's settings.
//!
//! This crate knows no runtime. It reads text and looks for files; it neither compiles nor serves anything.

pub mod manifest;
pub mod outbound;
pub mod routes;
pub mod settings;
pub mod values;

pub use manifest::Manifest;

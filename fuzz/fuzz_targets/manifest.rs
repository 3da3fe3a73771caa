//! Any text as a manifest: it is an application or an error that begins with the file's name, and never a panic.

#![no_main]
#![allow(dead_code, unused_imports, reason = "these are the host's own modules, of which only the parser is used")]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

/// Only what the manifest's modules need: they know nothing of wasmtime, which would take long to build.
#[path = "../../host/src"]
mod host {
    pub(crate) mod manifest;
    pub(crate) mod outbound;
    pub(crate) mod routes;
    pub(crate) mod settings;
    pub(crate) mod spin_headers;
    pub(crate) mod values;
}

// The paths that they have there.
use host::{manifest, outbound, routes, settings, spin_headers, values};

fuzz_target!(|text: &str| {
    match manifest::Manifest::parse(Path::new("spin.toml"), text) {
        Ok(manifest) => _ = manifest.select(&[]),
        Err(error) => assert!(error.to_string().starts_with("spin.toml:"), "{error:#}"),
    }
});

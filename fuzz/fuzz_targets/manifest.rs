//! Any text as a manifest: it is an application or an error that begins with the file's name, and never a panic.

#![no_main]

use std::path::Path;

use epilogue_manifest::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Manifest::parse(Path::new("spin.toml"), text) {
        Ok(manifest) => _ = manifest.select(&[]),
        Err(error) => assert!(error.to_string().starts_with("spin.toml:"), "{error:#}"),
    }
});

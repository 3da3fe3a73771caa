//! The guests of the end-to-end tests, built by this crate's build script.

include!(concat!(env!("OUT_DIR"), "/guests.rs"));

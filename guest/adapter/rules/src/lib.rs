//! The rules that the native host and the adapters of a composed component must decide alike.
//!
//! A guest behaves in the same way on both. So each rule stands here once: the host calls it, and the adapters call it. The
//! crate knows neither wasmtime nor wit-bindgen. Each side maps its own generated types to the small ones of this crate.
//!
//! It uses no std, because std would make an adapter several times as large.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod backoff;
pub mod duration;
pub mod limits;
pub mod notice;
pub mod size;
pub mod state;
pub mod trace;
pub mod verdict;
pub mod words;

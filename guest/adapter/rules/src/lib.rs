//! The rules that must be the same in the native host and in the adapters of a composed component.
//!
//! A guest must behave in the same way on both. So each rule is here once, and both the host and the adapters call it.
//! The crate depends neither on wasmtime nor on wit-bindgen. Each side converts its own generated types to the small
//! types of this crate.
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

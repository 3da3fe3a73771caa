//! The rules that must be the same in Epilogue's host and in the adapters of a composed component.
//!
//! A guest must behave in the same way on Epilogue's host and in a composed component, so the host and the adapters
//! both apply the rules in this crate. The crate does not depend on wasmtime or wit-bindgen. The host and the adapters
//! convert their own generated types to the small types of this crate.
//!
//! This crate does not use std, because std would make an adapter several times as large.

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

//! The code that wit-bindgen generates from `wit/`, and the export that the host calls. Only this module of the crate
//! has unsafe code.

#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    reason = "generated: the canonical ABI is raw pointers, and the contract's own comments are its documentation"
)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "guest",
    generate_all,
    additional_derives: [PartialEq, Eq],
});

export!(Runner with_types_in self);

use crate::runner::Runner;

//! The code that wit-bindgen generates from `guest/adapter/wit`.

#![allow(
    clippy::all,
    missing_docs,
    unexpected_cfgs,
    unreachable_pub,
    unsafe_code,
    reason = "generated: the canonical ABI is raw pointers"
)]

wit_bindgen::generate!({
    path: ["../../../wit", "../wit"],
    world: "epilogue:adapter/queue",
    generate_all,
    std_feature,
});

export!(Adapter with_types_in self);

use crate::Adapter;

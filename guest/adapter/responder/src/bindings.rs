//! The code that wit-bindgen generates from `guest/adapter/wit`. This code contains only the imports. The component's
//! export is in `caller.rs`.

#![allow(
    clippy::all,
    dead_code,
    missing_docs,
    unexpected_cfgs,
    unreachable_pub,
    unsafe_code,
    reason = "generated: the canonical ABI is raw pointers"
)]

wit_bindgen::generate!({
    path: ["../../../wit", "../wit"],
    world: "epilogue:adapter/responder",
    generate_all,
    std_feature,
});

//! The Rust types and traits that wasmtime generates from the WIT files of Spin's interfaces.

#[allow(clippy::all, clippy::pedantic, missing_docs, unreachable_pub, reason = "generated code")]
mod generated {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "epilogue:spin/host",
        imports: { default: async | trappable },
        with: {
            "fermyon:spin/key-value@2.0.0.store": crate::key_value::Opened,
            "spin:key-value/key-value@3.0.0.store": crate::key_value::Opened,
            "wasi:keyvalue/store@0.2.0-draft2.bucket": crate::key_value::Opened,
            "wasi:keyvalue/atomics@0.2.0-draft2.cas": crate::key_value::Comparison,
        },
    });
}

pub(crate) use generated::fermyon::spin as v1;
pub(crate) use generated::fermyon::spin2_0_0 as v2;
pub(crate) use generated::spin;
pub(crate) use generated::wasi;

//! Bindings to the WIT of Spin's interfaces.

#[allow(clippy::all, clippy::pedantic, missing_docs, unreachable_pub, reason = "generated code")]
mod generated {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "epilogue:spin/host",
        imports: { default: async | trappable },
    });
}

pub(crate) use generated::fermyon::spin as v1;
pub(crate) use generated::fermyon::spin2_0_0 as v2;
pub(crate) use generated::spin;
pub(crate) use generated::wasi;

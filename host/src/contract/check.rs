//! Checks that a guest has the imports and exports that it needs. `epilogue up` and `epilogue compose` use the same
//! checks and print the same messages.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use memchr::memmem;
use wac_graph::types::{ItemKind, Types, World};

use super::{names, versions, wasm_file};

/// The interface through which a guest serves requests.
pub(crate) const HANDLER: &str = "wasi:http/handler@0.3.0";
/// The prefix of the names of all interfaces in the package `epilogue:background`.
pub(crate) const CONTRACT: &str = "epilogue:background/";
/// The interface through which a guest enqueues tasks. After the host has joined a guest with middleware, this import
/// has a label such as `queue-0`.
pub(crate) const QUEUE: &str = "epilogue:background/queue@0.1.0";
/// The interface through which a guest runs its tasks. After the host has joined a guest with middleware, this export
/// has a label such as `runner-0`.
pub(crate) const RUNNER: &str = "epilogue:background/runner@0.1.0";
/// The interface between the adapters of a composed component. The host finds out by this name whether a component is
/// composed.
pub(crate) const DRAIN: &str = "epilogue:adapter/drain@0.1.0";

/// The advice that an error about a missing component file contains.
pub(crate) const UNBUILT: &str = "if it is not built yet, run `epilogue build` or add `--build`";

/// Reads a component's file, and checks that the component's tasks have different names. If the component uses another
/// version of WASI 0.3, replaces this version by 0.3.0 in the names of the imports and exports.
///
/// If the file does not exist, the error ends with `advice`. If two tasks have the same name, the error contains the
/// text in `cannot`, for example "cannot be composed".
///
/// # Errors
///
/// Returns an error if the file cannot be read, is not a component, nests components or types too deeply, or has two
/// tasks with the same name. The error names the file.
pub(crate) fn read(file: &Path, advice: &str, cannot: &str) -> anyhow::Result<Vec<u8>> {
    let cannot = || format!("{} {cannot}", file.display());
    let bytes = versions::normalize(wasm_file::read(file, advice)?).with_context(cannot)?;
    names::check(&bytes).with_context(cannot)?;
    Ok(bytes)
}

/// Reports whether `epilogue compose` has made this component.
pub(crate) fn is_composed(component: &[u8]) -> bool {
    memmem::find(component, DRAIN.as_bytes()).is_some()
}

/// Checks that a component with these imports and exports is a guest. A guest must export `wasi:http/handler`. If a
/// guest imports an interface of `epilogue:background`, the guest must also export `runner`.
///
/// # Errors
///
/// Returns an error if the component is not a guest. The error names the missing interface.
pub(crate) fn check_guest(imports: &[String], exports: &[String]) -> anyhow::Result<()> {
    check_handler(exports)?;
    let enqueues = imports.iter().any(|name| name.starts_with(CONTRACT));
    let runs = exports.iter().any(|name| name == RUNNER);
    ensure!(
        !enqueues || runs,
        "it imports {CONTRACT}queue but does not export {RUNNER}, so its tasks cannot run: build it with the SDK"
    );
    Ok(())
}

/// Checks that a component with these exports can serve requests.
///
/// # Errors
///
/// Returns an error if the component cannot serve requests. The error names the missing interface. For a component of
/// WASI 0.2, the error also says how to build a component of WASI 0.3.
pub(crate) fn check_handler<N: AsRef<str>>(exports: impl IntoIterator<Item = N>) -> anyhow::Result<()> {
    let mut old = false;
    for name in exports {
        let name = name.as_ref();
        if name == HANDLER {
            return Ok(());
        }
        old |= name.starts_with("wasi:http/incoming-handler@0.2");
    }
    if old {
        bail!(
            "it exports wasi:http/incoming-handler of WASI 0.2, not {HANDLER}: build it with an SDK for WASI 0.3, such as \
             spin-sdk 7"
        );
    }
    bail!("it does not export {HANDLER}");
}

/// Checks that a component with this world can be a middleware: it must be able to pass requests on to the next
/// handler.
///
/// # Errors
///
/// Returns an error if the component cannot pass requests on. The error says how to build a middleware.
pub(crate) fn check_middleware(types: &Types, world: &World) -> anyhow::Result<()> {
    // The interface alone does not show that the guest passes requests on. If a guest does not use spin-sdk's feature
    // `http-middleware`, its import of the interface can have no functions. So check for the function `handle`.
    let passes_on = match world.imports.get(HANDLER) {
        Some(ItemKind::Instance(handler)) => types[*handler].exports.contains_key("handle"),
        _ => false,
    };
    ensure!(
        passes_on,
        "it does not import {HANDLER}, so it cannot pass requests on: build it with a feature such as spin-sdk's \
         http-middleware"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_export_is_named() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let old = check_guest(&[], &names(&["wasi:http/incoming-handler@0.2.6"])).unwrap_err().to_string();
        assert!(old.starts_with("it exports wasi:http/incoming-handler of WASI 0.2"), "{old}");
        let queue = names(&[QUEUE]);
        let idle = check_guest(&queue, &names(&[HANDLER])).unwrap_err().to_string();
        assert_eq!(
            idle,
            "it imports epilogue:background/queue but does not export epilogue:background/runner@0.1.0, so its tasks \
             cannot run: build it with the SDK"
        );
        assert!(check_guest(&queue, &names(&[HANDLER, RUNNER])).is_ok());
    }
}

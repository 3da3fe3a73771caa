//! Provides stubs for interfaces of Spin that this host does not implement.
//!
//! Some SDKs make components that import interfaces which the components do not use. For example, each component made
//! with Spin's SDK for Python imports all of Spin's interfaces. To load such a component, the host provides a stub for
//! each interface that the component imports but the host does not implement. If the component calls a function of a
//! stub, the component traps, and the error message names the function.

use wasmtime::Engine;
use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker, ResourceType};

use crate::{key_value, variables};

/// The packages for which the host provides stubs: Spin's own packages, and the WASI packages that Spin implements but
/// this host does not implement completely.
const KNOWN: [&str; 5] = ["fermyon:spin", "spin:", "wasi:keyvalue", "wasi:config", "wasi:otel"];

/// The Rust type of the resources of a stub. The host never makes a value of this type, because each function of a stub
/// traps.
struct Never;

/// For each interface of Spin that the component imports but this host does not implement, adds a stub to the linker. A
/// stub is an implementation of an interface in which each function traps.
///
/// # Errors
///
/// Returns an error if an interface that needs a stub contains anything except functions, types and resources.
pub fn add_to_linker<T: 'static>(linker: &mut Linker<T>, component: &Component) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    for (name, item) in component.component_type().imports(&engine) {
        let ComponentItem::ComponentInstance(interface) = item.ty else { continue };
        if KNOWN.iter().any(|package| name.starts_with(package)) && !is_backed(name) {
            add_interface(linker, &engine, name, &interface)?;
        }
    }
    Ok(())
}

fn add_interface<T: 'static>(
    linker: &mut Linker<T>,
    engine: &Engine,
    name: &str,
    interface: &ComponentInstance,
) -> wasmtime::Result<()> {
    let mut instance = linker.instance(name)?;
    for (item, kind) in interface.exports(engine) {
        match kind.ty {
            ComponentItem::ComponentFunc(function) => {
                let message = format!("the guest called {name}#{item}, which this host does not provide");
                match function.async_() {
                    true => instance.func_new_concurrent(item, move |_, _, _, _| {
                        let error = wasmtime::Error::msg(message.clone());
                        Box::pin(async move { Err(error) })
                    })?,
                    false => {
                        instance.func_new(item, move |_, _, _, _| Err(wasmtime::Error::msg(message.clone())))?;
                    }
                }
            }
            ComponentItem::Resource(_) => {
                instance.resource(item, ResourceType::host::<Never>(), |_, _| Ok(()))?;
            }
            ComponentItem::Type(_) => {}
            other => wasmtime::bail!("{name} has {item}, which is {other:?}"),
        }
    }
    Ok(())
}

/// Returns true if the host implements the interface with this name.
fn is_backed(name: &str) -> bool {
    variables::Interface::of(name).is_some() || key_value::Interface::of(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_has_is_not_replaced() {
        for name in [
            "fermyon:spin/config",
            "fermyon:spin/key-value",
            "fermyon:spin/variables@2.0.0",
            "spin:variables/variables@3.1.0",
            "wasi:keyvalue/atomics@0.2.0-draft2",
        ] {
            assert!(is_backed(name), "{name}");
        }
        for name in ["fermyon:spin/llm", "spin:variables/variables@4.0.0", "wasi:config/store@0.2.0-draft"] {
            assert!(!is_backed(name), "{name}");
        }
    }
}

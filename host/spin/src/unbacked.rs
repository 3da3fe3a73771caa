//! Interfaces of Spin that this host knows but has nothing behind.
//!
//! An SDK's world imports more than its guests use. Python's, for example, imports everything. So a component with such
//! an import is loaded. It traps when it calls one of the functions, with a message that names the function.

use wasmtime::Engine;
use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker, ResourceType};

use crate::{key_value, variables};

/// The packages whose interfaces are known: Spin's own packages, and the packages of WASI that only Spin has.
const KNOWN: [&str; 5] = ["fermyon:spin", "spin:", "wasi:keyvalue", "wasi:config", "wasi:otel"];

/// The type of a resource that never exists.
struct Never;

/// Lets a component import those interfaces of Spin that this host does not implement. A call of one of their functions
/// traps.
///
/// # Errors
///
/// Returns an error if such an interface contains anything but functions, types and resources.
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

/// Whether the host has an interface that a component can use under this name.
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

//! Joins several components into one component. Each of the joined components gets only the configuration that it
//! inherits.
//!
//! The joined components run as one instance, so they share the instance's environment, files, allowed hosts, variables
//! and key-value stores. If a component must not inherit a part of this configuration, such as the environment, the
//! composition gives the component a separate import for this part. Such a separate import gives the component an empty
//! environment or no files, for example.

use std::borrow::Cow;

use anyhow::{Context as _, ensure};
use epilogue_manifest::manifest::Inherited;
use epilogue_spin::{key_value, variables};
use wac_graph::types::{Interface, ItemKind, Package, World};
use wac_graph::{CompositionGraph, EncodeOptions, NodeId};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::filesystem::Descriptor;

use crate::component::state::State;
use crate::contract::versions::rename_imports;

/// The interfaces that give a component its environment. The first text of each pair is the beginning of the
/// interface's name. The second text is the beginning of the name of a separate import, which replaces the interface
/// and gives an empty environment.
const ENVIRONMENT: [(&str, &str); 2] =
    [("wasi:cli/environment@0.2.", "environment-p2"), ("wasi:cli/environment@0.3.", "environment-p3")];
/// The interfaces that give a component its files. The first text of each pair is the beginning of the interface's
/// name. The second text is the beginning of the name of a separate import, which replaces the interface and gives no
/// files.
const PREOPENS: [(&str, &str); 2] =
    [("wasi:filesystem/preopens@0.2.", "preopens-p2"), ("wasi:filesystem/preopens@0.3.", "preopens-p3")];
/// The interfaces that let a component connect to other hosts.
const OUTBOUND: [&str; 3] = ["wasi:http/client@", "wasi:http/outgoing-handler@", "wasi:sockets/"];

/// The error for a file that is not a component.
const INVALID: &str = "it is not a valid WebAssembly component";

/// One component that joins several components, as the result of a [`Composition`].
pub(crate) struct Composed {
    pub(crate) bytes: Vec<u8>,
    /// The linker for the composed component. The linker also implements the separate imports of the joined components.
    pub(crate) linker: Linker<State>,
}

/// Joins components into one component, step by step.
pub(super) struct Composition {
    pub(super) graph: CompositionGraph,
    pub(super) linker: Linker<State>,
}

impl Composition {
    /// Makes an empty composition. `linker` provides the imports of the components that the caller adds later.
    pub(super) fn new(linker: &Linker<State>) -> Self {
        Self { graph: CompositionGraph::new(), linker: linker.clone() }
    }

    /// Adds a component under the name `name`, which must be unique in the composition.
    pub(super) fn instantiate(
        &mut self,
        name: &str,
        bytes: &[u8],
        inherits: Inherited,
    ) -> anyhow::Result<(NodeId, World)> {
        let nothing = |import: &str| key_value::Interface::of(import).map(key_value::Interface::nothing);
        let bytes = match inherits.key_value_stores {
            true => Cow::Borrowed(bytes),
            false => Cow::Owned(rename_imports(bytes, nothing).context(INVALID)?),
        };
        let package = Package::from_bytes(name, None, bytes.to_vec(), self.graph.types_mut()).context(INVALID)?;
        let world = self.graph.types()[package.ty()].clone();
        let package = self.graph.register_package(package)?;
        Ok((self.graph.instantiate(package), world))
    }

    /// Takes configuration away from a joined component. If `import` gives configuration that the component does not
    /// inherit, replaces `import` by a separate import that gives nothing. `place` is the component's position in the
    /// composition, such as `0`, and ends the name of the separate import.
    ///
    /// # Errors
    ///
    /// Returns an error if `import` lets the component connect to other hosts, but the component does not inherit
    /// `allowed_outbound_hosts`.
    pub(super) fn withhold(
        &mut self,
        instance: NodeId,
        import: &str,
        kind: ItemKind,
        inherits: Inherited,
        place: &str,
    ) -> anyhow::Result<()> {
        let starts = |(name, _): &&(&str, &str)| import.starts_with(name);
        if let Some((_, nothing)) = ENVIRONMENT.iter().find(starts).filter(|_| !inherits.environment) {
            let own = self.import(instance, import, kind, format!("{nothing}-{place}"))?;
            self.no_environment(&own)?;
        } else if let Some((_, nothing)) = PREOPENS.iter().find(starts).filter(|_| !inherits.files) {
            let own = self.import(instance, import, kind, format!("{nothing}-{place}"))?;
            self.no_files(&own)?;
        } else if let Some(interface) = variables::Interface::of(import).filter(|_| !inherits.variables) {
            let own = self.import(instance, import, kind, format!("{}-{place}", interface.nothing()))?;
            interface.add_to_linker(&mut self.linker.instance(&own)?, |state| &mut state.no_variables)?;
        }
        ensure!(
            inherits.outbound_hosts || !OUTBOUND.iter().any(|name| import.starts_with(name)),
            "it imports {import}, which needs inherit_configuration = [\"allowed_outbound_hosts\"] in its entry of \
             dependencies"
        );
        Ok(())
    }

    /// Renames an import of a joined component to `label`, so that the host can implement this import separately.
    /// Returns the label.
    pub(super) fn import(
        &mut self,
        instance: NodeId,
        import: &str,
        kind: ItemKind,
        label: String,
    ) -> anyhow::Result<String> {
        let ItemKind::Instance(interface) = kind else { anyhow::bail!("its import {import} is not an interface") };
        let types = self.graph.types_mut();
        // The new interface has no id. With an id, the imports of all instances would be the same interface.
        let anonymous = Interface { id: None, ..types[interface].clone() };
        let anonymous = types.add_interface(anonymous);
        let node = self.graph.import(&label, ItemKind::Instance(anonymous))?;
        self.graph.set_instantiation_argument(instance, import, node)?;
        Ok(label)
    }

    /// Encodes the joined components as one component.
    pub(super) fn finish(self) -> anyhow::Result<Composed> {
        Ok(Composed { bytes: self.graph.encode(EncodeOptions::default())?, linker: self.linker })
    }

    fn no_environment(&mut self, label: &str) -> wasmtime::Result<()> {
        let mut environment = self.linker.instance(label)?;
        environment
            .func_wrap("get-environment", |_: StoreContextMut<'_, _>, (): ()| Ok((Vec::<(String, String)>::new(),)))?;
        environment.func_wrap("get-arguments", |_: StoreContextMut<'_, _>, (): ()| Ok((Vec::<String>::new(),)))?;
        for folder in ["initial-cwd", "get-initial-cwd"] {
            environment.func_wrap(folder, |_: StoreContextMut<'_, _>, (): ()| Ok((None::<String>,)))?;
        }
        Ok(())
    }

    fn no_files(&mut self, label: &str) -> wasmtime::Result<()> {
        self.linker.instance(label)?.func_wrap("get-directories", |_: StoreContextMut<'_, _>, (): ()| {
            Ok((Vec::<(Resource<Descriptor>, String)>::new(),))
        })
    }
}

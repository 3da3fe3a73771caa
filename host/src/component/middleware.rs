//! Middleware: components between the host and the application. The host joins them into one component, as Spin does.
//!
//! ```text
//! host ──handle──▶ layer 0, a middleware ──handle──▶ … ──handle──▶ layer N, the application
//! ```
//!
//! Each layer gets its own import of `queue`, such as `queue-0`, and its own export of `runner`, such as `runner-0`.
//! All layers add to the request's one queue. The host knows which layer added a task, and calls this layer to run it.

use std::path::Path;

use anyhow::{Context as _, ensure};
use epilogue_manifest::manifest::{Inherited, Middleware};
use wac_graph::types::{Interface, ItemKind, Package};
use wac_graph::{CompositionGraph, EncodeOptions, NodeId};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::filesystem::Descriptor;

use crate::component::state::State;
use crate::contract::check::{HANDLER, QUEUE, RUNNER, UNBUILT, check_handler, check_middleware, read};
use crate::interfaces::background::add_queue;

/// The interfaces that give a component its environment. Each has the label of an implementation with an empty
/// environment.
const ENVIRONMENT: [(&str, &str); 2] =
    [("wasi:cli/environment@0.2.", "environment-p2"), ("wasi:cli/environment@0.3.", "environment-p3")];
/// The interfaces that give a component its files. Each has the label of an implementation without files.
const PREOPENS: [(&str, &str); 2] =
    [("wasi:filesystem/preopens@0.2.", "preopens-p2"), ("wasi:filesystem/preopens@0.3.", "preopens-p3")];
/// The interfaces that let a component connect to others.
const OUTBOUND: [&str; 2] = ["wasi:http/client@", "wasi:sockets/"];

/// An application that is joined with its middleware into one component.
pub(crate) struct Joined {
    pub(crate) bytes: Vec<u8>,
    /// The linker of the joined component, with the imports of each layer.
    pub(crate) linker: Linker<State>,
}

/// The name of a layer's own import or export. It is a plain label. With the name of an interface, such as
/// `epilogue:background/queue0@0.1.0`, tools would merge the queues of all layers.
pub(crate) fn label(item: &str, layer: usize) -> String {
    format!("{item}-{layer}")
}

/// Joins an application with its middleware, the outermost first.
///
/// # Errors
///
/// If a file is not a middleware, or has an import that it may not have.
pub(crate) fn join(
    middleware: &[Middleware],
    application: &Path,
    bytes: &[u8],
    linker: &Linker<State>,
    durable: bool,
) -> anyhow::Result<Joined> {
    let mut joining = Joining { graph: CompositionGraph::new(), linker: linker.clone(), durable };
    let failed = |file: &Path| format!("{} cannot be joined with its middleware", file.display());
    let everything = Inherited { environment: true, files: true, outbound_hosts: true };
    let mut handler = joining.layer(middleware.len(), bytes, everything, None).with_context(|| failed(application))?;
    for (layer, Middleware { id, source, inherits }) in middleware.iter().enumerate().rev() {
        let added = read(source, UNBUILT, "cannot be used")
            .and_then(|bytes| joining.layer(layer, &bytes, *inherits, Some(handler)));
        handler = added.with_context(|| format!("{id:?} ({}) cannot be a middleware", source.display()))?;
    }
    let Joining { mut graph, linker, .. } = joining;
    graph.export(handler, HANDLER)?;
    let bytes = graph.encode(EncodeOptions::default()).with_context(|| failed(application))?;
    Ok(Joined { bytes, linker })
}

struct Joining {
    graph: CompositionGraph,
    linker: Linker<State>,
    /// Whether tasks can be durable.
    durable: bool,
}

impl Joining {
    /// Puts a layer around `inner`, the handler of the layers so far, and returns the layer's own handler.
    fn layer(
        &mut self,
        layer: usize,
        bytes: &[u8],
        inherits: Inherited,
        inner: Option<NodeId>,
    ) -> anyhow::Result<NodeId> {
        let package = Package::from_bytes(&label("layer", layer), None, bytes, self.graph.types_mut())
            .context("it is not a valid WebAssembly component")?;
        let world = &self.graph.types()[package.ty()];
        let imports = world.imports.clone();
        check_handler(world.exports.keys())?;
        if inner.is_some() {
            check_middleware(self.graph.types(), world)?;
        }
        let has_runner = world.exports.contains_key(RUNNER);
        let package = self.graph.register_package(package)?;
        let instance = self.graph.instantiate(package);
        if let Some(inner) = inner {
            self.graph.set_instantiation_argument(instance, HANDLER, inner)?;
        }
        for (import, kind) in imports {
            let starts = |(name, _): &&(&str, &str)| import.starts_with(name);
            if import == QUEUE {
                let own = self.import(instance, &import, kind, label("queue", layer))?;
                add_queue(&mut self.linker, &own, |state| &mut state.background, layer, self.durable)?;
            } else if let Some((_, nothing)) = ENVIRONMENT.iter().find(starts).filter(|_| !inherits.environment) {
                let own = self.import(instance, &import, kind, label(nothing, layer))?;
                self.no_environment(&own)?;
            } else if let Some((_, nothing)) = PREOPENS.iter().find(starts).filter(|_| !inherits.files) {
                let own = self.import(instance, &import, kind, label(nothing, layer))?;
                self.no_files(&own)?;
            }
            ensure!(
                inherits.outbound_hosts || !OUTBOUND.iter().any(|name| import.starts_with(name)),
                "it imports {import}, which needs inherit_configuration = [\"allowed_outbound_hosts\"] in the \
                 trigger's dependencies.middleware"
            );
        }
        if has_runner {
            let runner = self.graph.alias_instance_export(instance, RUNNER)?;
            self.graph.export(runner, label("runner", layer))?;
        }
        Ok(self.graph.alias_instance_export(instance, HANDLER)?)
    }

    /// Renames an import of an instance to `label`, so that it is separate from those of other layers. Returns the
    /// label.
    fn import(&mut self, instance: NodeId, import: &str, kind: ItemKind, label: String) -> anyhow::Result<String> {
        let ItemKind::Instance(interface) = kind else { anyhow::bail!("its import {import} is not an interface") };
        let types = self.graph.types_mut();
        // Without an identity, because otherwise it would be the same interface for all layers.
        let anonymous = Interface { id: None, ..types[interface].clone() };
        let anonymous = types.add_interface(anonymous);
        let node = self.graph.import(&label, ItemKind::Instance(anonymous))?;
        self.graph.set_instantiation_argument(instance, import, node)?;
        Ok(label)
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

#[cfg(test)]
mod tests {
    use wasmtime::Engine;

    use super::*;

    /// The error of joining these two components, which import nothing else.
    fn refusal(middleware: &str, inherits: Inherited, application: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("around.wasm");
        std::fs::write(&source, wat::parse_str(middleware).unwrap()).unwrap();
        let middleware = [Middleware { id: "around".to_owned(), source: source.clone(), inherits }];
        let application = wat::parse_str(application).unwrap();
        let linker = Linker::new(&Engine::default());
        let joined = join(&middleware, Path::new("app.wasm"), &application, &linker, false);
        let error = joined.err().map(|error| format!("{error:#}")).unwrap_or_default();
        error.replace(&source.display().to_string(), "FILE")
    }

    const APPLICATION: &str = r#"(component
        (import "do" (func $do)) (instance $own (export "handle" (func $do)))
        (export "wasi:http/handler@0.3.0" (instance $own)))"#;
    const MIDDLEWARE: &str = r#"(component
        (import "wasi:http/client@0.3.0" (instance))
        (import "wasi:http/handler@0.3.0" (instance $next (export "handle" (func))))
        (export "wasi:http/handler@0.3.0" (instance $next)))"#;

    #[test]
    fn each_of_them_is_checked() {
        let nothing = Inherited::default();
        for (middleware, application, expected) in [
            (
                "(component)",
                APPLICATION,
                "\"around\" (FILE) cannot be a middleware: it does not export wasi:http/handler@0.3.0",
            ),
            (
                APPLICATION,
                APPLICATION,
                "\"around\" (FILE) cannot be a middleware: it does not import wasi:http/handler@0.3.0, so it could \
                 never pass a request on: build it with a feature such as spin-sdk's http-middleware",
            ),
            (
                MIDDLEWARE,
                "(component)",
                "app.wasm cannot be joined with its middleware: it does not export wasi:http/handler@0.3.0",
            ),
            (
                MIDDLEWARE,
                APPLICATION,
                "\"around\" (FILE) cannot be a middleware: it imports wasi:http/client@0.3.0, which needs \
                 inherit_configuration = [\"allowed_outbound_hosts\"] in the trigger's dependencies.middleware",
            ),
        ] {
            assert_eq!(refusal(middleware, nothing, application), expected);
        }
        assert_eq!(refusal(MIDDLEWARE, Inherited { outbound_hosts: true, ..nothing }, APPLICATION), "");
    }
}

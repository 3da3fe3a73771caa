//! Joins an application with its middleware into one component, as Spin does. A middleware is a component that gets
//! each request before the application gets the request.
//!
//! ```text
//! host ──handle──▶ layer 0, a middleware ──handle──▶ … ──handle──▶ layer N, the application
//! ```
//!
//! Each layer gets its own import of `queue`, such as `queue-0`, and its own export of `runner`, such as `runner-0`.
//! All layers add their tasks to the same queue, the queue of the request. The import through which a layer adds a task
//! shows the host which layer has added the task. To run the task, the host calls this layer.

use std::path::Path;

use anyhow::Context as _;
use epilogue_manifest::manifest::{Inherited, Middleware};
use wac_graph::NodeId;
use wasmtime::component::Linker;

use crate::component::composition::{Composed, Composition};
use crate::component::state::State;
use crate::contract::check::{HANDLER, QUEUE, RUNNER, UNBUILT, check_handler, check_middleware, read};
use crate::interfaces::background::add_queue;

/// Returns the label of an import or export that only the layer number `layer` has, such as `queue-0`. If the label
/// looked like the name of an interface, such as `epilogue:background/queue0@0.1.0`, tools would merge the imports of
/// all layers into one import.
pub(crate) fn label(item: &str, layer: usize) -> String {
    format!("{item}-{layer}")
}

/// Joins an application with its middleware. `middleware` lists the middleware from the outside in.
///
/// # Errors
///
/// Returns an error if a file is not a middleware, or has a forbidden import.
pub(crate) fn join(
    middleware: &[Middleware],
    application: &Path,
    bytes: &[u8],
    linker: &Linker<State>,
    durable: bool,
) -> anyhow::Result<Composed> {
    let mut joining = Joining { composition: Composition::new(linker), durable };
    let failed = |file: &Path| format!("{} cannot be joined with its middleware", file.display());
    let mut handler =
        joining.layer(middleware.len(), bytes, Inherited::EVERYTHING, None).with_context(|| failed(application))?;
    for (layer, Middleware { id, source, inherits }) in middleware.iter().enumerate().rev() {
        let added = read(source, UNBUILT, "cannot be used")
            .and_then(|bytes| joining.layer(layer, &bytes, *inherits, Some(handler)));
        handler = added.with_context(|| format!("{id:?} ({}) cannot be a middleware", source.display()))?;
    }
    let mut composition = joining.composition;
    composition.graph.export(handler, HANDLER)?;
    composition.finish().with_context(|| failed(application))
}

struct Joining {
    composition: Composition,
    /// True if the host has a task engine for durable tasks.
    durable: bool,
}

impl Joining {
    /// Adds a layer, which passes requests on to `inner`, the handler of the next layer. Returns the handler of the
    /// added layer.
    fn layer(
        &mut self,
        layer: usize,
        bytes: &[u8],
        inherits: Inherited,
        inner: Option<NodeId>,
    ) -> anyhow::Result<NodeId> {
        let (instance, world) = self.composition.instantiate(&label("layer", layer), bytes, inherits)?;
        check_handler(world.exports.keys())?;
        if let Some(inner) = inner {
            check_middleware(self.composition.graph.types(), &world)?;
            self.composition.graph.set_instantiation_argument(instance, HANDLER, inner)?;
        }
        for (import, kind) in world.imports {
            if import == QUEUE {
                let own = self.composition.import(instance, &import, kind, label("queue", layer))?;
                add_queue(&mut self.composition.linker, &own, |state| &mut state.background, layer, self.durable)?;
            } else {
                self.composition.withhold(instance, &import, kind, inherits, &layer.to_string())?;
            }
        }
        let graph = &mut self.composition.graph;
        if world.exports.contains_key(RUNNER) {
            let runner = graph.alias_instance_export(instance, RUNNER)?;
            graph.export(runner, label("runner", layer))?;
        }
        Ok(graph.alias_instance_export(instance, HANDLER)?)
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::Engine;

    use super::*;

    /// Joins a middleware and an application that cannot be joined, and returns the error.
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
                "\"around\" (FILE) cannot be a middleware: it does not import wasi:http/handler@0.3.0, so it cannot \
                 pass requests on: build it with a feature such as spin-sdk's http-middleware",
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
                 inherit_configuration = [\"allowed_outbound_hosts\"] in its entry of dependencies",
            ),
        ] {
            assert_eq!(refusal(middleware, nothing, application), expected);
        }
        assert_eq!(refusal(MIDDLEWARE, Inherited { outbound_hosts: true, ..nothing }, APPLICATION), "");
    }
}

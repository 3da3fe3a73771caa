//! `epilogue compose`: turns a guest with background tasks into a component for hosts that do not run background tasks.
//!
//! The command puts the guest between two adapters, `guest/adapter/queue` and `guest/adapter/responder`:
//!
//! ```text
//! host ──handle──▶ responder ──handle, run, teardown──▶ guest
//!                      └────────drain────▶ queue ◀──add-task──┘
//! ```
//!
//! The responder is the outermost component, because hosts ask the outermost component whether its instance can take
//! another request.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, NodeId, PackageId, Processor};

use crate::commands::cli::ComposeArgs;
use crate::contract::check::{
    CONTRACT, DRAIN, HANDLER, QUEUE, RUNNER, check_guest, check_middleware, is_composed, read,
};
use crate::contract::wasm_file;

const QUEUE_ADAPTER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/queue.wasm"));
const RESPONDER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/responder.wasm"));
/// The adapter `guest/adapter/layer`. If several guests share a queue, each guest gets its own instance of this
/// adapter.
const LAYER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/layer.wasm"));
const ROUTER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/router.wasm"));

const LAYERS: &str = "epilogue:adapter/layers@0.1.0";
/// A composed component, which runs on any WASI 0.3 host.
pub struct Composed {
    /// The component's file.
    pub bytes: Vec<u8>,
    /// True if the component is the unchanged guest, because the guest has no tasks.
    pub unchanged: bool,
}

/// Runs `epilogue compose`.
///
/// # Errors
///
/// Returns an error if the guest cannot be composed, or if the output file cannot be written. The error message names
/// the file that caused the error.
pub(crate) fn run(args: &ComposeArgs) -> anyhow::Result<()> {
    let ComposeArgs { guest, middleware, output } = args;
    if let Some(input) = middleware.iter().chain([guest]).find(|input| wasm_file::is_same(input, output)) {
        bail!("{} would be overwritten by the output, {}: name another file", input.display(), output.display());
    }
    let composed = compose(guest, middleware)?;
    fs::write(output, &composed.bytes).with_context(|| format!("cannot write {}", output.display()))?;
    let (guest, output) = (guest.display(), output.display());
    let behind: String = middleware.iter().map(|file| format!(" behind {}", file.display())).rev().collect();
    let said = if composed.unchanged {
        format!("{guest} has no background tasks: {output} is the same component")
    } else {
        format!("Composed {output} from {guest}{behind}: {} KiB", composed.bytes.len().div_ceil(1024))
    };
    // Not `eprintln!`, which panics if stderr is closed.
    _ = writeln!(io::stderr(), "{said}");
    Ok(())
}

/// Composes the guest in `file` with the adapters and with the middleware in the files `middleware`. The first
/// middleware is the outermost.
///
/// # Errors
///
/// Returns an error if `file` is not a guest, or if a file of `middleware` is not a middleware. The error message names
/// the file that caused the error, and says what to do.
pub fn compose(file: &Path, middleware: &[PathBuf]) -> anyhow::Result<Composed> {
    let mut graph = CompositionGraph::new();
    let mut guests = Vec::new();
    for file in middleware.iter().map(PathBuf::as_path).chain([file]) {
        let guest = Guest::load(&mut graph, file, guests.len() < middleware.len())?;
        guests.push(guest);
    }
    match &guests[..] {
        [alone] if !alone.has_tasks() => Ok(Composed { bytes: fs::read(file)?, unchanged: true }),
        guests => {
            let bytes = join(graph, guests).with_context(|| format!("{} cannot be composed", file.display()))?;
            Ok(Composed { bytes, unchanged: false })
        }
    }
}

/// A guest or a middleware that becomes a part of the composed component.
struct Guest {
    package: PackageId,
    imports: Vec<String>,
    has_runner: bool,
}

impl Guest {
    fn load(graph: &mut CompositionGraph, file: &Path, is_middleware: bool) -> anyhow::Result<Self> {
        let name = file.display();
        let bytes = read(file, "is it built?", "cannot be composed")?;
        ensure!(!is_composed(&bytes), "{name} is composed already: it runs on any WASI 0.3 host as it is");
        // Each package needs a unique name, because the same middleware may occur twice.
        let identity = format!("guest{}", graph.packages().count());
        let package = Package::from_bytes(&identity, None, bytes, graph.types_mut())
            .with_context(|| format!("{name} is not a valid WebAssembly component"))?;
        let world = &graph.types()[package.ty()];
        let (imports, exports): (Vec<_>, Vec<_>) =
            (world.imports.keys().cloned().collect(), world.exports.keys().cloned().collect());
        check_guest(&imports, &exports).with_context(|| format!("{name} cannot be composed"))?;
        if is_middleware {
            check_middleware(graph.types(), world).with_context(|| format!("{name} cannot be a middleware"))?;
        }
        let has_runner = exports.iter().any(|name| name == RUNNER);
        Ok(Self { package: graph.register_package(package)?, imports, has_runner })
    }

    fn has_tasks(&self) -> bool {
        self.has_runner || self.imports.iter().any(|name| name.starts_with(CONTRACT))
    }
}

/// Connects the guests with the adapters, and returns the composed component. The first guest is the outermost.
fn join(mut graph: CompositionGraph, guests: &[Guest]) -> anyhow::Result<Vec<u8>> {
    let mut instances = Vec::new();
    let mut handler = None;
    for guest in guests.iter().rev() {
        let instance = graph.instantiate(guest.package);
        if let Some(inner) = handler {
            graph.set_instantiation_argument(instance, HANDLER, inner)?;
        }
        handler = Some(graph.alias_instance_export(instance, HANDLER)?);
        if guest.has_tasks() {
            instances.push((instance, guest));
        }
    }
    instances.reverse();
    let handler = handler.context("there is nothing to compose")?;
    let outermost = match &instances[..] {
        [] => handler,
        tasks => {
            let queue = adapter(&mut graph, "epilogue:queue", QUEUE_ADAPTER)?;
            let queue = graph.instantiate(queue);
            let responder = adapter(&mut graph, "epilogue:responder", RESPONDER)?;
            let responder = graph.instantiate(responder);
            let runner = match tasks {
                [(instance, guest)] => {
                    provide(&mut graph, queue, queue, *instance, guest)?;
                    graph.alias_instance_export(*instance, RUNNER)?
                }
                several => share(&mut graph, queue, several)?,
            };
            connect(&mut graph, queue, DRAIN, responder)?;
            graph.set_instantiation_argument(responder, HANDLER, handler)?;
            graph.set_instantiation_argument(responder, RUNNER, runner)?;
            graph.alias_instance_export(responder, HANDLER)?
        }
    };
    graph.export(outermost, HANDLER)?;
    let processor = Processor { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") };
    Ok(graph.encode(EncodeOptions { processor: Some(processor), ..Default::default() })?)
}

/// Connects several guests to one queue. The first guest is the outermost. Returns the graph's node whose `runner`
/// interface runs the tasks of all these guests.
///
/// ```text
/// queue ◀── layer 0 ◀── layer 1 ◀── …      Each layer adds 1 to the place of a task's owner.
///              ▲           ▲
///           guest 0     guest 1
///              ▲           ▲
/// responder ▶ router 0 ─▶ router 1 ─▶ …    Each router asks the layers for the next task's owner.
/// ```
fn share(graph: &mut CompositionGraph, queue: NodeId, guests: &[(NodeId, &Guest)]) -> anyhow::Result<NodeId> {
    let layer = adapter(graph, "epilogue:layer", LAYER)?;
    let router = adapter(graph, "epilogue:router", ROUTER)?;
    let mut outer = vec![queue];
    for (instance, guest) in guests {
        let own = graph.instantiate(layer);
        connect(graph, queue, QUEUE, own)?;
        connect(graph, outer[outer.len() - 1], LAYERS, own)?;
        provide(graph, own, queue, *instance, guest)?;
        outer.push(own);
    }
    let mut runner = None;
    for ((instance, _), outer) in guests.iter().zip(outer).rev() {
        runner = Some(match runner {
            None => graph.alias_instance_export(*instance, RUNNER)?,
            Some(inner) => {
                let own = graph.instantiate(router);
                connect(graph, outer, LAYERS, own)?;
                connect(graph, *instance, RUNNER, own)?;
                graph.set_instantiation_argument(own, "inner", inner)?;
                graph.alias_instance_export(own, RUNNER)?
            }
        });
    }
    runner.context("no guest has tasks")
}

/// Connects the interfaces of `epilogue:background` that the guest in `instance` imports. The instance `queue` exports
/// the interface `queue` for the guest, and the instance `host` exports the other interfaces.
fn provide(
    graph: &mut CompositionGraph,
    queue: NodeId,
    host: NodeId,
    instance: NodeId,
    guest: &Guest,
) -> anyhow::Result<()> {
    for import in guest.imports.iter().filter(|name| name.starts_with(CONTRACT)) {
        let from = if import == QUEUE { queue } else { host };
        // An interface that `from` does not export contains only types, and needs no implementation.
        if graph.alias_instance_export(from, import).is_ok() {
            connect(graph, from, import, instance)?;
        }
    }
    Ok(())
}

fn adapter(graph: &mut CompositionGraph, name: &str, bytes: &[u8]) -> anyhow::Result<PackageId> {
    let package = Package::from_bytes(name, None, bytes, graph.types_mut())?;
    Ok(graph.register_package(package)?)
}

/// Connects the export `interface` of the instance `from` with the import `interface` of the instance `to`.
fn connect(graph: &mut CompositionGraph, from: NodeId, interface: &str, to: NodeId) -> anyhow::Result<()> {
    let export = graph.alias_instance_export(from, interface)?;
    graph.set_instantiation_argument(to, interface, export)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tries to compose a file with the content `content`, and returns the error message.
    fn refusal(content: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("guest.wasm");
        fs::write(&file, content).unwrap();
        let error = compose(&file, &[]).err().map(|error| format!("{error:#}")).expect("it should be refused");
        error.replace(&file.display().to_string(), "FILE")
    }

    #[test]
    fn the_adapters_add_at_most_160_kib() {
        let (queue, responder) = (QUEUE_ADAPTER.len(), RESPONDER.len());
        assert!(queue + responder <= 160 << 10, "{queue} + {responder}");
        // Only compositions of several guests contain these two adapters.
        assert!(LAYER.len() + ROUTER.len() < 64 << 10, "{} + {}", LAYER.len(), ROUTER.len());
    }

    #[test]
    fn what_is_no_guest_is_told_apart() {
        assert_eq!(refusal(b"hello"), "FILE is a text that begins with \"hello\", not WebAssembly");
        assert_eq!(
            refusal(b"\0asm\x01\0\0\0"),
            "FILE is a core WebAssembly module, not a component: build it for the target wasm32-wasip2"
        );
        let empty_component = b"\0asm\x0d\0\x01\0";
        assert_eq!(refusal(empty_component), "FILE cannot be composed: it does not export wasi:http/handler@0.3.0");
        let broken = refusal(b"\0asm\x0d\0\x01\0\xff");
        assert!(broken.starts_with("FILE is not a valid WebAssembly component: "), "{broken}");
        let error = compose(Path::new("nowhere.wasm"), &[]).err().unwrap().to_string();
        assert_eq!(error, "cannot read nowhere.wasm: is it built?");
    }
}

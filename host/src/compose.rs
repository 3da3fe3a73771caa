//! `epilogue compose`: a guest with tasks as a component for hosts that know of none.
//!
//! The guest is put between two adapters, `guest/adapter/queue` and `guest/adapter/responder`:
//!
//! ```text
//! host ──handle──▶ responder ──handle, run, teardown──▶ guest
//!                      └────────drain────▶ queue ◀──add-task──┘
//! ```
//!
//! The responder is outermost, so that it is the one whom hosts ask whether the instance has room for a request.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, NodeId, PackageId, Processor};

use crate::cli::ComposeArgs;
use crate::component::refuse_core_module;
use crate::runner::RUNNER;

const QUEUE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/queue.wasm"));
const RESPONDER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/responder.wasm"));

pub(crate) const HANDLER: &str = "wasi:http/handler@0.3.0";
/// What a composed component contains, and no other.
const DRAIN: &str = "epilogue:adapter/drain@0.1.0";
/// What begins the name of each of the contract's interfaces.
const CONTRACT: &str = "epilogue:background/";

/// A component for any WASI 0.3 host.
pub struct Composed {
    /// The component.
    pub bytes: Vec<u8>,
    /// Whether it is the guest as it was, which has no tasks to run.
    pub unchanged: bool,
}

/// Runs `epilogue compose`.
///
/// # Errors
///
/// If the guest cannot be composed, or the result not be written; the message names the file.
pub fn run(args: &ComposeArgs) -> anyhow::Result<()> {
    let ComposeArgs { guest, output } = args;
    let composed = compose(guest)?;
    fs::write(output, &composed.bytes).with_context(|| format!("cannot write {}", output.display()))?;
    let (guest, output) = (guest.display(), output.display());
    let said = if composed.unchanged {
        format!("{guest} has no background tasks: {output} is the same component")
    } else {
        format!("Composed {output} from {guest}: {} KiB", composed.bytes.len().div_ceil(1024))
    };
    // Not `eprintln!`, which panics if nobody reads it any more.
    _ = writeln!(io::stderr(), "{said}");
    Ok(())
}

/// Composes the guest in `file` with the adapters.
///
/// # Errors
///
/// If it is not a guest; the message names the file, and says what to do.
pub fn compose(file: &Path) -> anyhow::Result<Composed> {
    let name = file.display();
    let bytes = fs::read(file).with_context(|| format!("cannot read {name}: is it built?"))?;
    ensure!(bytes.starts_with(b"\0asm"), "{name} is not WebAssembly");
    refuse_core_module(file, &bytes)?;
    ensure!(
        !bytes.windows(DRAIN.len()).any(|window| window == DRAIN.as_bytes()),
        "{name} is composed already: it runs on any WASI 0.3 host as it is"
    );
    let mut graph = CompositionGraph::new();
    let guest = Package::from_bytes("guest", None, bytes.clone(), graph.types_mut())
        .with_context(|| format!("{name} is not a valid WebAssembly component"))?;
    let world = &graph.types()[guest.ty()];
    let (imports, exports): (Vec<_>, Vec<_>) =
        (world.imports.keys().cloned().collect(), world.exports.keys().cloned().collect());
    check(&imports, &exports).with_context(|| format!("{name} cannot be composed"))?;
    if ![&imports, &exports].iter().any(|names| names.iter().any(|name| name.starts_with(CONTRACT))) {
        return Ok(Composed { bytes, unchanged: true });
    }
    let guest = graph.register_package(guest)?;
    let bytes = join(graph, guest, &imports).with_context(|| format!("{name} cannot be composed"))?;
    Ok(Composed { bytes, unchanged: false })
}

/// Checks that a component with these imports and exports is a guest.
fn check(imports: &[String], exports: &[String]) -> anyhow::Result<()> {
    check_handler(exports)?;
    let asks = imports.iter().any(|name| name.starts_with(CONTRACT));
    let runs = exports.iter().any(|name| name == RUNNER);
    ensure!(!asks || runs, "it imports {CONTRACT}queue but does not export {RUNNER} to run its tasks");
    Ok(())
}

/// Checks that a component with these exports can serve requests.
pub(crate) fn check_handler<'a>(exports: impl IntoIterator<Item = &'a String>) -> anyhow::Result<()> {
    let mut old = false;
    for name in exports {
        if name == HANDLER {
            return Ok(());
        }
        old |= name.starts_with("wasi:http/incoming-handler@0.2");
    }
    if old {
        bail!(
            "it exports wasi:http/incoming-handler of WASI 0.2: build it with an SDK that exports {HANDLER}, such as \
             spin-sdk 7"
        );
    }
    bail!("it does not export {HANDLER}");
}

/// Puts the guest between the adapters.
fn join(mut graph: CompositionGraph, guest: PackageId, imports: &[String]) -> anyhow::Result<Vec<u8>> {
    let queue = adapter(&mut graph, "epilogue:queue", QUEUE)?;
    let responder = adapter(&mut graph, "epilogue:responder", RESPONDER)?;
    let guest = graph.instantiate(guest);
    for import in imports.iter().filter(|name| name.starts_with(CONTRACT)) {
        // What the queue does not export are types, which need nobody to provide them.
        if graph.alias_instance_export(queue, import).is_ok() {
            connect(&mut graph, queue, import, guest)?;
        }
    }
    connect(&mut graph, queue, DRAIN, responder)?;
    connect(&mut graph, guest, HANDLER, responder)?;
    connect(&mut graph, guest, RUNNER, responder)?;
    let handler = graph.alias_instance_export(responder, HANDLER)?;
    graph.export(handler, HANDLER)?;
    let processor = Processor { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") };
    Ok(graph.encode(EncodeOptions { processor: Some(processor), ..Default::default() })?)
}

fn adapter(graph: &mut CompositionGraph, name: &str, bytes: &[u8]) -> anyhow::Result<NodeId> {
    let package = Package::from_bytes(name, None, bytes, graph.types_mut())?;
    let package = graph.register_package(package)?;
    Ok(graph.instantiate(package))
}

/// Gives what one instance exports to another that imports it.
fn connect(graph: &mut CompositionGraph, from: NodeId, interface: &str, to: NodeId) -> anyhow::Result<()> {
    let export = graph.alias_instance_export(from, interface)?;
    graph.set_instantiation_argument(to, interface, export)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Why a file of this content can't be composed.
    fn refusal(content: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("guest.wasm");
        fs::write(&file, content).unwrap();
        let error = compose(&file).err().map(|error| format!("{error:#}")).expect("it should be refused");
        error.replace(&file.display().to_string(), "FILE")
    }

    #[test]
    fn the_adapters_add_less_than_150_kib() {
        assert!(QUEUE.len() + RESPONDER.len() < 150 << 10, "{} + {}", QUEUE.len(), RESPONDER.len());
    }

    #[test]
    fn what_is_no_guest_is_told_apart() {
        assert_eq!(refusal(b"hello"), "FILE is not WebAssembly");
        assert_eq!(
            refusal(b"\0asm\x01\0\0\0"),
            "FILE is a core WebAssembly module, not a component: build it for the target wasm32-wasip2"
        );
        let empty_component = b"\0asm\x0d\0\x01\0";
        assert_eq!(refusal(empty_component), "FILE cannot be composed: it does not export wasi:http/handler@0.3.0");
        let broken = refusal(b"\0asm\x0d\0\x01\0\xff");
        assert!(broken.starts_with("FILE is not a valid WebAssembly component: "), "{broken}");
        let error = compose(Path::new("nowhere.wasm")).err().unwrap().to_string();
        assert_eq!(error, "cannot read nowhere.wasm: is it built?");
    }

    #[test]
    fn a_wrong_export_is_named() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let old = check(&[], &names(&["wasi:http/incoming-handler@0.2.6"])).unwrap_err().to_string();
        assert!(old.starts_with("it exports wasi:http/incoming-handler of WASI 0.2"), "{old}");
        let queue = names(&["epilogue:background/queue@0.1.0"]);
        let idle = check(&queue, &names(&[HANDLER])).unwrap_err().to_string();
        assert_eq!(
            idle,
            "it imports epilogue:background/queue but does not export epilogue:background/runner@0.1.0 to run its tasks"
        );
        assert!(check(&queue, &names(&[HANDLER, RUNNER])).is_ok());
    }
}

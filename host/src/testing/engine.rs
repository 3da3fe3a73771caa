//! The wasmtime engine that the hosts of a test process share.

use std::sync::{Mutex, OnceLock};

use epilogue_manifest::settings::HostOptions;
use wasmtime::Engine;

/// Returns the wasmtime engine that the hosts of a test process share. Hosts share an engine because each engine
/// reserves address space for thousands of instances. Only a host that sets `max-instances` has its own engine.
pub(super) fn engine() -> anyhow::Result<&'static Engine> {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    let _starting = STARTING.lock().unwrap();
    match ENGINE.get() {
        Some(engine) => Ok(engine),
        None => {
            let engine = crate::component::engine::engine(HostOptions::default().max_instances)?.0;
            Ok(ENGINE.get_or_init(|| engine))
        }
    }
}

//! Makes the wasmtime engine that all components of a process share.

use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::Context as _;
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmFeatures,
};

use crate::component::room::largest_engine;

/// The length of an epoch. At the end of each epoch, a guest that computes gives its thread to other work.
const TICK: Duration = Duration::from_millis(1);

/// The number of bytes of a dropped instance's memory and stack that wasmtime zeroes and keeps for the next instance.
/// wasmtime gives the rest of the memory back to the system. In a measurement, making an instance took 96 µs without
/// this setting, and 64 µs with this setting and wasmtime's setting `pagemap_scan`. Without `pagemap_scan`, this
/// setting had no effect.
const KEEP_RESIDENT: usize = 128 * 1024;

/// Makes an engine for up to `max_instances` instances. If the system allows only a smaller number of instances, makes
/// an engine for the smaller number. Returns the engine, and the number of instances that the engine can hold.
///
/// Each instance takes 4 GiB of address space, four memory mappings, and two more mappings for its stack. By default,
/// Linux grants a process 65,530 mappings (`vm.max_map_count`), which are enough for about 10,400 instances. The engine
/// keeps compiled components in wasmtime's cache folder. If there is no cache folder, the engine compiles the
/// components at each start of the host.
///
/// # Errors
///
/// Returns an error if the system does not have enough address space for one instance.
pub(crate) fn engine(max_instances: NonZeroU32) -> anyhow::Result<(Engine, NonZeroU32)> {
    let (engine, instances) = largest_engine(max_instances, |instances| Engine::new(&config(instances.get())))
        .map_err(anyhow::Error::from)
        .with_context(|| format!("cannot start wasmtime with room for max-instances, {max_instances}"))?;
    tick(&engine)?;
    Ok((engine, instances))
}

/// Makes the configuration of wasmtime for up to `instances` instances.
pub(crate) fn config(instances: u32) -> Config {
    let mut pool = PoolingAllocationConfig::default();
    // A guest of one module with WASI took three core instances, two tables and one stack in a measurement. A guest
    // that is blocked in an import may need a second stack. A guest in Python has fifteen core instances. The pool only
    // counts core instances, so they take no memory.
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(20))
        .total_memories(instances)
        .total_tables(instances.saturating_mul(2))
        .total_stacks(instances.saturating_add(instances.div_ceil(20)))
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .async_stack_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT)
        .pagemap_scan(Enabled::Auto);

    let mut config = Config::new();
    config
        .wasm_component_model_async(true)
        // This host builds wasmtime without its feature `gc`. Without this feature, wasmtime 48.0.8 aborts the process
        // if a guest calls a function through a wrong type that can have subtypes (GHSA-rc4p-x33f-vpr2). With the
        // proposal turned off, wasmtime rejects such types.
        .wasm_features(WasmFeatures::GC, false)
        .epoch_interruption(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    match Cache::new(CacheConfig::new()) {
        Ok(cache) => _ = config.cache(Some(cache)),
        Err(error) => tracing::warn!(target: "epilogue::engine", "compiled components are not cached: {error:#}"),
    }
    config
}

/// Starts a thread that increases the engine's epoch by one every [`TICK`]. The thread ends when the engine is dropped.
fn tick(engine: &Engine) -> anyhow::Result<()> {
    let engine = engine.weak();
    std::thread::Builder::new()
        .name("epilogue-epoch".into())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(TICK);
            }
        })
        .context("cannot start the epoch thread")?;
    Ok(())
}

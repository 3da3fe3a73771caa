//! The wasmtime engine that all components of a process share.

use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::Context as _;
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmFeatures,
};

use crate::component::room::largest_engine;

/// How often a guest that computes without waiting yields to its thread's other work.
const TICK: Duration = Duration::from_millis(1);

/// How many bytes of a dropped instance's memory and stack are zeroed and kept, and not returned to the system.
/// Together with `pagemap_scan`, this reduced the time for a fresh instance from 96 to 64 µs. Alone it had no effect.
const KEEP_RESIDENT: usize = 128 * 1024;

/// Makes an engine with room for `max_instances` instances, or for as many as the system allows, and returns their
/// number. Each instance takes 4 GiB of addresses, four memory mappings, and two more mappings for a prepared stack.
/// Linux grants a process 65,530 mappings by default (`vm.max_map_count`). The engine keeps compiled components in
/// wasmtime's cache folder. Without such a folder, it compiles them at each start.
///
/// # Errors
///
/// Returns an error if the system has no addresses for a single instance.
pub(crate) fn engine(max_instances: NonZeroU32) -> anyhow::Result<(Engine, NonZeroU32)> {
    let (engine, instances) = largest_engine(max_instances, |instances| Engine::new(&config(instances.get())))
        .map_err(anyhow::Error::from)
        .with_context(|| format!("cannot start wasmtime with room for max-instances, {max_instances}"))?;
    tick(&engine)?;
    Ok((engine, instances))
}

/// The configuration of wasmtime, with room for `instances` instances.
pub(crate) fn config(instances: u32) -> Config {
    let mut pool = PoolingAllocationConfig::default();
    // As measured for a guest of one module with WASI: three core instances, two tables and one stack. A guest that is
    // blocked in an import may need a second stack. A guest in Python has fifteen core instances, which the pool only counts.
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
        // Without its feature `gc`, wasmtime 48.0.8 aborts the process when a guest calls a function of another type through
        // a type that can have subtypes (GHSA-rc4p-x33f-vpr2). Such types belong to this proposal.
        .wasm_features(WasmFeatures::GC, false)
        .epoch_interruption(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    match Cache::new(CacheConfig::new()) {
        Ok(cache) => _ = config.cache(Some(cache)),
        Err(error) => tracing::warn!(target: "epilogue::engine", "compiled components are not cached: {error:#}"),
    }
    config
}

/// Advances the engine's epoch for as long as it lives.
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

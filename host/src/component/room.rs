//! Lowers the number of instances if the system has too few memory mappings or too little address space.

use std::fs;
use std::io;
use std::num::NonZeroU32;

use rustix::io::Errno;
use wasmtime::Engine;

/// The number of memory mappings that the process needs for threads, compiled components and large allocations.
const OTHER_MAPPINGS: u64 = 2_000;
/// The number of memory mappings that ten instances need. In measurements, each instance took four mappings, and each
/// stack took two mappings. The pool has 5 % more stacks than instances (see `engine.rs`), so ten instances come with
/// 10.5 stacks.
const MAPPINGS_OF_TEN: u64 = 61;
/// The address space in bytes that wasmtime's pool of instances must leave free for threads, compiled components and
/// guests' files.
const OTHER_ADDRESSES: usize = 1 << 30;

/// Makes an engine with `make`, for up to `max_instances` instances. If the system has too few memory mappings or too
/// little address space, logs a warning and makes an engine for fewer instances. Returns the engine, and the number of
/// instances that the engine can hold.
pub(super) fn largest_engine(
    max_instances: NonZeroU32,
    make: impl Fn(NonZeroU32) -> wasmtime::Result<Engine>,
) -> wasmtime::Result<(Engine, NonZeroU32)> {
    let wanted = mappings().map_or(max_instances, |limit| {
        let fitting = fitting(limit);
        if fitting < max_instances {
            tracing::warn!(
                target: "epilogue::engine",
                "vm.max_map_count is {limit}, which allows {fitting} instances, but max-instances is {max_instances}. \
                 While {fitting} instances are in use, requests get 503, and tasks wait. Set vm.max_map_count to {}. Or \
                 set max-instances to {fitting}, and lower max-requests and max-draining until their sum is {fitting}",
                needed(max_instances)
            );
        }
        fitting.min(max_instances)
    });
    let mut instances = wanted;
    let engine = loop {
        match make(instances).and_then(leaves_addresses) {
            Ok(engine) => break engine,
            Err(error) if is_exhausted(&error) && instances > NonZeroU32::MIN => {
                instances = NonZeroU32::new(instances.get() / 2).unwrap_or(NonZeroU32::MIN);
            }
            Err(error) => return Err(error),
        }
    };
    if instances < wanted {
        tracing::warn!(
            target: "epilogue::engine",
            "the address space has no room for {wanted} instances of 4 GiB each, only for {instances}. While \
             {instances} instances are in use, requests get 503, and tasks wait. If `ulimit -v` is set, raise it. Or set \
             max-instances to {instances}, and lower max-requests and max-draining until their sum is {instances}"
        );
    }
    Ok((engine, instances))
}

/// Reports whether an error means that the system has no memory, mapping, address space or file descriptor left. After
/// such an error, the host can try again when some of its instances have ended.
pub(super) fn is_exhausted(error: &wasmtime::Error) -> bool {
    let exhausted = [Errno::NOMEM, Errno::MFILE, Errno::NFILE];
    error.chain().any(|cause| {
        let number = cause.downcast_ref::<Errno>().copied();
        let number = number.or_else(|| Errno::from_io_error(cause.downcast_ref::<io::Error>()?));
        number.is_some_and(|number| exhausted.contains(&number))
    })
}

/// Returns the number of memory mappings that a process may have. Returns `None` if the host cannot find out this
/// number.
fn mappings() -> Option<u64> {
    fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()
}

/// Returns the number of instances for which `mappings` memory mappings are enough, but at least 1.
fn fitting(mappings: u64) -> NonZeroU32 {
    let instances = mappings.saturating_sub(OTHER_MAPPINGS).saturating_mul(10) / MAPPINGS_OF_TEN;
    NonZeroU32::new(u32::try_from(instances).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN)
}

/// Returns the number of memory mappings that the process needs for `instances` instances.
fn needed(instances: NonZeroU32) -> u64 {
    (u64::from(instances.get()) * MAPPINGS_OF_TEN).div_ceil(10) + OTHER_MAPPINGS
}

/// Checks that the process can still allocate [`OTHER_ADDRESSES`] bytes of address space.
fn leaves_addresses(engine: Engine) -> wasmtime::Result<Engine> {
    match Vec::<u8>::new().try_reserve_exact(OTHER_ADDRESSES) {
        Ok(()) => Ok(engine),
        Err(_) => Err(io::Error::from(Errno::NOMEM).into()),
    }
}

#[cfg(test)]
mod tests {
    use epilogue_manifest::settings::HostOptions;

    use super::*;

    #[test]
    fn the_default_fits_into_the_default_of_linux() {
        assert!(HostOptions::default().max_instances <= fitting(65_530));
        assert_eq!(fitting(needed(fitting(65_530))), fitting(65_530));
        assert_eq!(fitting(0), NonZeroU32::MIN);
    }
}

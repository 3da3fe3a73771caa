//! Limits the memory of the process, and reports whether enough memory is left for another instance.
//!
//! When a guest grows its linear memory, the system does not count the new bytes yet. The system counts the new bytes
//! only after the guest has written to them. Therefore, the host computes the memory of the process as the sum of two
//! numbers: the bytes that the system counts for the process, and the bytes that guests have added to their linear
//! memory and have probably not written to yet.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{LazyLock, OnceLock};

use epilogue_manifest::settings::HostOptions;

use super::Limit;

/// The largest amount of memory that the process may take, in bytes.
static MAX: OnceLock<u64> = OnceLock::new();
/// The sum of all [`Grown`] values: the number of bytes that all guests have added to their linear memory and have
/// probably not written to yet.
static GROWN: AtomicU64 = AtomicU64::new(0);
/// True if the process used less than half of [`MAX`] when the host made the newest instance.
static AMPLE: AtomicBool = AtomicBool::new(true);
/// The system's file that shows how much memory this process uses.
static STATM: LazyLock<Option<File>> = LazyLock::new(|| File::open("/proc/self/statm").ok());
static PAGE_SIZE: LazyLock<u64> = LazyLock::new(|| page_size().unwrap_or(4096));

/// Sets the largest amount of memory that the process may take to `max-memory`. If `max-memory` is not set, uses three
/// quarters of the memory that the system has for the process. Only the first call has an effect.
pub(crate) fn limit_to(options: &HostOptions) {
    let max = options.max_memory.map_or_else(three_quarters, |max| max.bytes() as u64);
    MAX.get_or_init(|| max);
}

/// Reports whether memory is left for another instance. The last eighth of [`MAX`] is reserved for the growth of
/// existing instances. If no memory is left, this function also records that the limit [`Limit::Memory`] was reached.
pub(crate) fn left_for_instances() -> bool {
    let (max, taken) = (max(), taken());
    AMPLE.store(taken < max / 2, Relaxed);
    let left = taken < max - max / 8;
    if !left {
        Limit::Memory.hit();
    }
    left
}

/// Reports whether the process has enough free memory to keep idle instances for later requests.
pub(crate) fn is_ample() -> bool {
    AMPLE.load(Relaxed)
}

/// Reports whether an instance may grow its memory by `bytes` bytes. If the instance may not grow, this function also
/// records that the limit [`Limit::Memory`] was reached.
pub(crate) fn left_for_growth(bytes: u64) -> bool {
    let left = taken().saturating_add(bytes) <= max();
    if !left {
        Limit::Memory.hit();
    }
    left
}

/// Counts the bytes that the guest of one instance has added to its linear memory and has probably not written to yet.
/// The system may not count these bytes yet. When this value is dropped, the host no longer counts these bytes.
#[derive(Default)]
pub(crate) struct Grown(u64);

impl Grown {
    /// Counts `bytes` more bytes that the guest adds to its linear memory.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.0 += bytes;
        GROWN.fetch_add(bytes, Relaxed);
    }

    /// Sets the counted bytes of the instance to zero. The host calls this function when the guest has probably written
    /// to these bytes, so that the system itself counts them.
    pub(crate) fn settle(&mut self) {
        GROWN.fetch_sub(std::mem::take(&mut self.0), Relaxed);
    }
}

impl Drop for Grown {
    fn drop(&mut self) {
        self.settle();
    }
}

/// Returns the largest amount of memory that the process may take, in bytes.
pub(crate) fn max() -> u64 {
    *MAX.get_or_init(three_quarters)
}

/// Returns the memory that the process takes, in bytes: the memory that the system counts for the process, plus
/// [`GROWN`].
pub(crate) fn taken() -> u64 {
    own_memory().saturating_add(GROWN.load(Relaxed))
}

/// Returns the number of bytes of memory that only this process uses. The result does not include memory into which the
/// process has mapped files, such as compiled components, because the system can take this memory back at any time.
fn own_memory() -> u64 {
    // The file `/proc/self/status` shows this number too, but the system takes five times as long to produce that file.
    let mut text = [0; 128];
    let length = STATM.as_ref().and_then(|statm| statm.read_at(&mut text, 0).ok()).unwrap_or(0);
    let text = String::from_utf8_lossy(&text[..length]);
    let mut pages = text.split_ascii_whitespace().skip(1).map_while(|pages| pages.parse::<u64>().ok());
    let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
    resident.saturating_sub(shared).saturating_mul(*PAGE_SIZE)
}

/// Returns the size of a memory page in bytes: the value of `AT_PAGESZ`, which the system passes to each program.
fn page_size() -> Option<u64> {
    const AT_PAGESZ: u64 = 6;
    let values = fs::read("/proc/self/auxv").ok()?;
    let (pairs, _) = values.as_chunks::<16>();
    let halves = pairs.iter().map(|pair| [&pair[..8], &pair[8..]].map(|half| half.try_into().map(u64::from_ne_bytes)));
    halves.into_iter().find_map(|pair| match pair {
        [Ok(AT_PAGESZ), Ok(size)] => Some(size),
        _ => None,
    })
}

fn three_quarters() -> u64 {
    let file = |path| fs::read_to_string(path).unwrap_or_default();
    let machine = kibibytes(&file("/proc/meminfo"), "MemTotal:").unwrap_or(u64::MAX);
    let groups = cgroup_limit(Path::new("/sys/fs/cgroup"), &file("/proc/self/cgroup"));
    groups.map_or(machine, |limit| limit.min(machine)) / 4 * 3
}

/// Finds the line in `text` that begins with `name`, and returns the line's value in bytes. `text` has the format of
/// `/proc/meminfo`.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().trim_end_matches(" kB").parse::<u64>().ok()?.checked_mul(1024)
}

/// Returns the smallest memory limit of the control groups in `cgroups` and of all their parent groups, in bytes.
/// `cgroups` has the format of `/proc/self/cgroup`.
fn cgroup_limit(root: &Path, cgroups: &str) -> Option<u64> {
    let limits = cgroups.lines().flat_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let (root, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => return Vec::new(),
        };
        let group = root.join(path.trim_start_matches('/'));
        group.ancestors().take_while(|group| group.starts_with(&root)).map(|group| group.join(file)).collect()
    });
    limits.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_of_all_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, limit: &str| {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, limit).unwrap();
        };
        write("pods/one/memory.max", "max\n");
        write("pods/memory.max", "3000000\n");
        write("memory/docker/memory.limit_in_bytes", "2000000\n");
        let limit = |cgroups: &str| cgroup_limit(root.path(), cgroups);
        assert_eq!(limit("0::/pods/one\n"), Some(3_000_000));
        assert_eq!(limit("5:cpu,memory:/docker\n4:cpu:/pods\n0::/pods/one\n"), Some(2_000_000));
        assert_eq!(limit("0::/\n"), None);
    }

    #[test]
    fn memory_that_is_written_to_is_counted() {
        let before = own_memory();
        let written = std::hint::black_box(vec![1_u8; 64 << 20]);
        let more = own_memory().saturating_sub(before);
        assert!(before > 0 && more > 48 << 20, "{before} and {more} bytes, for {}", written.len());
    }
}

//! The limit on a component's writable files: how much disk space its guests may use.
//!
//! The host adds up what guests write, and does not subtract what they delete or overwrite. When most of the limit is
//! reached, the host measures the real size of the files in the background, and continues from there.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use epilogue_manifest::values::Size;
use walkdir::WalkDir;

use super::Limit;
use crate::telemetry::once_a_minute::OnceAMinute;

/// The bytes that a new file, folder or link counts for.
pub(crate) const ENTRY: u64 = 4096;
/// The shortest time between two measurements. Otherwise a guest near the limit could cause one with each write.
const PAUSE: Duration = Duration::from_millis(200);

/// The writable files of one component, in a folder of the host.
#[derive(Debug)]
pub(crate) struct Disk {
    component: String,
    folder: PathBuf,
    most: Size,
    /// The size at the last measurement and the bytes written since then.
    charged: AtomicU64,
    counting: AtomicBool,
    warnings: Arc<OnceAMinute>,
}

/// A component's files would take more than `max-transient-write`.
#[derive(Debug)]
pub(crate) struct DiskFull;

impl Disk {
    /// Makes the budget of the files in `folder`, and counts the files that are already there. They may take `most`
    /// bytes.
    pub(crate) fn new(component: String, folder: PathBuf, most: Size) -> Self {
        let charged = used(&folder).unwrap_or(most.bytes() as u64);
        Self { component, folder, most, charged: charged.into(), counting: false.into(), warnings: Arc::default() }
    }

    /// Counts `bytes` that a guest is about to write. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// If the files would take more than they may. The guest gets the error `quota`.
    pub(crate) fn charge(self: &Arc<Self>, bytes: u64) -> Result<(), DiskFull> {
        let most = self.most.bytes() as u64;
        let charged = self.charged.fetch_add(bytes, Relaxed).saturating_add(bytes);
        if charged > most - most / 4 {
            self.count();
        }
        if charged <= most {
            return Ok(());
        }
        self.charged.fetch_sub(bytes, Relaxed);
        Limit::Disk.hit();
        let (component, most) = (self.component.clone(), self.most);
        self.warnings.log(move |times| {
            tracing::warn!(
                target: "epilogue::component", component, times,
                "a write is refused: the component's files take {most}, which is max-transient-write"
            );
        });
        Err(DiskFull)
    }

    /// Measures the size of the files, on a thread that may block, unless a measurement is already running.
    fn count(self: &Arc<Self>) {
        if self.counting.swap(true, Relaxed) {
            return;
        }
        let disk = self.clone();
        tokio::spawn(async move {
            let counted = disk.clone();
            _ = tokio::task::spawn_blocking(move || {
                let before = counted.charged.load(Relaxed);
                // Otherwise what was charged stays charged.
                let Some(used) = used(&counted.folder) else { return };
                // Meanwhile more may have been charged.
                _ = counted.charged.fetch_update(Relaxed, Relaxed, |now| Some(used + now.saturating_sub(before)));
            })
            .await;
            tokio::time::sleep(PAUSE).await;
            disk.counting.store(false, Relaxed);
        });
    }
}

/// The disk space of all files in `folder`, and of deleted files that this process still has open. None if a file
/// cannot be measured, for example because a guest has made its path too long.
fn used(folder: &Path) -> Option<u64> {
    Some(below(folder)?.saturating_add(deleted(folder)?))
}

fn below(folder: &Path) -> Option<u64> {
    let mut bytes = 0_u64;
    // Of a link itself, not of what it leads to.
    for entry in WalkDir::new(folder).min_depth(1) {
        match entry.and_then(|entry| entry.metadata()) {
            Ok(what) => bytes = bytes.saturating_add(size(&what)),
            Err(error) => _ = there::<()>(Err(error.into()))?,
        }
    }
    Some(bytes)
}

fn deleted(folder: &Path) -> Option<u64> {
    // A file may be open several times.
    let mut sizes = BTreeMap::new();
    for file in fs::read_dir("/proc/self/fd").ok()? {
        let file = file.ok()?.path();
        let belongs = match fs::read_link(&file) {
            Ok(path) => path.starts_with(folder),
            // Its path is too long to be read: it may be another component's, and counts for both.
            Err(error) => error.kind() != ErrorKind::NotFound,
        };
        if !belongs {
            continue;
        }
        let what = there(fs::metadata(&file))?.filter(|what| what.nlink() == 0);
        sizes.extend(what.map(|what| (what.ino(), size(&what))));
    }
    Some(sizes.values().sum())
}

/// The result of an operation on a file. The inner option is none if the file no longer exists. The outer one is none
/// after any other error.
fn there<T>(found: io::Result<T>) -> Option<Option<T>> {
    match found {
        Ok(found) => Some(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Some(None),
        Err(_) => None,
    }
}

/// The bytes that a file takes on the disk, but at least the size of an entry.
fn size(what: &fs::Metadata) -> u64 {
    what.blocks().saturating_mul(512).max(ENTRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_until_nobody_has_them_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/file");
        fs::create_dir(folder.path().join("deep")).unwrap();
        assert_eq!(used(folder.path()), Some(ENTRY));
        fs::write(&path, vec![1; 1 << 20]).unwrap();
        let whole = used(folder.path());
        assert!(whole.is_some_and(|whole| whole >= (1 << 20) + ENTRY), "{whole:?}");
        let open = [fs::File::open(&path).unwrap(), fs::File::open(&path).unwrap()];
        fs::remove_file(&path).unwrap();
        assert_eq!(used(folder.path()), whole);
        drop(open);
        assert_eq!(used(folder.path()), Some(ENTRY));
        // A link leads out of the folder, and what it leads to is another's.
        std::os::unix::fs::symlink("/", folder.path().join("link")).unwrap();
        assert_eq!(used(folder.path()), Some(2 * ENTRY));
    }

    /// A guest makes such folders one within the other: none of its own paths is too long.
    #[test]
    fn what_cannot_be_counted_is_not_taken_for_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let mut folder = fs::File::open(scratch.path()).unwrap();
        let name = "x".repeat(250);
        for _ in 0..20 {
            rustix::fs::mkdirat(&folder, &name, rustix::fs::Mode::RWXU).unwrap();
            let flags = rustix::fs::OFlags::DIRECTORY;
            folder = rustix::fs::openat(&folder, &name, flags, rustix::fs::Mode::empty()).unwrap().into();
        }
        assert_eq!(below(scratch.path()), None);
    }
}

//! The budget of a component's writable files: how much of the disk its guests may use.
//!
//! The host charges what guests write, and does not credit what they delete or write again. When most of the budget is
//! spent, the host counts in the background what the files really take, and goes on from there.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use epilogue_manifest::values::Size;

use super::Limit;
use crate::telemetry::once_a_minute::OnceAMinute;

/// What a new file, folder or link takes, in bytes.
pub(crate) const ENTRY: u64 = 4096;
/// The least time between two counts. A guest that stays near the limit could ask for one with each write.
const PAUSE: Duration = Duration::from_millis(200);

/// The writable files of one component, in a folder of the host's.
#[derive(Debug)]
pub(crate) struct Disk {
    component: String,
    folder: PathBuf,
    most: Size,
    /// What has been written since the last count, and what was there then, in bytes.
    charged: AtomicU64,
    counting: AtomicBool,
    warnings: Arc<OnceAMinute>,
}

/// A component's files would take more than `max-transient-write`.
#[derive(Debug)]
pub(crate) struct DiskFull;

impl Disk {
    /// Makes the budget of the files in `folder`, and charges what is there already. They may take `most`.
    pub(crate) fn new(component: String, folder: PathBuf, most: Size) -> Self {
        let charged = used(&folder);
        Self { component, folder, most, charged: charged.into(), counting: false.into(), warnings: Arc::default() }
    }

    /// Charges `bytes` that a guest is about to write. Must be called within a tokio runtime.
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

    /// Counts what the files take, on a thread that may block, unless that goes on already.
    fn count(self: &Arc<Self>) {
        if self.counting.swap(true, Relaxed) {
            return;
        }
        let disk = self.clone();
        tokio::spawn(async move {
            let counted = disk.clone();
            _ = tokio::task::spawn_blocking(move || {
                let before = counted.charged.load(Relaxed);
                let used = used(&counted.folder);
                // Meanwhile more may have been charged.
                _ = counted.charged.fetch_update(Relaxed, Relaxed, |now| Some(used + now.saturating_sub(before)));
            })
            .await;
            tokio::time::sleep(PAUSE).await;
            disk.counting.store(false, Relaxed);
        });
    }
}

/// The bytes on the disk of all that is in `folder`, and of what was deleted there while this process has it open.
fn used(folder: &Path) -> u64 {
    below(folder).saturating_add(deleted(folder))
}

fn below(folder: &Path) -> u64 {
    let mut bytes = 0_u64;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        // Not what a link leads to.
        let Ok(what) = entry.metadata() else { continue };
        bytes = bytes.saturating_add(size(&what));
        if what.is_dir() {
            bytes = bytes.saturating_add(below(&entry.path()));
        }
    }
    bytes
}

fn deleted(folder: &Path) -> u64 {
    let open = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let deleted =
        open.map(|file| file.path()).filter(|file| fs::read_link(file).is_ok_and(|at| at.starts_with(folder)));
    let sizes = deleted.filter_map(|file| -> Option<(u64, u64)> {
        let what: io::Result<fs::Metadata> = fs::metadata(file);
        what.ok().filter(|what| what.nlink() == 0).map(|what| (what.ino(), size(&what)))
    });
    // A file may be open several times.
    sizes.collect::<std::collections::BTreeMap<_, _>>().values().sum()
}

/// The bytes that a file takes on the disk, and at least those of its entry.
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
        assert_eq!(used(folder.path()), ENTRY);
        fs::write(&path, vec![1; 1 << 20]).unwrap();
        let whole = used(folder.path());
        assert!(whole >= (1 << 20) + ENTRY, "{whole}");
        let open = [fs::File::open(&path).unwrap(), fs::File::open(&path).unwrap()];
        fs::remove_file(&path).unwrap();
        assert_eq!(used(folder.path()), whole);
        drop(open);
        assert_eq!(used(folder.path()), ENTRY);
        // A link leads out of the folder, and what it leads to is another's.
        std::os::unix::fs::symlink("/", folder.path().join("link")).unwrap();
        assert_eq!(used(folder.path()), 2 * ENTRY);
    }
}

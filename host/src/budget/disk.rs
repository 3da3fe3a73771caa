//! Limits how much disk space a component's writable files may take.
//!
//! The host adds up the bytes that guests write, and never subtracts bytes that guests delete or overwrite. When the
//! sum reaches the limit, the host measures the real size of the files and replaces the sum by this size.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use epilogue_manifest::values::Size;
use tokio::time::{Instant, sleep_until};
use walkdir::WalkDir;

use super::Limit;
use crate::telemetry::once_a_minute::OnceAMinute;

/// The number of bytes that the host counts for each new file, folder or link.
pub(crate) const ENTRY: u64 = 4096;
/// The shortest time from the start of one measurement of the files' size to the start of the next measurement. Without
/// this pause, each write of a guest near the limit could cause a measurement.
const PAUSE: Duration = Duration::from_millis(200);

/// Limits the disk space of the writable files of one component, and counts the bytes that these files take.
#[derive(Debug)]
pub(crate) struct Disk {
    component: String,
    folder: PathBuf,
    most: Size,
    spent: Mutex<Spent>,
    /// The start of the last measurement of the files' size. A running measurement holds the lock.
    counted_at: tokio::sync::Mutex<Option<Instant>>,
    warnings: Arc<OnceAMinute>,
}

/// The number of bytes that the host counts for a component's files.
#[derive(Debug, Default)]
struct Spent {
    /// The size of the files at the last measurement, in bytes, plus the bytes that guests were writing during the
    /// measurement.
    counted: u64,
    /// The bytes that the host has counted since the beginning of the last measurement.
    since: u64,
    /// The number of counted bytes that guests are writing at the moment.
    writing: u64,
}

/// Counts bytes that a guest is writing, until this value is dropped. These bytes may not be on the disk yet, so a
/// measurement may miss them.
#[derive(Debug)]
pub(crate) struct Writing {
    disk: Arc<Disk>,
    bytes: u64,
}

/// The error for a write that the host refuses, because the component's files would take more than
/// `max-transient-write`.
#[derive(Debug)]
pub(crate) struct DiskFull;

impl From<DiskFull> for io::Error {
    fn from(DiskFull: DiskFull) -> Self {
        ErrorKind::QuotaExceeded.into()
    }
}

impl Disk {
    /// Makes a limit of `most` bytes for the files in `folder`. Files that already exist count too.
    pub(crate) fn new(component: String, folder: PathBuf, most: Size) -> Self {
        let counted = used(&folder).unwrap_or(most.bytes() as u64);
        let spent = Mutex::new(Spent { counted, ..Spent::default() });
        Self { component, folder, most, spent, counted_at: tokio::sync::Mutex::default(), warnings: Arc::default() }
    }

    /// Counts `bytes` that a guest is about to write. If the sum of all counted bytes would exceed the limit, this
    /// function first measures the real size of the files. The caller drops the returned value when the bytes are on
    /// the disk.
    ///
    /// # Errors
    ///
    /// Returns an error if the files would exceed the limit. The host reports this error to the guest as
    /// `error-code.quota`.
    pub(crate) async fn charge(self: &Arc<Self>, bytes: u64) -> Result<Writing, DiskFull> {
        if let Some(writing) = self.take(bytes) {
            return Ok(writing);
        }
        // The measurement runs in its own tokio task, so that the measurement goes on if this guest ends.
        _ = tokio::spawn(self.clone().count_since(Instant::now())).await;
        self.take(bytes).ok_or_else(|| self.refuse())
    }

    fn take(self: &Arc<Self>, bytes: u64) -> Option<Writing> {
        let mut spent = self.spent();
        let total = spent.counted.saturating_add(spent.since).saturating_add(bytes);
        if total > self.most.bytes() as u64 {
            return None;
        }
        spent.since += bytes;
        spent.writing += bytes;
        Some(Writing { disk: self.clone(), bytes })
    }

    fn refuse(&self) -> DiskFull {
        Limit::Disk.hit();
        let (component, most) = (self.component.clone(), self.most);
        self.warnings.log(move |times| {
            tracing::warn!(
                target: "epilogue::component", component, times,
                "a write is refused: the component's files would take more than max-transient-write, which is {most}"
            );
        });
        DiskFull
    }

    /// Measures the size of the component's files. If another call has begun a measurement after the time `asked`, this
    /// function only waits for the end of that measurement.
    async fn count_since(self: Arc<Self>, asked: Instant) {
        let mut counted_at = self.counted_at.lock().await;
        if counted_at.is_some_and(|begun| begun > asked) {
            return;
        }
        if let Some(begun) = *counted_at {
            sleep_until(begun + PAUSE).await;
        }
        *counted_at = Some(Instant::now());
        let disk = self.clone();
        _ = tokio::task::spawn_blocking(move || disk.count()).await;
    }

    /// Measures the size of the component's files. This function blocks the thread that calls it.
    fn count(&self) {
        let (since, writing) = {
            let spent = self.spent();
            (spent.since, spent.writing)
        };
        // If the host cannot measure the size, it keeps the old count.
        let Some(used) = used(&self.folder) else { return };
        let mut spent = self.spent();
        spent.counted = used.saturating_add(writing);
        spent.since -= since;
    }

    fn spent(&self) -> MutexGuard<'_, Spent> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.disk.spent().writing -= self.bytes;
    }
}

/// Returns the disk space that all files in `folder` take, in bytes. A deleted file counts too, as long as this process
/// has the file open. Returns `None` if the host cannot measure one of the files, for example because a guest has made
/// the file's path too long.
fn used(folder: &Path) -> Option<u64> {
    Some(below(folder)?.saturating_add(deleted(folder)?))
}

fn below(folder: &Path) -> Option<u64> {
    let mut bytes = 0_u64;
    // `WalkDir` returns the metadata of a link itself, not of the link's target.
    for entry in WalkDir::new(folder).min_depth(1) {
        match entry.and_then(|entry| entry.metadata()) {
            Ok(what) => bytes = bytes.saturating_add(size(&what)),
            Err(error) => _ = there::<()>(Err(error.into()))?,
        }
    }
    Some(bytes)
}

fn deleted(folder: &Path) -> Option<u64> {
    // A file may be open several times, so the map counts each inode once.
    let mut sizes = BTreeMap::new();
    for file in fs::read_dir("/proc/self/fd").ok()? {
        let file = file.ok()?.path();
        let belongs = match fs::read_link(&file) {
            Ok(path) => path.starts_with(folder),
            // The link's path is too long to be read. The file may be in the folder of another component, and counts
            // for both.
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

/// Converts the result of an attempt to read a file's metadata, so that the measurement skips files that no longer
/// exist. If the file no longer exists, returns `Some(None)`. After any other error, returns `None`.
fn there<T>(found: io::Result<T>) -> Option<Option<T>> {
    match found {
        Ok(found) => Some(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Some(None),
        Err(_) => None,
    }
}

/// Returns the disk space that a file takes, in bytes. The smallest result is [`ENTRY`] bytes, even for an empty file.
fn size(what: &fs::Metadata) -> u64 {
    what.blocks().saturating_mul(512).max(ENTRY)
}

#[cfg(test)]
mod tests {
    use epilogue_manifest::values::Value as _;

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
        // A link leads out of the folder. Its target does not count.
        std::os::unix::fs::symlink("/", folder.path().join("link")).unwrap();
        assert_eq!(used(folder.path()), Some(2 * ENTRY));
    }

    #[tokio::test]
    async fn what_was_deleted_or_written_again_may_be_written_again_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(Disk::new("app".to_owned(), folder.path().to_owned(), Size::parse("1MiB").unwrap()));
        for _ in 0..64 {
            let writing = disk.charge(64 << 10).await.unwrap();
            fs::write(folder.path().join("file"), vec![1; 64 << 10]).unwrap();
            drop(writing);
        }
        assert!(disk.charge(1 << 20).await.is_err());
    }

    #[tokio::test]
    async fn what_is_not_written_yet_stays_charged() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(Disk::new("app".to_owned(), folder.path().to_owned(), Size::parse("1MiB").unwrap()));
        let writing = disk.charge(768 << 10).await.unwrap();
        assert!(disk.charge(768 << 10).await.is_err());
        assert!(disk.charge(256 << 10).await.is_ok());
        drop(writing);
        assert!(disk.charge(768 << 10).await.is_ok());
    }

    /// The host cannot measure a folder whose path is too long. A guest can make such a folder step by step, because
    /// each step needs only a short relative path.
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

//! Makes temporary folders for the copies of components' files. When the host stops normally, it deletes its folders.
//! If a host was killed, the next host that makes a folder deletes the folders of the killed host.
//!
//! Each folder contains a lock file, which the host keeps locked. When the host's process ends, for whatever reason,
//! the operating system removes the lock. So if the lock file of a folder is not locked, the process that made the
//! folder has ended.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};

use anyhow::Context as _;
use rustix::fs::OFlags;
use rustix::process::geteuid;

/// Prefix of each temporary folder's name.
const PREFIX: &str = "epilogue-";
/// The name of the lock file in each temporary folder. No other program uses this name. So if a folder contains a file
/// of this name, a host has made the folder, and another host may delete it.
const LOCK: &str = ".epilogue-lock";
/// The first name of the lock file. When the host has locked the file, the host renames the file to [`LOCK`]. Other
/// processes do not delete a folder that has no file named [`LOCK`].
const UNLOCKED: &str = ".epilogue-lock-new";

static TIDIED: Once = Once::new();

/// All temporary folders of the process. [`delete_all`] needs this list, because some [`Scratch`] values are never
/// dropped. For example, the reload thread never ends, and may hold a [`Scratch`].
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Largest number of attempts to delete a folder. An attempt can fail if a guest still writes into the folder.
const ATTEMPTS: usize = 3;

/// A temporary folder. When this value is dropped, the folder is deleted. If this value is never dropped,
/// [`delete_all`] or a later process deletes the folder.
pub(crate) struct Scratch {
    path: PathBuf,
    /// The open lock file. The lock file stays locked until this value is dropped.
    _lock: File,
}

impl Scratch {
    /// Makes an empty folder in `$TMPDIR` that only this user can enter. The first call in a process also deletes the
    /// folders that killed processes have left behind.
    pub(crate) fn new() -> anyhow::Result<Self> {
        TIDIED.call_once(|| delete_abandoned(&std::env::temp_dir()));
        let mut folders = FOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
        let make = |path: &Path| DirBuilder::new().mode(0o700).create(path);
        let folder = tempfile::Builder::new().prefix(PREFIX).make(make).context("cannot make a temporary folder")?;
        let (_, folder) = folder.keep().context("cannot keep a temporary folder")?;
        folders.push(folder.clone());
        let lock = lock(&folder).with_context(|| format!("cannot lock {}", folder.display()))?;
        Ok(Self { path: folder, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        FOLDERS.lock().unwrap_or_else(PoisonError::into_inner).retain(|folder| *folder != self.path);
        delete(&self.path);
    }
}

/// Deletes all temporary folders of this process. The host calls this function just before the process ends.
pub(crate) fn delete_all() {
    let folders = std::mem::take(&mut *FOLDERS.lock().unwrap_or_else(PoisonError::into_inner));
    folders.iter().for_each(|folder| delete(folder));
}

fn lock(folder: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(UNLOCKED))?;
    file.lock()?;
    fs::rename(folder.join(UNLOCKED), folder.join(LOCK))?;
    Ok(file)
}

/// Deletes the temporary folders in `parent` that killed processes of this user have left behind.
fn delete_abandoned(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for folder in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        // The lock is kept until the folder is deleted, so that another process that starts now does not touch it.
        if let Ok(Some(_lock)) = lock_abandoned(&folder.path()) {
            tracing::info!(target: "epilogue::scratch", "deleting {}, which a killed host has left behind", folder.path().display());
            delete(&folder.path());
        }
    }
}

/// Locks a temporary folder that a killed process has left behind. Returns `None` if a process still uses the folder.
/// Also returns `None` if the folder does not belong to this user, because other users can make files and links with
/// any name in a shared `/tmp`.
fn lock_abandoned(folder: &Path) -> io::Result<Option<File>> {
    let own = |what: &fs::Metadata| what.uid() == geteuid().as_raw();
    let what = fs::symlink_metadata(folder)?;
    if !what.is_dir() || !own(&what) {
        return Ok(None);
    }
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let file = OpenOptions::new().write(true).custom_flags(flags).open(folder.join(LOCK))?;
    let what = file.metadata()?;
    if !what.is_file() || !own(&what) || file.try_lock().is_err() {
        return Ok(None);
    }
    Ok(Some(file))
}

fn delete(folder: &Path) {
    let mut result = Ok(());
    for _ in 0..ATTEMPTS {
        result = fs::remove_dir_all(folder);
        if result.is_ok() {
            return;
        }
    }
    match result {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(target: "epilogue::scratch", "cannot delete {}, which has copies of components' files: {error}", folder.display());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_user_or_with_all() {
        let (dropped, kept) = (Scratch::new().unwrap(), Scratch::new().unwrap());
        let paths = [dropped.path().to_owned(), kept.path().to_owned()];
        for path in &paths {
            fs::create_dir(path.join("0")).unwrap();
            fs::write(path.join("0/file"), "text").unwrap();
        }
        drop(dropped);
        assert!(!paths[0].exists() && paths[1].exists());
        delete_all();
        assert!(!paths[1].exists());
        // It has nothing left to delete.
        drop(kept);
    }

    #[test]
    fn only_folders_of_dead_processes_are_deleted() {
        let parent = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = parent.path().join(name);
            fs::create_dir_all(path.join("0")).unwrap();
            path
        };
        let (dead, alive, other) = (folder("epilogue-dead"), folder("epilogue-alive"), folder("epilogue-other"));
        drop(lock(&dead).unwrap());
        let held = lock(&alive).unwrap();
        // A folder of another user that has such a file, and links to it.
        let own = folder("own");
        fs::write(own.join(LOCK), "").unwrap();
        std::os::unix::fs::symlink(&own, parent.path().join("epilogue-link")).unwrap();
        std::os::unix::fs::symlink(own.join(LOCK), other.join(LOCK)).unwrap();
        delete_abandoned(parent.path());
        assert!(!dead.exists());
        assert!(alive.exists() && other.exists() && own.exists());
        drop(held);
        delete_abandoned(parent.path());
        assert!(!alive.exists() && other.exists() && own.exists());
    }
}

//! Folders for the copies of components' files. The host deletes them whenever the process ends in order.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;

/// The folders that exist. A thread that never ends, such as the one that reloads, may hold a folder, so that it is
/// never dropped.
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// How often the host tries to delete a folder into which a guest still writes.
const ATTEMPTS: usize = 3;

/// A folder that is deleted when it is dropped, or else by [`delete_all`].
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty folder, which only this user can enter, in `$TMPDIR`.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut folders = FOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::Builder::new().prefix("epilogue-").tempdir();
        let folder = folder.context("cannot make a temporary folder")?.keep();
        folders.push(folder.clone());
        Ok(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        FOLDERS.lock().unwrap_or_else(PoisonError::into_inner).retain(|folder| *folder != self.0);
        delete(&self.0);
    }
}

/// Deletes all folders. Called when the process is about to end.
pub(crate) fn delete_all() {
    let folders = std::mem::take(&mut *FOLDERS.lock().unwrap_or_else(PoisonError::into_inner));
    folders.iter().for_each(|folder| delete(folder));
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
}

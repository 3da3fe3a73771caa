//! Checks that no symbolic link among an application's files leads out of the application.

use std::path::{Component as PathPart, Path, PathBuf};

use anyhow::{Context as _, bail};

use super::FilesEntry;

/// The folders in which the files of one `files` entry may be. The check uses the real path of a file, which is the
/// path after the host has followed all symbolic links.
pub(super) struct Inside(Vec<PathBuf>);

impl Inside {
    /// Returns the folders in which the files of an entry may be. The files may always be in the application's folder,
    /// `root`. If the entry names a `source` outside of `root`, the files may also be in this `source`.
    pub(super) fn of(root: &Path, entry: &FilesEntry) -> anyhow::Result<Self> {
        let root = if root.as_os_str().is_empty() { Path::new(".") } else { root };
        let mut folders = vec![follow(root)?];
        if let FilesEntry::Placement { source, .. } = entry {
            let source = Path::new(source);
            if source.has_root() || source.components().any(|part| part == PathPart::ParentDir) {
                folders.push(follow(&root.join(source))?);
            }
        }
        Ok(Self(folders))
    }

    /// Checks that `path` is in one of the allowed folders.
    ///
    /// # Errors
    ///
    /// Returns an error if a symbolic link leads out of the allowed folders. The error message names the file and the
    /// file's real path.
    pub(super) fn check(&self, path: &Path) -> anyhow::Result<()> {
        let real = follow(path)?;
        if self.0.iter().any(|folder| real.starts_with(folder)) {
            return Ok(());
        }
        bail!(
            "{} goes through a symbolic link to {}, which is outside the application's folder: replace the link with a \
             copy, or use {{ source = {real:?}, destination = … }}",
            path.display(),
            real.display()
        )
    }
}

fn follow(path: &Path) -> anyhow::Result<PathBuf> {
    path.canonicalize().with_context(|| format!("cannot read {}", path.display()))
}

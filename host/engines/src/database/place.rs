//! Checks that a database file is still at its path. If somebody moves or removes the file, SQLite continues to write
//! to the moved or removed file. But the next process opens the original path, and does not find the data there.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The path of a database file, and the device number and inode number of the file that was opened there.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    file: (u64, u64),
}

impl Place {
    /// Remembers which file is at `path` now.
    ///
    /// # Errors
    /// Returns an error if no file is at `path`.
    pub fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: identity(path)? })
    }

    /// Returns an error if another file, or no file, is now at the path.
    pub(super) fn check(&self) -> Result<()> {
        match identity(&self.path) {
            Ok(file) if file == self.file => Ok(()),
            _ => Err(Error::Unavailable(format!(
                "{} was moved, removed or replaced while it was open: put the file back, or restart this process",
                self.path.display()
            ))),
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|file| (file.dev(), file.ino()))
}

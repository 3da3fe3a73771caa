//! Checks whether the file is still at its path. SQLite would go on writing to a file that was moved or removed, and
//! the next process would not find those batches.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The path that a file was opened at.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    file: (u64, u64),
}

impl Place {
    /// Remembers the file that is at `path` now.
    ///
    /// # Errors
    /// Returns an error if there is no file.
    pub fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: identity(path)? })
    }

    /// Returns an error if there is another file at the path, or no file.
    pub(super) fn check(&self) -> Result<()> {
        match identity(&self.path) {
            Ok(file) if file == self.file => Ok(()),
            _ => Err(Error::Unavailable(format!(
                "{} was moved, removed or replaced while it was open: put it back, or restart",
                self.path.display()
            ))),
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|file| (file.dev(), file.ino()))
}

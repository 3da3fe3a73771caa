//! The files of the application that a component may read.

mod links;
#[cfg(test)]
mod tests;

use std::{
    fs,
    io::ErrorKind,
    path::{Component as PathPart, Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use self::links::Inside;
use crate::values::{Size, Value as _};

/// The files that a component may read: the component's `files`, except its `exclude_files`. The host looks for the
/// files when it loads the component, because a build may create files after the host has read the manifest.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The folder of the application's manifest.
    root: PathBuf,
    entries: Vec<FilesEntry>,
    exclude: Vec<glob::Pattern>,
}

/// One entry of a component's `files`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub(super) enum FilesEntry {
    /// A file, a folder or a glob pattern, relative to the application's folder. For example, the guest sees the file
    /// `a/b` of the application's folder as `/a/b`.
    Pattern(String),
    /// A folder or a file, and the path at which the guest sees it.
    #[serde(rename_all = "snake_case")]
    Placement {
        /// The path of the file or folder on the host.
        source: String,
        /// The path of the file or folder in the guest.
        destination: String,
    },
}

/// A file or folder on the host, and its path in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The path of the file or folder on the host.
    pub host: PathBuf,
    /// The absolute path of the file or folder in the guest.
    pub guest: String,
}

impl Files {
    pub(super) fn new(root: &Path, entries: Vec<FilesEntry>, exclude: &[String]) -> anyhow::Result<Self> {
        for entry in &entries {
            entry.check()?;
        }
        let exclude = exclude
            .iter()
            .map(|pattern| glob::Pattern::new(pattern).with_context(|| format!("{pattern:?} is not a pattern")));
        Ok(Self { root: root.to_owned(), entries, exclude: exclude.collect::<anyhow::Result<_>>()? })
    }

    /// Returns true if the component may not read any file.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Prepares the folders that the guest can open. If `writable` is a size, the guest may write to its files, and the
    /// function copies all files into the folder `scratch`. If `writable` is `None`, each entry is a whole folder with
    /// a `destination`, and no file is excluded, the guest opens the host's folders directly. In all other cases, the
    /// function copies all files into the folder `scratch`. The caller must keep the folder `scratch` as long as the
    /// guest runs.
    ///
    /// # Errors
    ///
    /// Returns an error if a file or folder does not exist, if the host cannot read or copy a file, or if a path
    /// follows a symbolic link out of the application. Also returns an error if the total size of the files is larger
    /// than `writable`. The error message names the file or folder, or the setting `max-transient-write`.
    pub fn prepare(&self, scratch: &Path, writable: Option<Size>) -> anyhow::Result<Vec<Mount>> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        if writable.is_none()
            && let Some(folders) = self.whole_folders()?
        {
            return Ok(folders);
        }
        fs::create_dir_all(scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
        let files = self.resolve()?;
        if let Some(most) = writable {
            check_size(&files, most)?;
        }
        for file in files {
            let target = scratch.join(file.guest.trim_start_matches('/'));
            let copied =
                target.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::copy(&file.host, &target));
            copied.with_context(|| format!("cannot copy {} to {}", file.host.display(), target.display()))?;
        }
        Ok(vec![Mount { host: scratch.to_owned(), guest: "/".to_owned() }])
    }

    /// Checks that the files exist. Unlike Spin, this function returns a warning for the author about each pattern that
    /// matches no file.
    ///
    /// # Errors
    ///
    /// Returns an error if the host cannot find or read a file or folder, or if the path of a file or folder follows a
    /// symbolic link out of the application. The error message names the file or folder.
    pub fn check(&self) -> anyhow::Result<Vec<String>> {
        let everything = Self { root: self.root.clone(), ..Self::default() };
        let mut warnings = Vec::new();
        for entry in &self.entries {
            match entry {
                FilesEntry::Pattern(pattern) => {
                    let mut files = Vec::new();
                    everything.matching(pattern, &Inside::of(&self.root, entry)?, &mut files)?;
                    if files.is_empty() {
                        warnings.push(format!("{pattern:?} in files matches no file in {}", self.root.display()));
                    }
                }
                FilesEntry::Placement { source, .. } => {
                    self.kind(source)?;
                    Inside::of(&self.root, entry)?.check(&self.root.join(source))?;
                }
            }
        }
        Ok(warnings)
    }

    /// Returns every file that the component may read, with the file's path in the guest.
    pub fn resolve(&self) -> anyhow::Result<Vec<Mount>> {
        let mut files = Vec::new();
        for entry in &self.entries {
            let inside = Inside::of(&self.root, entry)?;
            match entry {
                FilesEntry::Pattern(pattern) => self.matching(pattern, &inside, &mut files)?,
                FilesEntry::Placement { source, destination } => {
                    self.placed(source, destination, &inside, &mut files)?;
                }
            }
        }
        Ok(files)
    }

    /// Returns the folders that the guest can open directly, without a copy. Returns `None` if an entry is not a folder
    /// with a `destination`, or if the component excludes files. This function does not check symbolic links inside a
    /// folder, because the guest's sandbox refuses links that lead out of the folder.
    fn whole_folders(&self) -> anyhow::Result<Option<Vec<Mount>>> {
        let folder = |entry: &FilesEntry| match entry {
            FilesEntry::Placement { source, destination } if self.root.join(source).is_dir() => {
                Some(Mount { host: self.root.join(source), guest: absolute(destination) })
            }
            _ => None,
        };
        let folders: Vec<Mount> = self.entries.iter().map_while(folder).collect();
        if !self.exclude.is_empty() || folders.len() < self.entries.len() {
            return Ok(None);
        }
        for (entry, folder) in self.entries.iter().zip(&folders) {
            Inside::of(&self.root, entry)?.check(&folder.host)?;
        }
        Ok(Some(folders))
    }

    fn matching(&self, pattern: &str, inside: &Inside, files: &mut Vec<Mount>) -> anyhow::Result<()> {
        let path = self.root.join(pattern);
        // A file's name may look like a glob pattern. If a file with this name exists, the entry means this file.
        if glob::Pattern::escape(pattern) != pattern && !path.exists() {
            return self.globbed(pattern, &self.root, &self.root, "/", inside, files);
        }
        match self.kind(pattern)? {
            Kind::Folder => self.below(&path, &self.root, "/", inside, files),
            Kind::File => self.add(&path, &absolute(pattern), inside, files),
        }
    }

    fn placed(&self, source: &str, destination: &str, inside: &Inside, files: &mut Vec<Mount>) -> anyhow::Result<()> {
        let path = self.root.join(source);
        if let Kind::Folder = self.kind(source)? {
            return self.below(&path, &path, destination, inside, files);
        }
        ensure!(!destination.ends_with('/'), "{destination:?} is a folder, but {source:?} is a file");
        self.add(&path, &absolute(destination), inside, files)
    }

    /// Returns whether the path leads to a file or to a folder.
    fn kind(&self, path: &str) -> anyhow::Result<Kind> {
        match fs::metadata(self.root.join(path)) {
            Ok(what) if what.is_dir() => Ok(Kind::Folder),
            Ok(what) if what.is_file() => Ok(Kind::File),
            Ok(_) => bail!("{path:?} is neither a file nor a folder"),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("the file or folder {path:?} does not exist in {}", self.root.display())
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", self.root.join(path).display())),
        }
    }

    /// Adds all files in `folder` and in its subfolders to `files`. In the guest, a file's path is `destination`,
    /// followed by the file's path relative to `base`.
    fn below(
        &self,
        folder: &Path,
        base: &Path,
        destination: &str,
        inside: &Inside,
        files: &mut Vec<Mount>,
    ) -> anyhow::Result<()> {
        self.globbed("**/*", folder, base, destination, inside, files)
    }

    fn globbed(
        &self,
        pattern: &str,
        folder: &Path,
        base: &Path,
        destination: &str,
        inside: &Inside,
        files: &mut Vec<Mount>,
    ) -> anyhow::Result<()> {
        let folder = folder.to_str().with_context(|| format!("{} is not UTF-8", folder.display()))?;
        let whole = format!("{}/{pattern}", glob::Pattern::escape(folder));
        for path in glob::glob(&whole).with_context(|| format!("{pattern:?} is not a pattern"))? {
            let path = path?;
            if !path.is_file() {
                continue;
            }
            let relative =
                path.strip_prefix(base)?.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
            let guest = format!("{}/{relative}", absolute(destination).trim_end_matches('/'));
            self.add(&path, &guest, inside, files)?;
        }
        Ok(())
    }

    fn add(&self, path: &Path, guest: &str, inside: &Inside, files: &mut Vec<Mount>) -> anyhow::Result<()> {
        let relative = path.strip_prefix(&self.root).unwrap_or(path);
        if !self.exclude.iter().any(|pattern| pattern.matches_path(relative)) {
            inside.check(path)?;
            files.push(Mount { host: path.to_owned(), guest: guest.to_owned() });
        }
        Ok(())
    }
}

/// Checks that the total size of these files is at most `most`.
fn check_size(files: &[Mount], most: Size) -> anyhow::Result<()> {
    let mut size = 0_u64;
    for file in files {
        let file = fs::metadata(&file.host).with_context(|| format!("cannot read {}", file.host.display()))?;
        size = size.saturating_add(file.len());
    }
    let (most, shown) = (most.bytes() as u64, most.show());
    ensure!(
        size <= most,
        "its files take {size} bytes, but max-transient-write is {shown}: raise max-transient-write, or name fewer files"
    );
    Ok(())
}

enum Kind {
    File,
    Folder,
}

impl FilesEntry {
    /// If the entry's `destination` is a relative path, returns a warning for the author. The warning shows the
    /// absolute path at which the guest sees the file.
    pub(super) fn warning(&self) -> Option<String> {
        match self {
            Self::Placement { destination, .. } if !destination.starts_with('/') => {
                let seen = absolute(destination);
                Some(format!(
                    "the destination {destination:?} is relative: write {seen:?}, where the component sees it"
                ))
            }
            _ => None,
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        let leaves = |path: &str| Path::new(path).components().any(|part| part == PathPart::ParentDir);
        match self {
            Self::Pattern(pattern) if Path::new(pattern).has_root() || leaves(pattern) => {
                bail!("{pattern:?} leaves the application's folder: use {{ source = …, destination = … }}")
            }
            Self::Pattern(pattern) if pattern == "." || pattern.ends_with("/.") => {
                bail!("{pattern:?} matches no files: use \"**/*\", or {{ source = …, destination = … }}")
            }
            Self::Placement { destination, .. } if leaves(destination) => {
                bail!("the destination {destination:?} must not contain \"..\"")
            }
            _ => Ok(()),
        }
    }
}

fn absolute(guest: &str) -> String {
    let guest = guest.trim_start_matches("./").trim_start_matches('/');
    format!("/{guest}")
}

//! The files of the application that a component may read.

use std::{
    fs,
    io::ErrorKind,
    path::{Component as PathPart, Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

/// A component's `files` without its `exclude_files`. The host looks for them only when they are asked for, because a
/// build may make them.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The application's folder.
    root: PathBuf,
    entries: Vec<FilesEntry>,
    exclude: Vec<glob::Pattern>,
}

/// One entry of `files`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub(super) enum FilesEntry {
    /// A file, a folder or a glob pattern. The guest sees the files under the same paths.
    Pattern(String),
    /// A folder or a file that the guest sees at another path.
    #[serde(rename_all = "snake_case")]
    Placement {
        /// Path on the host.
        source: String,
        /// Path in the guest.
        destination: String,
    },
}

/// A file or folder of the host, and where the guest finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Path on the host.
    pub host: PathBuf,
    /// Absolute path in the guest.
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

    /// Whether the component may read no file.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Prepares the folders to open for the guest. Folders that are placed whole are opened as they are. All other
    /// files are copied into `scratch`, which must exist as long as the guest. With `copy` everything is copied, for a
    /// guest that may write.
    ///
    /// # Errors
    ///
    /// If a file or folder does not exist, or cannot be read or copied. The message names it.
    pub fn prepare(&self, scratch: &Path, copy: bool) -> anyhow::Result<Vec<Mount>> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        if !copy && let Some(folders) = self.whole_folders() {
            return Ok(folders);
        }
        fs::create_dir_all(scratch).with_context(|| format!("can't create {}", scratch.display()))?;
        for file in self.resolve()? {
            let target = scratch.join(file.guest.trim_start_matches('/'));
            let copied =
                target.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::copy(&file.host, &target));
            copied.with_context(|| format!("can't copy {} to {}", file.host.display(), target.display()))?;
        }
        Ok(vec![Mount { host: scratch.to_owned(), guest: "/".to_owned() }])
    }

    /// Checks that the files exist. Returns warnings for the author about patterns that match no file, of which Spin
    /// says nothing.
    ///
    /// # Errors
    ///
    /// If a file or folder does not exist, or cannot be read. The message names it.
    pub fn check(&self) -> anyhow::Result<Vec<String>> {
        let everything = Self { root: self.root.clone(), ..Self::default() };
        let mut warnings = Vec::new();
        for entry in &self.entries {
            match entry {
                FilesEntry::Pattern(pattern) => {
                    let mut files = Vec::new();
                    everything.matching(pattern, &mut files)?;
                    if files.is_empty() {
                        warnings.push(format!("{pattern:?} in files matches no file in {}", self.root.display()));
                    }
                }
                FilesEntry::Placement { source, .. } => _ = self.kind(source)?,
            }
        }
        Ok(warnings)
    }

    /// Lists every single file, and where the guest finds it.
    pub fn resolve(&self) -> anyhow::Result<Vec<Mount>> {
        let mut files = Vec::new();
        for entry in &self.entries {
            match entry {
                FilesEntry::Pattern(pattern) => self.matching(pattern, &mut files)?,
                FilesEntry::Placement { source, destination } => self.placed(source, destination, &mut files)?,
            }
        }
        Ok(files)
    }

    fn whole_folders(&self) -> Option<Vec<Mount>> {
        let folder = |entry: &FilesEntry| match entry {
            FilesEntry::Placement { source, destination } if self.root.join(source).is_dir() => {
                Some(Mount { host: self.root.join(source), guest: absolute(destination) })
            }
            _ => None,
        };
        let folders: Vec<Mount> = self.entries.iter().map_while(folder).collect();
        (self.exclude.is_empty() && folders.len() == self.entries.len()).then_some(folders)
    }

    fn matching(&self, pattern: &str, files: &mut Vec<Mount>) -> anyhow::Result<()> {
        let path = self.root.join(pattern);
        // A pattern may be a file's name too.
        if glob::Pattern::escape(pattern) != pattern && !path.exists() {
            return self.globbed(pattern, &self.root, &self.root, "/", files);
        }
        match self.kind(pattern)? {
            Kind::Folder => self.below(&path, &self.root, "/", files),
            Kind::File => {
                self.add(&path, &absolute(pattern), files);
                Ok(())
            }
        }
    }

    fn placed(&self, source: &str, destination: &str, files: &mut Vec<Mount>) -> anyhow::Result<()> {
        let path = self.root.join(source);
        if let Kind::Folder = self.kind(source)? {
            return self.below(&path, &path, destination, files);
        }
        ensure!(!destination.ends_with('/'), "{destination:?} is a folder, but {source:?} is a file");
        self.add(&path, &absolute(destination), files);
        Ok(())
    }

    /// What is at this path, or the error that it cannot be told.
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

    /// Adds all files under `folder`, which the guest sees under `destination` by their path relative to `base`.
    fn below(&self, folder: &Path, base: &Path, destination: &str, files: &mut Vec<Mount>) -> anyhow::Result<()> {
        self.globbed("**/*", folder, base, destination, files)
    }

    fn globbed(
        &self,
        pattern: &str,
        folder: &Path,
        base: &Path,
        destination: &str,
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
            self.add(&path, &guest, files);
        }
        Ok(())
    }

    fn add(&self, path: &Path, guest: &str, files: &mut Vec<Mount>) {
        let relative = path.strip_prefix(&self.root).unwrap_or(path);
        if !self.exclude.iter().any(|pattern| pattern.matches_path(relative)) {
            files.push(Mount { host: path.to_owned(), guest: guest.to_owned() });
        }
    }
}

enum Kind {
    File,
    Folder,
}

impl FilesEntry {
    /// A warning for the author about this entry, whatever files there are.
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
                bail!("{pattern:?} is no pattern: use \"**/*\", or {{ source = …, destination = … }}")
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An application's folder, whose own name must not be taken for a pattern.
    fn application() -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("app [1]");
        for file in ["a.txt", "assets/one.png", "assets/two.txt", "assets/deep/three.png", "secret/key.pem"] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        (parent, root)
    }

    fn pattern(pattern: &str) -> FilesEntry {
        FilesEntry::Pattern(pattern.to_owned())
    }

    fn placement(source: &str, destination: &str) -> FilesEntry {
        FilesEntry::Placement { source: source.to_owned(), destination: destination.to_owned() }
    }

    fn guest_paths(root: &Path, entries: Vec<FilesEntry>, exclude: &[&str]) -> Vec<String> {
        let exclude: Vec<String> = exclude.iter().map(|pattern| (*pattern).to_owned()).collect();
        let files = Files::new(root, entries, &exclude).unwrap().resolve().unwrap();
        let mut paths: Vec<String> = files
            .into_iter()
            .map(|file| format!("{}={}", file.guest, fs::read_to_string(file.host).unwrap()))
            .collect();
        paths.sort();
        paths
    }

    #[test]
    fn entries_resolve_as_in_spin() {
        let (_parent, root) = application();
        for (entry, expected) in [
            (pattern("a.txt"), vec!["/a.txt=a.txt"]),
            (pattern("assets/*.png"), vec!["/assets/one.png=assets/one.png"]),
            (
                pattern("assets/**/*.png"),
                vec!["/assets/deep/three.png=assets/deep/three.png", "/assets/one.png=assets/one.png"],
            ),
            (pattern("secret"), vec!["/secret/key.pem=secret/key.pem"]),
            (pattern("none/*"), vec![]),
            (placement("assets/deep", "/"), vec!["/three.png=assets/deep/three.png"]),
            (placement("assets/deep/", "img/"), vec!["/img/three.png=assets/deep/three.png"]),
            (placement("a.txt", "/b.txt"), vec!["/b.txt=a.txt"]),
        ] {
            assert_eq!(guest_paths(&root, vec![entry.clone()], &[]), expected, "{entry:?}");
        }
    }

    #[test]
    fn excluded_files_are_left_out() {
        let (_parent, root) = application();
        let entries = vec![pattern("**/*")];
        assert_eq!(
            guest_paths(&root, entries, &["secret/*", "assets/**/*.png"]),
            ["/a.txt=a.txt", "/assets/two.txt=assets/two.txt"]
        );
    }

    #[test]
    fn whole_folders_are_opened_as_they_are() {
        let (parent, root) = application();
        let scratch = parent.path().join("scratch");
        let files = Files::new(&root, vec![placement("assets", "/static")], &[]).unwrap();
        let mounts = files.prepare(&scratch, false).unwrap();
        assert_eq!(mounts, [Mount { host: root.join("assets"), guest: "/static".to_owned() }]);
        assert!(!scratch.exists());
    }

    #[test]
    fn anything_else_is_copied() {
        let (parent, root) = application();
        let scratch = parent.path().join("scratch");
        let entries = vec![placement("assets", "/static"), pattern("a.txt")];
        for copy in [false, true] {
            let files = Files::new(&root, entries.clone(), &[]).unwrap();
            let mounts = files.prepare(&scratch, copy).unwrap();
            assert_eq!(mounts, [Mount { host: scratch.clone(), guest: "/".to_owned() }]);
            assert!(scratch.join("static/deep/three.png").is_file());
            assert!(scratch.join("a.txt").is_file());
        }
    }

    #[test]
    fn mistakes_are_explained() {
        let (_parent, root) = application();
        for (entry, expected) in [
            (pattern("../x"), "\"../x\" leaves the application's folder: use { source = …, destination = … }"),
            (pattern("/etc/*"), "\"/etc/*\" leaves the application's folder: use { source = …, destination = … }"),
            (pattern("."), "\".\" is no pattern: use \"**/*\", or { source = …, destination = … }"),
            (placement("assets", "/../x"), "the destination \"/../x\" must not contain \"..\""),
        ] {
            let error = Files::new(&root, vec![entry], &[]).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        for (entry, expected) in [
            (pattern("b.txt"), "the file or folder \"b.txt\" does not exist in"),
            (placement("b", "/b"), "the file or folder \"b\" does not exist in"),
            (placement("a.txt", "/b/"), "\"/b/\" is a folder, but \"a.txt\" is a file"),
        ] {
            let error = Files::new(&root, vec![entry], &[]).unwrap().resolve().unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
}

//! Watches the files of an application for changes (`epilogue up --watch`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::Context as _;
use epilogue_manifest::Manifest;
use glob::{MatchOptions, Pattern};
use notify_debouncer_full::notify::{self, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, NoCache, new_debouncer_opt};

/// After a file has changed, the host waits for this time before it reloads or builds, because further changes often
/// follow.
const REST: Duration = Duration::from_millis(200);

/// The rules by which a pattern of `build.watch` matches files. Spin uses the same rules. `*` matches no `/`, so
/// `src/*` matches only the files in the folder `src` itself. `src/**/*` also matches the files in subfolders of `src`.
const MATCHING: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// A reason to reload or to build the application.
pub(crate) enum Cause {
    /// The operator has sent SIGHUP to the host.
    Signal,
    /// These files have changed.
    Files(Vec<PathBuf>),
}

/// Watches the files that a manifest names, and the manifest.
pub(crate) struct Watching {
    watcher: Debouncer<RecommendedWatcher, NoCache>,
    /// True if the host also watches the source files of components.
    build: bool,
    watched: Watched,
}

/// The files and folders that the host watches.
#[derive(Debug, Default, PartialEq, Eq)]
struct Watched {
    /// The folder of the manifest.
    root: PathBuf,
    folders: BTreeMap<PathBuf, RecursiveMode>,
    /// The files that the host loads: the manifest and the components' files.
    loaded: BTreeSet<PathBuf>,
    /// The patterns for the source files of components. Each entry contains a component's id, the pattern as it is in
    /// the manifest, and the pattern as an absolute path.
    built: Vec<(String, String, Pattern)>,
}

/// The role of a changed file in the application.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Concern {
    /// The host reads the file when it loads the application.
    Loaded,
    /// The file is a source file of these components.
    Built(Vec<String>),
}

impl Watching {
    /// Starts to watch the files that the host loads, and sends each change to `causes`. If `build` is set, also
    /// watches the components' source files.
    ///
    /// # Errors
    ///
    /// Returns an error if the manifest has an invalid pattern, or if the system cannot watch so many folders.
    pub(crate) fn start(manifest: &Manifest, build: bool, causes: Sender<Cause>) -> anyhow::Result<Self> {
        let tell = move |changes: DebounceEventResult| match changes {
            Ok(changes) => {
                let changes = changes.into_iter().filter(|change| !change.kind.is_access());
                // When the host ends, the receiver no longer exists.
                _ = causes.send(Cause::Files(changes.flat_map(|change| change.event.paths).collect()));
            }
            Err(errors) => errors.iter().for_each(|error| {
                tracing::warn!(
                    target: "epilogue::watch",
                    "a file change may have been missed, so save the file again: {error}"
                );
            }),
        };
        let watcher = new_debouncer_opt(REST, None, tell, NoCache, notify::Config::default())?;
        let mut watching = Self { watcher, build, watched: Watched::default() };
        watching.follow(manifest)?;
        Ok(watching)
    }

    /// Watches the files that `manifest` names, and stops watching all other files.
    pub(crate) fn follow(&mut self, manifest: &Manifest) -> anyhow::Result<()> {
        let watched = Watched::of(manifest, self.build)?;
        if watched == self.watched {
            return Ok(());
        }
        for (folder, mode) in &watched.folders {
            if self.watched.folders.get(folder) == Some(mode) {
                continue;
            }
            match folder.is_dir() {
                true => self
                    .watcher
                    .watch(folder, *mode)
                    .with_context(|| format!("cannot watch the folder {}", folder.display()))?,
                false => {
                    tracing::warn!(target: "epilogue::watch", "cannot watch the folder {}: it does not exist", folder.display())
                }
            }
        }
        for folder in self.watched.folders.keys().filter(|folder| !watched.folders.contains_key(*folder)) {
            // The folder may never have existed.
            _ = self.watcher.unwatch(folder);
        }
        tracing::info!(target: "epilogue::watch", "watching {}", watched.names());
        self.watched = watched;
        Ok(())
    }

    /// Returns the role of a file in the application, or `None` if the application does not use the file.
    pub(crate) fn concern(&self, file: &Path) -> Option<Concern> {
        self.watched.concern(file)
    }

    /// Returns the name of a file for messages: the file's path relative to the manifest's folder.
    pub(crate) fn name(&self, file: &Path) -> String {
        self.watched.name(file)
    }
}

impl Watched {
    fn of(manifest: &Manifest, build: bool) -> anyhow::Result<Self> {
        let root = manifest.folder.clone();
        // A download never changes, because its digest is known.
        let sources = manifest.sources().filter(|source| manifest.download(source).is_none());
        let mut loaded: BTreeSet<PathBuf> = sources.map(Path::to_owned).collect();
        loaded.extend(manifest.path.file_name().map(|name| root.join(name)));
        // The host watches the folder and not the file, because build tools and editors replace files.
        let folder = |file: &PathBuf| Some((file.parent()?.to_owned(), RecursiveMode::NonRecursive));
        let mut folders: BTreeMap<PathBuf, RecursiveMode> = loaded.iter().filter_map(folder).collect();
        let mut built = Vec::new();
        for component in manifest.components.iter().filter(|_| build) {
            let id = &component.id;
            let Some(build) = &component.build else { continue };
            if build.watch.is_empty() {
                tracing::warn!(
                    target: "epilogue::watch",
                    "component {id:?} has no build.watch, so --watch ignores changes of its source files: add watch to \
                     [component.{id}.build]"
                );
            }
            for pattern in &build.watch {
                let whole = format!("{}/{pattern}", Pattern::escape(&build.workdir.to_string_lossy()));
                let whole = Pattern::new(&whole)
                    .with_context(|| format!("{pattern:?} in build.watch of component {id:?} is not a pattern"))?;
                let (folder, mode) = reach(&build.workdir, pattern);
                let known = folders.entry(folder).or_insert(mode);
                if mode == RecursiveMode::Recursive {
                    *known = mode;
                }
                built.push((id.clone(), pattern.clone(), whole));
            }
        }
        Ok(Self { root, folders, loaded, built })
    }

    fn concern(&self, file: &Path) -> Option<Concern> {
        if self.loaded.contains(file) {
            return Some(Concern::Loaded);
        }
        let from = self.built.iter().filter(|(_, _, pattern)| pattern.matches_path_with(file, MATCHING));
        let components: Vec<String> = from.map(|(component, _, _)| component.clone()).collect();
        (!components.is_empty()).then_some(Concern::Built(components))
    }

    fn name(&self, file: &Path) -> String {
        file.strip_prefix(&self.root).unwrap_or(file).display().to_string()
    }

    fn names(&self) -> String {
        let loaded = self.loaded.iter().map(|file| self.name(file));
        let built = self.built.iter().map(|(_, pattern, _)| pattern.clone());
        loaded.chain(built).collect::<Vec<_>>().join(", ")
    }
}

/// Returns the folder that the host must watch to see changes of all files that a pattern matches. If the pattern can
/// also match files in subfolders, the returned mode is recursive.
fn reach(workdir: &Path, pattern: &str) -> (PathBuf, RecursiveMode) {
    let (fixed, open) = pattern.split_at(pattern.find(['*', '?', '[']).unwrap_or(pattern.len()));
    let base = fixed.rsplit_once('/').map_or("", |(base, _)| base);
    let deep = open.contains('/') || open.contains("**");
    let mode = if deep { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
    // Not `join("")`, which would end in a slash.
    (if base.is_empty() { workdir.to_owned() } else { workdir.join(base) }, mode)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn watched(build: bool) -> (tempfile::TempDir, Watched) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("spin.toml");
        let text = "spin_manifest_version = 2\napplication.name = \"app\"\n\
             [[trigger.http]]\nroute = \"/...\"\ncomponent = \"one\"\n\
             dependencies.middleware = [{ path = \"around.wasm\" }]\n\
             [component.one]\nsource = \"out/one.wasm\"\n\
             build = { command = \"true\", watch = [\"src/**/*.rs\", \"Cargo.toml\", \"wit/*.wit\"] }\n\
             [component.two]\nsource = \"two.wasm\"\n\
             build = { command = \"true\", workdir = \"sub\", watch = [\"../src/*.rs\"] }\n";
        fs::write(&file, text).unwrap();
        let manifest = Manifest::load(&file).unwrap().select(&[]).unwrap();
        let watched = Watched::of(&manifest, build).unwrap();
        (folder, watched)
    }

    #[test]
    fn a_file_is_what_the_manifest_says_it_is() {
        let (folder, watched) = watched(true);
        let concern = |file: &str| watched.concern(&folder.path().join(file));
        for file in ["spin.toml", "out/one.wasm", "around.wasm"] {
            assert_eq!(concern(file), Some(Concern::Loaded), "{file}");
        }
        for file in ["src/lib.rs", "src/deep/mod.rs", "Cargo.toml", "wit/world.wit"] {
            assert_eq!(concern(file), Some(Concern::Built(vec!["one".to_owned()])), "{file}");
        }
        for file in ["src/lib.py", "sub/Cargo.toml", "wit/deps/other.wit", "out/other.wasm", "out"] {
            assert_eq!(concern(file), None, "{file}");
        }
        assert_eq!(watched.name(&folder.path().join("src/lib.rs")), "src/lib.rs");
    }

    #[test]
    fn without_a_build_only_what_is_loaded_is_watched() {
        let (folder, watched) = watched(false);
        assert_eq!(watched.concern(&folder.path().join("src/lib.rs")), None);
        assert_eq!(watched.names(), "around.wasm, out/one.wasm, spin.toml");
    }

    #[test]
    fn a_pattern_reaches_as_far_as_it_must_and_no_further() {
        let base = Path::new("/app");
        for (pattern, folder, mode) in [
            ("src/**/*.rs", "/app/src", RecursiveMode::Recursive),
            ("**/*.rs", "/app", RecursiveMode::Recursive),
            ("src/*/mod.rs", "/app/src", RecursiveMode::Recursive),
            ("src/m*", "/app/src", RecursiveMode::NonRecursive),
            ("Cargo.toml", "/app", RecursiveMode::NonRecursive),
            ("a/b/c.txt", "/app/a/b", RecursiveMode::NonRecursive),
        ] {
            assert_eq!(reach(base, pattern), (PathBuf::from(folder), mode), "{pattern}");
        }
    }
}

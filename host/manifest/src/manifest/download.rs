//! The WebAssembly files that the host downloads. In a manifest, the keys `url` and `digest` describe a file to
//! download.

use std::{
    env, iter,
    path::{Path, PathBuf},
};

use url::Url;

use super::reader::Section;

/// A WebAssembly file that the host downloads before it loads the application. If the file is already in the user's
/// cache folder, the host does not download the file again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// The file's address, which begins with `http://` or `https://`.
    pub url: Url,
    /// The SHA-256 digest of the file's content, as 64 digits in lower case.
    pub sha256: String,
    /// The absolute path at which the host keeps the file, in the user's cache folder. The host makes the file's name
    /// from the digest, so downloads with the same digest share one file.
    pub file: PathBuf,
}

/// Reads the keys `url` and `digest` of a table. If the table has neither `url` nor `digest`, returns `None`.
pub(super) fn read(table: &mut Section<'_>) -> anyhow::Result<Option<Download>> {
    let url = table.take_spanned::<String>("url")?;
    let digest = table.take_spanned::<String>("digest")?;
    let (url, url_at, digest, digest_at) = match (url, digest) {
        (None, None) => return Ok(None),
        (None, Some(_)) => return Err(table.missing("url")),
        (Some(_), None) => return Err(table.missing("digest")),
        (Some((url, url_at)), Some((digest, digest_at))) => (url, url_at, digest, digest_at),
    };
    let parsed = Url::parse(&url).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
    let parsed = parsed.filter(|url| url.username().is_empty() && url.password().is_none());
    let Some(url) = parsed else {
        let message = format_args!(
            "\"url\" in {} must be an address such as \"https://example.com/a.wasm\", without a user",
            table.name()
        );
        return Err(table.error(&url_at, message));
    };
    let sha256 = digest.strip_prefix("sha256:").map(str::to_ascii_lowercase);
    let is_digest = |text: &String| text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let Some(sha256) = sha256.filter(is_digest) else {
        let message = format_args!(
            "\"digest\" in {} must be \"sha256:\" and 64 digits, as sha256sum prints them, not {digest:?}",
            table.name()
        );
        return Err(table.error(&digest_at, message));
    };
    let Some(folder) = folder() else {
        let message = format_args!(
            "{} is a download, and there is no folder to keep it in: set HOME or XDG_CACHE_HOME",
            table.name()
        );
        return Err(table.error(table.span(), message));
    };
    let file = folder.join(format!("sha256-{sha256}.wasm"));
    Ok(Some(Download { url, sha256, file }))
}

/// Returns the folder for downloaded files, which is in the user's cache folder.
fn folder() -> Option<PathBuf> {
    let path = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = path("XDG_CACHE_HOME").or_else(|| Some(path("HOME")?.join(".cache")))?;
    Some(cache.join("epilogue").join("wasm"))
}

/// Removes the keys `registry`, `package` and `version` from a table. If the table has one of these keys, returns a
/// message which says that this host does not load packages from registries.
pub(super) fn registry(table: &mut Section<'_>) -> Option<String> {
    let keys = ["registry", "package", "version"].map(|key| table.take_value(key).is_some());
    keys.contains(&true).then(|| table.notice(table.span(), of_registry(table.name())))
}

/// Returns a message which says that `name` is in a registry, and that this host does not load packages from
/// registries.
pub(super) fn of_registry(name: &str) -> String {
    format!("{name} is a package of a registry, which this host does not load: use \"url\" and \"digest\", or a file")
}

impl Download {
    /// Returns the address as messages show it: without query and fragment, because these parts may be secret.
    pub fn shown(&self) -> String {
        let mut shown = self.url.clone();
        shown.set_query(None);
        shown.set_fragment(None);
        shown.into()
    }

    /// If the list does not contain the file yet, adds the download to the list. Returns the file's path.
    pub(super) fn add_to(self, downloads: &mut Vec<Self>) -> PathBuf {
        let file = self.file.clone();
        if !downloads.iter().any(|known| known.file == file) {
            downloads.push(self);
        }
        file
    }
}

impl super::Manifest {
    /// Removes the downloads of files that [`Self::sources`] does not return.
    pub(super) fn retain_downloads(&mut self) {
        let mut downloads = std::mem::take(&mut self.downloads);
        downloads.retain(|download| self.uses(&download.file));
        self.downloads = downloads;
    }

    fn uses(&self, file: &Path) -> bool {
        self.sources().any(|source| source == file)
    }

    /// Returns the files that the host loads: the file of each component that has a trigger, and the files of the
    /// component's middleware and dependencies. If several of these components have the same file, the result has the
    /// file several times.
    pub fn sources(&self) -> impl Iterator<Item = &Path> {
        self.services().into_iter().flat_map(|(component, middleware)| {
            let around = middleware.iter().map(|used| &used.source);
            let within = component.dependencies.iter().map(|used| &used.source);
            iter::once(&component.source).chain(around).chain(within).map(PathBuf::as_path)
        })
    }

    /// Returns the download that the host keeps at this path. If the file is not a download, returns `None`.
    pub fn download(&self, file: &Path) -> Option<&Download> {
        self.downloads.iter().find(|download| download.file == file)
    }
}

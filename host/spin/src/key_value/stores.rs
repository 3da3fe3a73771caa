//! The key-value stores of an application and of its components, by label.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyhow::Context as _;
use epilogue_manifest::manifest::KeyValueStore;

use super::redis::Redis;
use super::reported::{Report, Reported};
use super::sqlite::Sqlite;
use super::{DEFAULT, Error, Store};

/// The file name of the default store in the state directory. Spin uses the same file name.
const FILE: &str = "sqlite_key_value.db";

/// A backend: the place where a store keeps its data.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    /// The store keeps its data in the memory of this process.
    Memory,
    /// The store keeps its data in the SQLite file with this path.
    File(PathBuf),
    /// The store keeps its data on the Redis server with this URL.
    Redis(String),
}

impl Backend {
    /// Returns true if hosts on different machines share the data of the store.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Redis(_))
    }
}

/// The open databases and connections of all stores. Clones of a `Backends` share these databases and connections.
/// After a reload of the application, the host uses the databases and connections that are already open.
#[derive(Clone, Default)]
pub struct Backends(Arc<Mutex<BTreeMap<Backend, Weak<dyn Open>>>>);

/// An open database or connection, which can hold several stores.
pub(super) trait Open: Send + Sync {
    /// Returns the store with this label.
    fn store(self: Arc<Self>, label: &str) -> Arc<dyn Store>;
}

impl Backends {
    fn open(&self, backend: &Backend) -> anyhow::Result<Arc<dyn Open>> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = open.get(backend).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let opened: Arc<dyn Open> = match backend {
            Backend::Memory => Arc::new(Sqlite::in_memory()?),
            Backend::File(path) => Arc::new(Sqlite::open(path)?),
            Backend::Redis(url) => Arc::new(Redis::new(url)?),
        };
        open.retain(|_, known| known.strong_count() > 0);
        open.insert(backend.clone(), Arc::downgrade(&opened));
        Ok(opened)
    }
}

impl fmt::Debug for Backends {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The output omits the backends' URLs, because a URL may contain a password.
        formatter.debug_struct("Backends").finish_non_exhaustive()
    }
}

/// The stores of an application, by label. The host opens a store only if a component may use the store.
#[derive(Clone)]
pub struct Stores {
    backends: Backends,
    configured: BTreeMap<String, Backend>,
}

impl Stores {
    /// Creates the stores of the runtime configuration, which are in `configured`, and the store `default`. If
    /// `configured` does not contain the store `default`, this store keeps its data in the folder `state_dir`, or in
    /// memory if there is no such folder.
    pub fn new(backends: Backends, configured: BTreeMap<String, KeyValueStore>, state_dir: Option<&Path>) -> Self {
        let backend = |store| match store {
            KeyValueStore::Sqlite(None) => Backend::Memory,
            KeyValueStore::Sqlite(Some(path)) => Backend::File(path),
            KeyValueStore::Redis(url) => Backend::Redis(url),
        };
        let default = state_dir.map_or(Backend::Memory, |folder| Backend::File(folder.join(FILE)));
        let mut stores = BTreeMap::from([(DEFAULT.to_owned(), default)]);
        stores.extend(configured.into_iter().map(|(label, store)| (label, backend(store))));
        Self { backends, configured: stores }
    }

    /// Returns the place where the store with this label keeps its data. If no store has this label, returns `None`.
    pub fn backend(&self, label: &str) -> Option<&Backend> {
        self.configured.get(label)
    }

    /// Opens the store with this label.
    ///
    /// # Errors
    ///
    /// Returns an error if no store has this label, or if the host cannot open the store's file. If the store is on a
    /// server, this function does not connect to the server. If the server is down, this function returns no error.
    pub fn open(&self, label: &str) -> anyhow::Result<Arc<dyn Store>> {
        let unknown = || {
            format!(
                "the key-value store {label:?} is not configured: add [key_value_store.{label}] to the file of \
                 --runtime-config-file"
            )
        };
        let backend = self.backend(label).with_context(unknown)?;
        let opened = self.backends.open(backend);
        Ok(opened.with_context(|| format!("the key-value store {label:?} cannot be opened"))?.store(label))
    }

    /// Opens the stores that a component may use. If a store is not available during a later call, the host calls
    /// `report` with the cause.
    ///
    /// # Errors
    ///
    /// Returns an error if the host cannot open one of the stores.
    pub fn of_component(&self, labels: &[String], report: &Report) -> anyhow::Result<ComponentStores> {
        if labels.is_empty() {
            return Ok(ComponentStores::default());
        }
        let reported = |label: &String| -> anyhow::Result<Arc<dyn Store>> {
            Ok(Arc::new(Reported { store: self.open(label)?, label: label.clone(), report: report.clone() }))
        };
        let stores = labels.iter().map(|label| Ok((label.clone(), reported(label)?)));
        Ok(ComponentStores(Some(Arc::new(stores.collect::<anyhow::Result<_>>()?))))
    }
}

impl Default for Stores {
    fn default() -> Self {
        Self::new(Backends::default(), BTreeMap::new(), None)
    }
}

/// The stores that one component may open.
#[derive(Clone, Default)]
pub struct ComponentStores(Option<Arc<BTreeMap<String, Arc<dyn Store>>>>);

impl ComponentStores {
    /// Returns true if the component may not open any store.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the store with this label.
    ///
    /// # Errors
    ///
    /// Returns an error if the component may not open this store.
    pub fn open(&self, label: &str) -> super::Result<Arc<dyn Store>> {
        self.0.as_ref().and_then(|stores| stores.get(label)).cloned().ok_or(Error::AccessDenied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_shares_what_is_open_and_not_what_changed() {
        let folder = tempfile::tempdir().unwrap();
        let backends = Backends::default();
        let open = |path: &str| backends.open(&Backend::File(folder.path().join(path))).unwrap();
        let first = open("a.db");
        assert!(Arc::ptr_eq(&first, &open("a.db")));
        assert!(!Arc::ptr_eq(&first, &open("b.db")));
        drop(first);
        assert_eq!(backends.0.lock().unwrap().values().filter(|known| known.strong_count() > 0).count(), 0);
    }

    #[test]
    fn what_nothing_is_behind_is_named_with_what_to_do() {
        let error = Stores::default().open("cache").err().unwrap();
        assert_eq!(
            format!("{error:#}"),
            "the key-value store \"cache\" is not configured: add [key_value_store.cache] to the file of \
             --runtime-config-file"
        );
    }

    #[test]
    fn a_component_opens_only_its_own() {
        let quiet: Report = Arc::new(|_, _| {});
        let stores = Stores::default().of_component(&["default".to_owned()], &quiet).unwrap();
        assert!(stores.open("default").is_ok());
        assert_eq!(stores.open("other").err(), Some(Error::AccessDenied));
    }
}

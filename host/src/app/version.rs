//! The versions of an application. Each reload makes a new one.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::App;

/// How many reloads are remembered.
const KEPT: usize = 1_000;

/// A version of the application. A reload replaces it.
pub(crate) struct Version {
    pub(crate) app: App,
    pub(crate) tls: Option<TlsAcceptor>,
    /// When the version was loaded.
    pub(crate) loaded: SystemTime,
}

impl Version {
    /// Sets the address at which the application is reached. Does nothing if the application serves https, because its
    /// requests to itself cannot use https.
    fn publish_address(&self, address: Option<SocketAddr>) {
        if let (None, Some(address)) = (&self.tls, address) {
            self.app.set_address(address);
        }
    }
}

/// Replaces the application of a process, while it runs.
#[derive(Clone)]
pub(crate) struct Replacer {
    /// The address at which the application is reached. None if it does not serve.
    address: Option<SocketAddr>,
    versions: watch::Sender<Arc<Version>>,
    /// All versions that something still uses, the oldest first.
    living: Arc<Mutex<Vec<Weak<Version>>>>,
    /// When the newest reloads were.
    reloads: Arc<Mutex<VecDeque<SystemTime>>>,
}

impl Replacer {
    /// Starts with `app`, which is reached at `address`. Without an address it serves no requests.
    pub(crate) fn new(app: App, tls: Option<TlsAcceptor>, address: Option<SocketAddr>) -> Self {
        let version = Version { app, tls, loaded: SystemTime::now() };
        version.publish_address(address);
        let version = Arc::new(version);
        let living = Arc::new(Mutex::new(vec![Arc::downgrade(&version)]));
        Self { address, versions: watch::Sender::new(version), living, reloads: Arc::default() }
    }

    /// The current version of the application, and each one that replaces it.
    pub(crate) fn versions(&self) -> watch::Receiver<Arc<Version>> {
        self.versions.subscribe()
    }

    /// Uses `app` for new requests, and `tls` for new connections. A server cannot change between http and https:
    /// without a new certificate, it keeps the old one.
    pub(crate) fn replace(&self, app: App, tls: Option<TlsAcceptor>) {
        let mut reloads = self.reloads.lock().unwrap_or_else(PoisonError::into_inner);
        if reloads.len() == KEPT {
            reloads.pop_front();
        }
        reloads.push_back(SystemTime::now());
        drop(reloads);
        self.versions.send_modify(|version| {
            let tls = version.tls.clone().map(|old| tls.unwrap_or(old));
            let newest = Version { app, tls, loaded: SystemTime::now() };
            newest.publish_address(self.address);
            *version = Arc::new(newest);
            let mut living = self.living.lock().unwrap_or_else(PoisonError::into_inner);
            living.retain(|version| version.strong_count() > 0);
            living.push(Arc::downgrade(version));
        });
    }

    /// When the versions were loaded that something still uses. The last one is the current one.
    pub(crate) fn loaded(&self) -> Vec<SystemTime> {
        let living = self.living.lock().unwrap_or_else(PoisonError::into_inner);
        living.iter().filter_map(Weak::upgrade).map(|version| version.loaded).collect()
    }

    /// When the newest reloads were, the oldest first.
    pub(crate) fn reloads(&self) -> Vec<SystemTime> {
        self.reloads.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// The components of the current version, by their ids.
    pub(crate) fn components(&self) -> Vec<String> {
        let mut ids: Vec<String> =
            self.versions.borrow().app.components.iter().map(|component| component.id.clone()).collect();
        ids.dedup();
        ids
    }

    /// Whether the process serves https.
    pub(crate) fn is_https(&self) -> bool {
        self.versions.borrow().tls.is_some()
    }
}

//! Wraps a store, and tells the operator the cause if the store is not available. The component learns only that the
//! store is not available.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Error, Page, Result, Store, Version};

/// A function that reports to the operator that a store is not available. The function's arguments are the store's
/// label and the cause.
pub type Report = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// Wraps `store`, whose label is `label`. If a call fails because the store is not available, `report` gets the label
/// and the cause.
pub(super) struct Reported {
    pub(super) store: Arc<dyn Store>,
    pub(super) label: String,
    pub(super) report: Report,
}

impl Reported {
    fn told<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(Error::Unavailable(cause)) = &result {
            (self.report)(&self.label, cause);
        }
        result
    }
}

#[async_trait]
impl Store for Reported {
    async fn get(&self, key: String) -> Result<Option<Vec<u8>>> {
        self.told(self.store.get(key).await)
    }

    async fn exists(&self, key: String) -> Result<bool> {
        self.told(self.store.exists(key).await)
    }

    async fn keys(&self, from: Option<String>) -> Result<Page> {
        self.told(self.store.keys(from).await)
    }

    async fn get_many(&self, keys: Vec<String>) -> Result<Vec<(String, Option<Vec<u8>>)>> {
        self.told(self.store.get_many(keys).await)
    }

    async fn set_many(&self, values: Vec<(String, Vec<u8>)>) -> Result<()> {
        self.told(self.store.set_many(values).await)
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<()> {
        self.told(self.store.delete_many(keys).await)
    }

    async fn increment(&self, key: String, delta: i64) -> Result<i64> {
        self.told(self.store.increment(key, delta).await)
    }

    async fn swap(&self, key: String, version: Version, value: Vec<u8>) -> Result<bool> {
        self.told(self.store.swap(key, version, value).await)
    }
}

//! Implements `wasi:keyvalue@0.2.0-draft2`. The function `get-many` returns all requested keys in the order of the
//! call. As the WIT file demands, the result of `get-many` includes the keys that have no value. In Spin, the result of
//! `get-many` omits these keys.

use std::sync::Arc;

use wasmtime::component::Resource;

use super::{Comparison, KeyValueView, Opened};
use crate::bindings::wasi::keyvalue::{atomics, batch, store as wasi};
use crate::key_value::{Error, Result, Store, UNAVAILABLE, Version, all_keys};

type Answer<T> = wasmtime::Result<std::result::Result<T, wasi::Error>>;

impl wasi::Host for KeyValueView<'_> {
    async fn open(&mut self, identifier: String) -> Answer<Resource<Opened>> {
        Ok(KeyValueView::open(self, &identifier)?.map_err(told))
    }
}

impl wasi::HostBucket for KeyValueView<'_> {
    async fn get(&mut self, bucket: Resource<Opened>, key: String) -> Answer<Option<Vec<u8>>> {
        Ok(self.store(&bucket)?.get(key).await.map_err(told))
    }

    async fn set(&mut self, bucket: Resource<Opened>, key: String, value: Vec<u8>) -> Answer<()> {
        Ok(self.store(&bucket)?.set(key, value).await.map_err(told))
    }

    async fn delete(&mut self, bucket: Resource<Opened>, key: String) -> Answer<()> {
        Ok(self.store(&bucket)?.delete(key).await.map_err(told))
    }

    async fn exists(&mut self, bucket: Resource<Opened>, key: String) -> Answer<bool> {
        Ok(self.store(&bucket)?.exists(key).await.map_err(told))
    }

    async fn list_keys(&mut self, bucket: Resource<Opened>, cursor: Option<String>) -> Answer<wasi::KeyResponse> {
        // The first page contains all keys, as in Spin, because guests for Spin ask for the first page only.
        if cursor.is_some() {
            return Ok(Err(wasi::Error::Other("list_keys: cursor not supported".to_owned())));
        }
        let keys = all_keys(&*self.store(&bucket)?).await;
        Ok(keys.map(|keys| wasi::KeyResponse { keys, cursor: None }).map_err(told))
    }

    async fn drop(&mut self, bucket: Resource<Opened>) -> wasmtime::Result<()> {
        self.close(bucket)
    }
}

impl batch::Host for KeyValueView<'_> {
    async fn get_many(
        &mut self,
        bucket: Resource<Opened>,
        keys: Vec<String>,
    ) -> Answer<Vec<(String, Option<Vec<u8>>)>> {
        Ok(self.store(&bucket)?.get_many(keys).await.map_err(told))
    }

    async fn set_many(&mut self, bucket: Resource<Opened>, key_values: Vec<(String, Vec<u8>)>) -> Answer<()> {
        Ok(self.store(&bucket)?.set_many(key_values).await.map_err(told))
    }

    async fn delete_many(&mut self, bucket: Resource<Opened>, keys: Vec<String>) -> Answer<()> {
        Ok(self.store(&bucket)?.delete_many(keys).await.map_err(told))
    }
}

impl atomics::Host for KeyValueView<'_> {
    async fn increment(&mut self, bucket: Resource<Opened>, key: String, delta: i64) -> Answer<i64> {
        Ok(self.store(&bucket)?.increment(key, delta).await.map_err(told))
    }

    async fn swap(
        &mut self,
        cas: Resource<Comparison>,
        value: Vec<u8>,
    ) -> wasmtime::Result<std::result::Result<(), atomics::CasError>> {
        let Comparison { store, key, version, .. } = self.table.delete(cas)?;
        let failed = |error| Ok(Err(atomics::CasError::StoreError(told(error))));
        match store.swap(key.clone(), version, value).await {
            Ok(true) => Ok(Ok(())),
            Err(error) => failed(error),
            Ok(false) => match self.compare_now(store, key).await? {
                Ok(cas) => Ok(Err(atomics::CasError::CasFailed(cas))),
                Err(error) => failed(error),
            },
        }
    }
}

impl atomics::HostCas for KeyValueView<'_> {
    async fn new(&mut self, bucket: Resource<Opened>, key: String) -> Answer<Resource<Comparison>> {
        let store = self.store(&bucket)?;
        Ok(self.compare_now(store, key).await?.map_err(told))
    }

    async fn current(&mut self, cas: Resource<Comparison>) -> Answer<Option<Vec<u8>>> {
        let Comparison { store, key, .. } = self.table.get(&cas)?;
        let value = store.clone().get(key.clone()).await;
        if let Ok(value) = &value {
            self.table.get_mut(&cas)?.version = Version::of(value.as_deref());
        }
        Ok(value.map_err(told))
    }

    async fn drop(&mut self, cas: Resource<Comparison>) -> wasmtime::Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}

impl KeyValueView<'_> {
    /// Reads the value of a key, and creates a comparison with the version of this value.
    async fn compare_now(
        &mut self,
        store: Arc<dyn Store>,
        key: String,
    ) -> wasmtime::Result<Result<Resource<Comparison>>> {
        match store.get(key.clone()).await {
            Ok(value) => self.compare(store, key, Version::of(value.as_deref())),
            Err(error) => Ok(Err(error)),
        }
    }
}

fn told(error: Error) -> wasi::Error {
    match error {
        Error::AccessDenied => wasi::Error::AccessDenied,
        Error::StoreTableFull => wasi::Error::Other("store table full".to_owned()),
        Error::Unavailable(_) => wasi::Error::Other(UNAVAILABLE.to_owned()),
        Error::Other(message) => wasi::Error::Other(message),
    }
}

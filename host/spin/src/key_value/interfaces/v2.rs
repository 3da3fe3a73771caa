//! Implements `fermyon:spin/key-value@2.0.0`.

use wasmtime::component::Resource;

use super::{KeyValueView, Opened};
use crate::bindings::v2::key_value as v2;
use crate::key_value::{Error, UNAVAILABLE, all_keys};

type Answer<T> = wasmtime::Result<Result<T, v2::Error>>;

impl v2::Host for KeyValueView<'_> {}

impl v2::HostStore for KeyValueView<'_> {
    async fn open(&mut self, label: String) -> Answer<Resource<Opened>> {
        Ok(KeyValueView::open(self, &label)?.map_err(told))
    }

    async fn get(&mut self, store: Resource<Opened>, key: String) -> Answer<Option<Vec<u8>>> {
        Ok(self.store(&store)?.get(key).await.map_err(told))
    }

    async fn set(&mut self, store: Resource<Opened>, key: String, value: Vec<u8>) -> Answer<()> {
        Ok(self.store(&store)?.set(key, value).await.map_err(told))
    }

    async fn delete(&mut self, store: Resource<Opened>, key: String) -> Answer<()> {
        Ok(self.store(&store)?.delete(key).await.map_err(told))
    }

    async fn exists(&mut self, store: Resource<Opened>, key: String) -> Answer<bool> {
        Ok(self.store(&store)?.exists(key).await.map_err(told))
    }

    async fn get_keys(&mut self, store: Resource<Opened>) -> Answer<Vec<String>> {
        Ok(all_keys(&*self.store(&store)?).await.map_err(told))
    }

    async fn drop(&mut self, store: Resource<Opened>) -> wasmtime::Result<()> {
        self.close(store)
    }
}

fn told(error: Error) -> v2::Error {
    match error {
        Error::AccessDenied => v2::Error::AccessDenied,
        Error::StoreTableFull => v2::Error::StoreTableFull,
        Error::Unavailable(_) => v2::Error::Other(UNAVAILABLE.to_owned()),
        Error::Other(message) => v2::Error::Other(message),
    }
}

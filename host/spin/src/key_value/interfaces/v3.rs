//! Implements `spin:key-value@3.0.0`, whose functions are asynchronous.

use std::sync::Arc;

use tokio::sync::oneshot;
use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

use super::keys::Keys;
use super::{HasKeyValue, KeyValueView, Opened};
use crate::bindings::spin::key_value::key_value as v3;
use crate::key_value::{Error, Store, UNAVAILABLE};

type Answer<T> = wasmtime::Result<Result<T, v3::Error>>;

impl v3::Host for KeyValueView<'_> {}

impl v3::HostStore for KeyValueView<'_> {
    async fn drop(&mut self, store: Resource<Opened>) -> wasmtime::Result<()> {
        self.close(store)
    }
}

impl<T: 'static> v3::HostStoreWithStore<T> for HasKeyValue {
    async fn open(accessor: &Accessor<T, Self>, label: String) -> Answer<Resource<Opened>> {
        Ok(accessor.with(|mut access| access.get().open(&label))?.map_err(told))
    }

    async fn get(accessor: &Accessor<T, Self>, store: Resource<Opened>, key: String) -> Answer<Option<Vec<u8>>> {
        Ok(find(accessor, &store)?.get(key).await.map_err(told))
    }

    async fn set(accessor: &Accessor<T, Self>, store: Resource<Opened>, key: String, value: Vec<u8>) -> Answer<()> {
        Ok(find(accessor, &store)?.set(key, value).await.map_err(told))
    }

    async fn delete(accessor: &Accessor<T, Self>, store: Resource<Opened>, key: String) -> Answer<()> {
        Ok(find(accessor, &store)?.delete(key).await.map_err(told))
    }

    async fn exists(accessor: &Accessor<T, Self>, store: Resource<Opened>, key: String) -> Answer<bool> {
        Ok(find(accessor, &store)?.exists(key).await.map_err(told))
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        store: Resource<Opened>,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<Result<(), v3::Error>>)> {
        let store = find(accessor, &store)?;
        let (end, ended) = oneshot::channel();
        accessor.with(|mut access| {
            let keys = StreamReader::new(&mut access, Keys::new(store, end))?;
            Ok((keys, FutureReader::new(&mut access, ended)?))
        })
    }
}

fn find<T: 'static>(accessor: &Accessor<T, HasKeyValue>, store: &Resource<Opened>) -> wasmtime::Result<Arc<dyn Store>> {
    accessor.with(|mut access| access.get().store(store))
}

pub(super) fn told(error: Error) -> v3::Error {
    match error {
        Error::AccessDenied => v3::Error::AccessDenied,
        Error::StoreTableFull => v3::Error::StoreTableFull,
        Error::Unavailable(_) => v3::Error::Other(UNAVAILABLE.to_owned()),
        Error::Other(message) => v3::Error::Other(message),
    }
}

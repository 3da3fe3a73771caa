//! Implements `fermyon:spin/key-value`, the first version of Spin's interface. In the first version, a handle for a
//! store is a plain number: the index of the store in the instance's table of handles.

use wasmtime::component::Resource;

use super::{KeyValueView, Opened};
use crate::bindings::v1::key_value as v1;
use crate::key_value::{Error, UNAVAILABLE, all_keys};

impl v1::Host for KeyValueView<'_> {
    async fn open(&mut self, name: String) -> wasmtime::Result<Result<u32, v1::Error>> {
        Ok(KeyValueView::open(self, &name)?.map(|handle| handle.rep()).map_err(told))
    }

    async fn get(&mut self, store: u32, key: String) -> wasmtime::Result<Result<Vec<u8>, v1::Error>> {
        let Ok(store) = self.store(&handle(store)) else { return Ok(Err(v1::Error::InvalidStore)) };
        Ok(store.get(key).await.map_err(told).and_then(|value| value.ok_or(v1::Error::NoSuchKey)))
    }

    async fn set(&mut self, store: u32, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), v1::Error>> {
        let Ok(store) = self.store(&handle(store)) else { return Ok(Err(v1::Error::InvalidStore)) };
        Ok(store.set(key, value).await.map_err(told))
    }

    async fn delete(&mut self, store: u32, key: String) -> wasmtime::Result<Result<(), v1::Error>> {
        let Ok(store) = self.store(&handle(store)) else { return Ok(Err(v1::Error::InvalidStore)) };
        Ok(store.delete(key).await.map_err(told))
    }

    async fn exists(&mut self, store: u32, key: String) -> wasmtime::Result<Result<bool, v1::Error>> {
        let Ok(store) = self.store(&handle(store)) else { return Ok(Err(v1::Error::InvalidStore)) };
        Ok(store.exists(key).await.map_err(told))
    }

    async fn get_keys(&mut self, store: u32) -> wasmtime::Result<Result<Vec<String>, v1::Error>> {
        let Ok(store) = self.store(&handle(store)) else { return Ok(Err(v1::Error::InvalidStore)) };
        Ok(all_keys(&*store).await.map_err(told))
    }

    async fn close(&mut self, store: u32) -> wasmtime::Result<()> {
        // If no open store has this number, the call has no effect.
        _ = KeyValueView::close(self, Resource::new_own(store));
        Ok(())
    }
}

fn handle(store: u32) -> Resource<Opened> {
    Resource::new_borrow(store)
}

fn told(error: Error) -> v1::Error {
    match error {
        Error::AccessDenied => v1::Error::AccessDenied,
        Error::StoreTableFull => v1::Error::StoreTableFull,
        Error::Unavailable(_) => v1::Error::Io(UNAVAILABLE.to_owned()),
        Error::Other(message) => v1::Error::Io(message),
    }
}

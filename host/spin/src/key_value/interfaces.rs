//! The WIT interfaces of key-value stores, in all versions.

mod keys;
mod v1;
mod v2;
mod v3;
mod wasi;

use std::sync::Arc;

use wasmtime::component::{HasData, LinkerInstance, Resource, ResourceTable};

use super::{ComponentStores, Error, Result, Store, Version};
use crate::bindings;
use crate::names::provides;

/// The largest number of stores that an instance may have open at a time, and the largest number of [`Comparison`]
/// handles that an instance may have at a time. Spin has the same two limits.
const MAX_OPEN: usize = 256;

/// An interface for key-value stores, in one of its versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// `fermyon:spin/key-value`.
    V1,
    /// `fermyon:spin/key-value@2.0.0`.
    V2,
    /// `spin:key-value/key-value@3.0.0`.
    V3,
    /// `wasi:keyvalue/store`.
    WasiStore,
    /// `wasi:keyvalue/batch`.
    WasiBatch,
    /// `wasi:keyvalue/atomics`.
    WasiAtomics,
}

impl Interface {
    /// All interfaces for key-value stores.
    pub const ALL: [Self; 6] = [Self::V1, Self::V2, Self::V3, Self::WasiStore, Self::WasiBatch, Self::WasiAtomics];

    /// Returns the interface that satisfies an import of this name. The import's version and the interface's version
    /// may differ if the two versions are compatible.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|interface| provides(interface.name(), name))
    }

    /// Returns the name under which components import the interface.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "fermyon:spin/key-value",
            Self::V2 => "fermyon:spin/key-value@2.0.0",
            Self::V3 => "spin:key-value/key-value@3.0.0",
            Self::WasiStore => "wasi:keyvalue/store@0.2.0-draft2",
            Self::WasiBatch => "wasi:keyvalue/batch@0.2.0-draft2",
            Self::WasiAtomics => "wasi:keyvalue/atomics@0.2.0-draft2",
        }
    }

    /// Returns the name of an empty implementation of the interface, which cannot open any store. The host links the
    /// empty implementation to a middleware or dependency that does not inherit the component's stores. Some of the
    /// interfaces use a resource of another interface, and refer to the other interface by its name. For such a
    /// reference, the name needs the form `package:name/interface@version`.
    pub fn nothing(self) -> &'static str {
        match self {
            Self::V1 => "nothing:key-value-v1/key-value@1.0.0",
            Self::V2 => "nothing:key-value-v2/key-value@1.0.0",
            Self::V3 => "nothing:key-value-v3/key-value@1.0.0",
            Self::WasiStore => "nothing:wasi-keyvalue/store@1.0.0",
            Self::WasiBatch => "nothing:wasi-keyvalue/batch@1.0.0",
            Self::WasiAtomics => "nothing:wasi-keyvalue/atomics@1.0.0",
        }
    }

    /// Adds the interface's functions to a wasmtime linker, so that components can import the functions. `getter` gets
    /// the data of a component's instance, and returns the instance's [`KeyValueView`].
    ///
    /// # Errors
    ///
    /// Returns an error if the linker already has one of the functions.
    pub fn add_to_linker<T: Send + 'static>(
        self,
        instance: &mut LinkerInstance<'_, T>,
        getter: fn(&mut T) -> KeyValueView<'_>,
    ) -> wasmtime::Result<()> {
        use bindings::wasi::keyvalue::{atomics, batch, store};
        type Has = HasKeyValue;
        match self {
            Self::V1 => bindings::v1::key_value::add_to_linker_instance::<T, Has>(instance, getter),
            Self::V2 => bindings::v2::key_value::add_to_linker_instance::<T, Has>(instance, getter),
            Self::V3 => bindings::spin::key_value::key_value::add_to_linker_instance::<T, Has>(instance, getter),
            Self::WasiStore => store::add_to_linker_instance::<T, Has>(instance, getter),
            Self::WasiBatch => batch::add_to_linker_instance::<T, Has>(instance, getter),
            Self::WasiAtomics => atomics::add_to_linker_instance::<T, Has>(instance, getter),
        }
    }
}

/// The stores that one instance of a component may open, and the counters for the instance's open stores and
/// comparisons.
pub struct KeyValue {
    stores: ComponentStores,
    open: Counter,
    comparisons: Counter,
}

/// The part of an instance's data that the functions of the interfaces use.
pub struct KeyValueView<'a> {
    /// The stores that the instance may open.
    pub key_value: &'a mut KeyValue,
    /// The table of wasmtime that contains the instance's handles.
    pub table: &'a mut ResourceTable,
}

/// The marker type that tells wasmtime to pass a [`KeyValueView`] to the functions of the interfaces.
pub struct HasKeyValue;

impl HasData for HasKeyValue {
    type Data<'a> = KeyValueView<'a>;
}

/// A store that an instance has opened.
pub struct Opened {
    store: Arc<dyn Store>,
    _counted: Arc<()>,
}

/// The data behind a guest's `cas` handle: a key of a store, and a version of the key's value. The version is from the
/// time when the guest got the handle, or when the guest last called `current`. A call of `swap` with the handle
/// succeeds only if the key's value still has this version.
pub struct Comparison {
    store: Arc<dyn Store>,
    key: String,
    version: Version,
    _counted: Arc<()>,
}

impl KeyValue {
    /// Creates the data of a new instance that may open these stores.
    pub fn new(stores: ComponentStores) -> Self {
        Self { stores, open: Counter::default(), comparisons: Counter::default() }
    }
}

impl KeyValueView<'_> {
    /// Opens the store with this label, and returns a handle for the store.
    fn open(&mut self, label: &str) -> wasmtime::Result<Result<Resource<Opened>>> {
        let store = match self.key_value.stores.open(label) {
            Ok(store) => store,
            Err(error) => return Ok(Err(error)),
        };
        match self.key_value.open.count() {
            Some(_counted) => Ok(Ok(self.table.push(Opened { store, _counted })?)),
            None => Ok(Err(Error::StoreTableFull)),
        }
    }

    /// Returns the store to which a handle refers.
    fn store(&self, handle: &Resource<Opened>) -> wasmtime::Result<Arc<dyn Store>> {
        Ok(self.table.get(handle)?.store.clone())
    }

    /// Closes the store to which a handle refers.
    fn close(&mut self, handle: Resource<Opened>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }

    /// Creates a comparison, and returns a handle for the comparison. `version` is the version that the key's value has
    /// now.
    fn compare(
        &mut self,
        store: Arc<dyn Store>,
        key: String,
        version: Version,
    ) -> wasmtime::Result<Result<Resource<Comparison>>> {
        match self.key_value.comparisons.count() {
            Some(_counted) => Ok(Ok(self.table.push(Comparison { store, key, version, _counted })?)),
            None => Ok(Err(Error::Other(format!("an instance may hold {MAX_OPEN} handles of cas at a time")))),
        }
    }
}

/// Counts the open handles of one kind that an instance holds: its stores, or its `cas` handles. Each open handle holds
/// a clone of the counter's `Arc`, so the number of clones is the count.
#[derive(Default)]
struct Counter(Option<Arc<()>>);

impl Counter {
    /// Counts one more open store or comparison, and returns the clone that the store or comparison must hold. If the
    /// count is already [`MAX_OPEN`], returns `None`.
    fn count(&mut self) -> Option<Arc<()>> {
        let counter = self.0.get_or_insert_default();
        (Arc::strong_count(counter) <= MAX_OPEN).then(|| counter.clone())
    }
}

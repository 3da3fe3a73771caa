//! Implements the WIT interfaces through which a component reads variables, in all versions: `fermyon:spin/config`,
//! `fermyon:spin/variables@2.0.0`, `spin:variables@3.0.0` and `wasi:config`.

use wasmtime::component::{Accessor, HasSelf, LinkerInstance};

use super::{ComponentVariables, Error};
use crate::bindings::spin::variables::variables as v3;
use crate::bindings::wasi::config::store as wasi;
use crate::bindings::{v1::config as v1, v2::variables as v2};
use crate::names::provides;

/// An interface for variables, in one of its versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// `fermyon:spin/config`.
    V1,
    /// `fermyon:spin/variables@2.0.0`.
    V2,
    /// `spin:variables/variables@3.0.0`.
    V3,
    /// `wasi:config/store`.
    Wasi,
}

impl Interface {
    /// All interfaces for variables.
    pub const ALL: [Self; 4] = [Self::V1, Self::V2, Self::V3, Self::Wasi];

    /// Returns the interface that satisfies an import of this name. The import's version and the interface's version
    /// may differ if the two versions are compatible.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|interface| provides(interface.name(), name))
    }

    /// Returns the name under which components import the interface.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "fermyon:spin/config",
            Self::V2 => "fermyon:spin/variables@2.0.0",
            Self::V3 => "spin:variables/variables@3.0.0",
            Self::Wasi => "wasi:config/store@0.2.0-draft-2024-09-27",
        }
    }

    /// Returns the beginning of the name for an empty implementation of the interface, which contains no variables. The
    /// host links the empty implementation to a middleware or dependency that does not inherit the component's
    /// variables.
    pub fn nothing(self) -> &'static str {
        match self {
            Self::V1 => "variables-v1",
            Self::V2 => "variables-v2",
            Self::V3 => "variables-v3",
            Self::Wasi => "variables-wasi",
        }
    }

    /// Adds the interface's functions to a wasmtime linker, so that components can import the functions. `getter` gets
    /// the data of a component's instance, and returns the variables that the instance can read.
    ///
    /// # Errors
    ///
    /// Returns an error if the linker already has one of the functions.
    pub fn add_to_linker<T: Send + 'static>(
        self,
        instance: &mut LinkerInstance<'_, T>,
        getter: fn(&mut T) -> &mut ComponentVariables,
    ) -> wasmtime::Result<()> {
        type Has = HasSelf<ComponentVariables>;
        match self {
            Self::V1 => v1::add_to_linker_instance::<T, Has>(instance, getter),
            Self::V2 => v2::add_to_linker_instance::<T, Has>(instance, getter),
            Self::V3 => v3::add_to_linker_instance::<T, Has>(instance, getter),
            Self::Wasi => wasi::add_to_linker_instance::<T, Has>(instance, getter),
        }
    }
}

impl v1::Host for ComponentVariables {
    async fn get_config(&mut self, key: String) -> wasmtime::Result<Result<String, v1::Error>> {
        Ok(self.get(&key).await.map_err(|error| match error {
            Error::InvalidName(message) => v1::Error::InvalidKey(message),
            Error::Undefined(message) | Error::Provider(message) => v1::Error::Provider(message),
        }))
    }
}

impl v2::Host for ComponentVariables {
    async fn get(&mut self, name: String) -> wasmtime::Result<Result<String, v2::Error>> {
        Ok(ComponentVariables::get(self, &name).await.map_err(|error| match error {
            Error::InvalidName(message) => v2::Error::InvalidName(message),
            Error::Undefined(message) => v2::Error::Undefined(message),
            Error::Provider(message) => v2::Error::Provider(message),
        }))
    }
}

impl v3::Host for ComponentVariables {}

impl<T> v3::HostWithStore<T> for HasSelf<ComponentVariables> {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> wasmtime::Result<Result<String, v3::Error>> {
        let variables = accessor.with(|mut access| access.get().clone());
        Ok(variables.get(&name).await.map_err(|error| match error {
            Error::InvalidName(message) => v3::Error::InvalidName(message),
            Error::Undefined(message) => v3::Error::Undefined(message),
            Error::Provider(message) => v3::Error::Provider(message),
        }))
    }
}

impl wasi::Host for ComponentVariables {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, wasi::Error>> {
        Ok(match ComponentVariables::get(self, &key).await {
            Ok(value) => Ok(Some(value)),
            // WASI demands the result `None` for a key that cannot exist (WebAssembly/wasi-runtime-config#19).
            Err(Error::Undefined(_) | Error::InvalidName(_)) => Ok(None),
            Err(Error::Provider(message)) => Err(wasi::Error::Upstream(message)),
        })
    }

    async fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, wasi::Error>> {
        Ok(ComponentVariables::get_all(self).await.map_err(|error| wasi::Error::Upstream(error.to_string())))
    }
}

//! The interfaces of Spin that a component can import.
//!
//! Each feature, such as key-value stores or variables, has a module. In the module of a feature, only the submodule
//! `interfaces` uses wasmtime. The submodule `interfaces` implements all versions of the feature's WIT interface. The
//! host needs several versions because old and new releases of Spin's SDKs import different versions.
//!
//! The script `wit/vendor.sh` copies the WIT files from the releases of spin-sdk to `wit/deps`.

mod bindings;
pub mod key_value;
mod names;
pub mod unbacked;
pub mod variables;

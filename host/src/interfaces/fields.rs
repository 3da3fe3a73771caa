//! Replaces functions of `fields` in `wasi:http/types`, so that the host can limit the header fields that it keeps for
//! an instance.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, WasmList};
use wasmtime_wasi::TrappableError;
use wasmtime_wasi_http::p2::HeaderResult;
use wasmtime_wasi_http::p2::bindings::http::types as p2;
use wasmtime_wasi_http::p3::bindings::http::types::{HeaderError, Host as _, HostFields};
use wasmtime_wasi_http::{FieldMap, WasiHttpView};

use crate::budget::instance::{Budgeted, MAX_MAP, size_of_field, size_of_fields};

/// Replaces the functions of WASI 0.3 with which a guest creates header fields. Before the host copies a list of fields
/// or values from the guest's memory, the host checks that the list is not too long. If the fields exceed the
/// instance's limit, the functions return `header-error.size-exceeded`. But if `fields.clone` exceeds the limit, the
/// guest traps, because `fields.clone` cannot return an error.
pub(crate) fn add_to_linker<T: WasiHttpView + Budgeted + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:http/types@0.3.0")?;
    types.func_wrap(
        "[static]fields.from-list",
        |mut store: StoreContextMut<'_, T>, (entries,): (WasmList<(String, Vec<u8>)>,)| {
            if size_of_field(0, 0).saturating_mul(entries.len()) > MAX_MAP {
                return Ok((Err(HeaderError::SizeExceeded),));
            }
            let entries = entries.iter(&mut store)?.collect::<wasmtime::Result<Vec<_>>>()?;
            let size = entries.iter().map(|(name, value)| size_of_field(name.len(), value.len())).sum();
            with_room(store.data_mut(), size, |state| state.http().from_list(entries))
        },
    )?;
    types.func_wrap(
        "[method]fields.set",
        |mut store: StoreContextMut<'_, T>, (fields, name, values): (Resource<FieldMap>, String, WasmList<Vec<u8>>)| {
            if size_of_field(0, 0).saturating_mul(values.len()) > MAX_MAP {
                return Ok((Err(HeaderError::SizeExceeded),));
            }
            let values = values.iter(&mut store)?.collect::<wasmtime::Result<Vec<_>>>()?;
            let size = values.iter().map(|value| size_of_field(name.len(), value.len())).sum();
            with_room(store.data_mut(), size, |state| state.http().set(fields, name, values))
        },
    )?;
    types.func_wrap(
        "[method]fields.append",
        |mut store: StoreContextMut<'_, T>, (fields, name, value): (Resource<FieldMap>, String, Vec<u8>)| {
            let size = size_of_field(name.len(), value.len());
            with_room(store.data_mut(), size, |state| state.http().append(fields, name, value))
        },
    )?;
    types.func_wrap(
        "[method]fields.clone",
        |mut store: StoreContextMut<'_, T>, (fields,): (Resource<FieldMap>,)| {
            let state = store.data_mut();
            // The copy and the original share their memory until the guest changes one of them.
            let size = size_of_fields(state.http().table.get(&fields)?);
            state.charge_fields(size)?;
            Ok((HostFields::clone(&mut state.http(), fields)?,))
        },
    )?;
    Ok(())
}

/// Replaces the functions of WASI 0.2 with which a guest creates header fields. WASI 0.2 has no error for too many
/// fields, so a guest that exceeds the limit traps.
pub(crate) fn add_p2_to_linker<T: WasiHttpView + Budgeted + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:http/types@0.2.12")?;
    types.func_wrap(
        "[static]fields.from-list",
        |mut store: StoreContextMut<'_, T>, (entries,): (WasmList<(String, Vec<u8>)>,)| {
            store.data_mut().charge_fields(size_of_field(0, 0).saturating_mul(entries.len()))?;
            let entries = entries.iter(&mut store)?.collect::<wasmtime::Result<Vec<_>>>()?;
            let state = store.data_mut();
            state.charge_fields(entries.iter().map(|(name, value)| name.len() + value.len()).sum())?;
            let made = p2::HostFields::from_list(&mut state.http(), entries);
            converted(state, made)
        },
    )?;
    types.func_wrap(
        "[method]fields.set",
        |mut store: StoreContextMut<'_, T>, (fields, name, values): (Resource<FieldMap>, String, WasmList<Vec<u8>>)| {
            store.data_mut().charge_fields(size_of_field(name.len(), 0).saturating_mul(values.len()))?;
            let values = values.iter(&mut store)?.collect::<wasmtime::Result<Vec<_>>>()?;
            let state = store.data_mut();
            state.charge_fields(values.iter().map(Vec::len).sum())?;
            let set = p2::HostFields::set(&mut state.http(), fields, name, values);
            converted(state, set)
        },
    )?;
    types.func_wrap(
        "[method]fields.append",
        |mut store: StoreContextMut<'_, T>, (fields, name, value): (Resource<FieldMap>, String, Vec<u8>)| {
            let state = store.data_mut();
            state.charge_fields(size_of_field(name.len(), value.len()))?;
            let appended = p2::HostFields::append(&mut state.http(), fields, name, value);
            converted(state, appended)
        },
    )?;
    types.func_wrap(
        "[method]fields.clone",
        |mut store: StoreContextMut<'_, T>, (fields,): (Resource<FieldMap>,)| {
            let state = store.data_mut();
            let size = size_of_fields(state.http().table.get(&fields)?);
            state.charge_fields(size)?;
            Ok((p2::HostFields::clone(&mut state.http(), fields)?,))
        },
    )?;
    Ok(())
}

/// Converts the result of a function of WASI 0.2 to the result that the guest gets.
fn converted<T: WasiHttpView, R>(
    state: &mut T,
    result: HeaderResult<R>,
) -> wasmtime::Result<(Result<R, p2::HeaderError>,)> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => Ok((Err(p2::Host::convert_header_error(&mut state.http(), error)?),)),
    }
}

/// Runs `change` if the instance's limit on header fields allows `size` more bytes. If the limit does not allow these
/// bytes, or if `size` is too large for a single `fields` resource, returns `header-error.size-exceeded` and does not
/// run `change`.
fn with_room<T: WasiHttpView + Budgeted, R>(
    state: &mut T,
    size: usize,
    change: impl FnOnce(&mut T) -> Result<R, TrappableError<HeaderError>>,
) -> wasmtime::Result<(Result<R, HeaderError>,)> {
    if size > MAX_MAP || state.charge_fields(size).is_err() {
        return Ok((Err(HeaderError::SizeExceeded),));
    }
    match change(state) {
        Ok(changed) => Ok((Ok(changed),)),
        Err(error) => Ok((Err(state.http().convert_header_error(error)?),)),
    }
}

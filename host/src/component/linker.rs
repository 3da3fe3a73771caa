//! Defines the imports that a component may have.

use epilogue_spin::{key_value, variables};
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::component::state::State;
use crate::interfaces::{
    background, client, fields, files, listing, names, paths, socket_streams, sockets, status, writes,
};

/// Makes a linker that defines all interfaces that a component may import. These interfaces are WASI 0.2 and 0.3 with
/// HTTP, Spin's interfaces, and the interfaces of `epilogue:background`. `durable` is true if the host has a task
/// engine for durable tasks.
pub(crate) fn linker(engine: &Engine, durable: bool) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::<State>::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    for interface in variables::Interface::ALL {
        interface.add_to_linker(&mut linker.instance(interface.name())?, |state| &mut state.variables)?;
    }
    for interface in key_value::Interface::ALL {
        interface.add_to_linker(&mut linker.instance(interface.name())?, State::key_value)?;
        interface.add_to_linker(&mut linker.instance(interface.nothing())?, State::no_key_value)?;
    }
    // The calls below replace some functions that wasmtime's WASI has already defined.
    linker.allow_shadowing(true);
    fields::add_to_linker(&mut linker)?;
    fields::add_p2_to_linker(&mut linker)?;
    client::add_to_linker(&mut linker)?;
    files::add_to_linker(&mut linker, |state| &state.wasi)?;
    paths::add_to_linker(&mut linker, |state| &state.wasi)?;
    writes::add_to_linker(&mut linker, |state| &state.wasi)?;
    listing::add_to_linker(&mut linker)?;
    sockets::add_to_linker(&mut linker, |state| &state.wasi)?;
    socket_streams::add_to_linker(&mut linker)?;
    names::add_to_linker(&mut linker, |state| &state.wasi)?;
    status::add_to_linker(&mut linker, |state| &mut state.refused_status)?;
    linker.allow_shadowing(false);
    background::add_to_linker(&mut linker, |state| &mut state.background, durable)?;
    Ok(linker)
}

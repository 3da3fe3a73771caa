//! Replaces functions of `wasi:sockets`, to limit which guests may open sockets and how many sockets a guest may open.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p2::SocketResult as Result2;
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode as Error2, IpAddressFamily as Family2};
use wasmtime_wasi::p2::bindings::sockets::{tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p3::bindings::sockets::types::{
    self, ErrorCode as Error3, HostTcpSocket, HostUdpSocket, IpAddressFamily as Family3,
};
use wasmtime_wasi::p3::sockets::SocketResult as Result3;
use wasmtime_wasi::sockets::WasiSocketsView as _;

use crate::budget::instance::Budgeted;
use crate::budget::places::{Exceeded, Place};
use crate::interfaces::wasi::Wasi;

/// The reason why a guest gets no socket.
enum Refused {
    /// The component's `allowed_outbound_hosts` allow no address that the guest can reach with a socket of this kind.
    NotAllowed,
    /// The instance has as many open sockets as its limit allows, or the process has no file descriptor left for
    /// guests.
    Full(Exceeded),
}

/// Replaces the functions with which a guest opens a socket. If the manifest allows no address that the guest can reach
/// with the socket, the functions return `access-denied`. If the limit on open sockets is reached, the functions return
/// `new-socket-limit` (WASI 0.2) or `other` (WASI 0.3). `get` finds the instance's WASI state in the store's data.
pub(crate) fn add_to_linker<T: WasiView + Budgeted + 'static>(
    linker: &mut Linker<T>,
    get: fn(&mut T) -> &Wasi,
) -> wasmtime::Result<()> {
    linker.instance("wasi:sockets/tcp-create-socket@0.2.12")?.func_wrap(
        "create-tcp-socket",
        move |mut store: StoreContextMut<'_, T>, (family,): (Family2,)| {
            let state = store.data_mut();
            let place = match may_open(state, get, "tcp") {
                Ok(place) => place,
                Err(refused) => return Ok((Err(refused.preview2()),)),
            };
            let opened = tcp_create_socket::Host::create_tcp_socket(&mut state.sockets(), family);
            Ok((told2(state, opened, place)?,))
        },
    )?;
    linker.instance("wasi:sockets/udp-create-socket@0.2.12")?.func_wrap_async(
        "create-udp-socket",
        move |mut store: StoreContextMut<'_, T>, (family,): (Family2,)| {
            Box::new(async move {
                let state = store.data_mut();
                let place = match may_open(state, get, "udp") {
                    Ok(place) => place,
                    Err(refused) => return Ok((Err(refused.preview2()),)),
                };
                let opened = udp_create_socket::Host::create_udp_socket(&mut state.sockets(), family).await;
                Ok((told2(state, opened, place)?,))
            })
        },
    )?;
    let mut types = linker.instance("wasi:sockets/types@0.3.0")?;
    types.func_wrap("[static]tcp-socket.create", move |mut store: StoreContextMut<'_, T>, (family,): (Family3,)| {
        let state = store.data_mut();
        let place = match may_open(state, get, "tcp") {
            Ok(place) => place,
            Err(refused) => return Ok((Err(refused.preview3()),)),
        };
        let opened = HostTcpSocket::create(&mut state.sockets(), family);
        Ok((told3(state, opened, place)?,))
    })?;
    types.func_wrap_async(
        "[static]udp-socket.create",
        move |mut store: StoreContextMut<'_, T>, (family,): (Family3,)| {
            Box::new(async move {
                let state = store.data_mut();
                let place = match may_open(state, get, "udp") {
                    Ok(place) => place,
                    Err(refused) => return Ok((Err(refused.preview3()),)),
                };
                let opened = HostUdpSocket::create(&mut state.sockets(), family).await;
                Ok((told3(state, opened, place)?,))
            })
        },
    )?;
    Ok(())
}

/// Counts a new socket of the kind `scheme`, which is `tcp` or `udp`, for the limit on open sockets. Returns an error
/// if the manifest allows no socket of this kind, or if the limit is reached.
fn may_open<T: Budgeted>(state: &mut T, get: fn(&mut T) -> &Wasi, scheme: &'static str) -> Result<Place, Refused> {
    if !get(state).may_open_socket(scheme) {
        return Err(Refused::NotAllowed);
    }
    let (budget, table) = state.budget();
    budget.sockets.take(table).map_err(Refused::Full)
}

impl Refused {
    fn preview2(self) -> Error2 {
        match self {
            Self::NotAllowed => Error2::AccessDenied,
            Self::Full(_) => Error2::NewSocketLimit,
        }
    }

    fn preview3(self) -> Error3 {
        match self {
            Self::NotAllowed => Error3::AccessDenied,
            Self::Full(exceeded) => Error3::Other(Some(exceeded.to_string())),
        }
    }
}

/// Converts the result of opening a socket to the result that a guest of WASI 0.2 gets. If WASI has no code for an
/// error, the guest traps.
fn told2<T: WasiView + Budgeted, S>(
    state: &mut T,
    opened: Result2<Resource<S>>,
    place: Place,
) -> wasmtime::Result<Result<Resource<S>, Error2>> {
    match opened {
        Ok(socket) => Ok(Ok(keep(state, socket, place))),
        Err(error) => network::Host::convert_error_code(&mut state.sockets(), error).map(Err),
    }
}

/// Converts the result of opening a socket to the result that a guest of WASI 0.3 gets. If WASI has no code for an
/// error, the guest traps.
fn told3<T: WasiView + Budgeted, S>(
    state: &mut T,
    opened: Result3<Resource<S>>,
    place: Place,
) -> wasmtime::Result<Result<Resource<S>, Error3>> {
    match opened {
        Ok(socket) => Ok(Ok(keep(state, socket, place))),
        Err(error) => types::Host::convert_error_code(&mut state.sockets(), error).map(Err),
    }
}

/// Records that the guest has opened a socket. The socket counts for the limit on open sockets until the guest has
/// dropped the socket and all streams of the socket have ended.
fn keep<T: Budgeted, S>(state: &mut T, socket: Resource<S>, place: Place) -> Resource<S> {
    state.budget().0.sockets.opened(socket.rep(), place);
    socket
}

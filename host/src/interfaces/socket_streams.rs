//! Replaces functions of `wasi:sockets`, so that a socket counts as open until all its streams have ended.
//!
//! In WASI 0.3, a stream keeps its socket open even after the guest has dropped the socket. Therefore, the host counts
//! the socket for the instance's limit on open sockets until the socket's streams have ended. Only sockets with a
//! connection have streams, because a guest never listens.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use wasmtime::component::{Access, FutureConsumer, FutureReader, Linker, Resource, Source, StreamReader};
use wasmtime::{AsContextMut as _, StoreContextMut};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p3::bindings::sockets::types::{ErrorCode, HostTcpSocketWithStore as _};
use wasmtime_wasi::sockets::{TcpSocket, WasiSockets, WasiSocketsView as _};

use crate::budget::instance::Budgeted;
use crate::budget::places::Place;

/// Replaces the functions with which a guest makes a stream of a TCP socket.
pub(crate) fn add_to_linker<T: WasiView + Budgeted + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:sockets/types@0.3.0")?;
    types.func_wrap(
        "[method]tcp-socket.send",
        |mut store: StoreContextMut<'_, T>, (socket, data): (Resource<TcpSocket>, StreamReader<u8>)| {
            let place = store.data_mut().budget().0.sockets.place(socket.rep());
            let end =
                WasiSockets::send(Access::<T, WasiSockets>::new(store.as_context_mut(), T::sockets), socket, data)?;
            Ok((until(&mut store, end, place)?,))
        },
    )?;
    types.func_wrap(
        "[method]tcp-socket.receive",
        |mut store: StoreContextMut<'_, T>, (socket,): (Resource<TcpSocket>,)| {
            let place = store.data_mut().budget().0.sockets.place(socket.rep());
            let (data, end) =
                WasiSockets::receive(Access::<T, WasiSockets>::new(store.as_context_mut(), T::sockets), socket)?;
            Ok(((data, until(&mut store, end, place)?),))
        },
    )?;
    Ok(())
}

/// Returns a future that gives the guest the result of a socket's stream. wasmtime sends this result to `end` when the
/// stream has ended. Until then, `place` counts the socket for the instance's limit on open sockets.
fn until<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    end: FutureReader<Result<(), ErrorCode>>,
    place: Option<Arc<Place>>,
) -> wasmtime::Result<FutureReader<Result<(), ErrorCode>>> {
    let (tell, told) = oneshot::channel();
    end.pipe(&mut *store, Ending { place, tell: Some(tell) })?;
    FutureReader::new(store, told)
}

/// Waits for the end of a socket's stream. At the end of the stream, drops `place`, which counts the socket as open,
/// and sends the stream's result to the guest.
struct Ending {
    place: Option<Arc<Place>>,
    tell: Option<oneshot::Sender<Result<(), ErrorCode>>>,
}

impl<D> FutureConsumer<D> for Ending {
    type Item = Result<(), ErrorCode>;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        mut source: Source<'_, Self::Item>,
        _: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut end = None;
        source.read(store, &mut end)?;
        self.place = None;
        if let (Some(tell), Some(end)) = (self.tell.take(), end) {
            // If the guest does not wait for the result, it has dropped the receiver.
            _ = tell.send(end);
        }
        Poll::Ready(Ok(()))
    }
}

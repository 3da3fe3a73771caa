//! Replaces `wasi:sockets/ip-name-lookup`, to limit the name lookups of a component.

use std::net::{IpAddr, Ipv6Addr};
use std::vec;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use url::Host;
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, Linker, Resource, ResourceType};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode as Error2, IpAddress as Address2};
use wasmtime_wasi::p2::{DynPollable, Network, Pollable, subscribe};
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup::ErrorCode as Error3;
use wasmtime_wasi::p3::bindings::sockets::types::IpAddress as Address3;
use wasmtime_wasi::{WasiView, async_trait};

use crate::budget::lookups::Lookups;
use crate::interfaces::wasi::Wasi;

/// Replaces the functions with which a guest looks up a host name. Each lookup waits until the limits on lookups allow
/// one more lookup. `get` finds the instance's WASI state in the store's data.
pub(crate) fn add_to_linker<T: WasiView + 'static>(
    linker: &mut Linker<T>,
    get: fn(&mut T) -> &Wasi,
) -> wasmtime::Result<()> {
    linker.instance("wasi:sockets/ip-name-lookup@0.3.0")?.func_wrap_concurrent(
        "resolve-addresses",
        move |accessor: &Accessor<T>, (name,): (String,)| {
            let lookups = accessor.with(|mut access| get(access.data_mut()).lookups());
            Box::pin(async move {
                let addresses = resolve(lookups, name).await;
                let addresses = addresses.map(|addresses| addresses.map(Address3::from).collect::<Vec<_>>());
                Ok((addresses.map_err(Error3::from),))
            })
        },
    )?;
    let mut names = linker.instance("wasi:sockets/ip-name-lookup@0.2.12")?;
    names.resource("resolve-address-stream", ResourceType::host::<AddressStream>(), |mut store, stream| {
        store.data_mut().ctx().table.delete(Resource::<AddressStream>::new_own(stream))?;
        Ok(())
    })?;
    names.func_wrap(
        "resolve-addresses",
        move |mut store: StoreContextMut<'_, T>, (network, name): (Resource<Network>, String)| {
            let state = store.data_mut();
            let lookups = get(state).lookups();
            // The host only checks that the handle is valid, and does not use the network for the lookup.
            state.ctx().table.get(&network)?;
            let mut stream = AddressStream { lookup: resolve(lookups, name).boxed(), found: None };
            Ok((match stream.poll() {
                Some(Err(failed)) => Err(Error2::from(*failed)),
                _ => Ok(state.ctx().table.push(stream)?),
            },))
        },
    )?;
    names.func_wrap(
        "[method]resolve-address-stream.resolve-next-address",
        |mut store: StoreContextMut<'_, T>, (stream,): (Resource<AddressStream>,)| {
            Ok((match store.data_mut().ctx().table.get_mut(&stream)?.poll() {
                None => Err(Error2::WouldBlock),
                Some(Ok(addresses)) => Ok(addresses.next().map(Address2::from)),
                Some(Err(failed)) => Err(Error2::from(*failed)),
            },))
        },
    )?;
    names.func_wrap(
        "[method]resolve-address-stream.subscribe",
        |mut store: StoreContextMut<'_, T>, (stream,): (Resource<AddressStream>,)| {
            let pollable: Resource<DynPollable> = subscribe(store.data_mut().ctx().table, stream)?;
            Ok((pollable,))
        },
    )?;
    Ok(())
}

/// The reason why a lookup returns no addresses.
#[derive(Clone, Copy, Debug)]
enum Failed {
    /// The component may not connect to anything, so it may not look up names.
    NotAllowed,
    /// The text is neither a name nor an address.
    Invalid,
    /// The resolver found no address, or did not answer.
    Unresolvable,
}

impl From<Failed> for Error2 {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::NotAllowed => Self::PermanentResolverFailure,
            Failed::Invalid => Self::InvalidArgument,
            Failed::Unresolvable => Self::NameUnresolvable,
        }
    }
}

impl From<Failed> for Error3 {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::NotAllowed => Self::PermanentResolverFailure,
            Failed::Invalid => Self::InvalidArgument,
            Failed::Unresolvable => Self::NameUnresolvable,
        }
    }
}

/// The longest name that the host looks up, in bytes. Names in DNS have at most 253 characters. The limit is necessary
/// because converting a very long text to punycode would block the thread.
const MAX_NAME: usize = 1024;

type Found = Result<vec::IntoIter<IpAddr>, Failed>;

/// Looks up the addresses of `name`. If `name` is an address itself, returns this address. If `lookups` is `None`, the
/// component may not look up names.
async fn resolve(lookups: Option<Lookups>, name: String) -> Found {
    let lookups = lookups.ok_or(Failed::NotAllowed)?;
    if name.len() > MAX_NAME {
        return Err(Failed::Invalid);
    }
    let name = match Host::parse(&name) {
        // `Host::parse` has already converted the name to punycode.
        Ok(Host::Domain(name)) => name,
        Ok(Host::Ipv4(address)) => return Ok(vec![IpAddr::V4(address)].into_iter()),
        Ok(Host::Ipv6(address)) => return Ok(vec![IpAddr::V6(address)].into_iter()),
        // `Host::parse` accepts an IPv6 address only in brackets.
        Err(_) => match name.parse::<Ipv6Addr>() {
            Ok(address) => return Ok(vec![IpAddr::V6(address)].into_iter()),
            Err(_) => return Err(Failed::Invalid),
        },
    };
    let addresses = lookups.resolve(name, 0).await.map_err(|_| Failed::Unresolvable)?;
    Ok(addresses.into_iter().map(|address| address.ip().to_canonical()).collect::<Vec<_>>().into_iter())
}

/// A `resolve-address-stream` of WASI 0.2, from which the guest reads the result of a lookup.
struct AddressStream {
    lookup: BoxFuture<'static, Found>,
    found: Option<Found>,
}

impl AddressStream {
    /// Returns the result of the lookup, or `None` if the lookup has not ended.
    fn poll(&mut self) -> Option<&mut Found> {
        self.ready().now_or_never()?;
        self.found.as_mut()
    }
}

#[async_trait]
impl Pollable for AddressStream {
    async fn ready(&mut self) {
        if self.found.is_none() {
            self.found = Some((&mut self.lookup).await);
        }
    }
}

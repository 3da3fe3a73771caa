//! Counts the connections and the requests from each client address, over all threads of the host.
//!
//! The table has an entry for an address only while the address has an open connection or a running request. The limits
//! on connections and requests therefore limit the size of the table too.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// If the host waits longer than this time for the client to send or read something, the host counts the client's
/// request as stalled. A slow client that still sends or reads some bytes does not make its request stalled.
pub(crate) const STALLED_AFTER: Duration = Duration::from_secs(1);

/// The table of all client addresses that have an open connection or a running request.
#[derive(Clone, Default)]
pub(crate) struct Addresses(Arc<Table>);

type Table = Mutex<HashMap<IpAddr, Weak<Address>>>;

/// Counts the connections and requests of one client address. All IPv6 addresses of a /64 network share one entry,
/// because a single machine can use all addresses of its /64 network.
pub(crate) struct Address {
    network: IpAddr,
    connections: AtomicUsize,
    at_work: AtomicUsize,
    stalled: AtomicUsize,
    table: Arc<Table>,
}

/// Counts a connection from a client address as open until this value is dropped.
pub(crate) struct Connected(Arc<Address>);

/// Counts a request from a client address as running until this value is dropped.
pub(crate) struct Share(Arc<Address>);

/// Counts a request from a client address as stalled until this value is dropped.
pub(crate) struct Stalled(Arc<Address>);

impl Addresses {
    /// Returns the table's entry for the client address `client`. If the address has no entry yet, this function adds
    /// an entry.
    pub(crate) fn of(&self, client: IpAddr) -> Arc<Address> {
        let network = network(client);
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = table.get(&network).and_then(Weak::upgrade) {
            return known;
        }
        let address = Arc::new(Address {
            network,
            connections: AtomicUsize::new(0),
            at_work: AtomicUsize::new(0),
            stalled: AtomicUsize::new(0),
            table: self.0.clone(),
        });
        table.insert(network, Arc::downgrade(&address));
        address
    }
}

impl Address {
    /// Counts one more open connection from this address. If the address already has `max` connections, counts nothing
    /// and returns `None`.
    pub(crate) fn connect(self: &Arc<Self>, max: usize) -> Option<Connected> {
        one_more(&self.connections, max).then(|| Connected(self.clone()))
    }

    /// Counts one more running request from this address. If the address already has `max` running requests, counts
    /// nothing and returns `None`.
    pub(crate) fn begin(self: &Arc<Self>, max: usize) -> Option<Share> {
        one_more(&self.at_work, max).then(|| Share(self.clone()))
    }

    /// Counts one more stalled request from this address. A request is stalled if its client has left, or if the host
    /// waits for the client to send or read more.
    pub(crate) fn stall(self: &Arc<Self>) -> Stalled {
        self.stalled.fetch_add(1, Relaxed);
        Stalled(self.clone())
    }

    /// Returns the number of stalled requests from this address.
    pub(crate) fn stalled(&self) -> usize {
        self.stalled.load(Relaxed)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.network {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(network) => write!(f, "{network}/64"),
        }
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        // In the meantime, another thread may have added a new entry for this address.
        if table.get(&self.network).is_some_and(|entry| entry.strong_count() == 0) {
            table.remove(&self.network);
        }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.at_work.fetch_sub(1, Relaxed);
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        self.0.stalled.fetch_sub(1, Relaxed);
    }
}

/// Adds 1 to `count` and returns true. If `count` is already `max`, changes nothing and returns false.
fn one_more(count: &AtomicUsize, max: usize) -> bool {
    count.fetch_update(Relaxed, Relaxed, |count| (count < max).then_some(count + 1)).is_ok()
}

/// Returns the key under which the host counts a client: its IPv4 address, or the /64 network of its IPv6 address.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(addresses: &Addresses, client: &str) -> Arc<Address> {
        addresses.of(client.parse().unwrap())
    }

    #[test]
    fn connections_of_one_address_share_an_entry_and_others_do_not() {
        let addresses = Addresses::default();
        let shares = |one: &str, other: &str| Arc::ptr_eq(&of(&addresses, one), &of(&addresses, other));
        let _held = ["10.0.0.1", "2001:db8::1"].map(|client| of(&addresses, client));
        assert!(shares("10.0.0.1", "10.0.0.1") && !shares("10.0.0.1", "10.0.0.2"));
        assert!(shares("10.0.0.1", "::ffff:10.0.0.1"));
        assert!(shares("2001:db8::1", "2001:db8::ffff:0:1") && !shares("2001:db8::1", "2001:db8:0:1::1"));
        assert_eq!(of(&addresses, "2001:db8::1:2").to_string(), "2001:db8::/64");
    }

    #[test]
    fn an_entry_lasts_as_long_as_something_of_its_address() {
        let addresses = Addresses::default();
        let entries = || addresses.0.lock().unwrap().len();
        let address = of(&addresses, "10.0.0.1");
        let (stalled, share) = (address.stall(), address.begin(1));
        assert!(share.is_some() && address.begin(1).is_none());
        drop((address, share));
        assert_eq!((entries(), of(&addresses, "10.0.0.1").stalled()), (1, 1));
        drop(stalled);
        assert_eq!((entries(), of(&addresses, "10.0.0.1").stalled()), (0, 0));
    }
}

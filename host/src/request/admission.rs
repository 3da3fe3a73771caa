//! Limits the number of running requests and the number of draining requests (promise S12).
//!
//! A request counts as running until the host has sent the response. From then on, the request counts as draining until
//! its teardown has ended. The host counts running and draining requests separately, so that slow tasks do not keep the
//! host from accepting new requests. If too many requests drain, the host refuses new requests, but still runs every
//! accepted task. All threads share the counts, because the kernel does not spread connections evenly over the threads.
//! If each thread had its own count, a full thread would refuse requests while other threads are idle.
//!
//! The host also counts the running requests of each client address. If the host did not count the requests of each
//! address, one client that sends many requests and leaves could use up the limit of the whole host.

use std::num::NonZeroUsize;
use std::sync::Arc;

use epilogue_manifest::settings::HostOptions;

use crate::budget::address::{Address, Stalled};
use crate::budget::refusals;
use crate::budget::requests::{Place, Requests};
use crate::component::lag::InFlight;

/// The host's limits on the number of requests, and the current numbers of requests.
pub(crate) struct Admission {
    max_requests: usize,
    max_draining: usize,
    /// The highest number of running requests for one client address. The value is `None` if there is no limit.
    max_per_address: Option<usize>,
    /// The highest number of stalled requests for one client address. A request is stalled if its client has left, or
    /// if the host has waited for its client for too long.
    max_stalled: usize,
    requests: Arc<Requests>,
}

/// The limit that refused a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The limit's name.
    pub(crate) limit: &'static str,
    /// True if the limit applies to one client address, and false if the limit applies to the whole host.
    pub(crate) is_clients: bool,
}

impl Refused {
    pub(crate) const fn of_host(limit: &'static str) -> Self {
        Self { limit, is_clients: false }
    }

    /// Adds 1 to the metric `epilogue_requests_refused_total` for the limit that refused the request.
    pub(crate) fn count(&self) {
        refusals::count(self.limit);
    }

    pub(crate) const fn of_client(limit: &'static str) -> Self {
        Self { limit, is_clients: true }
    }
}

impl Admission {
    pub(crate) fn new(options: &HostOptions) -> Self {
        Self {
            max_requests: options.max_requests.get(),
            max_draining: options.max_draining.get(),
            max_per_address: options.max_requests_per_address.map(NonZeroUsize::get),
            max_stalled: options.stalled_per_address(),
            requests: Arc::default(),
        }
    }

    /// Admits a request from the client address `address`, or returns the limit that refuses the request. If `max-lag`
    /// limits the requests of each thread, `in_flight` counts the request on its thread. The request keeps `in_flight`
    /// until the response is sent.
    pub(crate) fn admit(&self, in_flight: Option<InFlight>, address: &Arc<Address>) -> Result<Slot, Refused> {
        if self.requests.draining() >= self.max_draining {
            return Err(Refused::of_host("max-draining"));
        }
        if address.stalled() >= self.max_stalled {
            return Err(Refused::of_client("max-stalled-per-address"));
        }
        let share = match self.max_per_address {
            Some(max) => Some(address.begin(max).ok_or(Refused::of_client("max-requests-per-address"))?),
            None => None,
        };
        let place = self.requests.begin(self.max_requests, share).ok_or(Refused::of_host("max-requests"))?;
        Ok(Slot { place, max_stalled: self.max_stalled, in_flight, stalled: None })
    }

    /// Returns the number of running requests and the number of draining requests.
    pub(crate) fn at_work_and_draining(&self) -> (usize, usize) {
        (self.requests.at_work(), self.requests.draining())
    }

    /// Returns the number of running and draining requests together.
    pub(crate) fn requests(&self) -> usize {
        self.requests.all()
    }
}

/// Counts an admitted request for each limit until this value is dropped.
pub(crate) struct Slot {
    place: Arc<Place>,
    max_stalled: usize,
    in_flight: Option<InFlight>,
    /// Counts the request as stalled for its client address. The host sets this value when the client leaves while the
    /// handler runs.
    stalled: Option<Stalled>,
}

impl Slot {
    /// Returns the value that counts the request first as running, and later as draining. As soon as the connection has
    /// sent the last byte of the response, the connection uses this value to count the request as draining. The host
    /// calls [`Slot::drain`] only later, and the client may send its next request before this call.
    pub(crate) fn place(&self) -> Arc<Place> {
        self.place.clone()
    }

    /// Counts the request as draining from now on, even if too many requests are already draining. The host calls this
    /// function when it has sent the response.
    pub(crate) fn drain(&mut self) {
        self.place.drain();
        (self.in_flight, self.stalled) = (None, None);
    }

    /// Records that the client with this address has left while the handler runs. The handler goes on. If the address
    /// now has too many stalled requests, counts the request as draining from now on, so that the request does not use
    /// up the limit on running requests. If the address has fewer stalled requests, the request still counts as
    /// running.
    pub(crate) fn abandon(&mut self, address: &Arc<Address>) {
        self.stalled = Some(address.stall());
        if address.stalled() > self.max_stalled {
            self.place.leave_work();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::address::Addresses;
    use epilogue_manifest::settings::HostOverlay;

    struct Clients(Admission, Addresses);

    impl Clients {
        /// Makes the admission of a host with these settings, and a table for client addresses.
        fn of<const N: usize>(settings: [(&str, &str); N]) -> Self {
            let mut options = HostOverlay::default();
            for (name, value) in settings {
                assert_eq!(options.set(name, value), Ok(true), "{name}");
            }
            Self(Admission::new(&options.resolve()), Addresses::default())
        }

        fn address(&self, client: u8) -> Arc<Address> {
            self.1.of([10, 0, 0, client].into())
        }

        /// Admits a request of this client, or returns the limit that refuses the request.
        fn admit(&self, client: u8) -> Result<Slot, &'static str> {
            self.0.admit(None, &self.address(client)).map_err(|refused| refused.limit)
        }
    }

    #[test]
    fn s12_each_phase_has_a_limit_of_its_own() {
        let clients = Clients::of([("max-requests", "2"), ("max-draining", "1")]);
        let (first, mut second) = (clients.admit(1).unwrap(), clients.admit(1).unwrap());
        assert_eq!(clients.admit(1).err(), Some("max-requests"));
        drop(first);
        let mut third = clients.admit(1).unwrap();
        second.drain();
        assert_eq!(clients.admit(1).err(), Some("max-draining"));
        // An admitted request may always run its tasks.
        third.drain();
        drop(second);
        assert_eq!(clients.admit(1).err(), Some("max-draining"));
        drop(third);
        assert!(clients.admit(1).is_ok());
    }

    #[test]
    fn s12_an_address_has_a_share_of_the_requests_at_work() {
        let clients = Clients::of([("max-requests-per-address", "2")]);
        let (first, mut second) = (clients.admit(1).unwrap(), clients.admit(1).unwrap());
        assert_eq!(clients.admit(1).err(), Some("max-requests-per-address"));
        assert!(clients.admit(2).is_ok());
        drop(first);
        let _third = clients.admit(1).unwrap();
        assert_eq!(clients.admit(1).err(), Some("max-requests-per-address"));
        second.drain();
        assert!(clients.admit(1).is_ok());
    }

    #[test]
    fn s12_requests_that_their_client_has_left_are_a_quarter_of_all_at_most() {
        let clients = Clients::of([("max-requests", "8")]);
        let address = clients.address(1);
        let mut left: Vec<_> = (0..8).map(|_| clients.admit(1).unwrap()).collect();
        assert_eq!(clients.admit(2).err(), Some("max-requests"));
        left[0].abandon(&address);
        left[1].abandon(&address);
        // The first two stalled requests still count as running.
        assert_eq!(clients.admit(2).err(), Some("max-requests"));
        left[2..].iter_mut().for_each(|slot| slot.abandon(&address));
        let others: Vec<_> = (0..6).map(|_| clients.admit(2).unwrap()).collect();
        assert_eq!(clients.admit(2).err(), Some("max-requests"));
        assert_eq!(clients.0.requests(), 14);
        drop(others);
        // The host refuses further requests of this address until only one stalled request is left.
        left.drain(2..).for_each(drop);
        assert_eq!(clients.admit(1).err(), Some("max-stalled-per-address"));
        left[0].drain();
        assert!(clients.admit(1).is_ok());
        drop(left);
        assert_eq!((clients.0.requests(), address.stalled()), (0, 0));
    }
}

//! How many requests may be at work at once, and how many may be draining (S12).
//!
//! A request counts as running until its response is sent, and then as draining until its teardown has ended. So slow
//! tasks take no room from new requests. If a host is behind with its tasks, it accepts no new requests, but loses no
//! accepted task. The counts are for the whole host, because the kernel spreads connections unevenly over the threads.
//! With a count for each thread, a full thread would refuse requests although other threads have room.
//!
//! A request also counts for its client's address. Otherwise one client could take all places. That would cost the
//! client nothing, if it leaves its requests or does not go on with them.

use std::num::NonZeroUsize;
use std::sync::Arc;

use epilogue_manifest::settings::HostOptions;

use crate::budget::address::{Address, Stalled};
use crate::budget::requests::{Place, Requests};
use crate::component::lag::InFlight;

/// The requests of a host.
pub(crate) struct Admission {
    max_requests: usize,
    max_draining: usize,
    /// How many requests of one client address may be at work, if that is limited.
    max_per_address: Option<usize>,
    /// How many requests of one client address may be stalled.
    max_stalled: usize,
    requests: Arc<Requests>,
}

/// The limit that refused a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The limit's name.
    pub(crate) limit: &'static str,
    /// Whether the limit is for one client, and not for the whole host.
    pub(crate) is_clients: bool,
}

impl Refused {
    pub(crate) const fn of_host(limit: &'static str) -> Self {
        Self { limit, is_clients: false }
    }

    /// Counts the refused request in the metric.
    pub(crate) fn count(&self) {
        metrics::counter!("epilogue_requests_refused_total", "limit" => self.limit).increment(1);
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

    /// Admits a request of a client with this address if there is room for it. `in_flight` is the request's place on
    /// its thread, if such places are counted. The request keeps it until it drains.
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

    /// How many requests are at work, and how many drain.
    pub(crate) fn at_work_and_draining(&self) -> (usize, usize) {
        (self.requests.at_work(), self.requests.draining())
    }

    /// How many requests have not ended, their tasks and teardowns included.
    pub(crate) fn requests(&self) -> usize {
        self.requests.all()
    }
}

/// An admitted request, with all its counts. Dropping it ends all of them.
pub(crate) struct Slot {
    place: Arc<Place>,
    max_stalled: usize,
    in_flight: Option<InFlight>,
    /// The count of this request as a stalled request of its client's address, after its client has left.
    stalled: Option<Stalled>,
}

impl Slot {
    /// The request's place. The code that sees the response's last byte leave must count the request as draining at
    /// once, because the client's next request may come before this request's own task runs again.
    pub(crate) fn place(&self) -> Arc<Place> {
        self.place.clone()
    }

    /// Counts the request as draining from now on, even beyond the limit of draining requests. Called when its response
    /// is sent.
    pub(crate) fn drain(&mut self) {
        self.place.drain();
        (self.in_flight, self.stalled) = (None, None);
    }

    /// Records that the request's client, which has this address, has left while the handler runs. The handler goes on,
    /// and the request keeps its place. If the address has too many stalled requests, this one counts as draining from
    /// now on, because no client waits for it. So it takes no place from other requests.
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
        /// The clients of a host with these settings.
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

        /// Admits a request of this client, or returns the limit that refuses it.
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
        // The requests within the share keep their places.
        assert_eq!(clients.admit(2).err(), Some("max-requests"));
        left[2..].iter_mut().for_each(|slot| slot.abandon(&address));
        let others: Vec<_> = (0..6).map(|_| clients.admit(2).unwrap()).collect();
        assert_eq!(clients.admit(2).err(), Some("max-requests"));
        assert_eq!(clients.0.requests(), 14);
        drop(others);
        // The address gets no further requests until only one stalled request is left.
        left.drain(2..).for_each(drop);
        assert_eq!(clients.admit(1).err(), Some("max-stalled-per-address"));
        left[0].drain();
        assert!(clients.admit(1).is_ok());
        drop(left);
        assert_eq!((clients.0.requests(), address.stalled()), (0, 0));
    }
}

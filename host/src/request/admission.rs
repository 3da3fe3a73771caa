//! How many requests may be at work at once, and how many may be draining (S12).
//!
//! A request counts as running until its response is sent, then as draining until its teardown has ended. So slow tasks
//! take no room from requests, and a host that is behind with its tasks takes in no more of them; what it has accepted it
//! keeps. The counts are the whole host's, since the kernel spreads connections unevenly over the threads: a share for each
//! would refuse requests while others have room.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use epilogue_manifest::settings::HostOptions;

use crate::component::lag::InFlight;

/// The requests of a host.
pub(crate) struct Admission {
    max_requests: usize,
    max_draining: usize,
    running: AtomicUsize,
    draining: AtomicUsize,
}

/// The limit that a request was refused by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) &'static str);

impl Admission {
    pub(crate) fn new(options: &HostOptions) -> Self {
        Self {
            max_requests: options.max_requests.get(),
            max_draining: options.max_draining.get(),
            running: AtomicUsize::new(0),
            draining: AtomicUsize::new(0),
        }
    }

    /// Admits a request if there is room for it. `in_flight` is the request's place on its thread, where those are
    /// counted: the request keeps it until it drains.
    pub(crate) fn admit(self: &Arc<Self>, in_flight: Option<InFlight>) -> Result<Slot, Refused> {
        if self.draining.load(Relaxed) >= self.max_draining {
            return Err(Refused("max-draining"));
        }
        let more = |running| (running < self.max_requests).then_some(running + 1);
        match self.running.fetch_update(Relaxed, Relaxed, more) {
            Ok(_) => Ok(Slot { admission: self.clone(), draining: false, in_flight }),
            Err(_) => Err(Refused("max-requests")),
        }
    }

    /// How many requests have not ended, their tasks and teardowns included.
    pub(crate) fn requests(&self) -> usize {
        self.running.load(Relaxed) + self.draining.load(Relaxed)
    }
}

/// A request's place among those that are admitted. Dropping it frees the place.
pub(crate) struct Slot {
    admission: Arc<Admission>,
    draining: bool,
    in_flight: Option<InFlight>,
}

impl Slot {
    /// Counts the request as draining from now on, even beyond the limit of draining requests. Called when its response
    /// is sent.
    pub(crate) fn drain(&mut self) {
        if !self.draining {
            self.draining = true;
            self.in_flight = None;
            self.admission.draining.fetch_add(1, Relaxed);
            self.admission.running.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let count = if self.draining { &self.admission.draining } else { &self.admission.running };
        count.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use epilogue_manifest::settings::HostOverlay;

    fn admission(requests: &str, draining: &str) -> Arc<Admission> {
        let mut options = HostOverlay::default();
        assert_eq!(options.set("max-requests", requests), Ok(true));
        assert_eq!(options.set("max-draining", draining), Ok(true));
        Arc::new(Admission::new(&options.resolve()))
    }

    #[test]
    fn s12_each_phase_has_a_limit_of_its_own() {
        let admission = admission("2", "1");
        let (first, mut second) = (admission.admit(None).ok().unwrap(), admission.admit(None).ok().unwrap());
        assert_eq!(admission.admit(None).err(), Some(Refused("max-requests")));
        drop(first);
        let mut third = admission.admit(None).ok().unwrap();
        second.drain();
        assert_eq!(admission.admit(None).err(), Some(Refused("max-draining")));
        // One that is in may always go on to its tasks.
        third.drain();
        drop(second);
        assert_eq!(admission.admit(None).err(), Some(Refused("max-draining")));
        drop(third);
        assert!(admission.admit(None).is_ok());
    }
}

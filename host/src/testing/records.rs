//! Keeps the records of ended requests until tests take them.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use crate::tasks::record::RequestRecord;

/// Keeps records until a test takes them, in the order in which the requests ended. Several threads can wait for
/// records at the same time.
pub(super) struct Records(Arc<(Mutex<Kept>, Condvar)>);

#[derive(Default)]
struct Kept {
    waiting: Vec<RequestRecord>,
    /// True if no more records will arrive.
    ended: bool,
}

impl Records {
    /// Starts a thread that keeps the records from `incoming`.
    pub(super) fn keep(incoming: Receiver<RequestRecord>) -> Self {
        let kept = Arc::new((Mutex::new(Kept::default()), Condvar::new()));
        let records = Self(kept.clone());
        thread::spawn(move || {
            let (kept, changed) = &*kept;
            for record in incoming {
                kept.lock().unwrap().waiting.push(record);
                changed.notify_all();
            }
            kept.lock().unwrap().ended = true;
            changed.notify_all();
        });
        records
    }

    /// Takes the first record for which `wanted` returns true. If there is no such record yet, waits for the record.
    /// Returns `None` if no such record arrives within `patience`, or if no more records will arrive.
    pub(super) fn take(&self, patience: Duration, wanted: impl Fn(&RequestRecord) -> bool) -> Option<RequestRecord> {
        let (kept, changed) = &*self.0;
        let looks = |kept: &mut Kept| !kept.ended && !kept.waiting.iter().any(&wanted);
        let (mut kept, _) = changed.wait_timeout_while(kept.lock().unwrap(), patience, looks).unwrap();
        let place = kept.waiting.iter().position(&wanted)?;
        Some(kept.waiting.remove(place))
    }
}

//! Keeps copies of timelines. The copies are small and stand one behind the other, because they go through the
//! processor's caches: each copied byte displaces a byte that the next request needs.

use std::collections::VecDeque;
use std::time::Instant;

use postcard::ser_flavors::Flavor;

use super::Timeline;
use super::events::Events;
use super::facts::Facts;
use super::moment::Moment;

/// The number of timelines on one page.
const PAGE: usize = 50;
/// The largest page whose memory is used again for another page, in bytes.
const MAX_REUSED: usize = 512 * 1024;
/// The number of bytes that most numbers in a copy take at most.
const FEW: usize = 4;

/// Copies of the timelines that were added most recently. Each timeline has a number, which is greater than the number
/// of the timeline before.
pub(crate) struct Pages {
    /// The full pages, the oldest first.
    full: VecDeque<Page>,
    /// The page that gets new timelines. Always has the same memory, so that the memory stays in the processor's
    /// caches. Writing each timeline to memory that was not used for a long time would make each request wait for this
    /// memory.
    newest: Page,
}

/// Copies of timelines, in the format of `postcard`.
struct Page {
    /// The time at which the first request on this page arrived.
    began: Instant,
    /// The number of each timeline, and the place in `copies` at which its copy begins.
    starts: Vec<(u64, usize)>,
    copies: Vec<u8>,
}

impl Pages {
    /// Adds a copy of a timeline. If more than `min` timelines are kept, may remove the oldest timelines.
    pub(crate) fn add(&mut self, number: u64, timeline: &Timeline, min: usize) {
        let page = &mut self.newest;
        if page.starts.len() == PAGE {
            let oldest = if self.full.len() * PAGE >= min { self.full.pop_front() } else { None };
            let mut full = oldest.filter(|page| page.copies.capacity() <= MAX_REUSED).unwrap_or_else(Page::new);
            full.began = page.began;
            full.starts.clone_from(&page.starts);
            full.copies.clone_from(&page.copies);
            self.full.push_back(full);
            page.starts.clear();
            page.copies.clear();
            page.copies.shrink_to(MAX_REUSED);
        }
        let Timeline { began, facts, events, .. } = timeline;
        if page.starts.is_empty() {
            page.began = *began;
        }
        let start = page.copies.len();
        let copy = (Moment::of(*began, page.began), facts, events);
        if postcard::serialize_with_flavor(&copy, End(&mut page.copies)).is_ok() {
            page.starts.push((number, start));
        }
    }

    /// Returns the number of the oldest timeline.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.full.front().unwrap_or(&self.newest).starts.first().map(|(number, _)| *number)
    }

    /// Returns the number of each timeline, and a function that reads the timeline, the newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = (u64, impl Fn() -> Option<Timeline>)> {
        [&self.newest]
            .into_iter()
            .chain(self.full.iter().rev())
            .flat_map(|page| page.starts.iter().rev().map(move |(number, start)| (*number, move || page.read(*start))))
    }
}

impl Default for Pages {
    fn default() -> Self {
        Self { full: VecDeque::new(), newest: Page::new() }
    }
}

impl Page {
    fn new() -> Self {
        Self { began: Instant::now(), starts: Vec::new(), copies: Vec::new() }
    }

    /// Reads the timeline whose copy begins at `start`. The copy does not contain the trace.
    fn read(&self, start: usize) -> Option<Timeline> {
        let (began, facts, events): (Moment, Facts, Events) = postcard::from_bytes(self.copies.get(start..)?).ok()?;
        Some(Timeline { began: began.instant(self.began)?, facts, events, trace: None })
    }
}

/// Writes a copy to the end of a page. `postcard` itself can only fill a buffer, which would have to be copied again.
struct End<'a>(&'a mut Vec<u8>);

impl Flavor for End<'_> {
    type Output = ();

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if bytes.len() <= FEW {
            // For few bytes, this is faster than the call of a function that copies any number of bytes.
            bytes.iter().for_each(|byte| self.0.push(*byte));
        } else {
            self.0.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::contract::bindings::ResponseOutcome;
    use crate::tasks::record::TaskState;
    use crate::tasks::timeline::{Named, Stream};

    /// Makes a timeline with an event of each kind. `error` is the error of a task.
    fn full(error: &str) -> Timeline {
        let mut timeline = Timeline::begin(Instant::now());
        timeline.identify("request", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "shop");
        let began = timeline.began;
        for (id, name) in [(1, "charge"), (2, "notify")] {
            timeline.added(Named { id, name, component: "shop" }, began - Duration::from_secs(1));
        }
        timeline.sent(7, &ResponseOutcome::ResponseFailed("no paper".to_owned()), began);
        for number in 1..=2 {
            let task = Named { id: 1, name: "charge", component: "shop" };
            timeline.attempt_begins(task, number, began, Duration::from_secs(30));
            timeline.printed(Stream::Stderr, b"one\ntwo\n");
            timeline.attempt_ended(1, began + Duration::from_secs(7200), TaskState::TimedOut, Some(error));
        }
        timeline.teardown_begins(began);
        timeline.teardown_ended(began + Duration::from_secs(7201));
        timeline
    }

    #[test]
    fn a_copy_is_equal_to_its_timeline() {
        let mut pages = Pages::default();
        let mut kept = Vec::new();
        for number in 1..=PAGE as u64 + 3 {
            let timeline = full(&"x".repeat(if number % 3 == 0 { 5000 } else { 10 }));
            pages.add(number, &timeline, PAGE);
            kept.push((number, format!("{timeline:?}")));
        }
        let copies = pages.newest_first().map(|(number, read)| (number, format!("{:?}", read().unwrap())));
        assert_eq!(copies.collect::<Vec<_>>(), kept.into_iter().rev().collect::<Vec<_>>());
        assert_eq!(pages.oldest(), Some(1));
    }
}

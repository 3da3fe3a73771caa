//! Keeps copies of timelines. The copies stand one behind the other on pages, so that a copy needs no memory of its own
//! from the allocator. The copies are not encoded: an encoding would make them smaller, but needs more instructions than
//! it saves time for memory.

use std::collections::VecDeque;
use std::time::Instant;

use super::Timeline;
use super::events::{Events, Place};
use super::facts::Facts;

/// The number of timelines on one page.
const PAGE: usize = 50;
/// The largest memory of a page that is used again for another page, in bytes.
const MAX_REUSED: usize = 512 * 1024;

/// Copies of the timelines that were added most recently. Each timeline has a number, which is greater than the number
/// of the timeline before.
#[derive(Default)]
pub(crate) struct Pages {
    /// The pages, the oldest first. All pages but the newest are full.
    pages: VecDeque<Page>,
}

/// Copies of timelines.
#[derive(Default)]
struct Page {
    copies: Vec<Copied>,
    /// The events of all timelines of this page.
    events: Events,
}

/// A timeline without its events and its trace.
struct Copied {
    number: u64,
    began: Instant,
    facts: Facts,
    /// The place behind the timeline's last event. The next timeline's first event stands there.
    end: Place,
}

impl Pages {
    /// Adds a copy of a timeline. If more than `min` timelines are kept, may remove the oldest timelines.
    pub(crate) fn add(&mut self, number: u64, timeline: &Timeline, min: usize) {
        if self.pages.back().is_none_or(|newest| newest.copies.len() == PAGE) {
            let oldest = if self.pages.len() * PAGE >= min + PAGE { self.pages.pop_front() } else { None };
            let mut page = oldest.unwrap_or_default();
            page.copies.clear();
            page.events.clear(MAX_REUSED);
            self.pages.push_back(page);
        }
        let Some(page) = self.pages.back_mut() else { return };
        let Timeline { began, facts, events, .. } = timeline;
        page.events.append(events);
        page.copies.push(Copied { number, began: *began, facts: *facts, end: page.events.end_place() });
    }

    /// Returns the number of the oldest timeline.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.pages.front()?.copies.first().map(|copied| copied.number)
    }

    /// Returns the number of each timeline, and a function that returns the timeline, the newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = (u64, impl Fn() -> Timeline)> {
        self.pages.iter().rev().flat_map(|page| {
            page.copies
                .iter()
                .enumerate()
                .rev()
                .map(move |(index, copied)| (copied.number, move || page.read(index, copied)))
        })
    }
}

impl Page {
    /// Returns the timeline with this index, without the trace.
    fn read(&self, index: usize, copied: &Copied) -> Timeline {
        let before = index.checked_sub(1).and_then(|before| self.copies.get(before));
        let start = before.map_or_else(Place::default, |before| before.end);
        Timeline::of(copied.began, copied.facts, self.events.part(start, copied.end))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::contract::bindings::ResponseOutcome;
    use crate::tasks::record::TaskState;
    use crate::tasks::timeline::{Moment, Named, Stream};

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
        // A copy gets no more events.
        timeline.last = (began, Moment::START);
        timeline
    }

    #[test]
    fn a_copy_is_equal_to_its_timeline() {
        let mut pages = Pages::default();
        let mut kept = Vec::new();
        for number in 1..=PAGE as u64 + 3 {
            let timeline = full(&"x".repeat(number as usize));
            pages.add(number, &timeline, PAGE);
            kept.push((number, format!("{timeline:?}")));
        }
        let copies = pages.newest_first().map(|(number, read)| (number, format!("{:?}", read())));
        assert_eq!(copies.collect::<Vec<_>>(), kept.into_iter().rev().collect::<Vec<_>>());
        assert_eq!(pages.oldest(), Some(1));
    }
}

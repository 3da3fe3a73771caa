//! Records the time of each event of a request in a timeline, if a reader of timelines, such as the dashboard, is
//! turned on.

use std::time::{Duration, Instant, UNIX_EPOCH};

use epilogue_engines::{self as engines, Batch};

use super::Life;
use crate::tasks::queue::Task;
use crate::tasks::record::{TaskRecord, TaskState};
use crate::tasks::timeline::Timeline;

impl Life {
    /// From now on, adds the events of the request to `timeline`, which begins with the request's arrival. If
    /// `timeline` is `None`, no reader needs a timeline, and the host records no events.
    pub(super) fn follow(&mut self, timeline: Option<Timeline>) {
        if let Some(timeline) = timeline {
            let readers = &self.observer.readers;
            let shared = self.scope.follow(timeline, &self.record.component, readers.want_output);
            if let Some(instance) = &mut self.instance {
                instance.show_output(&self.scope);
            }
            readers.each(|reader| reader.began(shared));
        }
    }

    /// From now on, records the events of a batch in a timeline, if a reader needs the timeline. `waiting` are the
    /// tasks of the batch that have not ended.
    pub(crate) fn follow_batch(&mut self, batch: &Batch, waiting: &[engines::Task]) {
        if !self.observer.readers.any() {
            return;
        }
        let mut timeline = Timeline::begin(None);
        let created = UNIX_EPOCH + Duration::from_millis(batch.created);
        let age = timeline.time.duration_since(created).unwrap_or_default();
        let added = timeline.began.checked_sub(age).unwrap_or(timeline.began);
        for task in waiting {
            let record = TaskRecord::of_stored(batch, task, TaskState::Abandoned);
            timeline.added(record.id, &record.name, &record.component, added);
        }
        self.follow(Some(timeline));
    }

    /// Records in the timeline that the response was sent or has failed.
    pub(super) fn note_sent(&self, bytes: u64) {
        if let Some(shared) = self.scope.timeline.get() {
            let mut timeline = shared.lock();
            timeline.sent = Some(Instant::now());
            timeline.bytes = bytes;
            timeline.outcome = self.record.outcome.clone();
            self.observer.readers.each(|reader| reader.sent(&timeline));
        }
    }

    /// Records in the timeline that an attempt of a task begins.
    pub(super) fn note_attempt(&self, task: &Task, attempt: u32, began: Instant) {
        self.scope.calls_belong_to(Some(task.id));
        if let Some(shared) = self.scope.timeline.get() {
            let record = self.record_of(task, TaskState::Abandoned, attempt, None);
            let own = self.pool.component.settings.task_timeout;
            shared.lock().attempt_begins(&record, began, task.timeout.map_or(own, |asked| asked.min(own)));
        }
    }

    /// Records in the timeline that the request has ended, and passes the timeline to its readers.
    pub(super) fn note_end(&self) {
        if let Some(shared) = self.scope.timeline.get() {
            shared.lock().ended = Some(Instant::now());
            self.observer.readers.each(|reader| reader.ended(shared));
        }
    }
}

//! Writes the timeline of a request, if something reads it.

use std::time::Instant;

use super::Life;
use crate::tasks::queue::Task;
use crate::tasks::record::TaskState;
use crate::tasks::timeline::Timeline;

impl Life {
    /// Records the timeline from now on. `timeline` begins with the request's arrival. None if nothing reads it.
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

    /// Records the timeline of a batch from now on, if something reads it.
    pub(crate) fn follow_batch(&mut self) {
        self.follow(self.observer.readers.any().then(|| Timeline::begin(None)));
    }

    /// Notes that the response has been sent or has failed.
    pub(super) fn note_sent(&self, bytes: u64) {
        if let Some(shared) = self.scope.timeline.get() {
            let mut timeline = shared.lock();
            timeline.sent = Some(Instant::now());
            timeline.bytes = bytes;
            timeline.outcome = self.record.outcome.clone();
            self.observer.readers.each(|reader| reader.sent(&timeline));
        }
    }

    /// Notes that an attempt of a task begins.
    pub(super) fn note_attempt(&self, task: &Task, attempt: u32, began: Instant) {
        self.scope.calls_belong_to(Some(task.id));
        if let Some(shared) = self.scope.timeline.get() {
            let record = self.record_of(task, TaskState::Abandoned, attempt, None);
            shared.lock().attempt_begins(&record, began);
        }
    }

    /// Notes that the request has ended, and passes its timeline on.
    pub(super) fn note_end(&self) {
        if let Some(shared) = self.scope.timeline.get() {
            shared.lock().ended = Some(Instant::now());
            self.observer.readers.each(|reader| reader.ended(shared));
        }
    }
}

//! Records the time of each event of a request in a timeline, if a reader of timelines, such as the dashboard, is
//! turned on.

use std::time::{Duration, UNIX_EPOCH};

use epilogue_engines::{self as engines, Batch};
use tokio::time::Instant;

use super::Life;
use super::drain::Attempted;
use crate::contract::bindings::TaskId;
use crate::tasks::queue::Task;
use crate::tasks::record::{TaskRecord, TaskState};
use crate::tasks::timeline::Named;

impl Life {
    /// Begins to show the timeline of the request or batch to the readers. If there is no timeline, no reader needs one,
    /// and the host records no events.
    pub(super) fn follow(&self) {
        let Some(shared) = &self.scope.timeline else { return };
        let mut timeline = shared.lock();
        let traceparent = &self.scope.trace_context.traceparent;
        timeline.identify(&self.scope.id, traceparent, &self.record.component);
        timeline.trace.clone_from(&self.scope.trace);
        self.observer.readers.each(|reader| reader.began(&timeline, traceparent));
        shared.set_live(true);
    }

    /// Begins to show the timeline of a batch to the readers. `waiting` are the tasks of the batch that have not ended.
    pub(crate) fn follow_batch(&self, batch: &Batch, waiting: &[engines::Task]) {
        self.scope.note(|timeline| {
            let created = UNIX_EPOCH + Duration::from_millis(batch.created);
            let age = timeline.facts.time.duration_since(created).unwrap_or_default();
            let added = timeline.began.checked_sub(age).unwrap_or(timeline.began);
            for task in waiting {
                let record = TaskRecord::of_stored(batch, task, TaskState::Abandoned);
                timeline.added(Named { id: record.id, name: &record.name, component: &record.component }, added);
            }
        });
        self.follow();
    }

    /// Records in the timeline that the response was sent or has failed at the time `at`.
    pub(super) fn note_sent(&self, bytes: u64, at: Instant) {
        self.scope.note(|timeline| {
            timeline.sent(bytes, &self.record.outcome, at.into_std());
            self.observer.readers.each(|reader| reader.sent(timeline));
        });
    }

    /// Records in the timeline that an attempt of a task begins.
    pub(super) fn note_attempt(&self, task: &Task, attempt: u32, began: Instant) {
        self.scope.calls_belong_to(Some(task.id));
        self.scope.note(|timeline| {
            let component = &self.pool.component;
            let named = Named { id: task.id, name: &task.name, component: &component.layers[task.layer].id };
            let own = component.settings.task_timeout;
            timeline.attempt_begins(named, attempt, began.into_std(), task.timeout.map_or(own, |asked| asked.min(own)));
        });
    }

    /// Records in the timeline how an attempt of a task ended.
    pub(crate) fn note_attempt_end(&self, task: TaskId, attempted: &Attempted) {
        let Attempted { state, ref error, ended } = *attempted;
        self.scope.note(|timeline| timeline.attempt_ended(task, ended.into_std(), state, error.as_deref()));
    }

    /// Records in the timeline that the request ended at `ended`, and passes the timeline to its readers.
    pub(super) fn note_end(&self, ended: Instant) {
        if let Some(shared) = &self.scope.timeline {
            self.observer.readers.end(shared, ended.into_std());
        }
    }
}

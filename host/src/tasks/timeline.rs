//! Records what happens to a request, and when. The access log, the metrics, the traces and the dashboard show the
//! recorded timelines. The host records timelines only if the operator has turned on at least one of these reports.

pub(crate) mod clock;
mod events;
mod facts;
mod moment;
mod pages;
mod shared;
mod texts;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use epilogue_rules::trace;
use http::StatusCode;

use crate::contract::bindings::{ResponseOutcome, TaskId};
use crate::tasks::record::{StoredTask, TaskRecord, TaskState};
use crate::telemetry::otlp::trace::Trace;
pub(crate) use events::{Attempt, Fate, Line, Named, Stream, TaskEnd, TaskTimeline};
use events::{AttemptEnd, Events};
pub(crate) use facts::{Asked, Facts, Outcome};
pub(crate) use moment::Moment;
pub(crate) use pages::Pages;
pub(crate) use shared::Shared;
pub(crate) use texts::Text;

/// The largest number of lines of guest output that a timeline keeps.
const MAX_LINES: usize = 200;
/// The largest number of characters that a timeline keeps of each line of guest output.
const MAX_LINE: usize = 500;

/// The largest memory of an ended timeline that a new timeline uses again, in bytes.
const MAX_SPARE: usize = 16 * 1024;

/// What happened to a request from its arrival to the end of its teardown, and when. A batch of durable tasks on a
/// worker has a timeline too.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    /// The time at which the request arrived, or at which the worker started the batch. All other times in the timeline
    /// are later, with one exception: the guest added the tasks of a batch before the worker started the batch.
    pub(crate) began: Instant,
    pub(crate) facts: Facts,
    events: Events,
    /// The time of the last event, and its moment. Mostly, two events that follow each other have the same time.
    last: (Instant, Moment),
    /// The trace that the request is part of. The value is `None` if the host exports no traces, or if the timeline is
    /// a copy that the host has kept.
    pub(crate) trace: Option<Arc<Trace>>,
}

impl Timeline {
    /// Begins the timeline of a request that arrives at `began`, or of a batch that a worker starts at `began`. This
    /// must be the current time.
    pub(crate) fn begin(began: Instant) -> Self {
        Self::of(began, Facts::begin(clock::wall(began)), Events::new())
    }

    /// Makes a timeline with these facts and events, and without a trace.
    fn of(began: Instant, facts: Facts, events: Events) -> Self {
        Self { began, facts, events, last: (began, Moment::START), trace: None }
    }

    /// Begins another timeline at `began` in the memory of this timeline.
    pub(crate) fn begin_again(&mut self, began: Instant) {
        self.began = began;
        self.facts = Facts::begin(clock::wall(began));
        self.events.clear(MAX_SPARE);
        self.last = (began, Moment::START);
        self.trace = None;
    }

    /// Adds a text to the timeline.
    pub(crate) fn keep(&mut self, text: &str) -> Text {
        self.events.texts.keep(text)
    }

    /// Returns a text of this timeline.
    pub(crate) fn text(&self, text: Text) -> &str {
        self.events.texts.get(text)
    }

    /// Records which request or batch the timeline belongs to. `component` is the id of the component that serves the
    /// request.
    pub(crate) fn identify(&mut self, id: &str, traceparent: &str, component: &str) {
        self.facts.id = self.keep(id);
        self.facts.trace_id = self.keep(trace::id(traceparent));
        self.facts.component = self.keep(component);
    }

    /// Returns the request's id. The text is empty if the host answered before the request got an id.
    pub(crate) fn id(&self) -> &str {
        self.text(self.facts.id)
    }

    /// Returns the id of the trace. The text is empty if the request has no trace.
    pub(crate) fn trace_id(&self) -> &str {
        self.text(self.facts.trace_id)
    }

    /// Returns the id of the component that serves the request. The text is empty if the host answered without a
    /// component.
    pub(crate) fn component(&self) -> &str {
        self.text(self.facts.component)
    }

    /// Returns the request's tasks, in the order in which they were added.
    pub(crate) fn tasks(&self) -> impl ExactSizeIterator<Item = TaskTimeline<'_>> {
        self.events.tasks()
    }

    /// Returns the start and the end of each teardown. While a teardown runs, its end is `None`.
    pub(crate) fn teardowns(&self) -> &[(Moment, Option<Moment>)] {
        &self.events.teardowns
    }

    /// Returns the lines that the guest has printed. The list is empty if no reader wants the output.
    pub(crate) fn lines(&self) -> &[Line] {
        &self.events.lines
    }

    /// Converts a time to a moment in this timeline.
    pub(crate) fn moment(&self, instant: Instant) -> Moment {
        Moment::of(instant, self.began)
    }

    /// Converts the time of a new event to a moment in this timeline.
    fn event(&mut self, at: Instant) -> Moment {
        if self.last.0 != at {
            self.last = (at, self.moment(at));
        }
        self.last.1
    }

    /// Returns the current time as a moment in this timeline.
    pub(crate) fn now(&self) -> Moment {
        self.moment(Instant::now())
    }

    /// Converts a moment, such as the start of an attempt, to wall-clock time.
    pub(crate) fn wall(&self, moment: Moment) -> SystemTime {
        self.facts.time + moment.since_arrival()
    }

    /// Returns the time at which the request or batch has ended, or `None` if it has not ended.
    pub(crate) fn ended(&self) -> Option<Instant> {
        self.facts.ended.and_then(|ended| ended.instant(self.began))
    }

    /// Records that the request or batch has ended at the time `at`.
    pub(crate) fn end(&mut self, at: Instant) {
        self.facts.ended = Some(self.event(at));
    }

    /// Returns how long a task has waited for its first attempt, which began at `began`.
    pub(crate) fn wait(&self, task: TaskTimeline<'_>, began: Moment) -> Duration {
        began.since(self.ready(task))
    }

    /// Returns the time at which the task began to wait for its first attempt. At this time, the guest has added the
    /// task and the host has sent the response.
    pub(crate) fn ready(&self, task: TaskTimeline<'_>) -> Moment {
        self.facts.sent.map_or(task.added, |sent| sent.max(task.added))
    }

    /// Records that the guest has added a task at the time `added`.
    pub(crate) fn added(&mut self, task: Named<'_>, added: Instant) {
        let added = self.event(added);
        self.events.add(task, added);
    }

    /// Records that an attempt of a task begins. The attempt may take the time `timeout`.
    pub(crate) fn attempt_begins(&mut self, task: Named<'_>, number: u32, began: Instant, timeout: Duration) {
        let place = self.known(task);
        let attempt = Attempt { number, began: self.event(began), instance: self.facts.fresh_instances, end: None };
        self.events.begin_attempt(place, attempt, timeout);
    }

    /// Records how the running attempt of a task ended.
    pub(crate) fn attempt_ended(&mut self, id: TaskId, at: Instant, state: TaskState, error: Option<&str>) {
        if let Some(place) = self.events.place(id) {
            let error = error.map(|error| self.keep(error));
            let at = self.event(at);
            self.events.end_attempt(place, AttemptEnd { at, state, error });
        }
    }

    /// Records that a task has ended, or that the task waits in the dead letter. If an attempt of the task is still
    /// running in the timeline, this attempt has ended in the same way.
    pub(crate) fn task_ended(&mut self, record: &TaskRecord) {
        let fate = if record.dead { Fate::Dead(record.state) } else { Fate::Ended(record.state) };
        let place = self.known(Named { id: record.id, name: &record.name, component: &record.component });
        let at = self.event(record.ended.map_or_else(Instant::now, Into::into));
        let error = record.error.as_deref().map(|error| self.keep(error));
        self.events.end_attempt(place, AttemptEnd { at, state: record.state, error });
        self.events.end(place, TaskEnd { at, fate }, error);
    }

    /// Records that the host has stored a task.
    pub(crate) fn stored(&mut self, task: &StoredTask) {
        let place = self.known(Named { id: task.id, name: &task.name, component: &task.component });
        self.events.end(place, TaskEnd { at: self.now(), fate: Fate::Stored }, None);
    }

    /// Records that a teardown begins at `began`.
    pub(crate) fn teardown_begins(&mut self, began: Instant) {
        let began = self.event(began);
        self.events.teardowns.push((began, None));
    }

    /// Records that the running teardown has ended at `ended`.
    pub(crate) fn teardown_ended(&mut self, ended: Instant) {
        let ended = self.event(ended);
        if let Some((_, end)) = self.events.teardowns.last_mut() {
            *end = Some(ended);
        }
    }

    /// Records the guest's output line by line. The timeline does not keep text that exceeds [`MAX_LINES`] or
    /// [`MAX_LINE`].
    pub(crate) fn printed(&mut self, stream: Stream, bytes: &[u8]) {
        let (task, now) = (self.events.running(), self.now());
        let Events { texts, lines, .. } = &mut self.events;
        for piece in String::from_utf8_lossy(bytes).split_inclusive('\n') {
            let text = piece.trim_end_matches(['\n', '\r']);
            let ended = piece.ends_with('\n');
            let has_room = lines.len() < MAX_LINES;
            match lines.last_mut().filter(|line| !line.ended && line.stream == stream) {
                Some(line) => {
                    let room = MAX_LINE.saturating_sub(texts.get(line.text).chars().count());
                    line.text = texts.extend(line.text, first(text, room));
                    line.ended = ended;
                }
                None if has_room => {
                    let text = texts.keep(first(text, MAX_LINE));
                    lines.push(Line { at: now, task, stream, text, ended });
                }
                None => {}
            }
        }
    }

    /// Records that the host begins to send a response with this status at `began`.
    pub(crate) fn responds(&mut self, status: StatusCode, began: Instant) {
        self.facts.status = status.as_u16();
        self.facts.responded = Some(self.event(began));
    }

    /// Records that the response was sent or has failed at the time `at`.
    pub(crate) fn sent(&mut self, bytes: u64, outcome: &ResponseOutcome, at: Instant) {
        self.facts.sent = Some(self.event(at));
        self.facts.bytes = bytes;
        self.facts.outcome = match outcome {
            ResponseOutcome::Delivered => Outcome::Delivered,
            ResponseOutcome::ClientGone => Outcome::ClientGone,
            ResponseOutcome::ResponseFailed(error) => Outcome::ResponseFailed(self.keep(error)),
            ResponseOutcome::HandlerFailed(error) => Outcome::HandlerFailed(self.keep(error)),
        };
    }

    /// Finds the place of a task in the timeline. If the task is missing, adds the task now. A durable task is missing
    /// if the guest has added the task after the handler has returned, or during a task on a worker. The host stores
    /// such a task without appending the task to the queue.
    fn known(&mut self, task: Named<'_>) -> usize {
        match self.events.place(task.id) {
            Some(place) => place,
            None => self.add_missing(task),
        }
    }

    /// Adds a missing task. This is rare, so its code stays apart from the code that each task runs.
    #[cold]
    fn add_missing(&mut self, task: Named<'_>) -> usize {
        self.events.add(task, self.now())
    }
}

/// Returns the first `count` characters of `text`.
fn first(text: &str, count: usize) -> &str {
    text.char_indices().nth(count).map_or(text, |(end, _)| &text[..end])
}

//! Records what happens to a request, and when. The access log, the metrics, the traces and the dashboard show the
//! recorded timelines. The host records timelines only if the operator has turned on at least one of these reports.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderValue, Method, StatusCode, Version};

use crate::contract::bindings::{ResponseOutcome, TaskId, TraceContext};
use crate::tasks::record::{StoredTask, TaskRecord, TaskState};
use crate::telemetry::otlp::trace::Trace;

/// The largest number of lines of guest output that a timeline keeps.
const MAX_LINES: usize = 200;
/// The largest number of characters that a timeline keeps of each line of guest output.
const MAX_LINE: usize = 500;

/// What happened to a request from its arrival to the end of its teardown, and when. A batch of durable tasks on a
/// worker has a timeline too.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    /// The request's properties, as the client sent them. The value is `None` for a batch on a worker.
    pub(crate) asked: Option<Asked>,
    /// The request's id. The text is empty if the host answered before the request got an id.
    pub(crate) id: String,
    pub(crate) trace_context: TraceContext,
    /// The trace that the request is part of. The value is `None` if the host exports no traces.
    pub(crate) trace: Option<Arc<Trace>>,
    /// The id of the component that serves the request. The text is empty if the host answered without a component.
    pub(crate) component: String,
    /// The wall-clock time at which the request arrived, or at which the worker started the batch.
    pub(crate) time: SystemTime,
    /// The time at which the request arrived, or at which the worker started the batch. All other times in the timeline
    /// are later, with one exception: the guest added the tasks of a batch before the worker started the batch.
    pub(crate) began: Instant,
    /// The time at which the handler returned a response, or the host made its own response.
    pub(crate) responded: Option<Instant>,
    pub(crate) status: StatusCode,
    /// The time at which the operating system had the response's last byte, or at which the response failed.
    pub(crate) sent: Option<Instant>,
    /// The number of bytes of the response's body that the host has passed on to the connection.
    pub(crate) bytes: u64,
    pub(crate) outcome: ResponseOutcome,
    /// The request's tasks, in the order in which they were added.
    pub(crate) tasks: Vec<TaskTimeline>,
    /// The start and the end of each teardown. While a teardown runs, its end is `None`.
    pub(crate) teardowns: Vec<(Instant, Option<Instant>)>,
    /// The number of times that a new instance has replaced an instance that has died.
    pub(crate) fresh_instances: u32,
    /// The lines that the guest has printed. The list is empty if no reader wants the output.
    pub(crate) lines: Vec<Line>,
    pub(crate) ended: Option<Instant>,
}

/// A line that the guest has printed.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) at: Instant,
    /// The number of the task that printed the line. The value is `None` for the handler and the teardown.
    pub(crate) task: Option<TaskId>,
    /// `stdout` or `stderr`.
    pub(crate) stream: &'static str,
    pub(crate) text: String,
    /// True if the guest has printed the line break at the end of the line.
    ended: bool,
}

/// The properties of a request, from the request's headers and the client's connection.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    pub(crate) version: Version,
    /// The host name and the port from the client's request, such as `example.com:3000`.
    pub(crate) authority: Option<String>,
    /// The address of the other end of the connection, which is the client or a proxy in front of the host.
    pub(crate) client: SocketAddr,
    /// The route that serves the request, such as `/users/:id`. The text is empty if no route fits.
    pub(crate) route: String,
    /// The header `traceparent` that the client has sent.
    pub(crate) traceparent: Option<HeaderValue>,
    /// The header `x-request-id` that the client has sent, if the operator lets the host use this header.
    pub(crate) request_id: Option<HeaderValue>,
}

/// What happened to one task of a request.
#[derive(Debug, Clone)]
pub(crate) struct TaskTimeline {
    pub(crate) id: TaskId,
    pub(crate) name: String,
    /// The component or middleware that has added the task and runs the task.
    pub(crate) component: Arc<str>,
    pub(crate) added: Instant,
    /// The longest time that an attempt may take. The value is `None` before the first attempt begins.
    pub(crate) timeout: Option<Duration>,
    pub(crate) attempts: Vec<Attempt>,
    /// How the task ended. The value is `None` while the task waits or runs.
    pub(crate) end: Option<TaskEnd>,
}

impl TaskTimeline {
    /// Reports whether an attempt of the task is running now.
    pub(crate) fn is_running(&self) -> bool {
        self.attempts.last().is_some_and(|attempt| attempt.ended.is_none())
    }
}

/// One attempt of a task: one call from the host into the guest.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    /// The attempt's number. The first attempt has number 1.
    pub(crate) number: u32,
    pub(crate) began: Instant,
    pub(crate) ended: Option<Instant>,
    /// The number of the instance that ran the attempt. The instance that ran the handler has number 0, and the next
    /// instance has number 1.
    pub(crate) instance: u32,
    /// The state in which the attempt ended, and the reason if the attempt did not succeed. The value is `None` while
    /// the attempt runs.
    pub(crate) result: Option<(TaskState, Option<String>)>,
}

/// When and how a task ended in this process.
#[derive(Debug, Clone)]
pub(crate) struct TaskEnd {
    pub(crate) at: Instant,
    /// How the task ended.
    pub(crate) fate: Fate,
    /// The reason why the task did not succeed.
    pub(crate) error: Option<String>,
}

/// How a task ended in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The task ended in this state.
    Ended(TaskState),
    /// The durable task failed for good, and waits in the dead letter. The value is the state in which the task's last
    /// attempt ended.
    Dead(TaskState),
    /// The host has stored the task in the task engine. A worker runs the task later.
    Stored,
}

impl Fate {
    /// Returns the word for this fate in logs, labels and pages: the task's state, `dead` or `stored`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ended(state) => state.as_str(),
            Self::Dead(_) => "dead",
            Self::Stored => "stored",
        }
    }
}

impl Timeline {
    /// Begins the timeline of a request that arrives now, or of a batch that a worker starts now.
    pub(crate) fn begin(asked: Option<Asked>) -> Self {
        Self {
            asked,
            id: String::new(),
            trace_context: TraceContext { traceparent: String::new(), tracestate: None },
            trace: None,
            component: String::new(),
            time: SystemTime::now(),
            began: Instant::now(),
            responded: None,
            status: StatusCode::OK,
            sent: None,
            bytes: 0,
            outcome: ResponseOutcome::Delivered,
            tasks: Vec::new(),
            teardowns: Vec::new(),
            fresh_instances: 0,
            lines: Vec::new(),
            ended: None,
        }
    }

    /// Converts a time in the timeline, such as the start of an attempt, to wall-clock time.
    pub(crate) fn wall(&self, moment: Instant) -> SystemTime {
        self.time + moment.saturating_duration_since(self.began)
    }

    /// Returns the time from the request's arrival to `moment`.
    pub(crate) fn since_arrival(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.began)
    }

    /// Returns how long a task has waited for its first attempt, which began at `began`. The wait begins when the guest
    /// has added the task and the host has sent the response.
    pub(crate) fn wait(&self, task: &TaskTimeline, began: Instant) -> Duration {
        let ready = self.sent.map_or(task.added, |sent| sent.max(task.added));
        began.saturating_duration_since(ready)
    }

    /// Records that the guest has added a task at the time `added`.
    pub(crate) fn added(&mut self, id: TaskId, name: &str, component: &Arc<str>, added: Instant) {
        let task = TaskTimeline {
            id,
            name: name.to_owned(),
            component: component.clone(),
            added,
            timeout: None,
            attempts: Vec::new(),
            end: None,
        };
        self.tasks.push(task);
    }

    /// Records that an attempt of a task begins.
    pub(crate) fn attempt_begins(&mut self, record: &TaskRecord, began: Instant, timeout: Duration) {
        let instance = self.fresh_instances;
        let task = self.known(record.id, &record.name, &record.component);
        task.timeout = Some(timeout);
        task.attempts.push(Attempt { number: record.attempt, began, ended: None, instance, result: None });
    }

    /// Records how the running attempt of a task ended.
    pub(crate) fn attempt_ended(&mut self, id: TaskId, state: TaskState, error: Option<&str>) {
        let task = self.tasks.iter_mut().rfind(|task| task.id == id);
        if let Some(attempt) = task.and_then(|task| task.attempts.last_mut()) {
            attempt.ended = Some(Instant::now());
            attempt.result = Some((state, error.map(str::to_owned)));
        }
    }

    /// Records that a task has ended, or that the task waits in the dead letter.
    pub(crate) fn task_ended(&mut self, record: &TaskRecord) {
        let fate = if record.dead { Fate::Dead(record.state) } else { Fate::Ended(record.state) };
        let task = self.known(record.id, &record.name, &record.component);
        task.end = Some(TaskEnd { at: Instant::now(), fate, error: record.error.clone() });
    }

    /// Records that the host has stored a task.
    pub(crate) fn stored(&mut self, task: &StoredTask) {
        let task = self.known(task.id, &task.name, &task.component);
        task.end = Some(TaskEnd { at: Instant::now(), fate: Fate::Stored, error: None });
    }

    /// Records that a teardown begins.
    pub(crate) fn teardown_begins(&mut self) {
        self.teardowns.push((Instant::now(), None));
    }

    /// Records that the running teardown has ended.
    pub(crate) fn teardown_ended(&mut self) {
        if let Some((_, end)) = self.teardowns.last_mut() {
            *end = Some(Instant::now());
        }
    }

    /// Records the guest's output line by line. The timeline does not keep text that exceeds [`MAX_LINES`] or
    /// [`MAX_LINE`].
    pub(crate) fn printed(&mut self, stream: &'static str, bytes: &[u8]) {
        let task = self.tasks.iter().rev().find(|task| task.is_running()).map(|task| task.id);
        for piece in String::from_utf8_lossy(bytes).split_inclusive('\n') {
            let text = piece.trim_end_matches(['\n', '\r']);
            let ended = piece.ends_with('\n');
            let has_room = self.lines.len() < MAX_LINES;
            match self.lines.last_mut().filter(|line| !line.ended && line.stream == stream) {
                Some(line) => {
                    let room = MAX_LINE.saturating_sub(line.text.chars().count());
                    line.text.extend(text.chars().take(room));
                    line.ended = ended;
                }
                None if has_room => {
                    let text = text.chars().take(MAX_LINE).collect();
                    self.lines.push(Line { at: Instant::now(), task, stream, text, ended });
                }
                None => {}
            }
        }
    }

    /// Records that the host begins to send a response with this status.
    pub(crate) fn responds(&mut self, status: StatusCode) {
        self.status = status;
        self.responded = Some(Instant::now());
    }

    /// Finds a task in the timeline. If the task is missing, adds the task now. A durable task is missing if the guest
    /// has added the task after the handler has returned, or during a task on a worker. The host stores such a task
    /// without appending the task to the queue.
    fn known(&mut self, id: TaskId, name: &str, component: &Arc<str>) -> &mut TaskTimeline {
        let place = self.tasks.iter().rposition(|task| task.id == id).unwrap_or_else(|| {
            self.added(id, name, component, Instant::now());
            self.tasks.len() - 1
        });
        &mut self.tasks[place]
    }
}

/// A timeline that a request and its readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    timeline: Mutex<Timeline>,
    /// True if the timeline also contains the guest's output.
    pub(crate) has_output: bool,
}

impl Shared {
    pub(crate) fn new(timeline: Timeline, has_output: bool) -> Arc<Self> {
        Arc::new(Self { timeline: Mutex::new(timeline), has_output })
    }

    /// Locks the timeline. If another thread has panicked while that thread held the lock, the timeline is still
    /// usable, because each single change leaves the timeline valid.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Timeline> {
        self.timeline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The events of a timeline: tasks with their attempts, teardowns, and printed lines.

use std::ops::Range;
use std::time::Duration;

use serde::Serialize;

use super::moment::Moment;
use super::texts::{Text, Texts};
use crate::contract::bindings::TaskId;
use crate::tasks::record::TaskState;

/// The capacity of new events for texts, in bytes. The texts of most requests fit.
const TEXTS: usize = 256;

/// What happened to one task of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TaskTimeline<'a> {
    pub(crate) id: TaskId,
    pub(crate) name: &'a str,
    /// The component or middleware that has added the task and runs the task.
    pub(crate) component: &'a str,
    pub(crate) added: Moment,
    /// The longest time that an attempt may take. The value is `None` before the first attempt begins.
    pub(crate) timeout: Option<Duration>,
    pub(crate) attempts: &'a [Attempt],
    /// How the task ended. The value is `None` while the task waits or runs.
    pub(crate) end: Option<TaskEnd>,
    /// The reason why the task did not succeed.
    pub(crate) error: Option<&'a str>,
}

/// One attempt of a task: one call from the host into the guest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    /// The attempt's number. The first attempt has number 1.
    pub(crate) number: u32,
    /// The number of the instance that ran the attempt. The instance that ran the handler has number 0, and the next
    /// instance has number 1.
    pub(crate) instance: u32,
    pub(crate) began: Moment,
    /// When and how the attempt ended. The value is `None` while the attempt runs.
    pub(crate) end: Option<AttemptEnd>,
}

/// When and how an attempt ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttemptEnd {
    pub(crate) at: Moment,
    pub(crate) state: TaskState,
    /// The reason if the attempt did not succeed.
    pub(crate) error: Option<Text>,
}

/// When and how a task ended in this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TaskEnd {
    pub(crate) at: Moment,
    /// How the task ended.
    pub(crate) fate: Fate,
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

/// A line that the guest has printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    pub(crate) at: Moment,
    /// The number of the task that printed the line. The value is `None` for the handler and the teardown.
    pub(crate) task: Option<TaskId>,
    pub(crate) stream: Stream,
    pub(crate) text: Text,
    /// True if the guest has printed the line break at the end of the line.
    pub(super) ended: bool,
}

/// An output stream of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// A task, with the texts that identify the task to people.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) id: TaskId,
    pub(crate) name: &'a str,
    pub(crate) component: &'a str,
}

impl TaskTimeline<'_> {
    /// Reports whether an attempt of the task is running now.
    pub(crate) fn is_running(&self) -> bool {
        is_running(self.attempts)
    }
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

/// The events of a timeline.
#[derive(Debug, Default, Clone)]
pub(super) struct Events {
    pub(super) texts: Texts,
    tasks: Vec<Task>,
    /// The attempts of each task stand side by side.
    attempts: Vec<Attempt>,
    /// The start and the end of each teardown. While a teardown runs, its end is `None`.
    pub(super) teardowns: Vec<(Moment, Option<Moment>)>,
    /// The lines that the guest has printed. The list is empty if no reader wants the output.
    pub(super) lines: Vec<Line>,
}

/// A place among [`Events`].
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Place {
    text: usize,
    task: usize,
    attempt: usize,
    teardown: usize,
    line: usize,
}

#[derive(Debug, Clone, Copy)]
struct Task {
    id: TaskId,
    name: Text,
    component: Text,
    added: Moment,
    timeout: Option<Duration>,
    /// The place of the task's first attempt in [`Events::attempts`], and the number of the task's attempts.
    attempts: (u32, u32),
    end: Option<TaskEnd>,
    error: Option<Text>,
}

impl Events {
    pub(super) fn new() -> Self {
        Self { texts: Texts::with_capacity(TEXTS), ..Self::default() }
    }

    /// Returns the tasks, in the order in which they were added.
    pub(super) fn tasks(&self) -> impl ExactSizeIterator<Item = TaskTimeline<'_>> {
        self.tasks.iter().map(|task| TaskTimeline {
            id: task.id,
            name: self.texts.get(task.name),
            component: self.texts.get(task.component),
            added: task.added,
            timeout: task.timeout,
            attempts: self.attempts_of(task),
            end: task.end,
            error: task.error.map(|error| self.texts.get(error)),
        })
    }

    /// Returns the number of the task that runs now, if a task runs.
    pub(super) fn running(&self) -> Option<TaskId> {
        self.tasks.iter().rev().find(|task| is_running(self.attempts_of(task))).map(|task| task.id)
    }

    /// Adds a task at the end, and returns its place.
    pub(super) fn add(&mut self, task: Named<'_>, added: Moment) -> usize {
        // Mostly, all tasks of a request have the same component.
        let last = self.tasks.last().map(|last| last.component);
        let component = last.filter(|last| self.texts.get(*last) == task.component);
        self.tasks.push(Task {
            id: task.id,
            name: self.texts.keep(task.name),
            component: component.unwrap_or_else(|| self.texts.keep(task.component)),
            added,
            timeout: None,
            attempts: (0, 0),
            end: None,
            error: None,
        });
        self.tasks.len() - 1
    }

    /// Returns the place of a task, or `None` if the task is missing.
    pub(super) fn place(&self, id: TaskId) -> Option<usize> {
        // Mostly, the tasks have consecutive numbers.
        let first = self.tasks.first()?.id;
        let guess = id.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        let is_there = |place: &usize| self.tasks.get(*place).is_some_and(|task| task.id == id);
        guess.filter(is_there).or_else(|| self.tasks.iter().rposition(|task| task.id == id))
    }

    /// Adds an attempt to the task at `place`. The attempt may take the time `timeout`.
    pub(super) fn begin_attempt(&mut self, place: usize, attempt: Attempt, timeout: Duration) {
        let (Some(task), Ok(next)) = (self.tasks.get_mut(place), u32::try_from(self.attempts.len())) else { return };
        let (first, count) = task.attempts;
        if first + count != next {
            task.attempts.0 = next;
            if count > 0 {
                // Attempts of another task stand behind the attempts of this task.
                copy_to_end(&mut self.attempts, first as usize, count as usize);
            }
        }
        task.attempts.1 += 1;
        task.timeout = Some(timeout);
        self.attempts.push(attempt);
    }

    /// Ends the running attempt of the task at `place`, if an attempt is running.
    pub(super) fn end_attempt(&mut self, place: usize, end: AttemptEnd) {
        let Some(&Task { attempts: (first, count @ 1..), .. }) = self.tasks.get(place) else { return };
        if let Some(attempt) = self.attempts.get_mut((first + count - 1) as usize) {
            attempt.end.get_or_insert(end);
        }
    }

    /// Ends the task at `place`.
    pub(super) fn end(&mut self, place: usize, end: TaskEnd, error: Option<Text>) {
        if let Some(task) = self.tasks.get_mut(place) {
            task.end = Some(end);
            task.error = error;
        }
    }

    fn attempts_of(&self, task: &Task) -> &[Attempt] {
        let (first, count) = task.attempts;
        self.attempts.get(first as usize..(first + count) as usize).unwrap_or_default()
    }

    /// Copies all events of another timeline to the end of these events.
    pub(super) fn append(&mut self, other: &Self) {
        self.texts.append(&other.texts);
        self.tasks.extend_from_slice(&other.tasks);
        self.attempts.extend_from_slice(&other.attempts);
        self.teardowns.extend_from_slice(&other.teardowns);
        self.lines.extend_from_slice(&other.lines);
    }

    /// Returns the place behind the last event of each kind.
    pub(super) fn end_place(&self) -> Place {
        Place {
            text: self.texts.len(),
            task: self.tasks.len(),
            attempt: self.attempts.len(),
            teardown: self.teardowns.len(),
            line: self.lines.len(),
        }
    }

    /// Returns a copy of the events from `start` to `end`, which were appended together.
    pub(super) fn part(&self, start: Place, end: Place) -> Self {
        Self {
            texts: self.texts.part(start.text..end.text),
            tasks: part(&self.tasks, start.task..end.task),
            attempts: part(&self.attempts, start.attempt..end.attempt),
            teardowns: part(&self.teardowns, start.teardown..end.teardown),
            lines: part(&self.lines, start.line..end.line),
        }
    }

    /// Removes all events. Keeps the memory for new events if its size is at most `max` bytes.
    pub(super) fn clear(&mut self, max: usize) {
        if self.capacity() > max {
            *self = Self::new();
        }
        self.texts.clear();
        self.tasks.clear();
        self.attempts.clear();
        self.teardowns.clear();
        self.lines.clear();
    }

    /// Returns the size of the memory, in bytes.
    fn capacity(&self) -> usize {
        self.texts.capacity()
            + self.tasks.capacity() * size_of::<Task>()
            + self.attempts.capacity() * size_of::<Attempt>()
            + self.teardowns.capacity() * size_of::<(Moment, Option<Moment>)>()
            + self.lines.capacity() * size_of::<Line>()
    }
}

/// Copies `count` attempts, the first of which stands at `first`, to the end. This is rare, so its code stays apart from
/// the code that each attempt runs.
#[cold]
fn copy_to_end(attempts: &mut Vec<Attempt>, first: usize, count: usize) {
    attempts.extend_from_within(first..first + count);
}

fn part<T: Clone>(all: &[T], range: Range<usize>) -> Vec<T> {
    all.get(range).unwrap_or_default().to_vec()
}

fn is_running(attempts: &[Attempt]) -> bool {
    attempts.last().is_some_and(|attempt| attempt.end.is_none())
}

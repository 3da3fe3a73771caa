//! For each task name, counts how many tasks have ended in each state. Also measures the latency of requests. The
//! dashboard shows these totals. All totals begin at the start of the process.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hashbrown::{Equivalent, HashMap};
use serde::Serialize;

use crate::process::per_thread::PerThread;
use crate::reports::names::Names;
use crate::reports::times::{Percentiles, Times};
use crate::tasks::timeline::{Fate, Shared, TaskEnd, TaskTimeline, Timeline};
use crate::telemetry::timestamp;

/// The length of one step of the latency statistics, in seconds.
const STEP: u64 = 5;
/// The number of steps that the host keeps. All steps together cover one hour.
const STEPS: usize = 720;
/// The number of different errors that the host keeps for each task name.
const ERRORS: usize = 20;
/// The number of characters that the host keeps of an error's text. Two errors whose kept characters are equal count as
/// the same error.
const ERROR: usize = 200;

/// The totals of all tasks and requests. Each thread has its own totals, which are added up when a person looks at the
/// dashboard.
#[derive(Default)]
pub(crate) struct Totals {
    names: Names,
    threads: PerThread<Part>,
    /// The latency of the steps that have ended on at least one thread, the oldest first.
    steps: Mutex<VecDeque<Step>>,
}

/// Counts requests that have ended on this thread.
pub(super) struct Counter<'a> {
    totals: &'a Totals,
    part: MutexGuard<'a, Part>,
}

/// The totals of the requests that ended on one thread.
#[derive(Default)]
struct Part {
    /// The totals of all tasks with the same key.
    tasks: HashMap<Key, Total>,
    /// The latency of the current step.
    step: Option<Step>,
}

/// Identifies the tasks that are counted together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    component: String,
    name: String,
}

/// A [`Key`] whose texts belong to a timeline.
#[derive(Clone, Copy, Hash)]
struct KeyRef<'a> {
    component: &'a str,
    name: &'a str,
}

/// The totals of all tasks with the same [`Key`].
#[derive(Default)]
struct Total {
    /// The number of tasks that ended in each way.
    fates: Vec<(Fate, u64)>,
    wait: Times<u64>,
    duration: Times<u64>,
    errors: Vec<ErrorGroup>,
}

/// An error of tasks, and the number of tasks that failed with this error.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ErrorGroup {
    error: String,
    state: &'static str,
    count: u64,
    /// The id of the last request in which a task failed with this error.
    last: String,
    /// The time at which this request arrived.
    #[serde(skip)]
    time: SystemTime,
}

/// The latency of the requests that ended within one step.
struct Step {
    /// The start of the step, in seconds since 1970.
    start: u64,
    sent: Times<u32>,
    ended: Times<u32>,
}

/// The totals of all tasks with the same component and name, as the dashboard shows them.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TaskTotals {
    component: String,
    name: String,
    states: BTreeMap<&'static str, u64>,
    running: u64,
    waiting: u64,
    wait: Option<Percentiles>,
    duration: Option<Percentiles>,
    errors: Vec<ErrorGroup>,
}

/// The latency of the requests that ended within one step, as the dashboard shows it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Point {
    time: String,
    count: u64,
    sent: Option<Percentiles>,
    ended: Option<Percentiles>,
}

impl Totals {
    /// Returns the totals for each task name. The numbers of running and waiting tasks come from the timelines in
    /// `live`.
    pub(crate) fn tasks(&self, live: &[Arc<Shared>]) -> Vec<TaskTotals> {
        let mut totals: BTreeMap<Key, Total> = BTreeMap::new();
        for part in self.threads.each() {
            for (key, total) in &part.tasks {
                totals.entry(key.clone()).or_default().add(total);
            }
        }
        let mut at_work: BTreeMap<Key, (u64, u64)> = BTreeMap::new();
        for shared in live {
            for task in shared.lock().tasks().filter(|task| task.end.is_none()) {
                let key = KeyRef { component: task.component, name: self.names.label(task.name) }.to_key();
                let (running, waiting) = at_work.entry(key.clone()).or_default();
                *if task.is_running() { running } else { waiting } += 1;
                totals.entry(key).or_default();
            }
        }
        let view = |(key, total): (Key, Total)| {
            let (running, waiting) = at_work.get(&key).copied().unwrap_or_default();
            let Key { component, name } = key;
            let (wait, duration) = (total.wait.percentiles(), total.duration.percentiles());
            let Total { fates, errors, .. } = total;
            let mut states = BTreeMap::new();
            for (fate, count) in fates {
                *states.entry(fate.as_str()).or_default() += count;
            }
            TaskTotals { component, name, states, running, waiting, wait, duration, errors }
        };
        totals.into_iter().map(view).collect()
    }

    /// Returns the latency of each step in the last `minutes` minutes. Leaves out steps in which no request ended.
    pub(crate) fn latency(&self, minutes: u64) -> Vec<Point> {
        let from = seconds(SystemTime::now()).saturating_sub(minutes.saturating_mul(60));
        // The step that has not ended on some of the threads.
        let mut open: BTreeMap<u64, Step> = BTreeMap::new();
        // All threads are locked at once, so that no step moves to `steps` in the meantime and counts twice.
        let parts: Vec<_> = self.threads.each().collect();
        for step in parts.iter().filter_map(|part| part.step.as_ref()) {
            open.entry(step.start).or_insert_with(|| Step::new(step.start)).add(step);
        }
        let steps = self.steps();
        drop(parts);
        let mut points = Vec::new();
        for step in steps.iter() {
            match open.get_mut(&step.start) {
                Some(open) => open.add(step),
                None => points.push((step.start, step.point())),
            }
        }
        points.extend(open.values().map(|step| (step.start, step.point())));
        points.retain(|(start, _)| *start >= from);
        points.sort_by_key(|(start, _)| *start);
        points.into_iter().map(|(_, point)| point).collect()
    }

    /// Returns the length of a latency step, in seconds.
    pub(crate) const fn step() -> u64 {
        STEP
    }

    /// Begins to count requests that have ended on this thread. Until the returned value is dropped, nobody can read
    /// the totals.
    pub(super) fn counter(&self) -> Counter<'_> {
        Counter { totals: self, part: self.threads.own() }
    }

    /// Keeps a step that has ended on one thread.
    fn keep(&self, step: Step) {
        let mut steps = self.steps();
        match steps.iter_mut().rfind(|other| other.start == step.start) {
            Some(other) => other.add(&step),
            None => {
                if steps.len() == STEPS {
                    steps.pop_front();
                }
                steps.push_back(step);
            }
        }
    }

    fn steps(&self) -> MutexGuard<'_, VecDeque<Step>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counter<'_> {
    /// Counts the tasks of a request, and measures the request's latency.
    pub(super) fn count(&mut self, timeline: &Timeline) {
        let Self { totals: Totals { names, .. }, part } = self;
        for task in timeline.tasks() {
            let Some(end) = task.end else { continue };
            let key = KeyRef { component: task.component, name: task.name };
            match part.tasks.get_mut(&key) {
                Some(total) => total.count(timeline, task, end),
                None => {
                    let key = KeyRef { name: names.label(task.name), ..key }.to_key();
                    part.tasks.entry(key).or_default().count(timeline, task, end);
                }
            }
        }
        if let Some(previous) = self.part.time(timeline) {
            self.totals.keep(previous);
        }
    }
}

impl KeyRef<'_> {
    fn to_key(self) -> Key {
        Key { component: self.component.to_owned(), name: self.name.to_owned() }
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.name == key.name && self.component == key.component
    }
}

impl Part {
    /// Adds the latency of a request to the current step. Returns the previous step if it has ended.
    fn time(&mut self, timeline: &Timeline) -> Option<Step> {
        let facts = &timeline.facts;
        let (Some(_), Some(sent), Some(ended)) = (facts.asked, facts.sent, facts.ended) else { return None };
        let start = seconds(timeline.wall(ended)) / STEP * STEP;
        let previous = self.step.take_if(|step| step.start != start);
        let step = self.step.get_or_insert_with(|| Step::new(start));
        step.sent.record(sent.micros());
        step.ended.record(ended.micros());
        previous
    }
}

impl Total {
    fn count(&mut self, timeline: &Timeline, task: TaskTimeline<'_>, end: TaskEnd) {
        self.add_fate(end.fate, 1);
        if let Some(first) = task.attempts.first() {
            self.wait.record(first.began.micros_since(timeline.ready(task)));
            self.duration.record(end.at.micros_since(first.began));
        }
        // Only a task with attempts has an error of its own. If a task has no attempt, its error is the error of an
        // earlier failed task, so the error does not count here.
        if let (Some(error), false) = (task.error, task.attempts.is_empty()) {
            let (error, last) = (error.chars().take(ERROR).collect(), timeline.id().to_owned());
            let state = end.fate.as_str();
            self.add_error(ErrorGroup { error, state, count: 1, last, time: timeline.facts.time });
        }
    }

    /// Adds the totals of another thread.
    fn add(&mut self, other: &Self) {
        other.fates.iter().for_each(|(fate, count)| self.add_fate(*fate, *count));
        self.wait.add(&other.wait);
        self.duration.add(&other.duration);
        other.errors.iter().for_each(|group| self.add_error(group.clone()));
    }

    fn add_fate(&mut self, fate: Fate, count: u64) {
        // A task name has few fates, so a search through all of them is faster than a map.
        match self.fates.iter_mut().find(|(other, _)| *other == fate) {
            Some((_, sum)) => *sum += count,
            None => self.fates.push((fate, count)),
        }
    }

    fn add_error(&mut self, new: ErrorGroup) {
        let known = self.errors.iter().position(|group| group.state == new.state && group.error == new.error);
        if let Some(known) = known.and_then(|known| self.errors.get_mut(known)) {
            known.count += new.count;
            if new.time >= known.time {
                (known.last, known.time) = (new.last, new.time);
            }
        } else if self.errors.len() < ERRORS {
            self.errors.push(new);
        }
    }
}

impl Step {
    fn new(start: u64) -> Self {
        Self { start, sent: Times::default(), ended: Times::default() }
    }

    fn point(&self) -> Point {
        Point {
            time: timestamp::of(UNIX_EPOCH + Duration::from_secs(self.start)),
            count: self.ended.count(),
            sent: self.sent.percentiles(),
            ended: self.ended.percentiles(),
        }
    }

    /// Adds the latency of another thread.
    fn add(&mut self, other: &Self) {
        self.sent.add(&other.sent);
        self.ended.add(&other.ended);
    }
}

/// Converts a time to seconds since 1970.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

//! For each task name, counts how many tasks have ended in each state. Also measures the latency of requests. The
//! dashboard shows these totals. All totals begin at the start of the process.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use sketches_ddsketch::{Config, DDSketch};

use crate::reports::names::Names;
use crate::reports::view;
use crate::tasks::readers::Reader;
use crate::tasks::timeline::{Shared, TaskTimeline, Timeline};
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

/// The totals of all tasks and requests. Cloning this value is cheap.
#[derive(Clone, Default)]
pub(crate) struct Totals(Arc<Both>);

#[derive(Default)]
struct Both {
    names: Names,
    tasks: Mutex<HashMap<(Arc<str>, String), Total>>,
    steps: Mutex<VecDeque<Step>>,
}

/// The totals of all tasks with the same component and name.
struct Total {
    states: BTreeMap<&'static str, u64>,
    wait: DDSketch,
    duration: DDSketch,
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
}

/// The latency of the requests that ended within one step.
struct Step {
    /// The start of the step, in seconds since 1970.
    start: u64,
    sent: DDSketch,
    ended: DDSketch,
}

/// Percentiles of a duration, such as the median, in microseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Percentiles {
    p50: u64,
    p90: u64,
    p99: u64,
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
        let mut all: BTreeMap<(String, String), TaskTotals> = BTreeMap::new();
        let empty = |(component, name): &(String, String)| TaskTotals {
            component: component.clone(),
            name: name.clone(),
            states: BTreeMap::new(),
            running: 0,
            waiting: 0,
            wait: None,
            duration: None,
            errors: Vec::new(),
        };
        for ((component, name), total) in &*lock(&self.0.tasks) {
            let key = (component.to_string(), name.clone());
            let totals = TaskTotals {
                states: total.states.clone(),
                wait: Percentiles::of(&total.wait),
                duration: Percentiles::of(&total.duration),
                errors: total.errors.clone(),
                ..empty(&key)
            };
            all.insert(key, totals);
        }
        for shared in live {
            for task in shared.lock().tasks.iter().filter(|task| task.end.is_none()) {
                let key = (task.component.to_string(), self.0.names.label(&task.name));
                let totals = all.entry(key.clone()).or_insert_with(|| empty(&key));
                *if task.is_running() { &mut totals.running } else { &mut totals.waiting } += 1;
            }
        }
        all.into_values().collect()
    }

    /// Returns the latency of each step in the last `minutes` minutes. Leaves out steps in which no request ended.
    pub(crate) fn latency(&self, minutes: u64) -> Vec<Point> {
        let from = now().saturating_sub(minutes.saturating_mul(60));
        let steps = lock(&self.0.steps);
        let point = |step: &Step| Point {
            time: timestamp::of(UNIX_EPOCH + Duration::from_secs(step.start)),
            count: step.ended.count() as u64,
            sent: Percentiles::of(&step.sent),
            ended: Percentiles::of(&step.ended),
        };
        steps.iter().filter(|step| step.start >= from).map(point).collect()
    }

    /// Returns the length of a latency step, in seconds.
    pub(crate) const fn step() -> u64 {
        STEP
    }

    fn count(&self, timeline: &Timeline, task: &TaskTimeline) {
        let Some(end) = &task.end else { return };
        let name = self.0.names.label(&task.name);
        let mut tasks = lock(&self.0.tasks);
        let total = tasks.entry((task.component.clone(), name)).or_insert_with(Total::new);
        let state = view::state(task);
        *total.states.entry(state).or_default() += 1;
        if let Some(first) = task.attempts.first() {
            total.wait.add(micros(timeline.wait(task, first.began)));
            total.duration.add(micros(end.at.saturating_duration_since(first.began)));
        }
        // Only a task with attempts has an error of its own. If a task has no attempt, its error is the error of an
        // earlier failed task, so the error does not count here.
        if let (Some(error), false) = (&end.error, task.attempts.is_empty()) {
            let error: String = error.chars().take(ERROR).collect();
            let known = total.errors.iter().position(|group| group.state == state && group.error == error);
            match known {
                Some(known) => {
                    total.errors[known].count += 1;
                    total.errors[known].last.clone_from(&timeline.id);
                }
                None if total.errors.len() < ERRORS => {
                    total.errors.push(ErrorGroup { error, state, count: 1, last: timeline.id.clone() });
                }
                None => {}
            }
        }
    }

    fn time(&self, timeline: &Timeline) {
        let (Some(_), Some(sent), Some(ended)) = (&timeline.asked, timeline.sent, timeline.ended) else { return };
        let start = now() / STEP * STEP;
        let mut steps = lock(&self.0.steps);
        if steps.back().is_none_or(|step| step.start != start) {
            if steps.len() == STEPS {
                steps.pop_front();
            }
            steps.push_back(Step { start, sent: sketch(), ended: sketch() });
        }
        if let Some(step) = steps.back_mut() {
            step.sent.add(micros(timeline.since_arrival(sent)));
            step.ended.add(micros(timeline.since_arrival(ended)));
        }
    }
}

impl Reader for Totals {
    fn ended(&self, timeline: &Arc<Shared>) {
        let timeline = timeline.lock();
        timeline.tasks.iter().for_each(|task| self.count(&timeline, task));
        self.time(&timeline);
    }
}

impl Total {
    fn new() -> Self {
        Self { states: BTreeMap::new(), wait: sketch(), duration: sketch(), errors: Vec::new() }
    }
}

impl Percentiles {
    /// Calculates the percentiles of the values in `sketch`. Returns `None` if the sketch has no values.
    fn of(sketch: &DDSketch) -> Option<Self> {
        let at = |quantile| sketch.quantile(quantile).ok().flatten().map(|micros| micros.round() as u64);
        Some(Self { p50: at(0.5)?, p90: at(0.9)?, p99: at(0.99)? })
    }
}

/// Makes an empty sketch, which collects times in microseconds. The percentiles that the sketch returns have an error
/// of at most 1 %.
fn sketch() -> DDSketch {
    DDSketch::new(Config::defaults())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

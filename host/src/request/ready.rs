//! Prepares an instance for each attempt of a task.

use std::time::Duration;

use epilogue_rules::backoff::Backoff;
use tokio::time::Instant;

use super::Life;
use crate::component::instance::Instance;
use crate::component::no_instance::NoInstance;
use crate::tasks::ids::RequestIds;
use crate::tasks::queue::Task;

/// The longest pause between two attempts to create a new instance.
const MAX_WAIT_FOR_ROOM: Duration = Duration::from_secs(1);

/// An instance that is ready to run a task.
pub(super) struct Ready<'a> {
    pub(super) instance: &'a mut Instance,
    /// The time when the task starts. If the host first had to create the instance, the task starts later than planned.
    pub(super) start: Instant,
    /// The time that is left at `start` for all remaining tasks of the request.
    pub(super) budget_left: Duration,
}

impl Life {
    /// Returns the instance for an attempt of a task. If the request's instance has died, creates a new instance
    /// (promise S14). `now` is the planned start of the attempt.
    pub(super) async fn instance(&mut self, now: Instant, task: &Task, attempt: u32) -> Result<Ready<'_>, NoInstance> {
        let (instance, start) = match self.instance.take() {
            Some(instance) => (instance, now),
            None => {
                let mut fresh = self.fresh().await?;
                fresh.enter(&self.scope);
                self.scope.note(|timeline| timeline.facts.fresh_instances += 1);
                self.resources = fresh.resources();
                (fresh, Instant::now())
            }
        };
        let budget_left = self.budget_left(start);
        self.note_attempt(task, attempt, start);
        Ok(Ready { instance: self.instance.insert(instance), start, budget_left })
    }

    /// Creates a new instance. If the host cannot hold another instance, or the instance starts too slowly, tries again
    /// until the time for the request's tasks is used up.
    async fn fresh(&mut self) -> Result<Instance, NoInstance> {
        let (mut tries, mut in_line) = (0, None);
        loop {
            let why = match self.pool.fresh().await {
                Err(why) if why.may_pass() => why,
                fresh => return fresh,
            };
            if tries == 0 {
                let (RequestIds { request, trace_id }, error) = (self.scope.ids(), why.to_string());
                tracing::warn!(target: "epilogue::request", request, error, trace_id, "tasks wait for an instance");
            }
            if why.is_full() && in_line.is_none() {
                in_line = Some(self.pool.wait_for_room());
            }
            tries += 1;
            if !self.wait(Backoff::IN_PROCESS.pause(tries, fastrand::u32(..)).min(MAX_WAIT_FOR_ROOM)).await {
                return Err(if self.has_stopped() { NoInstance::Stopped } else { why });
            }
        }
    }
}

//! The checks of each request: what the client saw, what the guest printed and what the host recorded must agree (S1, S3 to S10,
//! S14, S15).

use std::time::Duration;

use epilogue::testing::{RequestRecord, ResponseOutcome, TaskRecord, TaskState};

use super::clients::{Seen, Sent};
use super::script::{Limits, Script, kind};

/// What the guest said about one request.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Requests that the instance had handled before.
    handled: Option<u32>,
    words: Vec<Word>,
}

#[derive(Debug)]
enum Word {
    Added { task: u64, step: String },
    Cancelled { task: u64 },
    Refused { limit: String },
    Begins { task: u64, attempt: u32 },
    Ends { task: u64 },
    Teardown,
}

impl Said {
    /// Takes in a line of the guest's, without its id. None if the guest does not print such lines.
    pub(super) fn hear(&mut self, line: &str) -> Option<()> {
        let mut parts = line.split(' ');
        let (verb, mut next) = (parts.next()?, || parts.next());
        self.words.push(match verb {
            "handled" => {
                // Twice would be two requests.
                return self.handled.replace(next()?.parse().ok()?).is_none().then_some(());
            }
            "added" => Word::Added { task: next()?.parse().ok()?, step: next()?.to_owned() },
            "cancelled" => Word::Cancelled { task: next()?.parse().ok()? },
            "refused" => Word::Refused { limit: next()?.to_owned() },
            "begins" => Word::Begins { task: next()?.parse().ok()?, attempt: next()?.parse().ok()? },
            "ends" => Word::Ends { task: next()?.parse().ok()? },
            "teardown" => Word::Teardown,
            _ => return None,
        });
        Some(())
    }

    fn step(&self, id: u64) -> Option<&str> {
        self.words.iter().find_map(|word| match word {
            Word::Added { task, step } if *task == id => Some(step.as_str()),
            _ => None,
        })
    }
}

/// Whether the instance of a request has died. Its closures die with it. The time of its death is not always known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    No,
    Maybe,
    Yes,
}

/// One request: what the client sent and saw, what the guest said, and what the host recorded.
pub(super) struct Case<'a> {
    pub(super) limits: &'a Limits,
    pub(super) sent: &'a Sent,
    pub(super) said: &'a Said,
    pub(super) record: Option<&'a RequestRecord>,
}

type Verdict = Result<(), String>;

macro_rules! hold {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            return Err(format!($($reason)+));
        }
    };
}

impl Case<'_> {
    pub(super) fn check(&self) -> Verdict {
        self.check_answer()?;
        let Some(record) = self.record else {
            hold!(self.said.handled.is_none() && self.said.words.is_empty(), "it was handled and has no record");
            return Ok(());
        };
        self.check_ids(record)?;
        self.check_order(record)?;
        self.check_states(record)?;
        self.check_teardown(record)
    }

    fn script(&self) -> &Script {
        &self.sent.script
    }

    /// Whether the script makes the guest trap after the handler's return, in spawned work or in the body.
    fn traps(&self) -> bool {
        self.script().spawn == "panic" || self.script().body == "trap"
    }

    /// Checks that the response is the request's own and complete, or that there is a reason why not.
    fn check_answer(&self) -> Verdict {
        let script = self.script();
        let outcome = self.record.map(|record| &record.outcome);
        let guest = script.body == "broken" || self.traps();
        let answer = match &self.sent.seen {
            Seen::Left => return Ok(()),
            Seen::Nothing(error) => {
                // Of a stream that is reset at once the head may be lost too.
                let broken = guest && matches!(outcome, Some(ResponseOutcome::ResponseFailed(_)));
                hold!(broken || self.limits.cut.is_some(), "there was no response: {error}");
                return Ok(());
            }
            Seen::Broken(status) => {
                // A client on a busy machine may take nothing for a second.
                let slow = self.limits.send_timeout < 60_000 && matches!(outcome, Some(ResponseOutcome::ClientGone));
                let host = script.body == "endless" || self.limits.cut.is_some() || slow;
                hold!(guest || host, "the response {status} broke");
                // What the system has not sent is lost with the host.
                let delivered = matches!(outcome, Some(ResponseOutcome::Delivered));
                hold!(!delivered || self.limits.cut.is_some(), "what broke counts as delivered");
                return Ok(());
            }
            Seen::Whole(answer) => answer,
        };
        match (answer.status.as_u16(), self.record) {
            (200, Some(record)) => {
                hold!(!matches!(script.body, "broken" | "trap" | "endless"), "a broken body looks whole");
                let body = String::from_utf8_lossy(&answer.body);
                hold!(answer.body == script.content(), "the body has {} bytes: {body:.100}", body.len());
                hold!(matches!(record.outcome, ResponseOutcome::Delivered), "a whole response: {:?}", record.outcome);
                hold!(record.status == 200, "the record says {}", record.status);
                let added = self.said.words.iter().filter_map(|word| match word {
                    Word::Added { task, .. } => Some(task.to_string()),
                    _ => None,
                });
                // The handler is the first to add, unless what it spawned is quicker.
                let accepted = answer.accepted.as_deref().unwrap_or_default();
                let ids: Vec<_> = accepted.split(',').filter(|id| !id.is_empty()).collect();
                let added: Vec<_> = added.collect();
                hold!(
                    ids.len() <= script.run.len() && ids.iter().all(|id| added.iter().any(|added| added == id)),
                    "the handler added {accepted:?}, the log says {added:?}"
                );
            }
            (500 | 504, Some(record)) => {
                hold!(
                    matches!(record.outcome, ResponseOutcome::HandlerFailed(_)),
                    "{}: {:?}",
                    answer.status,
                    record.outcome
                );
                let text = answer.status.canonical_reason().unwrap_or_default();
                hold!(answer.body == text.as_bytes(), "the host says more than {text:?}");
            }
            // On a busy machine not even the start of an instance was in time.
            (504, None) => hold!(answer.body == b"Gateway Timeout"[..], "the host says more than that"),
            (503, _) => hold!(answer.retry_after && self.limits.refuse(), "it was refused"),
            (status, record) => return Err(format!("the status is {status}, with the record {record:?}")),
        }
        Ok(())
    }

    /// Checks that every accepted task has one record: the records' numbers have no gap, and the guest added no other tasks.
    fn check_ids(&self, record: &RequestRecord) -> Verdict {
        let ids: Vec<_> = record.tasks.iter().map(|task| task.id).collect();
        let count = ids.len() as u64;
        hold!(ids.iter().copied().eq(1..=count), "the records' numbers are {ids:?}");
        let mut added: Vec<u64> = Vec::new();
        for word in &self.said.words {
            match word {
                Word::Added { task, .. } => added.push(*task),
                Word::Refused { limit } if limit == "tasks" => {
                    hold!(count == u64::from(self.limits.max_tasks), "a task was refused after {count}");
                }
                Word::Refused { limit } if limit == "args" => {
                    hold!(self.limits.max_task_args < 64 << 10, "arguments were refused");
                }
                _ => {}
            }
        }
        added.sort_unstable();
        hold!(
            added == ids || (self.cut_short(record) && added.iter().all(|id| ids.contains(id))),
            "the guest added {added:?}, and the host recorded {ids:?}"
        );
        Ok(())
    }

    /// Checks that tasks run one at a time, in the order of registration. Checks that the teardown comes after the last
    /// task, except for tasks that the teardown adds.
    fn check_order(&self, record: &RequestRecord) -> Verdict {
        let mut last = (0, 0);
        let mut running = None;
        let mut torn_down = false;
        for word in &self.said.words {
            match word {
                Word::Begins { task, attempt } => {
                    hold!((*task, *attempt) > last, "task {task} began for the {attempt}. time after {last:?}");
                    let late = self.said.step(*task).is_none_or(|step| matches!(kind(step), "late" | "spawned"));
                    hold!(!torn_down || late, "task {task} began after the teardown");
                    let before = running.and_then(|before: u64| record.tasks.get(before as usize - 1));
                    let over = before.is_none_or(|before| before.id == *task || before.state != TaskState::Succeeded);
                    hold!(over, "task {task} began before {running:?} had ended");
                    (last, running) = ((*task, *attempt), Some(*task));
                }
                Word::Ends { task } => {
                    hold!(running == Some(*task), "task {task} ended while {running:?} ran");
                    running = None;
                }
                Word::Teardown => {
                    hold!(!torn_down, "it was torn down twice");
                    torn_down = true;
                }
                Word::Added { .. } | Word::Cancelled { .. } | Word::Refused { .. } => {}
            }
        }
        Ok(())
    }

    fn check_states(&self, record: &RequestRecord) -> Verdict {
        let mut failed = false;
        let mut dead = self.died_before_tasks(record);
        for task in &record.tasks {
            let Some(step) = self.said.step(task.id) else {
                hold!(self.cut_short(record), "nobody added task {}", task.id);
                continue;
            };
            // What a teardown adds is judged by itself.
            failed &= kind(step) != "late";
            self.check_state(record, task, step, failed, dead).map_err(|error| {
                format!(
                    "task {} ({step}) ended {} after {} attempts, {:?}: {error}",
                    task.id, task.state, task.attempt, task.error
                )
            })?;
            failed |= matches!(task.state, TaskState::Failed | TaskState::Trapped | TaskState::TimedOut);
            if matches!(task.state, TaskState::Trapped | TaskState::TimedOut) {
                dead = Known::Yes;
            } else if kind(step) == "shaky" && task.attempt > 0 {
                // Its first attempt trapped.
                dead = Known::Yes;
            }
        }
        Ok(())
    }

    fn check_state(&self, record: &RequestRecord, task: &TaskRecord, step: &str, failed: bool, dead: Known) -> Verdict {
        use TaskState::*;
        let handler_failed = matches!(record.outcome, ResponseOutcome::HandlerFailed(_));
        let client_gone = matches!(record.outcome, ResponseOutcome::ClientGone);
        let letters = step.split_once('-').map_or("", |(_, letters)| letters);
        let (failure, always) = (letters.contains('f'), letters.contains('a'));
        let stop = match self.script().policy {
            "" => self.limits.on_failure == "stop",
            policy => policy == "stop",
        };
        let unlucky = if handler_failed { !always && !failure } else { failure };
        let begun = self
            .said
            .words
            .iter()
            .filter(|word| matches!(word, Word::Begins { task: id, .. } if *id == task.id))
            .count();
        hold!(begun <= task.attempt as usize, "it began {begun} times");

        let cancelled =
            self.said.words.iter().any(|word| matches!(word, Word::Cancelled { task: id } if *id == task.id));
        if letters.contains('c') && !cancelled {
            // The guest was stopped while it cancelled the task.
            hold!(self.cut_short(record), "it should be cancelled");
            if task.state == Cancelled {
                return Ok(());
            }
        }
        let must = if cancelled {
            Some(Cancelled)
        } else if unlucky {
            Some(Discarded)
        } else if letters.contains('d') && client_gone {
            Some(Cancelled)
        } else if failed && stop && (kind(step) != "spawned" || task.state == Skipped) {
            // What was spawned may have added it while the teardown ran.
            Some(Skipped)
        } else {
            None
        };
        if let Some(must) = must {
            hold!(task.state == must && task.attempt == 0, "it should be {must}");
            return Ok(());
        }
        let closure = kind(step) == "closure";
        if task.state == Abandoned {
            let why = task.error.as_deref().unwrap_or_default();
            let allowed = match why {
                "the host stopped" => self.limits.cut.is_some(),
                "the instance that held it had died" => closure && dead != Known::No,
                "the time for all tasks of the request was used up" => self.limits.hurry(),
                // On a busy machine.
                why if why.starts_with("the component cannot be started: that took") => self.limits.hurry(),
                _ => self.limits.cut.is_some(),
            };
            hold!(allowed, "there is no reason for it");
            return Ok(());
        }
        hold!(!closure || dead != Known::Yes, "its instance is dead");
        if task.state == TimedOut {
            let why = task.error.as_deref().unwrap_or_default();
            let limit =
                why.strip_prefix("still running after ").and_then(|limit| epilogue_rules::duration::parse(limit).ok());
            hold!(limit.is_some_and(|limit| task.elapsed >= limit), "it had more time");
        }
        let twice = letters.contains('r');
        let (state, attempts) = match kind(step) {
            "fail" => (Failed, 1 + u32::from(twice)),
            "panic" => (Trapped, 1 + u32::from(twice)),
            "sleep" | "block" | "spin" => (TimedOut, 1 + u32::from(twice)),
            "flaky" if twice => (Succeeded, 2),
            "flaky" => (Failed, 1),
            "shaky" if twice => (Succeeded, 2),
            "shaky" => (Trapped, 1),
            _ => (Succeeded, 1),
        };
        // On a busy machine anything may take too long; what the guest spawned may trap meanwhile; and there may be no
        // time left for another attempt.
        let late = task.state == TimedOut;
        let trapped = task.state == Trapped && self.traps();
        let hurried = self.limits.hurry() && task.attempt < attempts;
        let as_asked = task.state == state && task.attempt == attempts;
        hold!(as_asked || late || trapped || hurried, "it should be {state} after {attempts}");
        // What cut an attempt short may have come before the guest's first word of it: the attempt's time was over on a busy machine,
        // or what the guest spawned trapped.
        let silent = task.attempt - begun as u32;
        let out_of_time = task.elapsed >= silent * Duration::from_millis(self.limits.task_timeout);
        let excused = silent == 0 || (silent < task.attempt && (out_of_time || self.traps()));
        hold!(task.state != Succeeded || excused, "it began {begun} times");
        Ok(())
    }

    fn check_teardown(&self, record: &RequestRecord) -> Verdict {
        let script = self.script();
        let torn_down = self.said.words.iter().any(|word| matches!(word, Word::Teardown));
        let survived = !self.cut_short(record);
        hold!(!survived || script.teardown.is_empty() || torn_down, "its teardown never ran");
        let expected = matches!(script.teardown, "fail" | "panic" | "hang");
        let told = record.errors.iter().any(|error| error.starts_with("the teardown "));
        hold!(!torn_down || !expected || told, "nobody was told of its teardown: {:?}", record.errors);
        let reasons = expected || script.spawn == "endless" || self.traps() || self.limits.cut.is_some();
        let late = record.errors.iter().all(|error| error.contains("still running after") || error.contains("in time"));
        hold!(reasons || late, "{:?}", record.errors);
        let first = self.said.handled.is_none_or(|before| before == 0);
        hold!(first || !survived || record.leaked == 0, "it left {} handles behind", record.leaked);
        Ok(())
    }

    /// Whether the instance that handled the request had died before its first task.
    fn died_before_tasks(&self, record: &RequestRecord) -> Known {
        // On a busy machine what the guest spawned may take longer than the host waits, and then it ends its instance.
        let cut_short = record.errors.iter().any(|error| error.starts_with("work that the guest had spawned was cut"));
        let unsure = self.traps() || self.limits.cut.is_some() || cut_short;
        match &record.outcome {
            ResponseOutcome::HandlerFailed(why) if why.contains("cut short") => Known::Yes,
            ResponseOutcome::ResponseFailed(why) if why.starts_with("the guest died") => Known::Yes,
            _ if unsure => Known::Maybe,
            _ => Known::No,
        }
    }

    /// Whether an instance of the request died, or may have.
    fn cut_short(&self, record: &RequestRecord) -> bool {
        let trapped = |task: &TaskRecord| matches!(task.state, TaskState::Trapped | TaskState::TimedOut);
        self.died_before_tasks(record) != Known::No
            || record.tasks.iter().any(|task| trapped(task) || task.attempt > 1)
            || record.errors.iter().any(|error| error.contains("cut short") || error.contains("in time"))
    }
}

//! Implements `epilogue tasks retry` and `epilogue tasks drop`, which retry and remove batches for operators.

use std::io::{self, BufRead, IsTerminal as _, Write as _};

use anyhow::{bail, ensure};
use epilogue_engines::{self as engines, BatchState, Entry};

use super::{TaskStore, note};
use crate::commands::cli::ChoiceArgs;
use crate::tasks::change::Change;

/// The ID of a batch that the command will change, and the number of unfinished tasks in the batch.
struct Chosen {
    id: String,
    tasks: usize,
}

/// Retries dead batches: after this call, workers may run these batches again. If `choice` has a filter, retries the
/// dead batches that match the filter. If `choice` has no filter, retries the batches with the IDs `ids`, and returns
/// false if one of these batches is not dead.
pub(super) fn retry(store: &TaskStore, ids: &[String], choice: &ChoiceArgs) -> anyhow::Result<bool> {
    match choice.is_made() {
        true => all(store, Change::Retry, &choose(store, choice, Some(BatchState::Dead))?),
        false => each(store, Change::Retry, ids),
    }
}

/// Removes batches. If `choice` has a filter, removes the batches that match the filter. Unless `yes` is set, this
/// function asks the operator before it removes the batches, and returns false if the operator answers no. If `choice`
/// has no filter, removes the batches with the IDs `ids`, and returns false if one of these batches is not stored.
pub(super) fn drop(
    store: &TaskStore,
    ids: &[String],
    choice: &ChoiceArgs,
    state: Option<BatchState>,
    yes: bool,
) -> anyhow::Result<bool> {
    if !choice.is_made() {
        return each(store, Change::Drop, ids);
    }
    let chosen = choose(store, choice, state)?;
    let tasks = chosen.iter().map(|chosen| chosen.tasks).sum();
    let what = format!("{} with {}", counted(chosen.len(), "request"), counted(tasks, "task"));
    if !yes && !chosen.is_empty() {
        let (input, terminal) = (io::stdin(), io::stdin().is_terminal() && io::stderr().is_terminal());
        if !terminal {
            bail!("{what} would be dropped: there is no terminal to ask on, so use --yes to drop them");
        }
        note(format_args!("{what} will be dropped, and the tasks never run."));
        if !agrees(&mut input.lock())? {
            note(format_args!("nothing was dropped"));
            return Ok(false);
        }
    }
    all(store, Change::Drop, &chosen)
}

/// Returns the stored batches that match the filter `choice`, and that are in the state `state`.
fn choose(store: &TaskStore, choice: &ChoiceArgs, state: Option<BatchState>) -> anyhow::Result<Vec<Chosen>> {
    let choice = choice.clone();
    let chosen = store.wait(|task_engine| async move {
        let mut chosen = Vec::new();
        task_engine.visit(state, usize::MAX, &mut |entry| chosen.extend(let_through(&choice, entry))).await?;
        Ok(chosen)
    });
    Ok(chosen?)
}

/// Returns the batch in `entry`, or `None` if this batch does not match the filter `choice`.
fn let_through(choice: &ChoiceArgs, entry: Entry) -> Option<Chosen> {
    let batch = entry.batch().ok();
    let (tasks, component) = match &batch {
        Some(batch) => (batch.tasks.get(entry.next as usize..).unwrap_or_default(), Some(&batch.component)),
        // A batch that cannot be read can be chosen only by its state.
        None => (&[][..], None),
    };
    let of_component = choice.component.as_ref().is_none_or(|wanted| component == Some(wanted));
    let of_task = choice.task.as_ref().is_none_or(|wanted| tasks.iter().any(|task| task.name == *wanted));
    let count = tasks.len();
    (of_component && of_task).then_some(Chosen { id: entry.id, tasks: count })
}

/// Changes the chosen batches. If somebody else has meanwhile retried or removed a chosen batch, this function skips
/// the batch. This function always returns true, because a skipped batch is not a failure.
fn all(store: &TaskStore, change: Change, chosen: &[Chosen]) -> anyhow::Result<bool> {
    let (total, did) = (chosen.len(), did(change));
    let mut done = 0;
    for (place, Chosen { id, .. }) in chosen.iter().enumerate() {
        done += usize::from(make(store, change, id)?);
        if io::stderr().is_terminal() {
            _ = write!(io::stderr(), "\r{} of {total} {did}", place + 1);
        }
    }
    if io::stderr().is_terminal() {
        _ = write!(io::stderr(), "\r");
    }
    note(format_args!("{done} of {total} {did}"));
    Ok(true)
}

/// Changes the batches with the IDs `ids`, and prints the result for each batch. Returns true if all batches were
/// changed.
fn each(store: &TaskStore, change: Change, ids: &[String]) -> anyhow::Result<bool> {
    ensure!(!ids.is_empty(), "choose the tasks: name IDs that `epilogue tasks list` shows");
    let mut all = true;
    for id in ids {
        let found = make(store, change, id)?;
        all &= found;
        note(format_args!("{id} {}", if found { did(change) } else { did_not(change) }));
    }
    Ok(all)
}

/// Changes one batch. Returns false if the batch is not stored. For a retry, also returns false if the batch is not
/// dead.
fn make(store: &TaskStore, change: Change, id: &str) -> engines::Result<bool> {
    futures::executor::block_on(change.make(store, id))
}

fn did(change: Change) -> &'static str {
    match change {
        Change::Retry => "made ready",
        Change::Drop => "dropped",
    }
}

fn did_not(change: Change) -> &'static str {
    match change {
        Change::Retry => "is not dead, so it cannot be retried: `epilogue tasks dead` lists the dead tasks",
        Change::Drop => "is not stored",
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Asks the operator whether the command shall remove the chosen batches. Returns true if the operator answers `y` or
/// `yes`.
fn agrees(input: &mut impl BufRead) -> io::Result<bool> {
    _ = write!(io::stderr(), "Go on? [y/N] ");
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        for (answer, expected) in [("y\n", true), ("YES\n", true), ("n\n", false), ("\n", false), ("", false)] {
            assert_eq!(agrees(&mut answer.as_bytes()).unwrap(), expected, "{answer:?}");
        }
    }

    #[test]
    fn one_is_one() {
        assert_eq!([counted(0, "task"), counted(1, "task"), counted(2, "task")], ["0 tasks", "1 task", "2 tasks"]);
    }
}

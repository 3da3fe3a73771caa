//! Lists the batches in the dead letter, and retries or drops the batches that an operator chooses.

use std::collections::BTreeMap;

use epilogue_engines::{BatchState, Entry};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answer::{Query, body, json, unanswered};
use super::guard::text;
use super::{Body, Dashboard};
use crate::tasks::change::Change;
use crate::tasks::store::TaskStore;
use crate::tasks::summary::BatchSummary;

/// The list shows this number of characters of each error. If two errors are equal up to this number of characters, the
/// dashboard treats the two errors as the same error.
const ERROR: usize = 200;

/// A dead batch, as the dashboard shows it.
#[derive(Debug, Serialize)]
struct Dead {
    #[serde(flatten)]
    summary: BatchSummary,
    /// The beginning of the error with which the task failed for good.
    error: String,
}

/// Says which dead batches the operator has chosen.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    #[serde(default)]
    ids: Vec<String>,
    task: Option<String>,
    error: Option<String>,
    #[serde(default)]
    all: bool,
    #[serde(default)]
    dry_run: bool,
    /// The number of batches that the operator expects to change, which a dry run has reported. If the number of chosen
    /// batches is now different, the host changes no batch.
    expect: Option<usize>,
}

impl Choice {
    fn matches(&self, dead: &Dead) -> bool {
        let group = self.task.is_some() || self.error.is_some();
        self.all
            || self.ids.contains(&dead.summary.id)
            || group
                && self.task.as_ref().is_none_or(|task| *task == dead.summary.task)
                && self.error.as_ref().is_none_or(|error| *error == dead.error)
    }
}

/// One page of the list of dead batches, and all groups of dead batches. A group has the batches with the same task and
/// the same error.
#[derive(Default)]
struct Listing {
    groups: BTreeMap<(String, String), usize>,
    page: Vec<Dead>,
    total: usize,
}

/// Answers with the dead batches that match the query's filter, and with all groups of dead batches. A group has the
/// batches with the same task and the same error.
pub(super) async fn list(dashboard: &Dashboard, query: &Query) -> Response<Body> {
    let Some(store) = &dashboard.task_store else {
        return text(StatusCode::NOT_FOUND, "there is no task engine\n");
    };
    let [task, error] = ["task", "error"].map(|name| query.get(name).map(str::to_owned));
    let (offset, limit) = (query.number("offset", 0), query.number("limit", 100).min(1_000));
    let listing = gather(store, move |listing: &mut Listing, dead| {
        *listing.groups.entry((dead.summary.task.clone(), dead.error.clone())).or_default() += 1;
        if task.as_ref().is_none_or(|task| *task == dead.summary.task)
            && error.as_ref().is_none_or(|error| *error == dead.error)
        {
            listing.total += 1;
            if listing.total > offset && listing.page.len() < limit {
                listing.page.push(dead);
            }
        }
    });
    let Listing { groups, page, total } = match listing.await {
        Ok(listing) => listing,
        Err(refusal) => return refusal,
    };
    let group = |((task, error), count)| json!({ "task": task, "error": error, "count": count });
    let groups: Vec<_> = groups.into_iter().map(group).collect();
    json(&json!({ "batches": page, "total": total, "groups": groups }))
}

/// Retries or drops the chosen batches. In a dry run, this function only counts the chosen batches.
pub(super) async fn change(dashboard: &Dashboard, path: &str, request: Request<Incoming>) -> Response<Body> {
    let Some(store) = &dashboard.task_store else {
        return text(StatusCode::NOT_FOUND, "there is no task engine\n");
    };
    if !dashboard.guard.actions {
        return text(StatusCode::FORBIDDEN, "the dashboard is read-only: start it with --dashboard-actions\n");
    }
    let choice: Choice = match body(request).await {
        Ok(choice) => choice,
        Err(refusal) => return refusal,
    };
    let (dry_run, expect) = (choice.dry_run, choice.expect);
    // Collects the ids of the chosen batches in order, and counts the tasks of these batches.
    let chosen = gather(store, move |(ids, tasks): &mut (Vec<String>, usize), dead| {
        if choice.matches(&dead) {
            *tasks += dead.summary.behind + 1;
            ids.push(dead.summary.id);
        }
    });
    let (chosen, tasks) = match chosen.await {
        Ok(chosen) => chosen,
        Err(refusal) => return refusal,
    };
    if dry_run {
        return json(&json!({ "matches": chosen.len(), "tasks": tasks }));
    }
    if expect.is_some_and(|expect| expect != chosen.len()) {
        let mut response =
            json(&json!({ "error": "the batches have changed: look at the list again", "matches": chosen.len() }));
        *response.status_mut() = StatusCode::CONFLICT;
        return response;
    }
    let change = if path.ends_with("/retry") { Change::Retry } else { Change::Drop };
    let (mut done, mut failed) = (0, Vec::new());
    // This loop changes the batches in order, so that the batches of a group keep their order.
    for id in chosen {
        match change.make(store, &id).await {
            Ok(true) => done += 1,
            Ok(false) => failed.push(json!({ "id": id, "error": "somebody else has retried or dropped it" })),
            Err(error) => failed.push(json!({ "id": id, "error": error.to_string() })),
        }
    }
    json(&json!({ "done": done, "failed": failed }))
}

/// Calls `add` for each dead batch, the oldest first. `add` copies the needed parts of the batch into a `T`, which this
/// function returns at the end. This function does not keep all batches in memory, because the dead letter may contain
/// very many batches.
async fn gather<T: Default + Send + 'static>(
    store: &TaskStore,
    add: impl Fn(&mut T, Dead) + Send + Sync + 'static,
) -> Result<T, Response<Body>> {
    let gathered = store.call(|engine| async move {
        let mut gathered = T::default();
        engine.visit(Some(BatchState::Dead), usize::MAX, &mut |entry| add(&mut gathered, Dead::of(&entry))).await?;
        Ok(gathered)
    });
    gathered.await.map_err(|error| unanswered(&error))
}

impl Dead {
    fn of(entry: &Entry) -> Self {
        let error = entry.why.as_deref().unwrap_or_default().chars().take(ERROR).collect();
        Self { summary: BatchSummary::of(entry), error }
    }
}

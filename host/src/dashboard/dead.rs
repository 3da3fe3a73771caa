//! The dead letter: its list, and what an operator does with it.

use std::collections::BTreeMap;

use epilogue_engines::{BatchState, Entry};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answer::{Query, body, json};
use super::guard::text;
use super::{Body, Dashboard};
use crate::tasks::change::Change;
use crate::tasks::store::TaskStore;
use crate::telemetry::timestamp;

/// The longest part of an error that tells it from others.
const ERROR: usize = 200;

/// A dead batch, as the page shows it.
#[derive(Debug, Serialize)]
struct Dead {
    id: String,
    request: String,
    component: String,
    /// The task that failed for good.
    task: String,
    task_id: u64,
    error: String,
    attempts: u32,
    /// When the request enqueued the batch.
    since: String,
    /// How many tasks of the batch wait behind the failed one.
    behind: usize,
}

/// The batches that an operator has chosen.
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
    /// How many batches the dry run has found.
    expect: Option<usize>,
}

impl Choice {
    fn matches(&self, dead: &Dead) -> bool {
        let group = self.task.is_some() || self.error.is_some();
        self.all
            || self.ids.contains(&dead.id)
            || group
                && self.task.as_ref().is_none_or(|task| *task == dead.task)
                && self.error.as_ref().is_none_or(|error| *error == dead.error)
    }
}

/// Answers with the dead batches that pass the query's filter, and all groups of the same task and error.
pub(super) async fn list(dashboard: &Dashboard, query: &Query) -> Response<Body> {
    let Some(store) = &dashboard.task_store else {
        return text(StatusCode::NOT_FOUND, "there is no task engine\n");
    };
    let dead = match read(store).await {
        Ok(dead) => dead,
        Err(refusal) => return refusal,
    };
    let mut groups: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for dead in &dead {
        *groups.entry((&dead.task, &dead.error)).or_default() += 1;
    }
    let groups: Vec<_> = groups
        .into_iter()
        .map(|((task, error), count)| json!({ "task": task, "error": error, "count": count }))
        .collect();
    let is = |name: &str, value: &str| query.get(name).is_none_or(|wanted| wanted == value);
    let wanted: Vec<_> = dead.iter().filter(|dead| is("task", &dead.task) && is("error", &dead.error)).collect();
    let page: Vec<_> =
        wanted.iter().skip(query.number("offset", 0)).take(query.number("limit", 100).min(1_000)).collect();
    json(&json!({ "batches": page, "total": wanted.len(), "groups": groups }))
}

/// Retries or drops the chosen batches, or says how many they are.
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
    let dead = match read(store).await {
        Ok(dead) => dead,
        Err(refusal) => return refusal,
    };
    let chosen: Vec<_> = dead.iter().filter(|dead| choice.matches(dead)).collect();
    let tasks: usize = chosen.iter().map(|dead| dead.behind + 1).sum();
    if choice.dry_run {
        return json(&json!({ "matches": chosen.len(), "tasks": tasks }));
    }
    if choice.expect.is_some_and(|expect| expect != chosen.len()) {
        let mut response = json(&json!({ "error": "the batches have changed meanwhile", "matches": chosen.len() }));
        *response.status_mut() = StatusCode::CONFLICT;
        return response;
    }
    let change = if path.ends_with("/retry") { Change::Retry } else { Change::Drop };
    let (mut done, mut failed) = (0, Vec::new());
    // In order, so that the batches of a group keep theirs.
    for dead in chosen {
        match change.make(store, &dead.id).await {
            Ok(true) => done += 1,
            Ok(false) => failed.push(json!({ "id": dead.id, "error": "it is no longer there" })),
            Err(error) => failed.push(json!({ "id": dead.id, "error": error.to_string() })),
        }
    }
    json(&json!({ "done": done, "failed": failed }))
}

/// Reads all dead batches, the oldest first.
async fn read(store: &TaskStore) -> Result<Vec<Dead>, Response<Body>> {
    let read = store.call(|engine| async move {
        let mut dead = Vec::new();
        engine.visit(Some(BatchState::Dead), usize::MAX, &mut |entry| dead.push(Dead::of(&entry))).await?;
        Ok(dead)
    });
    read.await.map_err(|error| {
        let mut response = json(&json!({ "error": error.to_string() }));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    })
}

impl Dead {
    fn of(entry: &Entry) -> Self {
        let error = entry.why.as_deref().unwrap_or_default().chars().take(ERROR).collect();
        let mut dead = Self {
            id: entry.id.clone(),
            request: String::new(),
            component: String::new(),
            task: String::new(),
            task_id: 0,
            error,
            attempts: entry.attempt,
            since: String::new(),
            behind: 0,
        };
        // An envelope that cannot be read has only an id and a reason.
        let Ok(batch) = entry.batch() else { return dead };
        let left = batch.tasks.get(entry.next as usize..).unwrap_or_default();
        if let Some(task) = left.first() {
            dead.task.clone_from(&task.name);
            dead.task_id = task.id;
            dead.behind = left.len() - 1;
        }
        let created = std::time::UNIX_EPOCH + std::time::Duration::from_millis(batch.created);
        dead.since = timestamp::of(created);
        dead.request = batch.request_id;
        dead.component = batch.component;
        dead
    }
}

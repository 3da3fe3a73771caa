//! Serves the dashboard's files and the JSON interface.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::json;

use super::answer::{Host, Query, Rights, json};
use super::guard::text;
use super::{Body, Dashboard, dead, events, workers};
use crate::reports::history::History;
use crate::reports::totals::Totals;
use crate::reports::view::{self, Detail, Phase, Summary};
use crate::server::overview::Overview;
use crate::tasks::timeline::{Shared, Timeline};

/// Returns a file of the page, without comments and indentation (see `build.rs`).
macro_rules! page {
    ($name:literal) => {
        include_str!(concat!(env!("OUT_DIR"), "/page/", $name))
    };
}

const JS: &str = "text/javascript; charset=utf-8";
/// The files of the page. Each entry has the path, the content type and the content of a file.
const FILES: [(&str, &str, &str); 16] = [
    ("/", "text/html; charset=utf-8", page!("index.html")),
    ("/style.css", "text/css; charset=utf-8", page!("style.css")),
    ("/app.js", JS, page!("app.js")),
    ("/confirm.js", JS, page!("confirm.js")),
    ("/dead.js", JS, page!("dead.js")),
    ("/dom.js", JS, page!("dom.js")),
    ("/latency.js", JS, page!("latency.js")),
    ("/limits.js", JS, page!("limits.js")),
    ("/live.js", JS, page!("live.js")),
    ("/request.js", JS, page!("request.js")),
    ("/requests.js", JS, page!("requests.js")),
    ("/states.js", JS, page!("states.js")),
    ("/tasks.js", JS, page!("tasks.js")),
    ("/timeline.js", JS, page!("timeline.js")),
    ("/waterfall.js", JS, page!("waterfall.js")),
    ("/workers.js", JS, page!("workers.js")),
];
/// The number of requests in a list if the query has no parameter `limit`. With `limit`, a query can ask for up to five
/// times this number.
const LIST: usize = 200;

/// Answers a request that `guard.rs` has allowed.
pub(super) async fn answer(dashboard: &Dashboard, request: Request<Incoming>) -> Response<Body> {
    let (path, method) = (request.uri().path().to_owned(), request.method().clone());
    let query = Query::of(request.uri().query().unwrap_or_default());
    if let Some((_, kind, content)) = FILES.iter().find(|(file, ..)| *file == path) {
        let mut response = Response::new(Full::new(Bytes::from_static(content.as_bytes())).boxed_unsync());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        return response;
    }
    match (&method, path.as_str()) {
        (&Method::POST, "/api/dead/retry" | "/api/dead/drop") => return dead::change(dashboard, &path, request).await,
        (&Method::GET | &Method::HEAD, _) => {}
        _ => return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n"),
    }
    if path == "/api/dead" {
        return dead::list(dashboard, &query).await;
    }
    if path == "/api/workers" {
        return workers::list(dashboard).await;
    }
    let rights = Rights { actions: dashboard.guard.actions, durable: dashboard.task_store.is_some() };
    let Some((overview, history)) = &dashboard.host else {
        // If the dashboard runs without a host, it can show only the task engine.
        return match path.as_str() {
            "/api/host" => json(&json!({ "state": "no host", "actions": rights.actions, "durable": rights.durable })),
            _ => text(StatusCode::NOT_FOUND, "the dashboard runs without a host\n"),
        };
    };
    match path.as_str() {
        "/api/requests" => requests(overview, history, &query),
        "/api/tasks" => json(&json!({ "tasks": history.totals().tasks(&live(overview)) })),
        "/api/latency" => json(&latency(overview, history.totals(), &query)),
        "/api/host" => json(&Host { state: overview.state().await, rights }),
        "/api/events" => {
            let last = request.headers().get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
            events::stream(overview.clone(), history.clone(), rights, last)
        }
        _ => match path.strip_prefix("/api/requests/") {
            Some(id) => one(overview, history, id, query.get("batch") == Some("true")),
            None => text(StatusCode::NOT_FOUND, "there is no such page\n"),
        },
    }
}

fn live(overview: &Overview) -> Vec<Arc<Shared>> {
    overview.live().map(|live| live.all()).unwrap_or_default()
}

fn requests(overview: &Overview, history: &History, query: &Query) -> Response<Body> {
    let limit = query.number("limit", LIST).min(LIST * 5);
    let at_work = live(overview);
    let summary = |timeline: &Timeline| (timeline.began, Summary::of(timeline));
    let mut running: Vec<_> = at_work
        .iter()
        .map(|shared| shared.lock())
        .filter(|timeline| matches(timeline, query))
        .map(|timeline| summary(&timeline))
        .collect();
    running.sort_by_key(|(began, _)| Reverse(*began));
    let (ended, ended_so_far) = history.after(0, limit, |timeline| matches(timeline, query));
    let ended: Vec<_> = ended.iter().map(summary).collect();
    // A request that has ended in the meantime is in both lists.
    let has_ended: HashSet<_> = ended.iter().map(|(began, summary)| (*began, summary.id.as_str())).collect();
    running.retain(|(began, summary)| !has_ended.contains(&(*began, summary.id.as_str())));
    let all = running.iter().chain(&ended).map(|(_, summary)| summary);
    let requests: Vec<_> = all.take(limit).collect();
    let (seen, kept) = (ended_so_far + at_work.len() as u64, history.kept() + at_work.len());
    json(&json!({ "requests": requests, "seen": seen, "kept": kept }))
}

/// Reports whether the request with this timeline matches the filter in the query.
fn matches(timeline: &Timeline, query: &Query) -> bool {
    let is = |name, matches: &dyn Fn(&str) -> bool| query.get(name).is_none_or(matches);
    is("id", &|id| timeline.id().starts_with(id))
        && is("component", &|component| timeline.component() == component)
        && is("path", &|path| {
            timeline.facts.asked.as_ref().is_some_and(|asked| timeline.text(asked.path).contains(path))
        })
        && match (query.get("task"), query.get("state")) {
            (None, None) => true,
            (None, Some(state)) => {
                view::outcome(timeline).0 == state || timeline.tasks().any(|task| view::state(task) == state)
            }
            (Some(name), state) => {
                timeline.tasks().any(|task| task.name == name && state.is_none_or(|state| view::state(task) == state))
            }
        }
}

/// Answers with the details of a request, or of a batch of durable tasks. A request and a batch can have the same `id`.
/// If both have this `id`, `batch` says whether the answer shows the batch.
fn one(overview: &Overview, history: &History, id: &str, batch: bool) -> Response<Body> {
    let is_wanted = |timeline: &Timeline| timeline.id() == id;
    let running = live(overview);
    let running = running.iter().map(|shared| shared.lock());
    let mut all: Vec<Timeline> =
        running.filter(|timeline| is_wanted(timeline)).map(|timeline| timeline.clone()).collect();
    all.extend(history.after(0, usize::MAX, is_wanted).0);
    // A link from the dead letter does not say whether it leads to the request or to the batch. If the host does not
    // know the wanted one, the answer shows the other one.
    let found = all.iter().position(|timeline| timeline.facts.asked.is_none() == batch).unwrap_or(0);
    match all.get(found) {
        Some(timeline) => {
            let mut detail = Detail::of(timeline);
            if detail.summary.phase != Phase::Ended {
                detail.stop = overview.stopping_since(timeline);
            }
            json(&detail)
        }
        None => {
            let mut response = json(&json!({ "error": "this request is no longer kept" }));
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    }
}

fn latency(overview: &Overview, totals: &Totals, query: &Query) -> serde_json::Value {
    let minutes = query.number("minutes", 15) as u64;
    let reloads = overview.reloads();
    json!({ "step": Totals::step(), "points": totals.latency(minutes), "reloads": reloads })
}

#[cfg(test)]
mod tests {
    use super::FILES;

    #[test]
    fn the_page_is_small() {
        let sizes: usize = FILES.iter().map(|(.., content)| content.len()).sum();
        assert!((40_000..=80_000).contains(&sizes), "{sizes} bytes");
    }
}

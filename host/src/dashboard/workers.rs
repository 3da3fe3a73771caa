//! Lists the workers that hold leases in the task engine.

use epilogue_engines as engines;
use http::{Response, StatusCode};
use serde_json::json;

use super::answer::{json, unanswered};
use super::guard::text;
use super::{Body, Dashboard};
use crate::tasks::leases;
use crate::tasks::store::TaskStore;

/// Answers with the workers that hold leases, and with the number of batches in each state.
pub(super) async fn list(dashboard: &Dashboard) -> Response<Body> {
    let Some(store) = &dashboard.task_store else {
        return text(StatusCode::NOT_FOUND, "there is no task engine\n");
    };
    match ask(store).await {
        Ok(answer) => json(&answer),
        Err(error) => unanswered(&error),
    }
}

async fn ask(store: &TaskStore) -> engines::Result<serde_json::Value> {
    let counts = store.call(|engine| async move { engine.counts().await });
    let (workers, batches) = tokio::try_join!(leases::workers(store), counts)?;
    Ok(json!({ "workers": workers, "batches": batches }))
}

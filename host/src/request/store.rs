//! Stores a request's durable tasks after the handler has returned, and before the host sends the response headers.

use epilogue_engines::{Batch, Error, Outcome};
use epilogue_rules::limits::cut;
use http::Response;
use wasmtime_wasi_http::WasiBody;

use super::Life;
use crate::budget::refusals;
use crate::component::instance::HandlerError;
use crate::tasks::store::{NotStored, batch, stored};

impl Life {
    /// Stores the durable tasks that must run after a handler with this result (success or failure). The host sends the
    /// response headers only after the tasks are stored, so a client that gets the response can rely on the tasks. If
    /// the tasks cannot be stored, the host does not send the guest's response.
    pub(super) async fn store(
        &mut self,
        handled: Result<Response<WasiBody>, HandlerError>,
    ) -> Result<Response<WasiBody>, HandlerError> {
        let failed = handled.is_err();
        let tasks = self.scope.queue().end_of_handler(failed);
        if tasks.is_empty() {
            return handled;
        }
        let component = &self.pool.component;
        // This case does not happen, because no task is durable without a task engine.
        let Some(task_store) = component.task_store.clone() else { return handled };
        let outcome = handled.as_ref().err().map(|error| Outcome::HandlerFailed(cut(error.to_string())));
        let batch = Batch { id: self.scope.id.clone(), ..batch(&self.scope, &component.layers, outcome, tasks) };
        let mut shutdown = self.pool.shutdown.clone();
        let limit = self.scope.queue().max_backlog();
        let done = tokio::select! {
            done = async {
                match task_store.has_room(limit).await {
                    true => task_store.enqueue(batch).await.map_err(NotStored::TaskEngine),
                    false => Err(NotStored::BacklogFull(limit)),
                }
            } => done,
            () = shutdown.stopped() => Err(NotStored::TaskEngine(Error::Unavailable("the host stopped".to_owned()))),
        };
        match done {
            Ok(()) => {
                let mut queue = self.scope.queue();
                for task in queue.hand_over(failed) {
                    let stored = stored(&component.layers, &task);
                    stored.announce(self.scope.ids());
                    self.scope.note(|timeline| timeline.stored(&stored));
                    queue.note_stored(stored);
                }
                handled
            }
            Err(error) => {
                let text = error.to_string();
                let why = HandlerError::NotStored(error);
                self.not_stored = Some(cut(why.to_string()));
                if failed {
                    self.record_error("not stored", Some(&text));
                    handled
                } else {
                    if let HandlerError::NotStored(NotStored::BacklogFull(_)) = &why {
                        refusals::count("max-backlog");
                    }
                    Err(why)
                }
            }
        }
    }
}

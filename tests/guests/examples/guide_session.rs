//! One session for a request's handler and its tasks, closed by the teardown: `POST /`.

use std::cell::RefCell;

use epilogue_sdk::{BackgroundTasks, Scope};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

// ANCHOR: session
thread_local!(static SESSION: RefCell<Option<Session>> = const { RefCell::new(None) });

/// Returns the request's session. The first call opens it, and the teardown closes it.
fn session() -> Session {
    let open = SESSION.with_borrow(Clone::clone);
    open.unwrap_or_else(|| {
        let session = Session::open();
        SESSION.set(Some(session.clone()));
        Scope::current().on_teardown(async {
            if let Some(session) = SESSION.take() {
                session.close();
            }
        });
        session
    })
}
// ANCHOR_END: session

// ANCHOR: use
#[http_service]
async fn handle(_: Request) -> anyhow::Result<impl IntoResponse> {
    session().execute("insert the order");
    BackgroundTasks::current().add_task(write_history, ())?;
    Ok("Thank you for your order")
}

#[epilogue_sdk::task(name = "write-history")]
fn write_history() {
    session().execute("insert the history");
}
// ANCHOR_END: use

/// A session with a database. In this example, it only prints what it would do.
#[derive(Clone)]
struct Session;

impl Session {
    fn open() -> Self {
        println!("open");
        Self
    }

    fn execute(&self, statement: &str) {
        println!("{statement}");
    }

    fn close(self) {
        println!("close");
    }
}

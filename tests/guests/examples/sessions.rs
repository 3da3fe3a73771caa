//! The applications of FastAPI's tests `test_dependency_after_yield_*.py` and `test_dependency_yield_scope.py`:
//! handlers and streamed bodies read from sessions, and the guest prints when the sessions close.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, RequestPartsExt, Router};
use epilogue_sdk::Scope;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use tower_service::Service;

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let response: Response = Router::new()
        .route("/broken", get(broken))
        .route("/data", get(async |session: Session| data(session).await))
        .route(
            "/stream-simple",
            get(async |_: Session| Body::from_stream(stream::iter(["x", "y", "z"]).map(Ok::<_, Error>))),
        )
        .route("/stream-session", get(async |session: Session| Body::from_stream(session.items())))
        .route("/broken-session-data", get(async |session: Session| data(session.broken()).await))
        .route("/broken-session-stream", get(async |session: Session| Body::from_stream(session.broken().items())))
        .route("/function-scope", get(async |local: Local| streamed(vec![local.0.clone()])))
        .route("/request-scope", get(async |session: Session| streamed(vec![session])))
        .route("/two-scopes", get(async |local: Local, session: Session| streamed(vec![local.0.clone(), session])))
        .route("/sub", get(async |named: Named| streamed(vec![named.own, named.session])))
        .call(request)
        .await?;
    // axum makes a response of every error. One that nobody handles is raised here, as a host sees it.
    match response.extensions().get() {
        Some(Raised(error)) => anyhow::bail!(*error),
        None => Ok(response),
    }
}

type Error = &'static str;

#[derive(Clone)]
struct Raised(Error);

async fn broken(scope: Scope) -> &'static str {
    scope.on_teardown(async { Err("Broken after yield") });
    "all good?"
}

async fn data(session: Session) -> Result<String, Extension<Raised>> {
    session.items().try_collect().await.map_err(|error| Extension(Raised(error)))
}

/// A body that says whether the sessions are open. The guest writes the body after the handler has returned.
fn streamed(sessions: Vec<Session>) -> Body {
    let says =
        stream::iter(sessions).map(|session| Ok::<_, Error>(if session.is_open() { "open " } else { "closed " }));
    Body::from_stream(says)
}

/// A dependency of the whole request. `on_teardown` closes it after the response and all tasks.
#[derive(Clone)]
struct Session(Arc<AtomicBool>);

impl Session {
    fn open(name: &'static str) -> Self {
        let session = Self(Arc::new(AtomicBool::new(true)));
        let closing = session.clone();
        Scope::current().on_teardown(async move {
            closing.close();
            println!("{name} closed");
        });
        session
    }

    fn is_open(&self) -> bool {
        self.0.load(Relaxed)
    }

    fn close(&self) {
        self.0.store(false, Relaxed);
    }

    fn broken(self) -> Self {
        self.close();
        self
    }

    fn items(self) -> impl Stream<Item = Result<&'static str, Error>> + Send {
        stream::iter(["foo", "bar", "baz"])
            .map(move |item| if self.is_open() { Ok(item) } else { Err("Session closed") })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::open("session"))
    }
}

/// A session within the session.
struct Named {
    own: Session,
    session: Session,
}

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let session = parts.extract().await?;
        Ok(Self { own: Session::open("named"), session })
    }
}

/// A dependency of the handler's function alone. `Drop` closes it when the function returns.
struct Local(Session);

impl Drop for Local {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Local {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(Session(Arc::new(AtomicBool::new(true)))))
    }
}

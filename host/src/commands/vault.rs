//! Reads the values of variables from HashiCorp Vault. The host reads version 2 of Vault's key-value secrets engine
//! over HTTP.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use epilogue_engines::IoThread;
use epilogue_spin::variables::Server;
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use serde::Deserialize;
use tokio::time::timeout;
use url::Url;

use crate::budget::lookups::ComponentLookups;
use crate::interfaces::send::send;
use crate::telemetry::once_a_minute::OnceAMinute;

/// The longest time that the host waits for Vault's answer to one request.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest size of an answer that the host reads from Vault, in bytes. Vault limits a secret to the same size.
const MAX_ANSWER: usize = 1 << 20;

/// A client for a Vault server. Code on any thread can ask this client for the value of a variable, because the client
/// sends all requests to Vault from the client's own thread.
pub(super) struct Vault {
    url: Url,
    token: HeaderValue,
    mount: String,
    prefix: Option<String>,
    lookups: ComponentLookups,
    io: IoThread,
    failures: Arc<OnceAMinute>,
}

/// Vault's answer to a request for a secret.
#[derive(Deserialize)]
struct Answer {
    data: Versioned,
}

#[derive(Deserialize)]
struct Versioned {
    data: Secret,
}

#[derive(Deserialize)]
struct Secret {
    value: String,
}

impl Vault {
    /// Makes a client for the Vault server at `url`. The value of the variable `NAME` is the field `value` of the
    /// secret `prefix/NAME` in the secrets engine at `mount`. If `prefix` is none, the name of the secret is `NAME`.
    ///
    /// # Errors
    ///
    /// Returns an error if the URL or the token cannot be used. The error message never contains the token.
    pub(super) fn new(url: &str, token: &str, mount: String, prefix: Option<String>) -> anyhow::Result<Self> {
        let url = Url::parse(url).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
        // The error does not show the URL, because the URL may contain a password.
        let url = url.context("the url of the variables provider vault must be like https://vault.example.com:8200")?;
        let token = HeaderValue::from_str(token)
            .ok()
            .context("the token of the variables provider vault cannot be sent in a header")?;
        let io = IoThread::start("epilogue-vault").context("no thread for Vault could be started")?;
        Ok(Self { url, token, mount, prefix, lookups: ComponentLookups::default(), io, failures: Arc::default() })
    }

    fn request(&self, path: &str) -> anyhow::Result<Request<Empty<bytes::Bytes>>> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            let path = ["v1"].into_iter().chain(self.mount.split('/')).chain(["data"]).chain(path.split('/'));
            segments.pop_if_empty().extend(path.filter(|segment| !segment.is_empty()));
        }
        let uri: Uri = url.as_str().parse()?;
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
        let request = Request::get(uri).header(HOST, host).header("x-vault-request", "true");
        let agent = concat!("epilogue/", env!("CARGO_PKG_VERSION"));
        let request = request.header("x-vault-token", &self.token).header(USER_AGENT, agent);
        Ok(request.body(Empty::new())?)
    }

    async fn ask(&self, path: &str) -> anyhow::Result<Option<String>> {
        let request = self.request(path)?.map(|body| body.map_err(|never| match never {}).boxed_unsync());
        let lookups = self.lookups.instance();
        let answer = async move {
            let (response, connection) = send(request, None, lookups).await?;
            let status = response.status();
            // The next provider may have the variable.
            if status == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            ensure!(status.is_success(), "the server answered {status}");
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect();
            tokio::pin!(body);
            // The connection must be driven until the body has been read.
            let body = tokio::select! {
                biased;
                body = &mut body => body,
                _ = connection => body.await,
            };
            let body = body.map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?.to_bytes();
            // The parser's error could show a part of the secret.
            let answer: Option<Answer> = serde_json::from_slice(&body).ok();
            Ok(Some(answer.context("the secret has no text \"value\"")?.data.data.value))
        };
        let late = || format!("no answer within {PATIENCE:?}");
        self.io.call(async move { timeout(PATIENCE, answer).await.with_context(late)? }).await
    }
}

#[async_trait]
impl Server for Vault {
    async fn get(&self, name: &str) -> Result<Option<String>, String> {
        let path = self.prefix.as_ref().map_or(name.to_owned(), |prefix| format!("{prefix}/{name}"));
        self.ask(&path).await.map_err(|error| {
            let (mount, error) = (&self.mount, format!("{error:#}"));
            let message = format!("the variables provider vault cannot read {path} at {mount}: {error}");
            let logged = message.clone();
            self.failures.log(move |times| tracing::error!(target: "epilogue::app", times, "{logged}"));
            message
        })
    }
}

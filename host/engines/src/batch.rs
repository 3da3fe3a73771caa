//! A batch of one request's tasks, and the envelope in which an engine stores the batch.
//!
//! The envelope is JSON, so that people can read it. The envelope has a version number, because two versions of the
//! host may use the same engine during a deployment.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::{Error, Result};

/// The version of the envelope format. This program writes and reads only this version.
pub const VERSION: u32 = 1;

/// The largest size of an envelope, in bytes. A task's arguments take a third more bytes in the envelope than in
/// memory, because the envelope has the arguments as Base64. An engine may have a smaller limit. For example, the
/// `max_payload` of a NATS server is 1 MiB by default.
pub const MAX_BYTES: usize = 32 << 20;

/// The durable tasks of one request, in the order in which they run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The unique id of the batch: up to 64 letters, digits, `-` and `_`. [`Batch::new`] uses a UUID of version 7.
    pub id: String,
    /// The id of the request that enqueued the tasks.
    pub request_id: String,
    /// The value of the request's header `traceparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The value of the request's header `tracestate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
    /// The name of the component that handled the request.
    pub component: String,
    /// The outcome that the tasks see, which says how the response ended. If the outcome was not known when the batch
    /// was stored, the value is `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Says whether a worker runs the remaining tasks after a task has failed for good.
    pub on_failure: OnFailure,
    /// The time when the batch was enqueued, in milliseconds since 1970.
    pub created: u64,
    /// The generation number, with which the host limits chains of durable tasks that each add the next task. If a
    /// request enqueued the batch, the generation is 0. If a durable task enqueued the batch, the generation is one
    /// more than the generation of that task's batch.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: u32,
    /// The tasks of the batch. A batch has at least one task.
    pub tasks: Vec<Task>,
}

/// A durable task of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The task's number within the request.
    pub id: u64,
    /// The name of the middleware that runs the task. If the component of the batch runs the task itself, the value is
    /// `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// The name by which the guest knows the task.
    pub name: String,
    /// The task's arguments, as the guest wrote them.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub args: Vec<u8>,
    /// The largest number of attempts for the task. Zero means one attempt.
    pub max_attempts: u32,
    /// The timeout of one attempt. The envelope stores the timeout in whole milliseconds. If the value is `None`, the
    /// host's setting `task-timeout` applies.
    #[serde(default, rename = "timeout_ms", with = "millis", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// The lengths of the pauses between the attempts of the task. If the value is `None`, the worker's settings
    /// `durable-backoff` and `durable-max-backoff` apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
}

/// The lengths of the pauses between the attempts of a task. The pause after the first failed attempt lasts `first`.
/// Each further pause is twice as long as the pause before, but at most `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// The pause after the first failed attempt. The envelope stores this time in whole milliseconds.
    #[serde(rename = "first_ms", with = "whole_millis")]
    pub first: Duration,
    /// The longest pause between two attempts. The envelope stores this time in whole milliseconds.
    #[serde(rename = "max_ms", with = "whole_millis")]
    pub max: Duration,
}

/// Says how the response of a request ended. If a variant contains a text, the text says what failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The host sent the whole response.
    Delivered,
    /// The client left before the host had sent the whole response.
    ClientGone,
    /// The response's body ended with an error, or the host stopped before it had sent the whole response.
    ResponseFailed(String),
    /// The handler returned no response.
    HandlerFailed(String),
}

/// Says what a worker does with the remaining tasks of a batch after a task has failed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// The worker skips the remaining tasks.
    Stop,
    /// The worker runs the remaining tasks.
    Continue,
}

/// A batch as an engine stores it, with the version number of the envelope format.
#[derive(Serialize)]
struct Envelope<'a> {
    v: u32,
    #[serde(flatten)]
    batch: &'a Batch,
}

impl Batch {
    /// Creates a batch with a new id and the current time.
    pub fn new(component: impl Into<String>, request_id: impl Into<String>, tasks: Vec<Task>) -> Self {
        Self {
            id: Uuid::now_v7().to_string(),
            request_id: request_id.into(),
            traceparent: None,
            tracestate: None,
            outcome: None,
            component: component.into(),
            on_failure: OnFailure::Stop,
            created: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
            generation: 0,
            tasks,
        }
    }

    /// Creates a batch with only the task at `index`, for
    /// [`TaskEngine::enqueue_dead`](crate::TaskEngine::enqueue_dead).
    ///
    /// Two calls for the same task create batches with the same id. In the new batch, the task keeps its idempotency
    /// key.
    pub fn only(&self, index: u32) -> Self {
        let tasks = self.tasks.get(index as usize).cloned().into_iter().collect();
        Self { id: format!("{}_{index}", self.id), tasks, ..self.clone() }
    }

    /// Returns the idempotency key of a task. The key is the same for each attempt of the task. No other task has the
    /// same key.
    pub fn idempotency_key(&self, task: &Task) -> String {
        format!("{}:{}", self.key(), task.id)
    }

    /// Returns the common beginning of the idempotency keys of all tasks of the batch.
    pub fn key(&self) -> &str {
        self.id.split('_').next().unwrap_or_default()
    }

    /// Converts the batch to its envelope, which is the JSON text that an engine stores.
    ///
    /// # Errors
    /// Returns [`Error::TooLarge`] if the envelope is larger than [`MAX_BYTES`]. Returns [`Error::Corrupt`] if the
    /// batch's id is not valid, or if the batch has no tasks.
    pub fn to_envelope(&self) -> Result<Vec<u8>> {
        self.check()?;
        let envelope = Envelope { v: VERSION, batch: self };
        let envelope = serde_json::to_vec(&envelope).map_err(|error| Error::Corrupt(error.to_string()))?;
        within_limit(&envelope, MAX_BYTES)?;
        Ok(envelope)
    }

    /// Reads a batch from its envelope. The function ignores unknown fields of the JSON.
    ///
    /// # Errors
    /// Returns [`Error::TooLarge`] if the envelope is larger than [`MAX_BYTES`]. Returns [`Error::Corrupt`] if the
    /// envelope cannot be read, for example because its version is not [`VERSION`].
    pub fn from_envelope(envelope: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            v: u64,
        }
        within_limit(envelope, MAX_BYTES)?;
        let corrupt = |error: serde_json::Error| Error::Corrupt(error.to_string());
        let Version { v } = serde_json::from_slice(envelope).map_err(corrupt)?;
        if v != u64::from(VERSION) {
            let why = format!(
                "its format has version {v}, and this program reads version {VERSION}: use the version of epilogue \
                 that stored it"
            );
            return Err(Error::Corrupt(why));
        }
        let batch: Self = serde_json::from_slice(envelope).map_err(corrupt)?;
        batch.check()?;
        Ok(batch)
    }

    fn check(&self) -> Result<()> {
        if !is_id(&self.id) {
            return Err(Error::Corrupt("its id is not 1 to 64 letters, digits, '-' and '_'".to_owned()));
        }
        if self.tasks.is_empty() {
            return Err(Error::Corrupt("it has no tasks".to_owned()));
        }
        Ok(())
    }
}

/// Returns true if this text can be the id of a batch. Only up to 64 letters, digits, `-` and `_` are valid, because
/// engines use the id in keys of Redis and in subjects of NATS.
pub(crate) fn is_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=64).contains(&id.len()) && id.bytes().all(plain)
}

/// Returns [`Error::TooLarge`] if an envelope has more than `limit` bytes.
pub(crate) fn within_limit(envelope: &[u8], limit: usize) -> Result<()> {
    if envelope.len() > limit {
        return Err(Error::TooLarge { bytes: envelope.len(), limit });
    }
    Ok(())
}

fn to_base64<S: Serializer>(bytes: &[u8], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    BASE64.decode(text).map_err(|error| de::Error::custom(format!("arguments that are not base64: {error}")))
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Serializes a duration as whole milliseconds, which programs in any language can read.
mod whole_millis {
    use super::*;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// Serializes an optional duration as whole milliseconds.
mod millis {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        timeout: &Option<Duration>,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Batch {
        let task = Task {
            id: 3,
            layer: None,
            name: "mail".into(),
            args: vec![0, 255],
            max_attempts: 2,
            timeout: Some(Duration::from_millis(1500)),
            backoff: None,
        };
        Batch { id: "b-1".into(), created: 7, ..Batch::new("shop", "r-1", vec![task]) }
    }

    #[test]
    fn the_envelope_is_what_it_was_in_version_1() {
        let written = r#"{"v":1,"id":"b-1","request_id":"r-1","component":"shop","on_failure":"stop","created":7,"tasks":[{"id":3,"name":"mail","args":"AP8=","max_attempts":2,"timeout_ms":1500}]}"#;
        assert_eq!(String::from_utf8(batch().to_envelope().unwrap()).unwrap(), written);
        assert_eq!(Batch::from_envelope(written.as_bytes()).unwrap(), batch());
    }

    #[test]
    fn later_fields_are_optional() {
        let mut batch = Batch { generation: 2, ..batch() };
        let backoff = Backoff { first: Duration::from_millis(250), max: Duration::from_secs(60) };
        batch.tasks[0].backoff = Some(backoff);
        let written = r#"{"v":1,"id":"b-1","request_id":"r-1","component":"shop","on_failure":"stop","created":7,"generation":2,"tasks":[{"id":3,"name":"mail","args":"AP8=","max_attempts":2,"timeout_ms":1500,"backoff":{"first_ms":250,"max_ms":60000}}]}"#;
        assert_eq!(String::from_utf8(batch.to_envelope().unwrap()).unwrap(), written);
        assert_eq!(Batch::from_envelope(written.as_bytes()).unwrap(), batch);
    }

    #[test]
    fn an_unknown_version_is_refused_and_named() {
        let error = Batch::from_envelope(br#"{"v":2,"anything":true}"#).unwrap_err();
        assert!(error.to_string().contains("its format has version 2, and this program reads version 1"), "{error}");
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        for text in ["", "{", "[]", "{}", r#"{"v":-1}"#, r#"{"v":1}"#] {
            assert!(matches!(Batch::from_envelope(text.as_bytes()), Err(Error::Corrupt(_))), "{text}");
        }
        let good = String::from_utf8(batch().to_envelope().unwrap()).unwrap();
        for (from, to) in [("AP8=", "AP8"), ("b-1", "b.1"), ("b-1", ""), ("\"stop\"", "\"halt\"")] {
            let bad = good.replacen(from, to, 1);
            assert!(matches!(Batch::from_envelope(bad.as_bytes()), Err(Error::Corrupt(_))), "{bad}");
        }
    }

    #[test]
    fn a_batch_has_tasks_and_a_limit() {
        assert!(matches!(Batch { tasks: vec![], ..batch() }.to_envelope(), Err(Error::Corrupt(_))));
        let mut large = batch();
        large.tasks[0].args = vec![0; MAX_BYTES / 4 * 3];
        assert!(matches!(large.to_envelope(), Err(Error::TooLarge { limit: MAX_BYTES, .. })));
    }

    #[test]
    fn a_task_by_itself_keeps_its_key() {
        let batch = batch();
        let only = batch.only(0);
        assert_eq!(only.id, "b-1_0");
        assert_eq!(only.idempotency_key(&only.tasks[0]), batch.idempotency_key(&batch.tasks[0]));
        only.to_envelope().unwrap();
    }
}

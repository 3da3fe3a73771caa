//! The streams and the workers' consumer, which are made where there are none.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::context::{Context, CreateStreamError, CreateStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, Stream};
use tokio::time;

use crate::Options;

/// How often, and how soon each time, a stream is asked for anew that somebody else is making.
const TRIES: u32 = 50;
const AGAIN: Duration = Duration::from_millis(20);

pub(super) struct Streams {
    pub(super) ready: Stream,
    pub(super) states: Stream,
    pub(super) dead: Stream,
    pub(super) workers: PullConsumer,
}

impl Streams {
    pub(super) async fn open(context: &Context, options: &Options) -> Result<Self, async_nats::Error> {
        let stream = |name: &str, kind: &str| Config {
            name: name.to_owned(),
            subjects: vec![format!("epilogue.{kind}.*")],
            max_messages_per_subject: 1,
            // An operator may set a limit. Then what is new is refused; by default what is oldest would go.
            discard: DiscardPolicy::New,
            ..Config::default()
        };
        let queue = Config {
            retention: RetentionPolicy::WorkQueue,
            // A batch that is retried by an operator has the same subject, and another message.
            max_messages_per_subject: -1,
            duplicate_window: Duration::from_secs(120),
            ..stream("EPILOGUE", "ready")
        };
        let ready = get_or_make(context, queue).await?;
        let states = get_or_make(context, stream("EPILOGUE_STATE", "state")).await?;
        let dead = get_or_make(context, stream("EPILOGUE_DEAD", "dead")).await?;
        let config = pull::Config {
            durable_name: Some("workers".to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: options.visibility,
            // The server would keep a message that was delivered too often, and deliver it no more.
            max_deliver: -1,
            max_ack_pending: -1,
            ..pull::Config::default()
        };
        // One that exists takes over what is given: how long the leases of all workers last.
        let workers = match options.operator {
            true => ready.get_or_create_consumer("workers", config).await?,
            false => ready.create_consumer(config).await?,
        };
        Ok(Self { ready, states, dead, workers })
    }
}

/// Of those who make a stream at the same moment the server tells some that its subjects are another's.
async fn get_or_make(context: &Context, config: Config) -> Result<Stream, CreateStreamError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match context.get_or_create_stream(config.clone()).await {
            Err(error) if tries < TRIES && overlaps(&error) => time::sleep(AGAIN).await,
            made => return made,
        }
    }
}

fn overlaps(error: &CreateStreamError) -> bool {
    matches!(error.kind(), CreateStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_SUBJECT_OVERLAP)
}

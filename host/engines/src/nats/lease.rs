//! Turns a delivered message into a lease, and changes or ends the lease.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::message::Acker;
use async_nats::jetstream::{AckKind, Message};
use tokio::try_join;
use uuid::Uuid;

use super::state::{Ended, Fate, Known, Progress};
use super::streams::Kind;
use super::{LIFE, NEXT, Nats, header, id_of};
use crate::lease::Token;
use crate::{Batch, Error, Lease, Result};

/// The largest number of times that the engine tries to write the state of a batch. The server may refuse a write
/// because of an earlier write of the same lease, or because the server has lost the state. The engine tries again only
/// in these two cases.
const TRIES: u32 = 3;

/// The ids of the batches that this process holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Holding(Arc<Mutex<HashSet<String>>>);

impl Holding {
    fn ids(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks a batch as held by this process. If the batch already has the mark, returns `None`.
    fn take(&self, id: &str) -> Option<Hold> {
        self.ids().insert(id.to_owned()).then(|| Hold { holding: self.clone(), id: id.to_owned() })
    }
}

/// Marks a batch as held by this process. When this value is dropped, the process no longer holds the batch.
#[derive(Debug)]
struct Hold {
    holding: Holding,
    id: String,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holding.ids().remove(&self.id);
    }
}

/// The data of a lease: the delivered message, and the state of the batch as this process last wrote it.
pub(crate) struct Held {
    id: String,
    worker: String,
    message: async_nats::Message,
    acker: Acker,
    /// The name of the consumer that delivered the message.
    consumer: String,
    kept: Mutex<Kept>,
    /// Marks the batch as held by this process. If the value is `None`, the lease is over.
    hold: Mutex<Option<Hold>>,
}

/// The state of a batch that this process wrote last, and the revision number of that write.
#[derive(Debug, Clone)]
struct Kept {
    progress: Progress,
    revision: u64,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("id", &self.id).field("kept", &self.kept()).finish_non_exhaustive()
    }
}

impl Held {
    fn kept(&self) -> Kept {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, progress: Progress, revision: u64) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Kept { progress, revision };
    }

    /// Records that this process no longer holds the batch, so that the process may lease the batch again.
    fn let_go(&self) {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// The engine's decision about a delivered message. The decision depends on the stored state of the batch.
enum Delivered {
    /// The worker gets a lease of the batch.
    Leased(Kept),
    /// The stored state says how the batch ends, but the engine must still record the end and remove the message.
    Ending(Kept),
    /// The batch has ended.
    Ended,
    /// No worker can lease the batch before this time has passed, because another worker holds the batch or the batch
    /// is delayed.
    NotYet(Duration),
}

impl Nats {
    /// Turns a delivered message into a lease. The function counts an attempt of the batch's next task, and makes the
    /// lease of the previous worker invalid. If the batch has ended, or if no worker can lease the batch yet, returns
    /// `None`.
    pub(super) async fn accept(&self, worker: &str, message: Message) -> Result<Option<Lease>> {
        let consumer = self.connected().await?.streams.consumer().to_owned();
        let (message, acker) = message.split();
        let id = id_of(&message.subject).to_owned();
        // This process already holds the batch. The process was probably paused for so long that the server delivered
        // the message again. The engine asks the server to wait before it delivers the message once more.
        let Some(hold) = self.holding.take(&id) else {
            self.answer(&acker, AckKind::Progress).await?;
            return Ok(None);
        };
        let delivered = self.delivered(worker, &id, &message).await?;
        let kept = match delivered {
            Delivered::Leased(kept) | Delivered::Ending(kept) => kept,
            Delivered::Ended => return self.answer(&acker, AckKind::Ack).await.map(|()| None),
            Delivered::NotYet(rest) => return self.answer(&acker, AckKind::Nak(Some(rest))).await.map(|()| None),
        };
        let (next, attempt) = (kept.progress.next, kept.progress.attempt);
        let held = Held {
            id,
            worker: worker.to_owned(),
            message,
            acker,
            consumer,
            kept: Mutex::new(kept),
            hold: Mutex::new(Some(hold)),
        };
        if held.kept().progress.fate.is_some() {
            self.end(&held).await?;
            return Ok(None);
        }
        match Batch::from_envelope(&held.message.payload) {
            Ok(batch) => Ok(Some(Lease { batch, next, attempt, token: Token::Message(Box::new(held)) })),
            Err(error) => {
                self.rewrite(&held, |progress| progress.fate = Some(Fate::Dead(error.to_string()))).await?;
                self.end(&held).await?;
                Ok(None)
            }
        }
    }

    /// Reads the stored state of a delivered message's batch. If the state allows a lease, leases the batch.
    async fn delivered(&self, worker: &str, id: &str, message: &async_nats::Message) -> Result<Delivered> {
        let life = header(message.headers.as_ref(), LIFE);
        let mut known: Option<Known> = None;
        loop {
            let before = match &known {
                // An operator has retried the batch after this message was stored, so the message is old.
                Some(known) if known.progress.life > life => return Ok(Delivered::Ended),
                Some(known) if known.progress.life == life => {
                    if known.progress.fate.is_some() {
                        return self.ending(id, known).await;
                    }
                    let rest = self.rest(known).await?;
                    if !rest.is_zero() {
                        return Ok(Delivered::NotYet(rest));
                    }
                    Some(known.progress.clone())
                }
                _ => None,
            };
            let fresh = before.is_none();
            let begin = || Progress { life, next: header(message.headers.as_ref(), NEXT), ..Progress::default() };
            let mut progress = before.unwrap_or_else(begin);
            progress.attempt += 1;
            progress.worker = Some(worker.to_owned());
            progress.lease = Uuid::now_v7().simple().to_string();
            progress.wait_ms = millis(self.options.visibility);
            let revision = known.as_ref().map_or(0, |known| known.revision);
            // Most messages are new, so the first try writes the state and does not read it first.
            let ended = async { if fresh { self.ended(id).await } else { Ok(None) } };
            let (revision, ended) = try_join!(self.write(id, revision, &progress), ended)?;
            match (revision, ended) {
                (revision, Some(ended)) if ended.life >= life => {
                    if let Some(revision) = revision {
                        self.forget(id, revision).await?;
                    }
                    return Ok(Delivered::Ended);
                }
                (Some(revision), _) => return Ok(Delivered::Leased(Kept { progress, revision })),
                (None, _) => known = self.progress(id).await?,
            }
        }
    }

    /// Decides what to do with a batch whose state says how the batch ends. If the end of the batch is recorded,
    /// removes the state and returns [`Delivered::Ended`]. If no record exists, returns [`Delivered::Ending`]. The
    /// record is missing if the last worker was killed before it wrote the record, or if a killed server has lost the
    /// record.
    async fn ending(&self, id: &str, known: &Known) -> Result<Delivered> {
        let Known { progress, revision, .. } = known.clone();
        match self.ended(id).await? {
            Some(ended) if ended.life >= progress.life => {
                self.forget(id, revision).await?;
                Ok(Delivered::Ended)
            }
            _ => Ok(Delivered::Ending(Kept { progress, revision })),
        }
    }

    /// Returns the time that must pass before a worker can lease the batch. A server that was killed may deliver the
    /// batch's message before this time has passed.
    async fn rest(&self, known: &Known) -> Result<Duration> {
        match known.progress.wait_ms {
            0 => Ok(Duration::ZERO),
            _ => Ok(known.rest(self.server_time().await?)),
        }
    }

    /// Changes the state of a leased batch, and writes the state to the server. If an earlier call with the same lease
    /// has already ended the batch, returns false.
    async fn rewrite(&self, held: &Held, change: impl FnOnce(&mut Progress)) -> Result<bool> {
        let kept = held.kept();
        let (mut progress, mut revision) = (kept.progress.clone(), kept.revision);
        change(&mut progress);
        // The worker has already given back or ended the batch. Only a repeated call with the same change is valid.
        if !kept.progress.is_held() && progress != kept.progress {
            return Err(Error::LostLease);
        }
        for _ in 0..TRIES {
            if let Some(revision) = self.write(&held.id, revision, &progress).await? {
                held.keep(progress, revision);
                return Ok(true);
            }
            match self.progress(&held.id).await? {
                // An earlier write of this lease was successful, but the server's answer was lost.
                Some(known) if known.progress.lease == progress.lease && known.progress.is_held() => {
                    revision = known.revision;
                }
                Some(known) if known.progress == progress => {
                    held.keep(progress, known.revision);
                    return Ok(true);
                }
                Some(_) => break,
                None => match self.ended(&held.id).await? {
                    Some(ended) if ended.lease == progress.lease => return Ok(false),
                    Some(ended) if ended.life >= progress.life => break,
                    _ if self.is_stored(held, progress.life).await? => revision = 0,
                    _ => break,
                },
            }
        }
        held.let_go();
        Err(Error::LostLease)
    }

    /// Returns true if a lease is still valid although the batch's state is missing. The lease is valid if the server
    /// has lost the stream of states or all streams. The lease is not valid if the batch has ended.
    async fn is_stored(&self, held: &Held, life: u32) -> Result<bool> {
        let stored = self.last(Kind::Ready, &held.id).await?;
        if stored.is_some_and(|message| header(Some(&message.headers), LIFE) == life) {
            return Ok(true);
        }
        // If all streams were lost, another process may have created the queue again. The consumer of the new queue has
        // another name.
        self.bounded(async { self.heal(&self.connected().await?).await }).await?;
        Ok(self.connected().await?.streams.consumer() != held.consumer)
    }

    /// Changes the state of a leased batch, and extends the lease.
    pub(super) async fn hold_on(&self, lease: &Lease, change: impl FnOnce(&mut Progress)) -> Result<()> {
        let held = held(&lease.token)?;
        let change = |progress: &mut Progress| {
            progress.worker = Some(held.worker.clone());
            progress.wait_ms = millis(self.options.visibility);
            change(progress);
        };
        if !self.rewrite(held, change).await? {
            return Err(Error::LostLease);
        }
        self.answer(&held.acker, AckKind::Progress).await
    }

    pub(super) async fn give_back(&self, lease: &Lease, after: Duration, attempt: u32) -> Result<()> {
        let held = held(&lease.token)?;
        let change = |progress: &mut Progress| {
            progress.attempt = attempt;
            progress.worker = None;
            progress.wait_ms = millis(after);
        };
        if !self.rewrite(held, change).await? {
            return Err(Error::LostLease);
        }
        held.let_go();
        self.answer(&held.acker, AckKind::Nak((!after.is_zero()).then_some(after))).await
    }

    pub(super) async fn finish(&self, lease: &Lease, fate: Fate) -> Result<()> {
        let held = held(&lease.token)?;
        if self.rewrite(held, |progress| progress.fate = Some(fate)).await? {
            self.end(held).await?;
        }
        held.let_go();
        Ok(())
    }

    /// Ends a batch in the way that the batch's state says. If the state has [`Fate::Dead`], the function first stores
    /// the batch in the dead letter. In each case, the function records the end, and removes the batch's message and
    /// state. A second call for the same batch has no further effect.
    async fn end(&self, held: &Held) -> Result<()> {
        let Kept { progress, revision } = held.kept();
        if let Some(Fate::Dead(why)) = &progress.fate {
            self.publish_dead(&held.id, &held.message.payload, &progress, why).await?;
        }
        // A server that is killed may forget the acknowledgment and deliver the message again after its restart. The
        // engine then finds this record, and does not run the batch again.
        let ended = Ended { life: progress.life, lease: progress.lease };
        try_join!(self.remember(&held.id, &ended), self.answer(&held.acker, AckKind::Ack))?;
        self.forget(&held.id, revision).await
    }
}

fn held(token: &Token) -> Result<&Held> {
    match token {
        Token::Message(held) => Ok(held),
        _ => Err(Error::LostLease),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2)
}

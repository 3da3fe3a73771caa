//! Turns a message into a lease, and changes or ends the lease.

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

/// How often a write is repeated if another write of the same lease came first.
const TRIES: u32 = 3;

/// The batches that this process holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Holding(Arc<Mutex<HashSet<String>>>);

impl Holding {
    fn ids(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a batch. None if this process holds it already.
    fn take(&self, id: &str) -> Option<Hold> {
        self.ids().insert(id.to_owned()).then(|| Hold { holding: self.clone(), id: id.to_owned() })
    }
}

/// Marks a batch as held by this process, until it is dropped.
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

/// A delivered message, and the state of its batch as this process wrote it last.
pub(crate) struct Held {
    id: String,
    worker: String,
    message: async_nats::Message,
    acker: Acker,
    /// The consumer that delivered the message.
    consumer: String,
    kept: Mutex<Kept>,
    /// Marks the batch as held until the lease is over.
    hold: Mutex<Option<Hold>>,
}

/// The state that was written last, and its revision.
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

    /// Removes the mark that this process holds the batch, so that the process may lease it again.
    fn let_go(&self) {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// What to do with a delivered message. The stored state of its batch decides.
enum Delivered {
    /// The batch is leased to the worker that asked.
    Leased(Kept),
    /// The end of the batch has been written to its state, but is not complete.
    Ending(Kept),
    /// The batch has ended.
    Ended,
    /// Another worker holds the batch, or the batch is delayed, for this long.
    NotYet(Duration),
}

impl Nats {
    /// Turns a delivered message into a lease: counts the attempt, and prevents further changes by the previous holder.
    /// Returns none if the batch has ended or must not be leased yet.
    pub(super) async fn accept(&self, worker: &str, message: Message) -> Result<Option<Lease>> {
        let consumer = self.connected().await?.streams.consumer().to_owned();
        let (message, acker) = message.split();
        let id = id_of(&message.subject).to_owned();
        // The lease of a process that was stopped for long may have ended. It is renewed before anything else.
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

    /// Reads the stored state of a delivered message's batch, and leases the batch if that is possible.
    async fn delivered(&self, worker: &str, id: &str, message: &async_nats::Message) -> Result<Delivered> {
        let life = header(message.headers.as_ref(), LIFE);
        let mut known: Option<Known> = None;
        loop {
            let before = match &known {
                // An operator has retried the batch since then.
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
            // Most messages come for the first time. So this tries to write without reading first.
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

    /// Completes the end of a batch. The last holder was killed while it ended the batch, or the server has forgotten a
    /// part of the end.
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

    /// How long a batch is still reserved. A server that was killed may deliver it too early.
    async fn rest(&self, known: &Known) -> Result<Duration> {
        match known.progress.wait_ms {
            0 => Ok(Duration::ZERO),
            _ => Ok(known.rest(self.server_time().await?)),
        }
    }

    /// Changes and writes the state of a lease that still stands. Returns false if this lease has already ended the
    /// batch.
    async fn rewrite(&self, held: &Held, change: impl FnOnce(&mut Progress)) -> Result<bool> {
        let kept = held.kept();
        let (mut progress, mut revision) = (kept.progress.clone(), kept.revision);
        change(&mut progress);
        // The batch was returned or has ended, unless this call only repeats that.
        if !kept.progress.is_held() && progress != kept.progress {
            return Err(Error::LostLease);
        }
        for _ in 0..TRIES {
            if let Some(revision) = self.write(&held.id, revision, &progress).await? {
                held.keep(progress, revision);
                return Ok(true);
            }
            match self.progress(&held.id).await? {
                // The answer to an earlier write was lost.
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

    /// Whether this lease still holds a batch whose state is missing. It does if the stream of the states was lost, or
    /// if all streams were lost.
    async fn is_stored(&self, held: &Held, life: u32) -> Result<bool> {
        let stored = self.last(Kind::Ready, &held.id).await?;
        if stored.is_some_and(|message| header(Some(&message.headers), LIFE) == life) {
            return Ok(true);
        }
        // Another process may have created the queue again.
        self.bounded(async { self.heal(&self.connected().await?).await }).await?;
        Ok(self.connected().await?.streams.consumer() != held.consumer)
    }

    /// Changes the state of a lease, and extends the lease.
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

    /// Completes the written end of a batch. May be called again.
    async fn end(&self, held: &Held) -> Result<()> {
        let Kept { progress, revision } = held.kept();
        if let Some(Fate::Dead(why)) = &progress.fate {
            self.publish_dead(&held.id, &held.message.payload, &progress, why).await?;
        }
        // A killed server may forget the confirmation. The engine must recognize the message that the server then
        // delivers.
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

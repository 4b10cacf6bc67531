//! The second half of an append, in a task of its own: brings what was committed to the disk, and answers for it only then.
//! The stage does not wait for it, unless too much is under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::super::append::append;
use super::super::backoff::backoff;
use super::super::row::{Ack, Appended, Incoming, Reply, Settled};
use super::Witness;
use crate::postgres::{Database, Error, Identity, Session};
use crate::telemetry::Metrics;

/// At most so many batches wait for the disk. Then the stage waits, too: its queue fills, and whoever sends is held back.
const WAITING: usize = 4;

/// A batch that is committed, though perhaps not on the disk.
pub struct Committed {
    pub batch: Vec<Incoming>,
    pub outcome: Vec<Appended>,
    pub started: Instant,
    /// None if nothing was stored, because Postgres refused the row.
    pub server: Option<Identity>,
}

impl Committed {
    /// Whether the witness was there before the append began. If it was not, nobody knows whether a crash took the batch.
    fn was_seen_by(&self, witness: &Witness) -> bool {
        let server = self.server.as_ref();
        server.is_none_or(|server| witness.saw(server, self.started))
    }
}

pub struct Flush {
    pub database: Database,
    pub healthy: Arc<AtomicBool>,
    pub last_message: Arc<AtomicI64>,
    pub metrics: Arc<Metrics>,
}

impl Flush {
    /// Runs until every sender is gone and the last batch is answered for. It connects first, so that its session is a witness to
    /// the first append, too.
    pub async fn start(self) -> (mpsc::Sender<Committed>, JoinHandle<()>) {
        let (sender, committed) = mpsc::channel(WAITING);
        let mut work = Work {
            flush: self,
            session: None,
        };
        work.session = work.connect().await.ok();
        (sender, tokio::spawn(work.run(committed)))
    }
}

struct Work {
    flush: Flush,
    session: Option<Session>,
}

impl Work {
    async fn run(mut self, mut committed: mpsc::Receiver<Committed>) {
        let mut batches = Vec::new();
        while committed.recv_many(&mut batches, WAITING).await > 0 {
            self.flush(&mut batches).await;
            for one in batches.drain(..) {
                self.answer(one).await;
            }
        }
    }

    async fn connect(&self) -> Result<Session, Error> {
        self.flush.database.session("flush").await
    }

    /// Until the batches are on the disk. One error may be the connection's alone, so a second connection is tried before
    /// clients of HTTP are told that Postgres is away.
    async fn flush(&mut self, batches: &mut [Committed]) {
        let mut pauses = backoff();
        let mut again = false;
        while let Err(error) = self.try_flush(batches).await {
            if !again {
                tracing::info!(%error, "the flush takes another connection: {error}");
                again = true;
                continue;
            }
            if self.flush.healthy.swap(false, Ordering::Relaxed) {
                tracing::warn!(%error, "what was appended may not be on the disk: {error}; trying again");
            }
            tokio::time::sleep(pauses.next().unwrap_or(Duration::from_secs(2))).await;
        }
        self.flush.healthy.store(true, Ordering::Relaxed);
    }

    /// Appends what is in doubt again: if the server crashed and lost a row, it is stored now; if not, it is found. The session is
    /// kept only if all went well: after an error it is evidence of nothing.
    async fn try_flush(&mut self, batches: &mut [Committed]) -> Result<(), Error> {
        let seen = |session: &Session| {
            let witness = Witness::of(session);
            !session.client().is_closed() && batches.iter().all(|one| one.was_seen_by(&witness))
        };
        let session = match self.session.take() {
            Some(session) if seen(&session) => session,
            _ => self.connect().await?,
        };
        let witness = Witness::of(&session);
        for one in batches.iter_mut().filter(|one| !one.was_seen_by(&witness)) {
            one.started = Instant::now();
            one.outcome = Session::bounded(append(&session, &one.batch)).await?;
            one.server = Some(session.identity().clone());
        }
        Session::bounded(session.flush()).await?;
        self.session = Some(session);
        Ok(())
    }

    async fn answer(&self, committed: Committed) {
        let Committed {
            batch,
            outcome,
            started,
            ..
        } = committed;
        let metrics = &self.flush.metrics;
        metrics
            .commit_seconds
            .with_label_values(&["inbox"])
            .observe(started.elapsed().as_secs_f64());
        let mut acks = Vec::with_capacity(batch.len());
        let (mut stored, mut known) = (0, 0);
        for (row, appended) in batch.into_iter().zip(outcome) {
            match &appended {
                Appended::Stored(_) => {
                    stored += 1;
                    if row.decision.is_none() {
                        self.flush
                            .last_message
                            .fetch_max(row.received_at.as_millisecond(), Ordering::Relaxed);
                    }
                }
                Appended::Known(_) | Appended::KeyTaken(_) => known += 1,
                Appended::Refused(_) => {}
            }
            match row.reply {
                Reply::Ack(Ack { line, delivery }) => acks.push(match appended {
                    Appended::Refused(_) => (line, Settled::Refused(delivery)),
                    _ => (line, Settled::Durable(delivery)),
                }),
                Reply::Answer(answer, _room) => {
                    let _ = answer.send(appended);
                }
            }
        }
        metrics.appended.inc_by(stored);
        metrics.redelivered.inc_by(known);
        // After the clients of HTTP, because this may wait: if a line is full, its broker's socket is.
        for (line, settled) in acks {
            let _ = line.send(settled).await;
        }
    }
}

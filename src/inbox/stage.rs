//! The stage that appends: takes whatever has arrived while the last commit was in flight, and commits it. If the answer to a
//! commit is lost, its outcome is unknown: the same batch is appended again, and what was stored is found. Nobody is answered
//! before the flush.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::append::append;
use super::backoff::backoff;
use super::durable::{Committed, Flush, Tail};
use super::queue::Queue;
use super::row::{Appended, Incoming, Reply};
use crate::postgres::{Database, Error, Session, is_row_fault};
use crate::telemetry::Metrics;

#[derive(Clone, Debug)]
pub struct Config {
    pub batch_rows: usize,
    pub batch_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // The more rows a commit has, the less each costs; but a batch never waits to become full.
            batch_rows: 4096,
            batch_bytes: 8 << 20,
        }
    }
}

struct Stage {
    config: Config,
    database: Database,
    healthy: Arc<AtomicBool>,
    appended: watch::Sender<Tail>,
    metrics: Arc<Metrics>,
    session: Option<Session>,
    committed: mpsc::Sender<Committed>,
}

/// Runs until every sender is gone and the last batch is answered for, or until `hard_stop`.
pub async fn run(
    config: Config,
    database: Database,
    queue: Queue,
    appended: watch::Sender<Tail>,
    metrics: Arc<Metrics>,
    hard_stop: CancellationToken,
) {
    let Queue {
        mut rows,
        healthy,
        last_message,
    } = queue;
    let flush = Flush {
        database: database.clone(),
        healthy: healthy.clone(),
        last_message,
        metrics: metrics.clone(),
    };
    let work = async {
        let (committed, flushing) = flush.start().await;
        let flushing = AbortOnDropHandle::new(flushing);
        let mut stage = Stage {
            config,
            database,
            healthy,
            appended,
            metrics,
            session: None,
            committed,
        };
        // The first message need not wait for a connection.
        stage.look_after_session().await;
        let mut waiting = Vec::new();
        loop {
            if waiting.is_empty() {
                let room = stage.config.batch_rows;
                let idle = Duration::from_secs(1);
                match tokio::time::timeout(idle, rows.recv_many(&mut waiting, room)).await {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(_) => {
                        stage.look_after_session().await;
                        continue;
                    }
                }
            }
            let rest = waiting.split_off(fitting(&waiting, stage.config.batch_bytes));
            stage.commit(waiting).await;
            waiting = rest;
        }
        drop(stage);
        let _ = flushing.await;
    };
    tokio::select! {
        () = work => {}
        () = hard_stop.cancelled() => {}
    }
}

/// How many of the waiting rows fit into one batch of so many bytes: at least one.
fn fitting(waiting: &[Incoming], batch_bytes: usize) -> usize {
    let mut bytes = 0;
    let over = waiting.iter().position(|row| {
        bytes += row.bytes();
        bytes > batch_bytes
    });
    over.map_or(waiting.len(), |index| index.max(1))
}

impl Stage {
    /// Finds out whether Postgres is there while no message comes: somebody may ask for the service's health.
    async fn look_after_session(&mut self) {
        let alive = match &self.session {
            Some(session) => Session::bounded(async {
                session.client().batch_execute("select 1").await?;
                Ok(())
            })
            .await
            .is_ok(),
            None => false,
        };
        if alive {
            self.healthy.store(true, Ordering::Relaxed);
            return;
        }
        // As a batch does: one error may be the connection's alone.
        self.session = match self.connect().await {
            Ok(session) => Some(session),
            Err(_) => self.connect().await.ok(),
        };
        self.healthy
            .store(self.session.is_some(), Ordering::Relaxed);
    }

    /// One error may be the connection's alone, so a second connection is tried before clients of HTTP are told that Postgres is
    /// away.
    async fn commit(&mut self, batch: Vec<Incoming>) {
        let mut pauses = backoff();
        let mut again = false;
        loop {
            let started = Instant::now();
            match self.try_append(&batch).await {
                Ok(outcome) => return self.hand_on(batch, outcome, started).await,
                Err(error) => {
                    if let Some(state) = is_row_fault(&error) {
                        self.isolate(batch, &state).await;
                        return;
                    }
                    self.give_up_session(&error, again).await;
                    if again {
                        let pause = pauses.next().unwrap_or(Duration::from_secs(2));
                        tokio::time::sleep(pause).await;
                    }
                    again = true;
                }
            }
        }
    }

    async fn try_append(&mut self, batch: &[Incoming]) -> Result<Vec<Appended>, Error> {
        if self.session.is_none() {
            self.session = Some(self.connect().await?);
        }
        let session = self.session.as_ref().expect("it was just made");
        Session::bounded(append(session, batch)).await
    }

    async fn connect(&self) -> Result<Session, Error> {
        self.database.session("inbox").await
    }

    /// Finds the row that Postgres refuses, by halves, and refuses it alone. No payload should do that; the text of a decision can.
    async fn isolate(&mut self, mut batch: Vec<Incoming>, state: &str) {
        self.session = None;
        if batch.len() == 1 {
            say_refused(&batch[0], state);
            let outcome = vec![Appended::Refused(state.to_owned())];
            return self.hand_on(batch, outcome, Instant::now()).await;
        }
        let second = batch.split_off(batch.len() / 2);
        Box::pin(self.commit(batch)).await;
        Box::pin(self.commit(second)).await;
    }

    async fn give_up_session(&mut self, error: &Error, again: bool) {
        self.session = None;
        if !again {
            tracing::info!(%error, "the inbox takes another connection: {error}");
        } else if self.healthy.swap(false, Ordering::Relaxed) {
            tracing::warn!(%error, "the inbox cannot append: {error}; trying again");
        }
        let locked_out =
            matches!(error, Error::Server(e) if e.code() == Some(&SqlState::LOCK_NOT_AVAILABLE));
        if locked_out {
            tracing::error!(
                "the lock of inbox_head was not to be had for 2 s: another session holds it"
            );
            self.metrics.head_lock_timeouts.inc();
            if let Ok(session) = self.database.session("unlock").await {
                end_frozen_holder(&session).await;
            }
        }
    }

    async fn hand_on(&self, batch: Vec<Incoming>, outcome: Vec<Appended>, started: Instant) {
        let server = self.session.as_ref().map(Session::identity);
        if let Some(server) = server {
            self.appended
                .send_if_modified(|tail| tail.append(&batch, &outcome, server, started));
        }
        let committed = Committed {
            server: server.cloned(),
            batch,
            outcome,
            started,
        };
        // The receiver is dropped only at shutdown, so a send error can be ignored.
        let _ = self.committed.send(committed).await;
    }
}

/// A client of HTTP is told by the answer. A broker cannot be told, so this is an error for the operator.
fn say_refused(row: &Incoming, state: &str) {
    let (source, sequence) = (row.source.0, row.sequence);
    match &row.reply {
        Reply::Answer(..) => {
            tracing::warn!(
                sqlstate = state,
                "what a client sent is refused by Postgres (SQLSTATE {state})"
            );
        }
        Reply::Ack(_) => {
            tracing::error!(
                source,
                sequence,
                sqlstate = state,
                "message {sequence} of source {source} is refused by Postgres (SQLSTATE {state}): it is not acknowledged, and the broker sends it again"
            );
        }
    }
}

/// A holder that froze inside COPY keeps the lock, and no time-out of Postgres ends it. Ended are only sessions of our own role
/// that have been waiting for their client for over 2 s.
const END_FROZEN: &str = "
    select count(pg_terminate_backend(a.pid))
    from pg_stat_activity a
    where a.usename = current_user and a.datname = current_database() and a.pid <> pg_backend_pid()
      and a.wait_event_type = 'Client' and a.xact_start is not null
      and a.state_change < clock_timestamp() - interval '2 seconds'
      and exists (select 1 from pg_locks l where l.pid = a.pid and l.granted and l.relation = 'public.inbox_head'::regclass)";

async fn end_frozen_holder(session: &Session) {
    let ended =
        Session::bounded(async { Ok(session.client().query_one(END_FROZEN, &[]).await?) }).await;
    match ended {
        Ok(row) if row.get::<_, i64>(0) > 0 => {
            tracing::error!("a frozen session of our own held inbox_head: it was ended");
        }
        Ok(_) => {}
        Err(error) => {
            tracing::warn!(%error, "looking for the holder of inbox_head failed: {error}")
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jiff::Timestamp;
    use tokio::sync::oneshot;

    use super::*;
    use crate::inbox::{Room, SourceId};

    fn row(payload: usize, decision: usize) -> Incoming {
        Incoming {
            source: SourceId(1),
            sequence: 1,
            broker_time_ns: 1,
            received_at: Timestamp::UNIX_EPOCH,
            key: None,
            payload: Some(Bytes::from(vec![b'x'; payload])),
            decision: Some("x".repeat(decision)),
            hash: 0,
            reply: Reply::Answer(oneshot::channel().0, Room::default()),
        }
    }

    #[test]
    fn a_batch_is_bounded_by_payloads_and_decisions_together() {
        for (rows, fit) in [
            (vec![(10, 0), (80, 10), (1, 0)], 2),
            (vec![(0, 60), (0, 60)], 1),
            (vec![(0, 500), (1, 1)], 1),
            (vec![(50, 50)], 1),
            (vec![], 0),
        ] {
            let waiting: Vec<Incoming> = rows.iter().map(|(p, d)| row(*p, *d)).collect();
            assert_eq!(fitting(&waiting, 100), fit, "{rows:?}");
        }
    }
}

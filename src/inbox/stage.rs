//! The stage that appends: takes whatever has arrived while the last commit was under way, commits it, and only then
//! acknowledges. A lost answer is an unknown outcome: the same batch goes again, and what was stored is found.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use super::append::{Appended, append};
use super::queue::Queue;
use super::row::{Incoming, Position, Reply};
use crate::postgres::{Database, Error, Session, is_row_fault};
use crate::stan;
use crate::telemetry::Metrics;

#[derive(Clone, Debug)]
pub struct Config {
    pub batch_rows: usize,
    pub batch_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // The more rows, the less its commit weighs; a batch is only as large as what waits.
            batch_rows: 4096,
            batch_bytes: 8 << 20,
        }
    }
}

struct Stage {
    config: Config,
    database: Database,
    healthy: Arc<AtomicBool>,
    last_message: Arc<AtomicI64>,
    appended: watch::Sender<Position>,
    metrics: Arc<Metrics>,
    session: Option<Session>,
    acking: Option<JoinHandle<()>>,
}

/// Runs until every sender is gone and the last batch is committed, or until `hard_stop`.
pub async fn run(
    config: Config,
    database: Database,
    queue: Queue,
    appended: watch::Sender<Position>,
    metrics: Arc<Metrics>,
    hard_stop: CancellationToken,
) {
    let Queue {
        mut rows,
        healthy,
        last_message,
    } = queue;
    let mut stage = Stage {
        config,
        database,
        healthy,
        last_message,
        appended,
        metrics,
        session: None,
        acking: None,
    };
    let work = async {
        // The first message need not wait for a connection.
        stage.look_after_session().await;
        let mut waiting = Vec::new();
        loop {
            if waiting.is_empty() {
                let room = stage.config.batch_rows;
                let idle = Duration::from_secs(1);
                match tokio::time::timeout(idle, rows.recv_many(&mut waiting, room)).await {
                    Ok(0) => return stage.finish_acks().await,
                    Ok(_) => {}
                    Err(_) => {
                        stage.look_after_session().await;
                        continue;
                    }
                }
            }
            let rest = waiting.split_off(stage.fitting(&waiting));
            stage.commit(waiting).await;
            waiting = rest;
        }
    };
    tokio::select! {
        () = work => {}
        () = hard_stop.cancelled() => {}
    }
}

impl Stage {
    /// How many of the waiting rows go into one batch: at least one, by bytes.
    fn fitting(&self, waiting: &[Incoming]) -> usize {
        let mut bytes = 0;
        let over = waiting.iter().position(|row| {
            bytes += row.payload.as_ref().map_or(0, |payload| payload.len());
            bytes > self.config.batch_bytes
        });
        over.map_or(waiting.len(), |index| index.max(1))
    }

    /// With nothing to do, find out whether Postgres is there: health is asked for also when no message comes.
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
        self.session = self.database.session("inbox").await.ok();
        self.healthy
            .store(self.session.is_some(), Ordering::Relaxed);
    }

    async fn commit(&mut self, batch: Vec<Incoming>) {
        let mut pauses = backoff();
        loop {
            let started = Instant::now();
            match self.try_append(&batch).await {
                Ok(outcome) => {
                    self.metrics
                        .commit_seconds
                        .with_label_values(&["inbox"])
                        .observe(started.elapsed().as_secs_f64());
                    self.answer(batch, outcome).await;
                    return;
                }
                Err(error) => {
                    if let Some(state) = is_row_fault(&error) {
                        self.isolate(batch, &state).await;
                        return;
                    }
                    self.give_up_session(&error).await;
                    let pause = pauses.next().unwrap_or(Duration::from_secs(2));
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn try_append(&mut self, batch: &[Incoming]) -> Result<Vec<Appended>, Error> {
        if self.session.is_none() {
            self.session = Some(self.database.session("inbox").await?);
        }
        let session = self.session.as_ref().expect("it was just made");
        let outcome = Session::bounded(append(session, batch)).await?;
        self.healthy.store(true, Ordering::Relaxed);
        Ok(outcome)
    }

    /// Bytes of a payload cannot offend Postgres, the text of a decision can: find the one that does, and refuse it alone.
    async fn isolate(&mut self, mut batch: Vec<Incoming>, state: &str) {
        self.session = None;
        if batch.len() == 1 {
            tracing::warn!(
                sqlstate = state,
                "a decision was refused by Postgres (SQLSTATE {state})"
            );
            self.answer(batch, vec![Appended::Refused(state.to_owned())])
                .await;
            return;
        }
        let second = batch.split_off(batch.len() / 2);
        Box::pin(self.commit(batch)).await;
        Box::pin(self.commit(second)).await;
    }

    async fn give_up_session(&mut self, error: &Error) {
        self.session = None;
        if self.healthy.swap(false, Ordering::Relaxed) {
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

    async fn answer(&mut self, batch: Vec<Incoming>, outcome: Vec<Appended>) {
        let mut last = None;
        let mut receipts = Vec::with_capacity(batch.len());
        let (mut stored, mut known) = (0, 0);
        for (row, appended) in batch.into_iter().zip(outcome) {
            match &appended {
                Appended::Stored(position) => {
                    stored += 1;
                    last = Some(*position);
                    if row.decision.is_none() {
                        self.last_message
                            .fetch_max(row.received_at.as_millisecond(), Ordering::Relaxed);
                    }
                }
                _ => known += 1,
            }
            match row.reply {
                Reply::Broker(receipt) => receipts.push(receipt),
                Reply::Answer(answer) => {
                    let _ = answer.send(appended);
                }
            }
        }
        self.metrics.appended.inc_by(stored);
        self.metrics.redelivered.inc_by(known);
        if let Some(last) = last {
            self.appended.send_replace(last);
        }
        self.ack(receipts).await;
    }

    /// In a task of its own, so that the next commit need not wait for the broker's socket; one batch's at a time.
    async fn ack(&mut self, receipts: Vec<stan::Receipt>) {
        if receipts.is_empty() {
            return;
        }
        self.finish_acks().await;
        self.acking = Some(tokio::spawn(async move {
            for receipt in receipts {
                // On a lost connection an ack does nothing: the broker sends the message again, and it is found.
                if receipt.ack().await.is_err() {
                    return;
                }
            }
        }));
    }

    async fn finish_acks(&mut self) {
        if let Some(acking) = self.acking.take() {
            let _ = acking.await;
        }
    }
}

fn backoff() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(2))
        .with_jitter()
        .without_max_times()
        .build()
}

/// A holder that was frozen inside COPY keeps the lock, and no time-out of Postgres ends it. Only backends of our own role
/// that wait for their client, and have for over 2 s, are ended.
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

//! The stage: stand by until the lease is ours, then read, fold, write, commit, until something fails; then look at the
//! checkpoint and go on from there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::batch;
use super::checkpoint::{self, Checkpoint};
use super::fold::{Fold, Judge, Writes};
use super::reader::{self, Bounds, ReadRow};
use super::retries;
use super::{Error, write};
use crate::account::{self, Epochs, Fate};
use crate::cache::Cache;
use crate::inbox::{Inbox, Position, SourceId};
use crate::postgres::{self, Database, Session, is_row_fault};
use crate::telemetry::Metrics;

#[derive(Clone, Debug)]
pub struct Config {
    pub batch_rows: i64,
    pub batch_bytes: i64,
    pub lease: Duration,
}

pub struct Dependencies {
    pub database: Database,
    pub inbox: Inbox,
    pub operator: SourceId,
    pub cache: Arc<Cache>,
    pub metrics: Arc<Metrics>,
    pub appended: watch::Receiver<Position>,
    pub projected: watch::Sender<Position>,
}

/// How often a replica that does not lead looks at the checkpoint.
const WATCH: Duration = Duration::from_millis(250);

struct Projector {
    config: Config,
    deps: Dependencies,
    name: String,
    identity: Option<postgres::Identity>,
    complained: bool,
}

/// Runs until `stop`.
pub async fn run(config: Config, deps: Dependencies, stop: CancellationToken) {
    let name = format!("{}-{:016x}", std::process::id(), fastrand::u64(..));
    let mut projector = Projector {
        config,
        deps,
        name,
        identity: None,
        complained: false,
    };
    while !stop.is_cancelled() {
        match projector.work(&stop).await {
            Ok(()) | Err(Error::CheckpointMoved) => {}
            Err(error) => {
                if !projector.complained {
                    tracing::warn!(%error, "the projector cannot go on: {error}; trying again");
                }
                if matches!(error, Error::Gap { .. }) {
                    projector.deps.metrics.gaps.inc();
                    tracing::error!(%error, "{error}: this must not be; nothing is skipped");
                }
                projector.complained = true;
                let pause = Duration::from_millis(300);
                let _ = tokio::time::timeout(pause, stop.cancelled()).await;
            }
        }
        projector.deps.metrics.leading.set(0);
    }
}

impl Projector {
    async fn work(&mut self, stop: &CancellationToken) -> Result<(), Error> {
        let session = self.deps.database.session("projector").await?;
        self.note_identity(&session);
        let Some(start) = self.stand_by(&session, stop).await? else {
            return Ok(());
        };
        self.deps.metrics.leading.set(1);
        let outcome = self.lead(&session, start, stop).await;
        if stop.is_cancelled() {
            let _ = Session::bounded(checkpoint::release(session.client(), &self.name)).await;
        }
        outcome
    }

    /// Another life of the database may lack what the cache holds (a standby promoted, a dump restored).
    fn note_identity(&mut self, session: &Session) {
        let identity = session.identity().clone();
        if self
            .identity
            .as_ref()
            .is_some_and(|before| *before != identity)
        {
            tracing::warn!(
                "Postgres is another one than before (promoted or restored): the cache is emptied"
            );
            self.deps.cache.clear();
        }
        self.identity = Some(identity);
    }

    /// Watches the checkpoint until the lease is ours; none where we stop.
    async fn stand_by(
        &mut self,
        session: &Session,
        stop: &CancellationToken,
    ) -> Result<Option<Position>, Error> {
        let mut seen: Option<(Checkpoint, Instant)> = None;
        loop {
            let now = Session::bounded(checkpoint::read(session.client())).await?;
            self.complained = false;
            self.publish(now.position);
            if now.leader == self.name {
                return Ok(Some(now.position));
            }
            let still_since = match &seen {
                Some((before, since)) if before.sign_of_life() == now.sign_of_life() => *since,
                _ => Instant::now(),
            };
            let free = now.leader.is_empty() || still_since.elapsed() >= self.config.lease;
            if free
                && Session::bounded(checkpoint::take(session.client(), &now, &self.name)).await?
            {
                tracing::info!(
                    position = now.position.0,
                    "projecting from position {}",
                    now.position
                );
                return Ok(Some(now.position));
            }
            seen = Some((now, still_since));
            tokio::select! {
                () = stop.cancelled() => return Ok(None),
                () = tokio::time::sleep(WATCH) => {}
            }
        }
    }

    fn publish(&self, position: Position) {
        self.deps.projected.send_if_modified(|now| {
            let moved = *now != position;
            *now = position;
            moved
        });
    }

    async fn lead(
        &mut self,
        session: &Session,
        start: Position,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let brokers = Session::bounded(broker_sources(session)).await?;
        let mut epochs = Session::bounded(account::load_epochs(session.client())).await?;
        let (batches, mut ready) = mpsc::channel(1);
        let reader = self.deps.database.session("reader").await?;
        let bounds = Bounds {
            rows: self.config.batch_rows,
            bytes: self.config.batch_bytes,
        };
        let mut reader = Some(AbortOnDrop(tokio::spawn(reader::run(
            reader,
            bounds,
            start,
            self.deps.appended.clone(),
            batches,
        ))));
        let _retries = AbortOnDrop(tokio::spawn(retries::run(
            self.deps.database.clone(),
            self.deps.inbox.clone(),
            self.deps.operator,
        )));
        let mut position = start;
        loop {
            let batch = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                batch = tokio::time::timeout(Duration::from_secs(1), ready.recv()) => batch,
            };
            match batch {
                Ok(Some(batch)) => {
                    position = self
                        .project(session, &brokers, &mut epochs, position, &batch)
                        .await?;
                }
                Ok(None) => {
                    return match reader.take() {
                        Some(mut task) => (&mut task.0).await.unwrap_or(Ok(())),
                        None => Ok(()),
                    };
                }
                Err(_) => {
                    let renewed =
                        Session::bounded(checkpoint::renew(session.client(), &self.name, position));
                    if !renewed.await? {
                        return Err(Error::CheckpointMoved);
                    }
                }
            }
        }
    }

    /// One batch in one transaction; where a row is at fault, in halves, until it fails alone and is a letter.
    async fn project(
        &self,
        session: &Session,
        brokers: &[SourceId],
        epochs: &mut Epochs,
        from: Position,
        rows: &[ReadRow],
    ) -> Result<Position, Error> {
        let mut position = from;
        // Parts still to do, the next one last; with what Postgres said of a single row.
        let mut parts: Vec<(&[ReadRow], HashMap<i64, String>)> = vec![(rows, HashMap::new())];
        while let Some((part, refused)) = parts.pop() {
            match self
                .commit(session, brokers, epochs, position, part, &refused)
                .await
            {
                Ok(to) => position = to,
                Err(Error::Postgres(error)) => {
                    let state = is_row_fault(&error).filter(|_| refused.is_empty());
                    let Some(state) = state else {
                        return Err(error.into());
                    };
                    Session::bounded(session.rollback()).await?;
                    *epochs = Session::bounded(account::load_epochs(session.client())).await?;
                    if let [row] = part {
                        let at = row.row.position;
                        tracing::warn!(position = at.0, sqlstate = %state, "Postgres refuses the row at position {at} alone ({state}): it is a dead letter");
                        self.deps.metrics.isolated_rows.inc();
                        parts.push((part, HashMap::from([(at.0, state)])));
                    } else {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.push((second, HashMap::new()));
                        parts.push((first, HashMap::new()));
                    }
                }
                Err(other) => return Err(other),
            }
        }
        Ok(position)
    }

    async fn commit(
        &self,
        session: &Session,
        brokers: &[SourceId],
        epochs: &mut Epochs,
        from: Position,
        rows: &[ReadRow],
        refused: &HashMap<i64, String>,
    ) -> Result<Position, Error> {
        let Some(last) = rows.last() else {
            return Ok(from);
        };
        let to = last.row.position;
        let started = Instant::now();
        Session::bounded(session.begin()).await?;
        let loaded = Session::bounded(batch::load(session.client(), rows)).await?;
        let judge = Judge::Live {
            rules_position: 0,
            refused,
        };
        let writes = Fold::new(judge, brokers, epochs, loaded).run(rows)?;
        let limit = postgres::HARD_DEADLINE;
        tokio::time::timeout(limit, write::write(session, &self.name, from, to, &writes))
            .await
            .map_err(|_| postgres::Error::TimedOut(limit))??;
        Session::bounded(session.commit()).await?;
        self.deps
            .metrics
            .commit_seconds
            .with_label_values(&["projector"])
            .observe(started.elapsed().as_secs_f64());
        self.after_commit(writes, to);
        Ok(to)
    }

    /// Only what was committed is shown.
    fn after_commit(&self, writes: Writes, to: Position) {
        for order in writes.orders {
            self.deps.cache.put(&order.order_uid, order.data);
        }
        for fate in Fate::ALL {
            let count = u64::try_from(writes.fates[fate as usize]).unwrap_or(0);
            self.deps
                .metrics
                .fates
                .with_label_values(&[fate.as_str()])
                .inc_by(count);
        }
        self.publish(to);
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

const BROKERS: &str = "select id from source where kind in ('stan', 'jetstream')";

async fn broker_sources(session: &Session) -> Result<Vec<SourceId>, postgres::Error> {
    let rows = postgres::query(session.client(), BROKERS, &[]).await?;
    Ok(rows.iter().map(|row| SourceId(row.get(0))).collect())
}

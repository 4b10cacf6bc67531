//! The stage that `serve` runs: stand by until the lease is ours, then project until something fails, then begin again by
//! reading the checkpoint. Every failure is handled this way, because the checkpoint says exactly what was committed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::checkpoint::{self, Checkpoint};
use super::definitions::{self, InForce};
use super::live::Live;
use super::reader::{self, Bounds};
use super::retries;
use super::{Dependencies, Error, Leadership, publish};
use crate::collection::Keep;
use crate::document;
use crate::inbox::Position;
use crate::postgres::{self, Session};

#[derive(Clone, Debug)]
pub struct Config {
    pub batch_rows: i64,
    pub batch_bytes: i64,
    pub lease: Duration,
}

/// The pause after a failure.
const AGAIN: Duration = Duration::from_millis(300);
/// The pause after a panic, which will most likely come again with the same rows. It is as long as a lease by default, so that
/// another replica, which may run other code, can take over.
const AFTER_A_PANIC: Duration = Duration::from_secs(5);
/// After so long without a failure, the same failure is logged again. Longer than any time-out here, so that an outage is one
/// line in the log.
const CALM: Duration = Duration::from_mins(1);

/// How often a replica that does not lead reads the checkpoint.
const WATCH: Duration = Duration::from_millis(250);

struct Projector {
    config: Config,
    deps: Dependencies,
    name: String,
    identity: Option<postgres::Identity>,
    complaints: Complaints,
}

/// By text: when a failure last happened.
#[derive(Default)]
struct Complaints(HashMap<String, Instant>);

impl Complaints {
    /// True if it is to be logged: only the first time, however often it happens again.
    fn is_new(&mut self, text: &str, now: Instant) -> bool {
        self.0.retain(|_, last| now.duration_since(*last) < CALM);
        self.0.insert(text.to_owned(), now).is_none()
    }
}

/// Runs until `stop`.
pub async fn run(config: Config, deps: Dependencies, stop: CancellationToken) {
    let name = format!("{}-{:016x}", std::process::id(), fastrand::u64(..));
    let mut projector = Projector {
        config,
        deps,
        name,
        identity: None,
        complaints: Complaints::default(),
    };
    while !stop.is_cancelled() {
        let outcome = projector.work(&stop).await;
        projector.deps.metrics.leading.set(0);
        projector.deps.leadership.send_replace(None);
        if let Err(error) = outcome {
            if projector
                .complaints
                .is_new(&error.to_string(), Instant::now())
            {
                projector.complain(&error);
            }
            let pause = match error {
                Error::WriterLost | Error::ReaderLost => AFTER_A_PANIC,
                _ => AGAIN,
            };
            let _ = tokio::time::timeout(pause, stop.cancelled()).await;
        }
    }
}

impl Projector {
    fn complain(&self, error: &Error) {
        match error {
            // Expected if this process was frozen for a while: the compare-and-set keeps two leaders apart.
            Error::CheckpointMoved => tracing::info!("{error}; standing by"),
            Error::Gap { .. } => {
                self.deps.metrics.gaps.inc();
                tracing::error!(%error, "{error}: this must not be, and nothing is skipped");
            }
            Error::WriterLost | Error::ReaderLost | Error::NoSession => {
                tracing::error!(%error, "the projector cannot go on: {error}: this is a bug, please report it with the lines above; trying again");
            }
            Error::UnknownDefinition { .. } => tracing::error!(%error, "{error}"),
            _ => tracing::warn!(%error, "the projector cannot go on: {error}; trying again"),
        }
    }

    async fn work(&mut self, stop: &CancellationToken) -> Result<(), Error> {
        let session = self.deps.database.session("projector").await?;
        self.note_identity(&session);
        let Some((start, term)) = self.stand_by(&session, stop).await? else {
            return Ok(());
        };
        let outcome = self.lead(&session, start, term, stop).await;
        if stop.is_cancelled() || matches!(outcome, Err(Error::UnknownDefinition { .. })) {
            let _ = Session::bounded(checkpoint::release(session.client(), &self.name)).await;
        }
        outcome
    }

    /// Empties the cache if this is another server than before (a standby that was promoted, a dump that was restored): it may
    /// lack orders that the cache holds.
    fn note_identity(&mut self, session: &Session) {
        let identity = session.identity().clone();
        let another = self
            .identity
            .as_ref()
            .is_some_and(|before| *before != identity);
        if another {
            tracing::warn!(
                "Postgres is another one than before (promoted or restored): the cache is emptied"
            );
            self.deps.cache.clear();
        }
        self.identity = Some(identity);
    }

    /// Polls the checkpoint until the lease is ours. Answers with position and term; none if the service stops.
    async fn stand_by(
        &mut self,
        session: &Session,
        stop: &CancellationToken,
    ) -> Result<Option<(Position, i64)>, Error> {
        let mut seen: Option<(Checkpoint, Instant)> = None;
        loop {
            let now = Session::bounded(checkpoint::read(session.client())).await?;
            self.say(session, now.position).await?;
            if now.leader == self.name {
                return Ok(Some((now.position, now.term)));
            }
            let still_since = match &seen {
                Some((before, since)) if before.sign_of_life() == now.sign_of_life() => *since,
                _ => Instant::now(),
            };
            let free = now.leader.is_empty() || still_since.elapsed() >= self.config.lease;
            if free && self.take(session, &now).await? {
                tracing::info!(
                    position = now.position.0,
                    "projecting from position {}",
                    now.position
                );
                return Ok(Some((now.position, now.term + 1)));
            }
            seen = Some((now, still_since));
            tokio::select! {
                () = stop.cancelled() => return Ok(None),
                () = tokio::time::sleep(WATCH) => {}
            }
        }
    }

    /// Says how far the tables have come. What changed since the position that was said last is dropped from the cache before.
    async fn say(&self, session: &Session, now: Position) -> Result<(), Error> {
        let deps = &self.deps;
        let last = *deps.projected.borrow();
        if now == last {
            return Ok(());
        }
        let mut in_force = InForce::clone(&deps.in_force.borrow());
        if now < last {
            tracing::warn!(
                "the tables are at position {now}, and were at {last}: the cache is emptied"
            );
            deps.cache.clear();
            in_force = InForce::default();
        }
        let client = session.client();
        let changed = Session::bounded(definitions::catch_up(client, &mut in_force, now)).await?;
        if changed || now < last {
            deps.show(&in_force.into());
        }
        for share in deps.cache.all() {
            if share.place().keep == Keep::Latest {
                let changed = document::changed(client, share.id(), last, now);
                match Session::bounded(changed).await? {
                    Some(keys) => {
                        let dropped = keys.iter().map(|key| (key.as_str(), None));
                        share.replace(share.generation(), dropped);
                    }
                    None => share.clear(),
                }
            }
        }
        publish(&deps.projected, now);
        Ok(())
    }

    /// Takes the lease, unless a definition in force cannot be compiled here: then a replica of another version has to.
    async fn take(&self, session: &Session, now: &Checkpoint) -> Result<bool, Error> {
        self.deps.in_force.borrow().check()?;
        Ok(Session::bounded(checkpoint::take(session.client(), now, &self.name)).await?)
    }

    async fn lead(
        &mut self,
        session: &Session,
        start: Position,
        term: i64,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let deps = &self.deps;
        deps.in_force.borrow().check()?;
        let mut live = Live::begin(session, &self.name, deps, start).await?;
        let (batches, mut ready) = mpsc::channel(1);
        let reader = reader::run(
            deps.database.session("reader").await?,
            Bounds {
                rows: self.config.batch_rows,
                bytes: self.config.batch_bytes,
            },
            start,
            (deps.appended.clone(), live.witness()),
            deps.in_force.subscribe(),
            batches,
        );
        let reader = AbortOnDropHandle::new(tokio::spawn(reader));
        let retries = retries::run(
            deps.database.clone(),
            deps.inbox.clone(),
            deps.operator,
            deps.in_force.subscribe(),
        );
        let _retries = AbortOnDropHandle::new(tokio::spawn(retries));
        deps.metrics.leading.set(1);

        loop {
            let leadership = Leadership {
                name: self.name.clone(),
                term,
                in_force: live.in_force(),
            };
            deps.leadership.send_if_modified(|now| {
                let changed = now.as_ref().is_none_or(|now| {
                    now.term != term || now.in_force.position != leadership.in_force.position
                });
                if changed {
                    *now = Some(leadership);
                }
                changed
            });
            let batch = tokio::select! {
                () = stop.cancelled() => return live.settle().await,
                ended = live.oldest() => {
                    live.ended(ended).await?;
                    continue;
                }
                batch = tokio::time::timeout(Duration::from_secs(1), ready.recv()) => batch,
            };
            match batch {
                Ok(Some(batch)) => {
                    live.project(batch).await?;
                    let rest = deps.give_way.rest();
                    if !rest.is_zero() {
                        tokio::time::sleep(rest).await;
                    }
                }
                // The reader has ended, which it does only with an error.
                Ok(None) => return reader.await.map_err(|_| Error::ReaderLost)?,
                Err(_) => {
                    // A batch in flight will renew the lease by its commit.
                    let Some(position) = live.at_rest() else {
                        continue;
                    };
                    let renewed = checkpoint::renew(session.client(), &self.name, position);
                    if !Session::bounded(renewed).await? {
                        return Err(Error::CheckpointMoved);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_is_told_once_until_it_has_been_away_for_long() {
        let start = Instant::now();
        let mut complaints = Complaints::default();
        assert!(complaints.is_new("the line is cut", start));
        assert!(complaints.is_new("the server starts", start));
        let mut now = start;
        for _ in 0..1_000 {
            now += AGAIN;
            assert!(!complaints.is_new("the line is cut", now));
        }
        assert!(complaints.is_new("the server starts", now), "it was away");
        assert!(!complaints.is_new("the line is cut", now + CALM / 2));
        assert!(complaints.is_new("the line is cut", now + CALM * 2));
    }
}

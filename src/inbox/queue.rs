//! The way into the log, for the broker's source and for HTTP: bounded, so whoever is too fast waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::decision::Decision;
use super::room::{Payload, Room};
use super::row::{Appended, Incoming, Reply, SourceId, content_hash};

/// A client of HTTP waits for a commit no longer than this, or as long as connecting to Postgres may take, if that is longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a commit may take once there is a connection.
const COMMIT: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    #[error("the service is stopping: nothing was stored")]
    Stopping,
    #[error("Postgres is away: nothing was stored")]
    Away,
    #[error("as much as is held in memory waits for Postgres already: nothing was stored")]
    Full,
    #[error(
        "Postgres did not answer in time: it is not known whether it was stored; ask again with the same Idempotency-Key"
    )]
    Unknown,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Inbox {
    rows: mpsc::Sender<Incoming>,
    /// What is left of the budget for memory, in bytes.
    room: Arc<Semaphore>,
    healthy: Arc<AtomicBool>,
    last_message: Arc<AtomicI64>,
    /// When a row was last accepted, in ns. It is the sequence of a row that comes by HTTP, so it rises strictly.
    accepted: Arc<AtomicI64>,
    patience: Duration,
}

/// The other end of it, for the stage alone.
pub struct Queue {
    pub(super) rows: mpsc::Receiver<Incoming>,
    pub(super) healthy: Arc<AtomicBool>,
    pub(super) last_message: Arc<AtomicI64>,
}

impl Inbox {
    /// Bounded in rows, and in the bytes of those that come by HTTP. `connecting` is how long it may take to connect
    /// to Postgres, all hosts tried: a client who gave up sooner would never get as far as the second host.
    pub fn new(capacity: usize, bytes: usize, connecting: Duration) -> (Self, Queue) {
        let (sender, rows) = mpsc::channel(capacity);
        let inbox = Self {
            rows: sender,
            room: Arc::new(Semaphore::new(bytes)),
            // It was there a moment ago, or we would not have come so far.
            healthy: Arc::new(AtomicBool::new(true)),
            last_message: Arc::new(AtomicI64::new(0)),
            accepted: Arc::new(AtomicI64::new(0)),
            patience: PATIENCE.max(connecting + COMMIT),
        };
        let queue = Queue {
            rows,
            healthy: inbox.healthy.clone(),
            last_message: inbox.last_message.clone(),
        };
        (inbox, queue)
    }

    /// Waits for a place in the queue: the caller is held back, and nothing is dropped.
    pub async fn send(&self, incoming: Incoming) -> Result<(), Unavailable> {
        self.rows
            .send(incoming)
            .await
            .map_err(|_| Unavailable::Stopping)
    }

    /// Takes so many bytes of the budget into `room`. Never waits: a client is told to come again, instead of waiting with all that
    /// it has sent in our memory.
    pub fn take_room(&self, room: &mut Room, bytes: usize) -> Result<(), Unavailable> {
        let bytes = u32::try_from(bytes).map_err(|_| Unavailable::Full)?;
        let taken = self.room.clone().try_acquire_many_owned(bytes);
        room.add(taken.map_err(|_| Unavailable::Full)?);
        Ok(())
    }

    /// One row that did not come from a broker. Its identity is fixed here, before the first try, so that a lost answer to a
    /// commit cannot store it twice.
    pub async fn submit(
        &self,
        source: SourceId,
        key: Option<String>,
        payload: Option<Payload>,
        decision: Option<&Decision>,
    ) -> Result<Appended, Unavailable> {
        let wait = async {
            let answer = self.enqueue(source, key, payload, decision).await?;
            answer.await
        };
        tokio::time::timeout(self.patience, wait)
            .await
            .unwrap_or(Err(Unavailable::Unknown))
    }

    /// The same in two steps, for rows whose order in the log matters. This waits for a place in the queue; the future that it
    /// answers with waits for the commit.
    pub async fn enqueue(
        &self,
        source: SourceId,
        key: Option<String>,
        payload: Option<Payload>,
        decision: Option<&Decision>,
    ) -> Result<impl Future<Output = Result<Appended, Unavailable>> + use<>, Unavailable> {
        if !self.is_healthy() {
            return Err(Unavailable::Away);
        }
        let received_at = Timestamp::now();
        let now = i64::try_from(received_at.as_nanosecond()).unwrap_or(i64::MAX);
        let accepted = self.accept(now);
        let decision = decision.map(Decision::to_json);
        let (payload, mut room) = match payload {
            Some(Payload { bytes, room }) => (Some(bytes), room),
            None => (None, Room::default()),
        };
        let texts = [&key, &decision].into_iter().flatten().map(String::len);
        self.take_room(&mut room, size_of::<Incoming>() + texts.sum::<usize>())?;
        let (answer, answered) = oneshot::channel();
        let incoming = Incoming {
            source,
            sequence: accepted,
            broker_time_ns: accepted,
            received_at,
            key,
            hash: content_hash(payload.as_deref(), decision.as_deref()),
            payload,
            decision,
            reply: Reply::Answer(answer, room),
        };
        let patience = self.patience;
        let sending = tokio::time::timeout(patience, self.send(incoming));
        sending.await.map_err(|_| Unavailable::Away)??;
        Ok(async move {
            match tokio::time::timeout(patience, answered).await {
                Ok(Ok(appended)) => Ok(appended),
                Ok(Err(_)) | Err(_) => Err(Unavailable::Unknown),
            }
        })
    }

    fn accept(&self, now: i64) -> i64 {
        let mut before = self.accepted.load(Ordering::Relaxed);
        loop {
            let next = now.max(before.saturating_add(1));
            match self.accepted.compare_exchange_weak(
                before,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return next,
                Err(seen) => before = seen,
            }
        }
    }

    /// Whether Postgres took the last append. If not, clients of HTTP are told at once instead of waiting for the outage's end.
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// When this process last stored a message. None if it has stored none since its start.
    pub fn last_message(&self) -> Option<Timestamp> {
        let millisecond = self.last_message.load(Ordering::Relaxed);
        (millisecond > 0)
            .then(|| Timestamp::from_millisecond(millisecond).ok())
            .flatten()
    }
}

//! Several batches in flight: written at once, committed in the log's order. The live projection and the load of a replay both
//! write through it.
//!
//! ```text
//! batch 1   rows ── its turn ── counters, checkpoint, commit
//! batch 2      rows ── waits for batch 1's commit ── its turn ── counters, checkpoint, commit
//! ```
//!
//! Rows need no order, because no two batches in flight write the same ones. Counters and checkpoint are the same rows for
//! every batch: in turn, nobody waits for a lock. If a batch fails, none behind it commits.

use std::collections::VecDeque;

use tokio::sync::oneshot;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use super::Error;

/// `W` is what a batch is written with: a session. `B` is what is remembered of a batch while it is in flight.
pub struct Pipeline<W, B> {
    idle: Vec<W>,
    in_flight: VecDeque<InFlight<W, B>>,
    /// Resolves when the batch that was started last is committed.
    last: Option<oneshot::Receiver<()>>,
}

struct InFlight<W, B> {
    task: AbortOnDropHandle<(W, Result<(), Error>)>,
    batch: B,
}

/// A batch's place in the order of commits.
pub struct Turn(Option<oneshot::Receiver<()>>);

impl Turn {
    /// For a batch with nothing in flight before it.
    pub fn first() -> Self {
        Self(None)
    }

    /// Waits for the commit of the batch before.
    pub async fn come(self) -> Result<(), Error> {
        match self.0 {
            None => Ok(()),
            Some(before) => before.await.map_err(|_| Error::BatchBefore),
        }
    }
}

/// How the task of the oldest batch ended.
pub struct Ended<W>(Result<(W, Result<(), Error>), JoinError>);

/// A batch that was not committed. What its writer had begun is still to be rolled back.
pub struct Failed<W, B> {
    pub writer: W,
    pub batch: B,
    pub error: Error,
}

impl<W: Send + 'static, B> Pipeline<W, B> {
    pub fn new(writers: Vec<W>) -> Self {
        Self {
            idle: writers,
            in_flight: VecDeque::new(),
            last: None,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Whether every writer is at work.
    pub fn is_full(&self) -> bool {
        self.idle.is_empty()
    }

    /// The oldest first.
    pub fn batches(&self) -> impl Iterator<Item = &B> {
        self.in_flight.iter().map(|one| &one.batch)
    }

    /// Takes an idle writer; `start` or `give_back` is to follow.
    pub fn writer(&mut self) -> Result<W, Error> {
        self.idle.pop().ok_or(Error::NoSession)
    }

    pub fn give_back(&mut self, writer: W) {
        self.idle.push(writer);
    }

    /// Writes a batch in a task of its own. `write` waits for its turn before it commits, and answers when it has committed.
    pub fn start<F>(&mut self, batch: B, writer: W, write: impl FnOnce(W, Turn) -> F)
    where
        F: Future<Output = (W, Result<(), Error>)> + Send + 'static,
    {
        let (done, after) = oneshot::channel();
        let work = write(writer, Turn(self.last.replace(after)));
        let task = tokio::spawn(async move {
            let (writer, outcome) = work.await;
            // Dropped otherwise, also by a panic: the batch behind must not commit.
            if outcome.is_ok() {
                let _ = done.send(());
            }
            (writer, outcome)
        });
        self.in_flight.push_back(InFlight {
            task: AbortOnDropHandle::new(task),
            batch,
        });
    }

    /// Waits for the oldest batch in flight; pends for ever if there is none. Cancel-safe. `ended` is to be told the answer.
    pub async fn oldest(&mut self) -> Ended<W> {
        match self.in_flight.front_mut() {
            Some(oldest) => Ended((&mut oldest.task).await),
            None => std::future::pending().await,
        }
    }

    pub fn ended(&mut self, ended: Ended<W>) -> Result<Option<Failed<W, B>>, Error> {
        let Some(InFlight { batch, .. }) = self.in_flight.pop_front() else {
            return Ok(None);
        };
        let (writer, outcome) = ended.0.map_err(|_| Error::WriterLost)?;
        match outcome {
            Ok(()) => {
                self.idle.push(writer);
                Ok(None)
            }
            Err(error) => Ok(Some(Failed {
                writer,
                batch,
                error,
            })),
        }
    }

    /// After a failure: waits for those behind it, none of which can have been committed. Whoever is started next is first.
    pub async fn fail_rest(&mut self) -> Result<Vec<(W, B)>, Error> {
        let mut rest = Vec::new();
        while let Some(InFlight { mut task, batch }) = self.in_flight.pop_front() {
            let (writer, _) = (&mut task).await.map_err(|_| Error::WriterLost)?;
            rest.push((writer, batch));
        }
        self.last = None;
        Ok(rest)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;

    /// Batches that are numbers; a writer is a letter. What is committed is noted.
    #[derive(Clone, Default)]
    struct Commits(Arc<Mutex<Vec<u32>>>);

    type Outcome = (char, Result<(), Error>);

    impl Commits {
        async fn commit(self, number: u32, writer: char, turn: Turn) -> Outcome {
            let outcome = turn.come().await;
            if outcome.is_ok() {
                self.0.lock().unwrap().push(number);
            }
            (writer, outcome)
        }

        fn start(&self, pipeline: &mut Pipeline<char, u32>, number: u32) {
            let writer = pipeline.writer().unwrap();
            let commits = self.clone();
            pipeline.start(number, writer, |writer, turn| {
                commits.commit(number, writer, turn)
            });
        }
    }

    async fn refused(writer: char, go: oneshot::Receiver<()>) -> Outcome {
        go.await.unwrap();
        (writer, Err(Error::Cancelled))
    }

    #[tokio::test]
    async fn batches_commit_in_the_order_in_which_they_were_started() {
        let commits = Commits::default();
        let mut pipeline = Pipeline::new(vec!['a', 'b']);
        let (go, gone) = oneshot::channel();
        let slow = commits.clone();
        let writer = pipeline.writer().unwrap();
        pipeline.start(1, writer, |writer, turn| async move {
            gone.await.unwrap();
            slow.commit(1, writer, turn).await
        });
        commits.start(&mut pipeline, 2);
        assert!(pipeline.is_full());
        assert!(matches!(pipeline.writer(), Err(Error::NoSession)));
        // Given up and called again, `oldest` loses nothing.
        for _ in 0..3 {
            let waited = tokio::time::timeout(Duration::from_millis(1), pipeline.oldest());
            assert!(waited.await.is_err());
        }
        assert!(commits.0.lock().unwrap().is_empty(), "2 has overtaken 1");
        go.send(()).unwrap();
        for _ in 0..2 {
            let ended = pipeline.oldest().await;
            assert!(pipeline.ended(ended).unwrap().is_none());
        }
        assert_eq!(*commits.0.lock().unwrap(), [1, 2]);
        assert!(pipeline.is_empty() && !pipeline.is_full());
    }

    #[tokio::test]
    async fn none_behind_a_batch_that_failed_commits() {
        let commits = Commits::default();
        let mut pipeline = Pipeline::new(vec!['a', 'b', 'c']);
        let (go, gone) = oneshot::channel();
        let writer = pipeline.writer().unwrap();
        pipeline.start(1, writer, |writer, _| refused(writer, gone));
        commits.start(&mut pipeline, 2);
        commits.start(&mut pipeline, 3);
        go.send(()).unwrap();
        let ended = pipeline.oldest().await;
        let failed = pipeline.ended(ended).unwrap().unwrap();
        assert_eq!(failed.batch, 1);
        assert!(matches!(failed.error, Error::Cancelled));
        let rest = pipeline.fail_rest().await.unwrap();
        assert_eq!(
            rest.iter().map(|(_, batch)| *batch).collect::<Vec<_>>(),
            [2, 3]
        );
        assert!(commits.0.lock().unwrap().is_empty());
        // With the writers given back it goes on.
        pipeline.give_back(failed.writer);
        commits.start(&mut pipeline, 4);
        let ended = pipeline.oldest().await;
        assert!(pipeline.ended(ended).unwrap().is_none());
        assert_eq!(*commits.0.lock().unwrap(), [4]);
    }

    #[tokio::test]
    async fn a_panic_is_told_as_one_and_nothing_behind_it_commits() {
        let commits = Commits::default();
        let mut pipeline = Pipeline::new(vec!['a', 'b']);
        let writer = pipeline.writer().unwrap();
        pipeline.start(1, writer, |_, _| async { panic!("a bug, on purpose") });
        commits.start(&mut pipeline, 2);
        let ended = pipeline.oldest().await;
        assert!(matches!(pipeline.ended(ended), Err(Error::WriterLost)));
        let ended = pipeline.oldest().await;
        let behind = pipeline.ended(ended).unwrap().unwrap();
        assert!(matches!(behind.error, Error::BatchBefore));
        assert!(commits.0.lock().unwrap().is_empty());
    }
}

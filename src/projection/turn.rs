//! Several batches are written at once and committed in the log's order: each has its turn.

use tokio::sync::oneshot;

use super::Error;

/// A batch's place in the order of commits.
pub struct Turn {
    before: Option<oneshot::Receiver<()>>,
    done: oneshot::Sender<()>,
}

impl Turn {
    /// Until the batch before is committed. An error where it was not: neither must this one be.
    pub async fn come(&mut self) -> Result<(), Error> {
        match self.before.take() {
            None => Ok(()),
            Some(before) => before.await.map_err(|_| Error::BatchBefore),
        }
    }

    pub fn pass(self) {
        let _ = self.done.send(());
    }
}

/// Gives the turns, one after the other.
#[derive(Default)]
pub struct Turns(Option<oneshot::Receiver<()>>);

impl Turns {
    pub fn next(&mut self) -> Turn {
        let (done, after) = oneshot::channel();
        Turn {
            before: self.0.replace(after),
            done,
        }
    }
}

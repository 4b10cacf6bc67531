//! How the live projection makes room for a replay that cannot catch up with it. The append never does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long the live projection rests after each batch.
#[derive(Debug, Default)]
pub struct GiveWay(AtomicU64);

impl GiveWay {
    pub fn rest(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    /// For one replay, as long as it keeps the answer.
    pub(super) fn ask(self: &Arc<Self>) -> MakingWay {
        MakingWay(self.clone())
    }
}

/// However its replay ends (it may be aborted in the middle), the rests end with it.
pub(super) struct MakingWay(Arc<GiveWay>);

impl MakingWay {
    pub fn rest(&self) -> Duration {
        self.0.rest()
    }

    pub fn set(&self, rest: Duration) {
        let millis = u64::try_from(rest.as_millis()).unwrap_or(u64::MAX);
        self.0.0.store(millis, Ordering::Relaxed);
    }
}

impl Drop for MakingWay {
    fn drop(&mut self) {
        self.set(Duration::ZERO);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_replay_that_is_aborted_leaves_no_rest_behind() {
        let give_way = Arc::new(GiveWay::default());
        let (slowed, was_slowed) = oneshot::channel();
        let asked = give_way.ask();
        let replay = tokio::spawn(async move {
            asked.set(Duration::from_secs(2));
            slowed.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        was_slowed.await.unwrap();
        assert_eq!(give_way.rest(), Duration::from_secs(2));
        replay.abort();
        assert!(replay.await.unwrap_err().is_cancelled());
        assert_eq!(give_way.rest(), Duration::ZERO);
    }
}

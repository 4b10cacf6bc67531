//! The life of one connection: it ends once, for one reason, and everybody who holds it learns of it.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use super::error::{LossReason, Lost};

#[derive(Debug, Clone, Default)]
pub(crate) struct Life(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    over: CancellationToken,
    reason: OnceLock<LossReason>,
    overflowed: AtomicU64,
}

impl Life {
    /// The first reason counts: what follows from a loss (a failing publish, say) does not hide it.
    pub(crate) fn end(&self, reason: LossReason) {
        if self.0.reason.set(reason).is_ok() {
            self.0.over.cancel();
        }
    }

    pub(crate) fn loss(&self) -> Option<LossReason> {
        self.0.reason.get().cloned()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.reason.get().is_some()
    }

    pub(crate) fn check(&self) -> Result<(), Lost> {
        match self.0.reason.get() {
            None => Ok(()),
            Some(reason) => Err(Lost(reason.clone())),
        }
    }

    /// The loss that made an operation fail. async-nats may report a closed channel just before the
    /// reason is known here: then the connection broke.
    pub(crate) fn lost(&self) -> Lost {
        self.end(LossReason::Disconnected);
        Lost(self.loss().unwrap_or(LossReason::Disconnected))
    }

    pub(crate) fn ended(&self) -> impl Future<Output = LossReason> + Send + use<> {
        let life = self.clone();
        async move {
            life.0.over.cancelled().await;
            life.loss().unwrap_or(LossReason::Disconnected)
        }
    }

    pub(crate) fn count_overflow(&self) {
        self.0.overflowed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn overflowed(&self) -> u64 {
        self.0.overflowed.load(Ordering::Relaxed)
    }
}

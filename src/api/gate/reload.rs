//! Reads the tokens file again while the service runs.

use std::sync::Arc;
use std::time::Duration;

use crate::access::{Looked, TokenFile};
use crate::telemetry::Metrics;

/// So long at most a token that was taken away still counts. The file is small and, most of the time, in memory.
const EVERY: Duration = Duration::from_secs(1);

/// For ever.
pub async fn watch(tokens: Arc<TokenFile>, metrics: Arc<Metrics>) {
    metrics.tokens_file_well.set(1);
    let mut tick = tokio::time::interval(EVERY);
    loop {
        tick.tick().await;
        let file = tokens.clone();
        // A file may stand on a disk that hangs.
        let Ok(looked) = tokio::task::spawn_blocking(move || file.look()).await else {
            return;
        };
        match looked {
            Looked::Unchanged => {}
            Looked::Read(count) => {
                metrics.tokens_file_well.set(1);
                tracing::info!(
                    count,
                    "the tokens file has changed: it has {count} tokens now"
                );
            }
            Looked::Broken(error) => {
                metrics.tokens_file_well.set(0);
                tracing::error!(
                    %error,
                    "the tokens file cannot be used, and the tokens that were read last go on: {error}"
                );
            }
        }
    }
}

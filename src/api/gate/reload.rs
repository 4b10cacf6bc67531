//! Reads files again while the service runs: who is known, and the service's own certificate.

use std::fmt::Display;
use std::time::Duration;

use prometheus::IntGauge;

use crate::access::Looked;

/// So long at most a token that was taken away still counts. The files are small and, most of the time, in memory.
const EVERY: Duration = Duration::from_secs(1);

/// For ever. `well` is 1 while `what` could be read as it is, and 0 while an earlier one counts.
pub async fn watch<E: Display + Send + 'static>(
    what: &'static str,
    well: IntGauge,
    look: impl Fn() -> Looked<E> + Clone + Send + 'static,
) {
    well.set(1);
    let mut tick = tokio::time::interval(EVERY);
    loop {
        tick.tick().await;
        // A file may stand on a disk that hangs.
        let Ok(looked) = tokio::task::spawn_blocking(look.clone()).await else {
            return;
        };
        match looked {
            Looked::Unchanged => {}
            Looked::Read(now) => {
                well.set(1);
                tracing::info!("the {what} changed, and was read again: {now}");
            }
            Looked::Broken(why) => {
                well.set(0);
                tracing::error!("the {what} cannot be used, and what was read last goes on: {why}");
            }
        }
    }
}

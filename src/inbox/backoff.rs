use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// The pauses after an append or a flush that failed, for ever.
pub fn backoff() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(2))
        .with_jitter()
        .without_max_times()
        .build()
}

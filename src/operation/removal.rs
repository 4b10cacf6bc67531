//! The letters of finished operations go after a time that is a setting: each operation would keep its set for ever, and what
//! an operation came to stays in its row.

use std::time::Duration;

use super::store;
use crate::postgres::{Database, Error};

/// How many letters one statement removes: 50 to 200 ms, in which nobody waits for it.
const PAGE: i64 = 20_000;

/// Until no operation is left that ended longer ago than `keep`. After a kill the next holder of the lease goes on.
pub async fn run(database: Database, keep: Duration) {
    if let Err(error) = remove(&database, keep).await {
        tracing::debug!(%error, "the letters of old operations are still there: {error}");
    }
}

async fn remove(database: &Database, keep: Duration) -> Result<(), Error> {
    loop {
        let reader = database.reader().await?;
        let Some(id) = store::let_go(&reader, keep).await? else {
            return Ok(());
        };
        let (mut after, mut removed) = (0, 0);
        while let Some(page) = store::remove_items(&reader, id, after, PAGE).await? {
            after = page.last;
            removed += page.letters;
        }
        store::is_gone(&reader, id).await?;
        tracing::info!(
            operation = id,
            "operation {id} ended more than {} days ago: its {removed} letters are no longer listed",
            keep.as_secs() / 86_400
        );
    }
}

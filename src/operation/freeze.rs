//! The frozen set of a large bulk operation, listed page by page: whoever asks lists a small set at once (`store::ask_bulk`),
//! and leaves a large one to the holder of the lease. Only then does the operation begin, so that what it decides cannot
//! change what it is about.

use super::store::{self, Operation};
use super::{Dependencies, Error};
use crate::dead_letter;

/// How many letters one page looks at, whether the filter wants them or not. Such a page takes 0.2 s, and 0.5 s on two cores
/// under five times their load: a server twenty times slower still ends it within a reader's 10 s.
const PAGE: i64 = 20_000;

/// Until all of the set is listed, or the operation is paused or cancelled. Each page is one statement that moves
/// `frozen_to` with the letters it adds, so after a kill the next holder goes on behind the last one; a page that two
/// holders come to is added once.
pub async fn run(deps: &Dependencies, operation: &Operation) -> Result<(), Error> {
    let filter = operation.bulk_request()?.letters();
    loop {
        let reader = deps.database.reader().await?;
        let Some(freezing) = store::freezing(&reader, operation.id).await? else {
            // It can begin at once, and need not be found.
            deps.asked.notify_one();
            return Ok(());
        };
        let (above, to) = (freezing.above, freezing.to);
        let last = dead_letter::page_end(&reader, above, to, PAGE).await?;
        let letters = dead_letter::ids(&reader, &filter, above, last, PAGE).await?;
        store::freeze(&reader, operation.id, freezing, last, &letters).await?;
    }
}

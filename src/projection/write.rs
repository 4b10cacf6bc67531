//! A batch's writes, in one transaction: rows first, then the counters, the checkpoint last.

use futures_util::try_join;

use super::Error;
use super::checkpoint;
use super::fold::{Decided, Writes};
use super::rules;
use crate::account;
use crate::dead_letter::{self, Letter};
use crate::inbox::Position;
use crate::order::store;
use crate::postgres::{self, Client, copy};

const COPY_DECISIONS: &str =
    "copy decisions (position, letter, refers_to, action, result, fate) from stdin binary";

async fn write_decisions(client: &Client, decisions: &[Decided]) -> Result<(), postgres::Error> {
    copy(
        client,
        COPY_DECISIONS,
        6,
        decisions.iter(),
        |row, decided| {
            row.int8(decided.position.0);
            row.optional_int8(decided.letter);
            row.optional_int8(decided.refers_to.map(|position| position.0));
            row.text(decided.action.as_str());
            row.text(decided.outcome.as_str());
            row.text(decided.fate.as_str());
        },
    )
    .await
}

/// The rows: what no other batch can be at work on. Several batches may write theirs at once.
pub async fn write_rows(client: &Client, writes: &Writes) -> Result<(), postgres::Error> {
    store::insert(client, &writes.orders).await?;
    store::insert_duplicates(client, &writes.duplicates).await?;
    let new: Vec<&Letter> = writes
        .new_letters
        .iter()
        .filter_map(|id| writes.letters.get(id))
        .collect();
    dead_letter::insert(client, &new).await?;
    let changed: Vec<&Letter> = writes
        .changed_letters
        .iter()
        .filter_map(|id| writes.letters.get(id))
        .collect();
    dead_letter::change(client, &changed).await?;
    write_decisions(client, &writes.decisions).await?;
    rules::write(client, &writes.rules).await
}

/// The counters, which every batch changes, and last of all the checkpoint: in the order of the log.
pub async fn write_counts(
    client: &Client,
    projection: &str,
    leader: &str,
    from: Position,
    to: Position,
    writes: &Writes,
) -> Result<(), Error> {
    // Sent together, done one after the other.
    let ((), (), (), advanced) = try_join!(
        dead_letter::write_groups(client, &writes.groups),
        account::add_fates(client, writes.fates),
        account::write_epochs(client, &writes.epochs),
        checkpoint::advance(client, projection, leader, from, to),
    )?;
    if advanced {
        Ok(())
    } else {
        Err(Error::CheckpointMoved)
    }
}

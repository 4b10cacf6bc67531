//! Writes what the fold made of a batch, in one transaction: first the rows, then the counters, and last the checkpoint.

use super::Error;
use super::checkpoint::{self, Step};
use super::definitions;
use super::fold::{Decided, Writes};
use super::judge::Amount;
use super::pipeline::Turn;
use crate::account;
use crate::dead_letter::{self, Letter};
use crate::document;
use crate::inbox::Position;
use crate::postgres::{self, Client, Session, Write, copy};

const COPY_DECISIONS: &str = "copy decisions (position, collection, letter, refers_to, action, result, fate) from stdin binary";

async fn write_decisions(client: &Client, decisions: &[Decided]) -> Result<(), postgres::Error> {
    copy(
        client,
        COPY_DECISIONS,
        7,
        decisions.iter(),
        |row, decided| {
            row.int8(decided.position.0);
            row.int8(decided.collection.0);
            row.optional_int8(decided.letter);
            row.optional_int8(decided.refers_to.map(|position| position.0));
            row.text(decided.action.as_str());
            row.text(decided.outcome.as_str());
            row.text(decided.fate.as_str());
        },
    )
    .await
}

const COPY_AMOUNTS: &str = "copy amount (position, value, gone) from stdin binary";

/// What was worked out, beside the log: written once, with the verdicts.
pub async fn write_amounts(
    client: &Client,
    amounts: &[(Position, Amount)],
) -> Result<(), postgres::Error> {
    copy(
        client,
        COPY_AMOUNTS,
        3,
        amounts.iter(),
        |row, (position, amount)| {
            row.int8(position.0);
            row.optional_int8(amount.value);
            row.optional_truth(amount.gone);
        },
    )
    .await
}

pub fn are_few(rows: usize) -> bool {
    rows <= document::FEW
}

/// The rows, which no two batches share: several batches can write theirs at the same time.
pub async fn write_rows(client: &Client, writes: &Writes) -> Result<(), postgres::Error> {
    for (id, brought) in &writes.brought {
        document::write_rows(client, *id, brought).await?;
    }
    document::insert_duplicates(client, &writes.duplicates).await?;
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
    definitions::write(client, &writes.definitions).await
}

/// The rows that the batch before may have touched, too: documents of `latest`, sums. Each is a statement of its own, sent
/// together.
pub async fn write_last(client: &Client, writes: &Writes) -> Result<(), postgres::Error> {
    for (id, brought) in &writes.brought {
        for write in document::write_last(*id, brought) {
            postgres::send(client, &[write]).await?;
        }
    }
    Ok(())
}

/// As `Session::bounded`, for work that can also fail for another reason than Postgres. After a time-out the session is to be
/// dropped.
pub async fn bounded<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let limit = postgres::HARD_DEADLINE;
    match tokio::time::timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(postgres::Error::TimedOut(limit).into()),
    }
}

/// Writes and commits a batch in the transaction that was begun for it. It waits for its turn after the rows, because counters
/// and checkpoint are rows that all batches share.
pub async fn in_turn(
    session: &Session,
    step: &Step,
    writes: &Writes,
    turn: Turn,
) -> Result<(), Error> {
    write_rows(session.client(), writes).await?;
    turn.come().await?;
    write_last(session.client(), writes).await?;
    let committed = session.commit_with(&counts(step, writes)).await;
    committed.map_err(moved)
}

/// As `in_turn`, for the load of a replay: what batches share beside the counters is made after the last of them.
pub async fn to_load(
    session: &Session,
    step: &Step,
    writes: &Writes,
    turn: Turn,
) -> Result<(), Error> {
    write_rows(session.client(), writes).await?;
    turn.come().await?;
    let committed = session.commit_with(&counts(step, writes)).await;
    committed.map_err(moved)
}

/// The counters and the checkpoint, for a transaction that goes on.
pub async fn write_counts(client: &Client, step: &Step, writes: &Writes) -> Result<(), Error> {
    let sent = postgres::send(client, &counts(step, writes)).await;
    sent.map_err(moved)
}

/// For a batch of a few new documents of one collection and nothing else: all of it in one statement, which is its own
/// transaction.
pub async fn at_once(session: &Session, step: &Step, writes: &Writes) -> Result<(), Error> {
    let mut all: Vec<Write<'_>> = (writes.brought.iter())
        .map(|(id, brought)| document::insert_few(*id, &brought.documents))
        .collect();
    all.extend(counts(step, writes));
    session.write(&all).await.map_err(moved)
}

fn counts<'a>(step: &'a Step, writes: &'a Writes) -> Vec<Write<'a>> {
    let mut counts = Vec::new();
    counts.extend(dead_letter::write_groups(&writes.groups));
    counts.push(account::add_fates(&writes.fates));
    counts.extend(account::write_epochs(&writes.epochs));
    counts.push(checkpoint::advance(step));
    counts
}

fn moved(error: postgres::Error) -> Error {
    if checkpoint::is_moved(&error) {
        Error::CheckpointMoved
    } else {
        error.into()
    }
}

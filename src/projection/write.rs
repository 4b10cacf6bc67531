//! A batch's writes, in one transaction: rows first, then the counters, the checkpoint last.

use super::Error;
use super::checkpoint::{self, Step};
use super::fold::{Decided, Writes};
use super::pipeline::Turn;
use super::rules;
use crate::account;
use crate::dead_letter::{self, Letter};
use crate::order::store;
use crate::postgres::{self, Client, Session, Write, copy};

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

/// So many orders are one statement, and one round trip; above it COPY is quicker.
const FEW: usize = 16;

pub fn are_few(orders: usize) -> bool {
    orders <= FEW
}

/// The rows: what no other batch can be at work on. Several batches may write theirs at once.
pub async fn write_rows(client: &Client, writes: &Writes) -> Result<(), postgres::Error> {
    match writes.orders.len() {
        0 => {}
        few if are_few(few) => postgres::send(client, &[store::insert_few(&writes.orders)]).await?,
        _ => store::insert(client, &writes.orders).await?,
    }
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

/// A batch's exchange with Postgres: `Session::bounded`, for work that can fail otherwise, too.
pub async fn bounded<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let limit = postgres::HARD_DEADLINE;
    match tokio::time::timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(postgres::Error::TimedOut(limit).into()),
    }
}

/// A batch of several in flight, in the transaction that was begun for it.
pub async fn in_turn(
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

/// The counters, which every batch changes, and last of all the checkpoint: in the order of the log.
pub async fn write_counts(client: &Client, step: &Step, writes: &Writes) -> Result<(), Error> {
    let sent = postgres::send(client, &counts(step, writes)).await;
    sent.map_err(moved)
}

/// If there is nothing but a few orders: one statement, which is a transaction of its own.
pub async fn at_once(session: &Session, step: &Step, writes: &Writes) -> Result<(), Error> {
    let mut all = vec![store::insert_few(&writes.orders)];
    all.extend(counts(step, writes));
    session.write(&all).await.map_err(moved)
}

fn counts<'a>(step: &'a Step, writes: &'a Writes) -> Vec<Write<'a>> {
    let mut counts = Vec::new();
    counts.extend(dead_letter::write_groups(&writes.groups));
    counts.push(account::add_fates(writes.fates));
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

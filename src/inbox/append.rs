//! One batch, one transaction, under the head's lock.

use std::collections::HashMap;

use futures_util::try_join;

use super::few::append_few;
use super::row::{Appended, Incoming, Position, SourceId};
use crate::postgres::{CopyRows, Error, Session, begin_copy, query, query_one};

const LOCK_HEAD: &str = "select next_position, highest from inbox_head for update";
const MOVE_HEAD: &str = "update inbox_head set next_position = $1, highest = $2";
const COPY: &str = "copy inbox (position, sequence, broker_time_ns, hash, received_at, source_id, key, payload, decision)
    from stdin binary";
/// By inbox_identity.
const FIND_IDENTITIES: &str = "
    select n::int4, i.position
    from unnest($1::int4[], $2::int8[], $3::int8[], $4::int8[]) with ordinality as w(source_id, sequence, broker_time_ns, hash, n)
    join inbox i using (source_id, sequence, broker_time_ns, hash)";
/// By inbox_key.
const FIND_KEYS: &str = "
    select n::int4, i.position, i.hash
    from unnest($1::int4[], $2::text[]) with ordinality as w(source_id, key, n)
    join inbox i on i.source_id = w.source_id and i.key = w.key";

type Identity = (SourceId, i64, i64, i64);

fn identity(row: &Incoming) -> Identity {
    (row.source, row.sequence, row.broker_time_ns, row.hash)
}

/// Appends what is new, and answers for each row, in order. After an error the outcome is unknown: append the same batch again
/// on a new session, and what was stored is found by its identity.
pub async fn append(session: &Session, batch: &[Incoming]) -> Result<Vec<Appended>, Error> {
    if rising(batch)
        && let Some(outcome) = append_few(session, batch).await?
    {
        return Ok(outcome);
    }
    let client = session.client();
    let move_head = client.prepare_cached(MOVE_HEAD).await?;
    // Sent together: the round trips of a small batch are most of its time.
    let ((), head) = try_join!(session.begin_unflushed(), query_one(client, LOCK_HEAD, &[]))?;
    let first: i64 = head.get(0);
    let mut highest: Vec<i64> = head.get(1);

    let mut known = known_keys(session, batch).await?;
    known_identities(session, batch, &highest, &mut known).await?;

    let mut next = first;
    // This batch's own rows by identity and key: unless its sequences rise, a row may come twice in it.
    let mut seen: Option<Seen> = (!rising(batch)).then(Seen::default);
    let mut new = Vec::with_capacity(batch.len());
    let mut outcome = Vec::with_capacity(batch.len());
    for (index, row) in batch.iter().enumerate() {
        let earlier = known
            .remove(&index)
            .or_else(|| seen.as_ref().and_then(|seen| seen.find(row)));
        if let Some(earlier) = earlier {
            outcome.push(earlier);
            continue;
        }
        let position = Position(next);
        next += 1;
        raise(&mut highest, row);
        if let Some(seen) = &mut seen {
            seen.add(row, position);
        }
        new.push((position, row));
        outcome.push(Appended::Stored(position));
    }
    let Some(copying) = begin_copy(client, COPY, 9, new.iter(), write).await? else {
        session.commit().await?;
        return Ok(outcome);
    };
    session
        .commit_after(copying.finish(), &move_head, &[&next, &highest])
        .await?;
    Ok(outcome)
}

fn write(copy: &mut CopyRows, (position, row): &(Position, &Incoming)) {
    copy.int8(position.0);
    copy.int8(row.sequence);
    copy.int8(row.broker_time_ns);
    copy.int8(row.hash);
    copy.timestamp(row.received_at);
    copy.int4(row.source.0);
    copy.optional_text(row.key.as_deref());
    match &row.payload {
        Some(payload) => copy.bytes(payload),
        None => copy.null(),
    }
    match &row.decision {
        Some(decision) => copy.jsonb(decision),
        None => copy.null(),
    }
}

fn slot(source: SourceId) -> usize {
    usize::try_from(source.0 - 1).expect("source ids are an identity column, from 1")
}

fn raise(highest: &mut Vec<i64>, row: &Incoming) {
    let slot = slot(row.source);
    if highest.len() <= slot {
        highest.resize(slot + 1, i64::MIN);
    }
    highest[slot] = highest[slot].max(row.sequence);
}

/// True if all rows are of one source, without keys, and each sequence is above the last: then no row can come twice.
fn rising(batch: &[Incoming]) -> bool {
    batch
        .windows(2)
        .all(|pair| pair[0].source == pair[1].source && pair[0].sequence < pair[1].sequence)
        && batch.iter().all(|row| row.key.is_none())
}

#[derive(Default)]
struct Seen {
    identities: HashMap<Identity, Position>,
    keys: HashMap<(SourceId, String), (Position, i64)>,
}

impl Seen {
    fn find(&self, row: &Incoming) -> Option<Appended> {
        if let Some(key) = &row.key
            && let Some((position, hash)) = self.keys.get(&(row.source, key.clone()))
        {
            return Some(same_key(*position, *hash, row));
        }
        self.identities
            .get(&identity(row))
            .map(|position| Appended::Known(*position))
    }

    fn add(&mut self, row: &Incoming, position: Position) {
        self.identities.insert(identity(row), position);
        if let Some(key) = &row.key {
            self.keys
                .insert((row.source, key.clone()), (position, row.hash));
        }
    }
}

fn same_key(position: Position, hash: i64, row: &Incoming) -> Appended {
    if hash == row.hash {
        Appended::Known(position)
    } else {
        Appended::KeyTaken(position)
    }
}

async fn known_keys(
    session: &Session,
    batch: &[Incoming],
) -> Result<HashMap<usize, Appended>, Error> {
    let asked: Vec<(usize, &str)> = batch
        .iter()
        .enumerate()
        .filter_map(|(index, row)| row.key.as_deref().map(|key| (index, key)))
        .collect();
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let sources: Vec<i32> = asked
        .iter()
        .map(|(index, _)| batch[*index].source.0)
        .collect();
    let keys: Vec<&str> = asked.iter().map(|(_, key)| *key).collect();
    let rows = query(session.client(), FIND_KEYS, &[&sources, &keys]).await?;
    Ok(rows
        .iter()
        .map(|found| {
            let (index, _) = asked[ordinal(found.get(0))];
            let answer = same_key(Position(found.get(1)), found.get(2), &batch[index]);
            (index, answer)
        })
        .collect())
}

/// Only rows at or below the source's highest sequence can be redeliveries. Postgres is not asked about those above it.
async fn known_identities(
    session: &Session,
    batch: &[Incoming],
    highest: &[i64],
    known: &mut HashMap<usize, Appended>,
) -> Result<(), Error> {
    let asked: Vec<usize> = batch
        .iter()
        .enumerate()
        .filter(|(index, row)| {
            let highest = highest.get(slot(row.source)).copied().unwrap_or(i64::MIN);
            row.sequence <= highest && !known.contains_key(index)
        })
        .map(|(index, _)| index)
        .collect();
    if asked.is_empty() {
        return Ok(());
    }
    let sources: Vec<i32> = asked.iter().map(|index| batch[*index].source.0).collect();
    let column = |field: fn(&Incoming) -> i64| -> Vec<i64> {
        asked.iter().map(|index| field(&batch[*index])).collect()
    };
    let (sequences, times, hashes) = (
        column(|row| row.sequence),
        column(|row| row.broker_time_ns),
        column(|row| row.hash),
    );
    let rows = query(
        session.client(),
        FIND_IDENTITIES,
        &[&sources, &sequences, &times, &hashes],
    )
    .await?;
    for found in rows {
        known.insert(
            asked[ordinal(found.get(0))],
            Appended::Known(Position(found.get(1))),
        );
    }
    Ok(())
}

fn ordinal(n: i32) -> usize {
    usize::try_from(n - 1).expect("ordinality counts from 1")
}

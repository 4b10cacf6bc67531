//! What the projector writes. Each function takes the stage's transaction.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::letter::{Letter, State, Verdict};
use crate::collection::Id;
use crate::inbox::{Action, Position, SourceId};
use crate::postgres::{Client, Error, Sql, Write, copy, execute};

const COPY_VERDICTS: &str =
    "copy verdict (position, definition, fingerprint, code_version, reason, code, message,
    pointer, key, violations) from stdin binary";

pub async fn write_verdicts(client: &Client, verdicts: &[Verdict]) -> Result<(), Error> {
    copy(
        client,
        COPY_VERDICTS,
        10,
        verdicts.iter(),
        |row, verdict| {
            row.int8(verdict.position.0);
            row.int8(verdict.definition);
            row.int8(verdict.fingerprint);
            row.int4(verdict.code_version);
            row.text(&verdict.reason);
            row.text(&verdict.code);
            row.text(&verdict.message);
            row.text(&verdict.pointer);
            row.optional_text(verdict.key.as_deref());
            row.jsonb(&verdict.violations);
        },
    )
    .await
}

const COPY_LETTERS: &str = "copy dead_letters (id, fingerprint, verdict_position, definition, received_at,
    first_failed_at, last_failed_at, next_attempt_at, decided_by, origin, attempts, code_version, source_id, state, reason,
    code, pointer, message, key, collection, name, age) from stdin binary";

pub async fn insert(client: &Client, letters: &[&Letter]) -> Result<(), Error> {
    copy(client, COPY_LETTERS, 22, letters.iter(), |row, letter| {
        let verdict = &letter.verdict;
        row.int8(letter.id.0);
        row.int8(verdict.fingerprint);
        row.int8(verdict.position.0);
        row.int8(verdict.definition);
        row.timestamp(letter.received_at);
        row.timestamp(letter.first_failed_at);
        row.timestamp(letter.last_failed_at);
        row.optional_timestamp(letter.next_attempt_at);
        row.optional_int8(letter.decided_by.map(|position| position.0));
        row.optional_int8(letter.origin.map(|position| position.0));
        row.int4(letter.attempts);
        row.int4(verdict.code_version);
        row.int4(letter.source.0);
        row.text(letter.state.as_str());
        row.text(&verdict.reason);
        row.text(&verdict.code);
        row.text(&verdict.pointer);
        row.text(&verdict.message);
        row.optional_text(verdict.key.as_deref());
        row.int8(letter.collection.0);
        row.text(&letter.name);
        row.int8(letter.age.0);
    })
    .await
}

const CHANGE: &str = "
    update dead_letters l
    set state = w.state, attempts = w.attempts, decided_by = w.decided_by, last_failed_at = w.last_failed_at,
        next_attempt_at = w.next_attempt_at, fingerprint = w.fingerprint, verdict_position = w.verdict_position,
        definition = w.definition, code_version = w.code_version, reason = w.reason, code = w.code,
        pointer = w.pointer, message = w.message, key = w.key, collection = w.collection
    from unnest($1::int8[], $2::text[], $3::int4[], $4::int8[], $5::timestamptz[], $6::timestamptz[], $7::int8[],
                $8::int8[], $9::int8[], $10::int4[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
                $16::int8[])
        as w(id, state, attempts, decided_by, last_failed_at, next_attempt_at, fingerprint, verdict_position,
             definition, code_version, reason, code, pointer, message, key, collection)
    where l.id = w.id";

pub async fn change(client: &Client, letters: &[&Letter]) -> Result<(), Error> {
    if letters.is_empty() {
        return Ok(());
    }
    fn column<'a, T>(letters: &[&'a Letter], field: impl Fn(&'a Letter) -> T) -> Vec<T> {
        letters.iter().map(|letter| field(letter)).collect()
    }
    execute(
        client,
        CHANGE,
        &[
            &column(letters, |l| l.id.0),
            &column(letters, |l| l.state.as_str()),
            &column(letters, |l| l.attempts),
            &column(letters, |l| l.decided_by.map(|p| p.0)),
            &column(letters, |l| l.last_failed_at),
            &column(letters, |l| l.next_attempt_at),
            &column(letters, |l| l.verdict.fingerprint),
            &column(letters, |l| l.verdict.position.0),
            &column(letters, |l| l.verdict.definition),
            &column(letters, |l| l.verdict.code_version),
            &column(letters, |l| l.verdict.reason.as_str()),
            &column(letters, |l| l.verdict.code.as_str()),
            &column(letters, |l| l.verdict.pointer.as_str()),
            &column(letters, |l| l.verdict.message.as_str()),
            &column(letters, |l| l.verdict.key.as_deref()),
            &column(letters, |l| l.collection.0),
        ],
    )
    .await?;
    Ok(())
}

/// What `from_row` reads, of `dead_letters l`.
pub(super) const LETTER: &str = "
    select l.id, l.fingerprint, l.verdict_position, l.definition, l.received_at, l.first_failed_at, l.last_failed_at,
        l.next_attempt_at, l.decided_by, l.origin, l.attempts, l.code_version, l.source_id, l.state, l.reason, l.code,
        l.pointer, l.message, l.key, l.collection, l.name, l.age, (select d.action from decisions d where d.position = l.decided_by) as decided_action";

/// By dead_letters_pkey and decisions_pkey.
const BY_IDS: &str = " from dead_letters l where l.id = any($)";

/// The letters of which a batch's decisions speak, without their lists of violations.
pub async fn load(client: &Client, ids: &[i64]) -> Result<Vec<Letter>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new(LETTER);
    sql.bind(BY_IDS, ids.to_vec());
    Ok(sql.query(client).await?.iter().map(from_row).collect())
}

pub(super) fn from_row(row: &Row) -> Letter {
    Letter {
        id: Position(row.get("id")),
        collection: Id(row.get("collection")),
        name: row.get::<_, &str>("name").into(),
        age: Position(row.get("age")),
        state: row.get::<_, &str>("state").parse().unwrap_or(State::Open),
        verdict: Verdict {
            position: Position(row.get("verdict_position")),
            definition: row.get("definition"),
            code_version: row.get("code_version"),
            fingerprint: row.get("fingerprint"),
            reason: row.get("reason"),
            code: row.get("code"),
            message: row.get("message"),
            pointer: row.get("pointer"),
            key: row.get("key"),
            violations: String::new(),
        },
        attempts: row.get("attempts"),
        source: SourceId(row.get("source_id")),
        received_at: row.get("received_at"),
        first_failed_at: row.get("first_failed_at"),
        last_failed_at: row.get("last_failed_at"),
        next_attempt_at: row.get("next_attempt_at"),
        decided_by: row.get::<_, Option<i64>>("decided_by").map(Position),
        decided_action: row
            .get::<_, Option<&str>>("decided_action")
            .and_then(|action| action.parse::<Action>().ok()),
        origin: row.get::<_, Option<i64>>("origin").map(Position),
    }
}

/// What a batch changes of one group.
#[derive(Clone, Debug)]
pub struct GroupChange {
    pub counts: [i64; 3],
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    pub sample: Position,
    pub collection: Id,
    pub verdict: Verdict,
}

/// In fingerprint order, so that two writers could not deadlock.
#[derive(Default)]
pub struct GroupChanges(pub BTreeMap<i64, GroupChange>);

impl GroupChanges {
    pub fn add(&mut self, letter: &Letter, by: i64) {
        let verdict = &letter.verdict;
        let change = self
            .0
            .entry(verdict.fingerprint)
            .or_insert_with(|| GroupChange {
                counts: [0; 3],
                first_seen: letter.first_failed_at,
                last_seen: letter.last_failed_at,
                sample: letter.id,
                collection: letter.collection,
                verdict: verdict.clone(),
            });
        change.counts[letter.state as usize] += by;
        change.first_seen = change.first_seen.min(letter.first_failed_at);
        change.last_seen = change.last_seen.max(letter.last_failed_at);
    }
}

const WRITE_GROUPS: &str = "
    insert into dead_letter_groups as g
        (fingerprint, open, replaced, discarded, sample, first_seen, last_seen, reason, code, pointer, message, collection)
    select * from unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::timestamptz[], $7::timestamptz[],
                         $8::text[], $9::text[], $10::text[], $11::text[], $12::int8[])
    on conflict on constraint dead_letter_groups_pkey do update
    set open = g.open + excluded.open, replaced = g.replaced + excluded.replaced,
        discarded = g.discarded + excluded.discarded, first_seen = least(g.first_seen, excluded.first_seen),
        last_seen = greatest(g.last_seen, excluded.last_seen)";

pub fn write_groups(changes: &GroupChanges) -> Option<Write<'_>> {
    if changes.0.is_empty() {
        return None;
    }
    fn column<'a, T>(changes: &'a GroupChanges, field: impl Fn(&'a GroupChange) -> T) -> Vec<T> {
        changes.0.values().map(field).collect()
    }
    let fingerprints: Vec<i64> = changes.0.keys().copied().collect();
    Some(
        Write::new(WRITE_GROUPS)
            .with(fingerprints)
            .with(column(changes, |c| c.counts[State::Open as usize]))
            .with(column(changes, |c| c.counts[State::Replaced as usize]))
            .with(column(changes, |c| c.counts[State::Discarded as usize]))
            .with(column(changes, |c| c.sample.0))
            .with(column(changes, |c| c.first_seen))
            .with(column(changes, |c| c.last_seen))
            .with(column(changes, |c| c.verdict.reason.as_str()))
            .with(column(changes, |c| c.verdict.code.as_str()))
            .with(column(changes, |c| c.verdict.pointer.as_str()))
            .with(column(changes, |c| c.verdict.message.as_str()))
            .with(column(changes, |c| c.collection.0)),
    )
}

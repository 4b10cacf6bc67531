//! What a batch brings to a collection, and how it is written. Rows that no two batches share go first; the documents of
//! `latest` and the sums are rows that two batches may touch, and are written after the batch before has committed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::table::{Table, table};
use crate::collection::Id;
use crate::inbox::Position;
use crate::postgres::{Client, Error, Write, copy, send};

/// The first message for its key.
pub struct NewDocument {
    pub key: Arc<str>,
    /// The canonical JSON, as it is served; none in a replay, which fills no cache.
    pub data: Option<Bytes>,
    /// The same in the form that is sent to Postgres.
    pub stored: Bytes,
    pub position: Position,
    pub bytes_position: Position,
}

/// A message that `latest` took, whatever became of it.
pub struct NewVersion {
    pub key: Arc<str>,
    pub position: Position,
    pub bytes_position: Position,
    pub age: Position,
    pub version: Option<String>,
    /// document, superseded, duplicate
    pub what: &'static str,
    pub gone: bool,
}

/// A document of `latest` as a batch leaves it.
pub struct Current {
    pub data: Option<Bytes>,
    pub stored: Bytes,
    pub position: Position,
    pub bytes_position: Position,
    pub age: Position,
    pub version: Option<String>,
    pub gone: bool,
}

pub struct Entry {
    pub position: Position,
    pub account: Arc<str>,
    pub value: i64,
}

/// What a batch adds to one account.
#[derive(Clone, Copy)]
pub struct SumChange {
    pub add: i64,
    pub entries: i64,
    pub last: Position,
}

/// What a batch brings to one collection.
#[derive(Default)]
pub struct Brought {
    pub documents: Vec<NewDocument>,
    pub versions: Vec<NewVersion>,
    pub current: BTreeMap<Arc<str>, Current>,
    /// Documents whose message came once more: they are as old as the later of the two.
    pub ages: BTreeMap<Arc<str>, Position>,
    pub entries: Vec<Entry>,
    pub sums: BTreeMap<Arc<str>, SumChange>,
}

/// Up to so many rows are inserted by one statement, in one round trip. For more, COPY is faster.
pub const FEW: usize = 16;

fn column<'a, R, T>(rows: &'a [R], field: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(field).collect()
}

/// A few documents by one statement, which can be sent together with others.
pub fn insert_few(id: Id, documents: &[NewDocument]) -> Write<'_> {
    let name = table(id, Table::Documents);
    Write::new(format!(
        "insert into {name} (position, bytes_position, key, data)
         select position, bytes_position, key, data::jsonb
         from unnest($1::int8[], $2::int8[], $3::text[], $4::text[]) as w(position, bytes_position, key, data)
         returning 1"
    ))
    .with(column(documents, |one| one.position.0))
    .with(column(documents, |one| one.bytes_position.0))
    .with(column(documents, |one| &*one.key))
    .with(column(documents, |one| utf8(&one.stored)))
}

fn utf8(bytes: &Bytes) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

async fn copy_documents(client: &Client, id: Id, documents: &[NewDocument]) -> Result<(), Error> {
    let name = table(id, Table::Documents);
    let statement = format!("copy {name} (position, bytes_position, key, data) from stdin binary");
    copy(client, &statement, 4, documents.iter(), |row, one| {
        row.int8(one.position.0);
        row.int8(one.bytes_position.0);
        row.text(&one.key);
        row.jsonb(&one.stored);
    })
    .await
}

async fn copy_versions(client: &Client, id: Id, versions: &[NewVersion]) -> Result<(), Error> {
    let name = table(id, Table::Versions);
    let statement = format!(
        "copy {name} (position, bytes_position, age, key, version, what, gone) from stdin binary"
    );
    copy(client, &statement, 7, versions.iter(), |row, one| {
        row.int8(one.position.0);
        row.int8(one.bytes_position.0);
        row.int8(one.age.0);
        row.text(&one.key);
        row.optional_text(one.version.as_deref());
        row.text(one.what);
        row.truth(one.gone);
    })
    .await
}

async fn copy_entries(client: &Client, id: Id, entries: &[Entry]) -> Result<(), Error> {
    let name = table(id, Table::Entries);
    let statement = format!("copy {name} (position, account, value) from stdin binary");
    copy(client, &statement, 3, entries.iter(), |row, one| {
        row.int8(one.position.0);
        row.text(&one.account);
        row.int8(one.value);
    })
    .await
}

/// The rows that no two batches share: several batches can write theirs at the same time.
pub async fn write_rows(client: &Client, id: Id, brought: &Brought) -> Result<(), Error> {
    match brought.documents.len() {
        0 => {}
        few if few <= FEW => send(client, &[insert_few(id, &brought.documents)]).await?,
        _ => copy_documents(client, id, &brought.documents).await?,
    }
    copy_versions(client, id, &brought.versions).await?;
    copy_entries(client, id, &brought.entries).await
}

/// The rows that other batches may touch, too: to be sent once the batch before has committed.
pub fn write_last(id: Id, brought: &Brought) -> Vec<Write<'_>> {
    let mut writes = Vec::new();
    if !brought.current.is_empty() {
        writes.push(write_current(id, &brought.current));
    }
    if !brought.ages.is_empty() {
        writes.push(write_ages(id, &brought.ages));
    }
    if !brought.sums.is_empty() {
        writes.push(write_sums(id, &brought.sums));
    }
    writes
}

/// In the keys' order, so that two writers could not deadlock.
fn write_current(id: Id, current: &BTreeMap<Arc<str>, Current>) -> Write<'_> {
    fn of<'a, T>(
        current: &'a BTreeMap<Arc<str>, Current>,
        field: impl Fn(&'a Current) -> T,
    ) -> Vec<T> {
        current.values().map(field).collect()
    }
    let name = table(id, Table::Documents);
    let keys: Vec<&str> = current.keys().map(|key| &**key).collect();
    Write::new(format!(
        "insert into {name} as c (position, bytes_position, age, key, version, gone, data)
         select position, bytes_position, age, key, version, gone, data::jsonb
         from unnest($1::int8[], $2::int8[], $3::int8[], $4::text[], $5::text[], $6::bool[], $7::text[])
             as w(position, bytes_position, age, key, version, gone, data)
         on conflict on constraint {name}_pkey do update
         set position = excluded.position, bytes_position = excluded.bytes_position, age = excluded.age,
             version = excluded.version, gone = excluded.gone, data = excluded.data
         returning 1"
    ))
    .with(of(current, |one| one.position.0))
    .with(of(current, |one| one.bytes_position.0))
    .with(of(current, |one| one.age.0))
    .with(keys)
    .with(of(current, |one| one.version.as_deref()))
    .with(of(current, |one| one.gone))
    .with(of(current, |one| utf8(&one.stored)))
}

fn write_ages(id: Id, ages: &BTreeMap<Arc<str>, Position>) -> Write<'_> {
    let name = table(id, Table::Documents);
    let keys: Vec<&str> = ages.keys().map(|key| &**key).collect();
    let ages: Vec<i64> = ages.values().map(|age| age.0).collect();
    Write::new(format!(
        "update {name} c set age = w.age from unnest($1::text[], $2::int8[]) as w(key, age)
         where c.key = w.key returning 1"
    ))
    .with(keys)
    .with(ages)
}

fn write_sums(id: Id, sums: &BTreeMap<Arc<str>, SumChange>) -> Write<'_> {
    fn of<T>(sums: &BTreeMap<Arc<str>, SumChange>, field: impl Fn(&SumChange) -> T) -> Vec<T> {
        sums.values().map(field).collect()
    }
    let name = table(id, Table::Sums);
    let accounts: Vec<&str> = sums.keys().map(|account| &**account).collect();
    Write::new(format!(
        "insert into {name} as s (account, sum, entries, last_position)
         select * from unnest($1::text[], $2::int8[], $3::int8[], $4::int8[])
         on conflict on constraint {name}_pkey do update
         set sum = s.sum + excluded.sum, entries = s.entries + excluded.entries,
             last_position = excluded.last_position
         returning 1"
    ))
    .with(accounts)
    .with(of(sums, |one| one.add))
    .with(of(sums, |one| one.entries))
    .with(of(sums, |one| one.last.0))
}

const COPY_DUPLICATES: &str = "copy duplicates (position, collection, key) from stdin binary";

pub async fn insert_duplicates(
    client: &Client,
    duplicates: &[(Position, Id, Arc<str>)],
) -> Result<(), Error> {
    let rows = duplicates.iter();
    copy(
        client,
        COPY_DUPLICATES,
        3,
        rows,
        |row, (position, id, key)| {
            row.int8(position.0);
            row.int8(id.0);
            row.text(key);
        },
    )
    .await
}

//! Documents by their keys, and what stands beside them.

use std::collections::HashSet;

use bytes::Bytes;

use super::table::{Table, index, table};
use crate::collection::{Id, Keep};
use crate::inbox::Position;
use crate::postgres::{Client, Error, Sql, query, query_opt};
use crate::record::Version;

/// What a batch has to know of a document that has a key already.
pub struct Found {
    pub key: String,
    pub bytes: Bytes,
}

/// By the table's primary key: which of these keys are taken, and by which bytes.
pub async fn find(client: &Client, id: Id, keys: &[&str]) -> Result<Vec<Found>, Error> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new("select o.key, i.payload from ");
    sql.name(&table(id, Table::Documents))
        .push(" o join inbox i on i.position = o.bytes_position")
        .bind(" where o.key = any($)", owned(keys));
    let found = sql.query(client).await?;
    let found = found.iter().map(|row| Found {
        key: row.get(0),
        bytes: Bytes::copy_from_slice(row.get(1)),
    });
    Ok(found.collect())
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// A document of `latest` as it stands.
pub struct Standing {
    pub key: String,
    pub bytes: Bytes,
    pub age: Position,
    pub version: Option<Version>,
    pub gone: bool,
}

/// By the table's primary key: the documents of `latest` that have these keys.
pub async fn standing(client: &Client, id: Id, keys: &[&str]) -> Result<Vec<Standing>, Error> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new("select o.key, i.payload, o.age, o.version, o.gone from ");
    sql.name(&table(id, Table::Documents))
        .push(" o join inbox i on i.position = o.bytes_position")
        .bind(" where o.key = any($)", owned(keys));
    let found = sql.query(client).await?;
    let found = found.iter().map(|row| Standing {
        key: row.get(0),
        bytes: Bytes::copy_from_slice(row.get(1)),
        age: Position(row.get(2)),
        version: row.get::<_, Option<&str>>(3).and_then(Version::read),
        gone: row.get(4),
    });
    Ok(found.collect())
}

/// By the index on key and version: which of these versions there are, and by which bytes each came first.
pub async fn versions(
    client: &Client,
    id: Id,
    keys: Vec<String>,
    versions: Vec<String>,
) -> Result<Vec<(String, String, Bytes)>, Error> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new("select v.key, v.version, i.payload from ");
    sql.name(&table(id, Table::Versions))
        .push(" v join inbox i on i.position = v.bytes_position")
        .bind(" join unnest($::text[], ", keys)
        .bind("$::text[]) as w(key, version)", versions)
        .push(" on w.key = v.key and w.version = v.version where v.version is not null and v.what <> 'duplicate'");
    let found = sql.query(client).await?;
    let found = found
        .iter()
        .map(|row| (row.get(0), row.get(1), Bytes::copy_from_slice(row.get(2))));
    Ok(found.collect())
}

/// By the table's primary key: the sums of those of these accounts that have one.
pub async fn sums(
    client: &Client,
    id: Id,
    accounts: Vec<String>,
) -> Result<Vec<(String, i64)>, Error> {
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new("select account, sum from ");
    sql.name(&table(id, Table::Sums))
        .bind(" where account = any($)", accounts);
    let found = sql.query(client).await?;
    Ok(found.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// A document as a reader gets it: the inbox's bytes, from which it is rendered, and the projected JSON in case this version of
/// the code cannot read its definition.
pub struct Stored {
    pub key: String,
    pub position: Position,
    pub payload: Bytes,
    pub data: String,
    /// If its last version has taken it away.
    pub gone: bool,
}

/// Where a document of a collection is, for a statement that is put together.
#[derive(Clone, Copy)]
pub struct Place {
    pub id: Id,
    pub keep: Keep,
}

/// What `stored` reads, without its condition: the documents are `o`.
pub fn select(sql: &mut Sql, place: Place) {
    sql.push("select o.key, o.position, i.payload, o.data::text, ")
        .push(match place.keep {
            Keep::First => "false",
            Keep::Latest => "o.gone",
        })
        .push(" as gone from ")
        .name(&table(place.id, Table::Documents))
        .push(" o join inbox i on i.position = o.bytes_position");
}

/// Reads a row of `select`.
pub fn stored(row: &tokio_postgres::Row) -> Stored {
    Stored {
        key: row.get(0),
        position: Position(row.get(1)),
        payload: Bytes::copy_from_slice(row.get(2)),
        data: row.get(3),
        gone: row.get(4),
    }
}

/// By the table's primary key.
pub async fn by_key(client: &Client, place: Place, key: &str) -> Result<Option<Stored>, Error> {
    let mut sql = Sql::new("");
    select(&mut sql, place);
    sql.bind(" where o.key = $", key.to_owned());
    Ok(sql.query(client).await?.first().map(stored))
}

/// By the table's primary key: the row that a document came from.
pub async fn position(client: &Client, id: Id, key: &str) -> Result<Option<Position>, Error> {
    let mut sql = Sql::new("select position from ");
    sql.name(&table(id, Table::Documents))
        .bind(" where key = $", key.to_owned());
    let found = sql.query(client).await?;
    Ok(found.first().map(|row| Position(row.get(0))))
}

/// More than so many, and a cache is better emptied.
const MOST_CHANGED: i64 = 10_000;

/// By the primary key of the versions: which documents of `latest` have changed between two positions. None if they are too many.
pub async fn changed(
    client: &Client,
    id: Id,
    after: Position,
    to: Position,
) -> Result<Option<Vec<String>>, Error> {
    let mut sql = Sql::new("select key from ");
    sql.name(&table(id, Table::Versions))
        .bind(" where position > $", after.0)
        .bind(" and position <= $", to.0)
        .bind(
            " and what = 'document' order by position limit $",
            MOST_CHANGED + 1,
        );
    let rows = sql.query(client).await?;
    let few = rows.len() as i64 <= MOST_CHANGED;
    Ok(few.then(|| rows.iter().map(|row| row.get(0)).collect()))
}

/// Whether the index of a lookup is there and complete.
const INDEXED: &str = "
    select 1 from pg_index x join pg_class i on i.oid = x.indexrelid
    where i.relname = $1 and i.relnamespace = 'live'::regnamespace and x.indisvalid";
const ALL_INDEXED: &str = "
    select i.relname::text from pg_index x join pg_class i on i.oid = x.indexrelid
    where i.relnamespace = 'live'::regnamespace and x.indisvalid";

pub async fn is_indexed(client: &Client, id: Id, pointer: &str) -> Result<bool, Error> {
    let name = index(id, pointer);
    Ok(query_opt(client, INDEXED, &[&name]).await?.is_some())
}

/// The same of all collections at once, for whoever looks again and again: the indexes, by their names.
pub async fn indexed(client: &Client) -> Result<HashSet<String>, Error> {
    let rows = query(client, ALL_INDEXED, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

//! What stands behind a document: the versions of one of `latest`, and what an account's sum is made of.

use bytes::Bytes;
use jiff::Timestamp;

use super::table::{Table, table};
use crate::collection::Id;
use crate::inbox::Position;
use crate::postgres::{Client, Error, Sql};

/// A message that `latest` took for a key.
pub struct Version {
    pub position: Position,
    pub age: Position,
    /// document, superseded, duplicate
    pub what: String,
    pub gone: bool,
    pub received_at: Timestamp,
    pub payload: Bytes,
}

/// By the index on the key: newest first, below a position.
pub async fn versions_of(
    client: &Client,
    id: Id,
    key: &str,
    before: i64,
    limit: i64,
) -> Result<Vec<Version>, Error> {
    let mut sql =
        Sql::new("select v.position, v.age, v.what, v.gone, i.received_at, i.payload from ");
    sql.name(&table(id, Table::Versions))
        .push(" v join inbox i on i.position = v.bytes_position")
        .bind(" where v.key = $", key.to_owned())
        .bind(" and v.position < $", before)
        .bind(" order by v.position desc limit $", limit);
    let rows = sql.query(client).await?;
    let version = |row: &tokio_postgres::Row| Version {
        position: Position(row.get(0)),
        age: Position(row.get(1)),
        what: row.get(2),
        gone: row.get(3),
        received_at: row.get(4),
        payload: Bytes::copy_from_slice(row.get(5)),
    };
    Ok(rows.iter().map(version).collect())
}

/// The running sum of one account.
pub struct Sum {
    pub account: String,
    pub sum: i64,
    pub entries: i64,
    pub last: Position,
}

fn sum(row: &tokio_postgres::Row) -> Sum {
    Sum {
        account: row.get(0),
        sum: row.get(1),
        entries: row.get(2),
        last: Position(row.get(3)),
    }
}

/// By the primary key: the accounts above one, in their order.
pub async fn sums_above(
    client: &Client,
    id: Id,
    above: &str,
    limit: i64,
) -> Result<Vec<Sum>, Error> {
    let mut sql = Sql::new("select account, sum, entries, last_position from ");
    sql.name(&table(id, Table::Sums))
        .bind(" where account > $", above.to_owned())
        .bind(" order by account limit $", limit);
    Ok(sql.query(client).await?.iter().map(sum).collect())
}

pub async fn sum_of(client: &Client, id: Id, account: &str) -> Result<Option<Sum>, Error> {
    let mut sql = Sql::new("select account, sum, entries, last_position from ");
    sql.name(&table(id, Table::Sums))
        .bind(" where account = $", account.to_owned());
    Ok(sql.query(client).await?.first().map(sum))
}

/// What one message has added.
pub struct Added {
    pub position: Position,
    pub value: i64,
    pub received_at: Timestamp,
}

/// By the index on the account: newest first, below a position.
pub async fn entries_of(
    client: &Client,
    id: Id,
    account: &str,
    before: i64,
    limit: i64,
) -> Result<Vec<Added>, Error> {
    let mut sql = Sql::new("select e.position, e.value, i.received_at from ");
    sql.name(&table(id, Table::Entries))
        .push(" e join inbox i on i.position = e.position")
        .bind(" where e.account = $", account.to_owned())
        .bind(" and e.position < $", before)
        .bind(" order by e.position desc limit $", limit);
    let rows = sql.query(client).await?;
    let added = |row: &tokio_postgres::Row| Added {
        position: Position(row.get(0)),
        value: row.get(1),
        received_at: row.get(2),
    };
    Ok(rows.iter().map(added).collect())
}

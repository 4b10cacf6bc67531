//! Documents of `latest` and sums, made anew from what was written row by row: versions and entries.

use bytes::Bytes;

use super::table::{Table, table};
use crate::collection::Id;
use crate::postgres::{Client, Error, Sql, copy};

/// Documents that one statement makes.
const PAGE: i64 = 1_000;

pub async fn empty_latest(client: &Client, id: Id) -> Result<(), Error> {
    let mut sql = Sql::new("truncate ");
    sql.name(&table(id, Table::Documents));
    client.batch_execute(sql.text()).await?;
    Ok(())
}

/// The next page of documents above a key. Each is what the last message that became it has left, as old as the latest that said
/// the same. Answers with the page's last key; none if there are no more.
pub async fn rebuild_latest(
    client: &Client,
    id: Id,
    above: &str,
    render: impl Fn(&[u8]) -> Bytes,
) -> Result<Option<String>, Error> {
    let (documents, versions) = (table(id, Table::Documents), table(id, Table::Versions));
    let mut sql = Sql::new(
        "select distinct on (v.key) v.key, v.position, v.bytes_position, v.version, v.gone, i.payload, greatest(v.age, (select max(d.age) from ",
    );
    sql.name(&versions)
        .push(
            " d where d.key = v.key and d.what = 'duplicate' and d.version is null and d.position > v.position)) as age from ",
        )
        .name(&versions)
        .push(" v join inbox i on i.position = v.bytes_position")
        .bind(" where v.what = 'document' and v.key > $", above.to_owned())
        .bind(" order by v.key, v.position desc limit $", PAGE);
    let rows = sql.query(client).await?;
    let statement = format!(
        "copy {documents} (position, bytes_position, age, key, version, gone, data) from stdin binary"
    );
    copy(client, &statement, 7, rows.iter(), |row, found| {
        row.int8(found.get("position"));
        row.int8(found.get("bytes_position"));
        row.int8(found.get("age"));
        row.text(found.get("key"));
        row.optional_text(found.get("version"));
        row.truth(found.get("gone"));
        row.jsonb(render(found.get("payload")));
    })
    .await?;
    Ok(rows.last().map(|last| last.get("key")))
}

pub async fn rebuild_sums(client: &Client, id: Id) -> Result<(), Error> {
    let (sums, entries) = (table(id, Table::Sums), table(id, Table::Entries));
    // As one text, and hence one transaction.
    let statements = format!(
        "set local statement_timeout = 0; truncate {sums};
         insert into {sums} (account, sum, entries, last_position)
         select account, sum(value)::int8, count(*), max(position) from {entries} group by account"
    );
    client.batch_execute(&statements).await?;
    Ok(())
}

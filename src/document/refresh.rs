//! Documents written anew by another definition, and indexes built while the tables are in use.

use super::table::{Table, create_index, index, table};
use crate::collection::Id;
use crate::postgres::{Client, Error, Sql, query_one, query_opt};

/// Documents that one statement reads and one writes.
const PAGE: i64 = 500;

/// What one page came to.
pub struct Refreshed {
    pub seen: i64,
    pub changed: i64,
    /// The last key; none at the end.
    pub last: Option<String>,
}

/// The next page of documents above a key, each as `render` makes it of its bytes. One that has changed since it was read stays as
/// it is: it was written by the definition in force. `writer` is a query that finds a row if the caller may still write: asked by the statement
/// that writes, since one who stood still since he looked would undo what another has written meanwhile. None if it finds none.
pub async fn refresh(
    client: &Client,
    id: Id,
    above: &str,
    writer: impl FnOnce(&mut Sql),
    render: impl Fn(&[u8]) -> Vec<u8>,
) -> Result<Option<Refreshed>, Error> {
    let name = table(id, Table::Documents);
    let mut sql = Sql::new("select o.key, o.bytes_position, i.payload from ");
    sql.name(&name)
        .push(" o join inbox i on i.position = o.bytes_position")
        .bind(" where o.key > $", above.to_owned())
        .bind(" order by o.key limit $", PAGE);
    let rows = sql.query(client).await?;
    let keys: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let positions: Vec<i64> = rows.iter().map(|row| row.get(1)).collect();
    let documents = rows.iter().map(|row| render(row.get(2)));
    let documents: Vec<String> = documents
        .map(|json| String::from_utf8_lossy(&json).into_owned())
        .collect();
    let last = keys.last().cloned();
    let mut sql = Sql::new("with writer as (");
    writer(&mut sql);
    sql.bind("), w as (select * from unnest($::text[], ", keys)
        .bind("$::int8[], ", positions)
        .bind(
            "$::text[]) as w(key, bytes_position, data)), changed as (",
            documents,
        )
        .push("update ")
        .name(&name)
        .push(
            " c set data = w.data::jsonb from w, writer
              where c.key = w.key and c.bytes_position = w.bytes_position and c.data <> w.data::jsonb returning 1)
             select (select count(*) from changed), exists (select from writer)",
        );
    let mut changed = 0;
    if !rows.is_empty() {
        let row = &sql.query(client).await?[0];
        if !row.get::<_, bool>(1) {
            return Ok(None);
        }
        changed = row.get(0);
    }
    Ok(Some(Refreshed {
        seen: rows.len() as i64,
        changed,
        last,
    }))
}

const OID: &str = "select to_regclass($1)::oid::int8";

/// Which table it is: a replay puts another in its place.
pub async fn table_oid(client: &Client, id: Id) -> Result<i64, Error> {
    let name = format!("live.{}", table(id, Table::Documents));
    let found = query_one(client, OID, &[&name]).await?;
    Ok(found.get::<_, Option<i64>>(0).unwrap_or(0))
}

const INVALID: &str = "
    select 1 from pg_index x join pg_class i on i.oid = x.indexrelid
    where i.relname = $1 and i.relnamespace = 'live'::regnamespace and not x.indisvalid";

/// May take long, and waits for every transaction that is open now; nobody waits for it.
pub async fn build_index(client: &Client, id: Id, pointer: &str) -> Result<(), Error> {
    client
        .batch_execute("set statement_timeout = 0; set lock_timeout = 0")
        .await?;
    let name = index(id, pointer);
    if query_opt(client, INVALID, &[&name]).await?.is_some() {
        let mut sql = Sql::new("drop index concurrently if exists live.");
        sql.name(&name);
        client.batch_execute(sql.text()).await?;
    }
    let statement = create_index("live", id, pointer, true);
    client.batch_execute(&statement).await?;
    Ok(())
}

//! The `orders` and `duplicates` tables. The projector writes, the API reads.

use std::sync::Arc;

use bytes::Bytes;

use crate::inbox::Position;
use crate::postgres::{Client, Error, Sql, Write, copy, query};

/// An order that a batch brings.
pub struct NewOrder {
    pub key: Arc<str>,
    /// The canonical JSON, as it is served; empty in a replay, which fills no cache.
    pub data: Option<Bytes>,
    /// The stored form of the JSON (`write`).
    pub stored: Bytes,
    pub position: Position,
    pub bytes_position: Position,
}

const COPY_ORDERS: &str = "copy orders (position, bytes_position, key, data) from stdin binary";

pub async fn insert(client: &Client, orders: &[NewOrder]) -> Result<(), Error> {
    copy(client, COPY_ORDERS, 4, orders.iter(), |row, order| {
        row.int8(order.position.0);
        row.int8(order.bytes_position.0);
        row.text(&order.key);
        row.jsonb(&order.stored);
    })
    .await
}

const INSERT_FEW: &str = "
    insert into orders (position, bytes_position, key, data)
    select position, bytes_position, key, data::jsonb
    from unnest($1::int8[], $2::int8[], $3::text[], $4::text[]) as w(position, bytes_position, key, data)
    returning 1";

/// Inserts a few orders by one statement, which can be sent together with others.
pub fn insert_few(orders: &[NewOrder]) -> Write<'_> {
    fn column<'a, T>(orders: &'a [NewOrder], field: impl Fn(&'a NewOrder) -> T) -> Vec<T> {
        orders.iter().map(field).collect()
    }
    Write::new(INSERT_FEW)
        .with(column(orders, |order| order.position.0))
        .with(column(orders, |order| order.bytes_position.0))
        .with(column(orders, |order| &*order.key))
        .with(column(orders, |order| {
            String::from_utf8_lossy(&order.stored)
        }))
}

const COPY_DUPLICATES: &str = "copy duplicates (position, key) from stdin binary";

pub async fn insert_duplicates(
    client: &Client,
    duplicates: &[(Position, Arc<str>)],
) -> Result<(), Error> {
    let rows = duplicates.iter();
    copy(client, COPY_DUPLICATES, 2, rows, |row, (position, key)| {
        row.int8(position.0);
        row.text(key);
    })
    .await
}

/// By orders_pkey.
const FIND: &str = "
    select o.key, i.payload
    from orders o join inbox i on i.position = o.bytes_position
    where o.key = any($1)";

/// Which of these uids are taken, and by which bytes.
pub async fn find(client: &Client, keys: &[&str]) -> Result<Vec<(String, Bytes)>, Error> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    Ok(bytes_by_uid(query(client, FIND, &[&keys]).await?))
}

fn bytes_by_uid(rows: Vec<tokio_postgres::Row>) -> Vec<(String, Bytes)> {
    rows.iter()
        .map(|row| (row.get(0), Bytes::copy_from_slice(row.get(1))))
        .collect()
}

/// An order as a reader gets it: the inbox's bytes, from which it is rendered, and the projected JSON in case this version of the
/// code cannot parse them.
pub struct Stored {
    pub key: String,
    pub position: Position,
    pub payload: Bytes,
    pub data: String,
}

/// What `stored` reads, without its condition.
pub const STORED: &str = "
    select o.key, o.position, i.payload, o.data::text
    from orders o join inbox i on i.position = o.bytes_position";

/// Reads a row of `STORED`.
pub fn stored(row: &tokio_postgres::Row) -> Stored {
    Stored {
        key: row.get(0),
        position: Position(row.get(1)),
        payload: Bytes::copy_from_slice(row.get(2)),
        data: row.get(3),
    }
}

/// By orders_pkey.
pub async fn by_uid(client: &Client, key: &str) -> Result<Option<Stored>, Error> {
    let mut sql = Sql::new(STORED);
    sql.bind(" where o.key = $", key.to_owned());
    Ok(sql.query(client).await?.first().map(stored))
}

/// What orders are filtered by: where in their JSON, and the text that is to be there.
pub type Lookup = (&'static str, String);

/// Those of the lookups that are asked for. There is an index on each: orders_customer, orders_track.
pub fn lookups(customer_id: Option<String>, track_number: Option<String>) -> Vec<Lookup> {
    let lookups = [
        ("/customer_id", customer_id),
        ("/track_number", track_number),
    ];
    let asked = lookups.into_iter();
    asked
        .filter_map(|(pointer, value)| Some((pointer, value?)))
        .collect()
}

/// `column` is where the orders' JSON is.
fn narrow(sql: &mut Sql, column: &'static str, lookups: &[Lookup]) {
    for (pointer, value) in lookups {
        sql.push(" and ")
            .text_at(column, pointer)
            .bind(" = $", value.clone());
    }
}

/// Newest first. By the lookups' indexes; without any by orders_position.
pub async fn list(
    client: &Client,
    lookups: &[Lookup],
    before: Position,
    limit: i64,
) -> Result<Vec<Stored>, Error> {
    let mut sql = Sql::new(STORED);
    sql.bind(" where o.position < $", before.0);
    narrow(&mut sql, "o.data", lookups);
    sql.bind(" order by o.position desc limit $", limit);
    Ok(sql.query(client).await?.iter().map(stored).collect())
}

/// By orders_position: what rules are checked against.
const WINDOW: &str = "
    select o.key, i.payload
    from orders o join inbox i on i.position = o.bytes_position
    where o.position > $1 and o.position <= $2";

pub async fn window(
    client: &Client,
    after: Position,
    until: Position,
) -> Result<Vec<(String, Bytes)>, Error> {
    let rows = query(client, WINDOW, &[&after.0, &until.0]).await?;
    Ok(bytes_by_uid(rows))
}

/// Some orders, each its uid and bytes, and the position after which the next page begins.
pub struct Page {
    pub orders: Vec<(String, Bytes)>,
    pub after: Position,
}

/// How many positions one page looks at if all orders are asked for; most positions are orders.
const SPAN: i64 = 1_024;
/// How many rows one page has at most if an index finds them.
const ROWS: i64 = 512;
/// How many bytes of payloads one page has at most; a single larger payload is a page of its own.
const BYTES: i64 = 4 << 20;

/// By the lookups' indexes; without any by orders_position. The running sum bounds the answer in bytes without reading what lies
/// beyond.
fn page_between(lookups: &[Lookup], after: i64, end: i64) -> Sql {
    let mut sql = Sql::new(
        "select key, position, payload from (
            select o.key, o.position, i.payload,
                sum(octet_length(i.payload)) over (order by o.position) - octet_length(i.payload) as before
            from (select key, position, bytes_position from orders",
    );
    sql.bind(" where position > $", after)
        .bind(" and position <= $", end);
    if !lookups.is_empty() {
        narrow(&mut sql, "data", lookups);
        sql.bind(" order by position limit $", ROWS);
    }
    sql.bind(
        ") o join inbox i on i.position = o.bytes_position
        ) page where before < $ order by position",
        BYTES,
    );
    sql
}

/// The page after `after`; none if there are no more orders up to `until`.
pub async fn page(
    client: &Client,
    lookups: &[Lookup],
    after: Position,
    until: Position,
) -> Result<Option<Page>, Error> {
    let mut after = after.0;
    while after < until.0 {
        let end = match lookups {
            [] => until.0.min(after.saturating_add(SPAN)),
            _ => until.0,
        };
        let rows = page_between(lookups, after, end).query(client).await?;
        let mut page = Page {
            orders: Vec::with_capacity(rows.len()),
            after: Position(end),
        };
        let mut bytes = 0;
        for row in &rows {
            let payload = Bytes::copy_from_slice(row.get(2));
            bytes += payload.len() as i64;
            page.orders.push((row.get(0), payload));
        }
        // If the page was cut short, by bytes or by rows, the next begins after its last row; if not, after its whole span.
        let by_rows = end == until.0 && rows.len() as i64 >= ROWS;
        if let Some(last) = rows.last().filter(|_| bytes >= BYTES || by_rows) {
            page.after = Position(last.get(1));
        }
        if !page.orders.is_empty() {
            return Ok(Some(page));
        }
        after = page.after.0;
    }
    Ok(None)
}

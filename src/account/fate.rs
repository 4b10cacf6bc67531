//! What became of rows: the counters, and the look-ups for one row or a window of them.

use crate::inbox::Position;
use crate::postgres::{Client, Error, Write, query, query_one, query_opt};

words! {
    pub enum Fate {
        Document = "document",
        Superseded = "superseded",
        Duplicate = "duplicate",
        DeadLetter = "dead_letter",
        Decision = "decision",
    }
}

const ADD_FATES: &str = "
    update fates f set count = f.count + w.count
    from unnest($1::text[], $2::int8[]) as w(fate, count)
    where f.fate = w.fate and w.count <> 0";

pub fn add_fates(counts: [i64; 5]) -> Write<'static> {
    let words: Vec<&str> = Fate::ALL.iter().map(|fate| fate.as_str()).collect();
    Write::new(ADD_FATES).with(words).with(counts.to_vec())
}

/// By the derived tables' primary keys. A row that is projected and in none of them is an order.
const FATE: &str = "
    select case
        when c.position is not null then c.fate
        when l.id is not null then 'dead_letter'
        when d.position is not null then 'duplicate'
        when i.position > (select position from checkpoint where projection = 'documents') then 'pending'
        else 'document' end
    from inbox i
    left join decisions c on c.position = i.position
    left join dead_letters l on l.id = i.position
    left join duplicates d on d.position = i.position
    where i.position = $1";

/// The fate of a row as a word, or `pending`; none if there is no such row.
pub async fn fate(client: &Client, position: Position) -> Result<Option<String>, Error> {
    let found = query_opt(client, FATE, &[&position.0]).await?;
    Ok(found.map(|row| row.get(0)))
}

const PROJECTED: &str = "select position from checkpoint where projection = 'documents'";

/// The live projection's position: all rows up to it are in the tables that readers see.
pub async fn projected(client: &Client) -> Result<Position, Error> {
    Ok(Position(query_one(client, PROJECTED, &[]).await?.get(0)))
}

/// By the derived tables' primary keys. Most rows are orders, so the answer is short.
const NOT_ORDERS: &str = "
    select id from dead_letters where id > $1 and id <= $2
    union all select position from duplicates where position > $1 and position <= $2
    union all select position from decisions where position > $1 and position <= $2 and fate <> 'document'";

/// The rows between two positions that are no orders. All other projected rows are.
pub async fn not_orders(
    client: &Client,
    after: Position,
    to: Position,
) -> Result<Vec<Position>, Error> {
    positions(client, NOT_ORDERS, after, to).await
}

/// By decisions_pkey.
const HEALED: &str = "
    select letter from decisions
    where position > $1 and position <= $2 and fate = 'document' and action in ('retry', 'reopen')";

/// The letters that became orders by a decision between two positions. Such an order has the decision's position and the
/// letter's bytes.
pub async fn healed(
    client: &Client,
    after: Position,
    to: Position,
) -> Result<Vec<Position>, Error> {
    positions(client, HEALED, after, to).await
}

async fn positions(
    client: &Client,
    statement: &'static str,
    after: Position,
    to: Position,
) -> Result<Vec<Position>, Error> {
    let rows = query(client, statement, &[&after.0, &to.0]).await?;
    Ok(rows.iter().map(|row| Position(row.get(0))).collect())
}

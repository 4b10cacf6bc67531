//! What became of rows: the counters, and the look-ups for one row or a window of them.

use std::collections::BTreeMap;

use crate::collection::Id;
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

/// How many rows of each collection met each fate.
#[derive(Default)]
pub struct Counts(BTreeMap<(Id, Fate), i64>);

impl Counts {
    pub fn add(&mut self, id: Id, fate: Fate) {
        *self.0.entry((id, fate)).or_default() += 1;
    }

    /// Of all collections.
    pub fn of(&self, fate: Fate) -> i64 {
        let of = self.0.iter().filter(|((_, one), _)| *one == fate);
        of.map(|(_, count)| count).sum()
    }
}

const ADD_FATES: &str = "
    insert into fates as f (collection, fate, count)
    select * from unnest($1::int8[], $2::text[], $3::int8[])
    on conflict on constraint fates_pkey do update set count = f.count + excluded.count";

pub fn add_fates(counts: &Counts) -> Write<'static> {
    let ids: Vec<i64> = counts.0.keys().map(|(id, _)| id.0).collect();
    let words: Vec<&str> = counts.0.keys().map(|(_, fate)| fate.as_str()).collect();
    let counted: Vec<i64> = counts.0.values().copied().collect();
    Write::new(ADD_FATES).with(ids).with(words).with(counted)
}

const BY_COLLECTION: &str = "select collection, fate, count from fates";

/// What was counted, of each collection that ever was.
pub async fn by_collection(client: &Client) -> Result<BTreeMap<(Id, Fate), i64>, Error> {
    let rows = query(client, BY_COLLECTION, &[]).await?;
    let counted = rows.iter().filter_map(|row| {
        let fate = row.get::<_, &str>(1).parse().ok()?;
        Some(((Id(row.get(0)), fate), row.get(2)))
    });
    Ok(counted.collect())
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

/// By the derived tables' primary keys. Most rows are documents, so the answer is short.
const NOT_DOCUMENTS: &str = "
    select id from dead_letters where id > $1 and id <= $2
    union all select position from duplicates where position > $1 and position <= $2
    union all select position from decisions where position > $1 and position <= $2 and fate <> 'document'";

/// The rows between two positions that are no documents. All other projected rows are.
pub async fn not_documents(
    client: &Client,
    after: Position,
    to: Position,
) -> Result<Vec<Position>, Error> {
    positions(client, NOT_DOCUMENTS, after, to).await
}

/// By decisions_pkey and dead_letters_pkey.
const HEALED: &str = "
    select d.letter, d.collection, l.age from decisions d join dead_letters l on l.id = d.letter
    where d.position > $1 and d.position <= $2 and d.fate = 'document' and d.action in ('retry', 'reopen')";

/// A letter that became a document by a decision.
pub struct Healed {
    pub letter: Position,
    pub collection: Id,
    pub age: Position,
}

/// The letters that became documents by a decision between two positions. Such a document has the decision's position and the
/// letter's bytes.
pub async fn healed(client: &Client, after: Position, to: Position) -> Result<Vec<Healed>, Error> {
    let rows = query(client, HEALED, &[&after.0, &to.0]).await?;
    let healed = rows.iter().map(|row| Healed {
        letter: Position(row.get(0)),
        collection: Id(row.get(1)),
        age: Position(row.get(2)),
    });
    Ok(healed.collect())
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

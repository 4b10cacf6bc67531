//! Lists and exports: pages of a collection's documents. Those of `first` are in the order of the log; those of `latest` in the
//! order of their keys, since a document there changes its place in the log whenever it changes.

use bytes::Bytes;

use super::find::{Place, Stored, select, stored};
use super::table::{Table, looked_up, table};
use crate::collection::Keep;
use crate::inbox::Position;
use crate::postgres::{Client, Error, Sql};

/// What documents are looked up by: a pointer of the collection's lookups, and the text that is to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    pub pointer: String,
    pub value: String,
}

/// Which documents are asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    pub lookups: Vec<Lookup>,
    /// Only those whose row in the log is between these, neither included.
    pub above: Position,
    pub below: Position,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            lookups: Vec::new(),
            above: Position(0),
            below: Position(i64::MAX),
        }
    }
}

impl Asked {
    /// The conditions on a row called `o`.
    fn narrow(&self, sql: &mut Sql, keep: Keep) {
        sql.bind(" where o.position > $", self.above.0)
            .bind(" and o.position < $", self.below.0);
        if keep == Keep::Latest {
            sql.push(" and not o.gone");
        }
        for lookup in &self.lookups {
            sql.push(" and ");
            looked_up(sql, "o.data", &lookup.pointer);
            sql.bind(" = left($, 512) and ", lookup.value.clone())
                .text_at("o.data", &lookup.pointer)
                .bind(" = $", lookup.value.clone());
        }
    }
}

/// Where a page ended, and the next begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    Position(Position),
    Key(String),
}

impl Cursor {
    /// Before the first page of a list: of `first` the newest comes first.
    pub fn start(keep: Keep) -> Self {
        match keep {
            Keep::First => Self::Position(Position(i64::MAX)),
            Keep::Latest => Self::Key(String::new()),
        }
    }
}

/// `first` newest first, `latest` by key. By the index on the position, the lookups' indexes, or the primary key. Answers with
/// where the next page begins; none on the last.
pub async fn list(
    client: &Client,
    place: Place,
    asked: &Asked,
    after: &Cursor,
    limit: usize,
) -> Result<(Vec<Stored>, Option<Cursor>), Error> {
    let mut sql = Sql::new("");
    select(&mut sql, place);
    asked.narrow(&mut sql, place.keep);
    match after {
        Cursor::Position(position) => {
            sql.bind(" and o.position < $", position.0)
                .push(" order by o.position desc");
        }
        Cursor::Key(key) => {
            sql.bind(" and o.key > $", key.clone())
                .push(" order by o.key");
        }
    }
    sql.bind(" limit $", i64::try_from(limit + 1).unwrap_or(i64::MAX));
    let rows = sql.query(client).await?;
    let more = rows.len() > limit;
    let mut found: Vec<Stored> = rows.iter().map(stored).collect();
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| match after {
        Cursor::Position(_) => Cursor::Position(last.position),
        Cursor::Key(_) => Cursor::Key(last.key.clone()),
    });
    Ok((found, next))
}

/// Some documents, each its key and bytes, and where the next page begins; none after the last.
pub struct Page {
    pub documents: Vec<(String, Bytes)>,
    pub next: Option<Cursor>,
}

/// How many positions one page of an export looks at if all documents are asked for; most positions are documents.
const SPAN: i64 = 1_024;
/// How many rows one page has at most if an index finds them.
const ROWS: i64 = 512;
/// How many bytes of payloads one page has at most; a single larger payload is a page of its own.
const BYTES: i64 = 4 << 20;

impl Cursor {
    /// Before the first page of an export, which has `first` oldest first.
    pub fn oldest(keep: Keep) -> Self {
        match keep {
            Keep::First => Self::Position(Position(0)),
            Keep::Latest => Self::Key(String::new()),
        }
    }
}

/// By the lookups' indexes; without any by the index on the position, or by the primary key. The running sum bounds the answer in
/// bytes without reading what lies beyond.
fn page_after(place: Place, asked: &Asked, after: &Cursor, end: i64) -> Sql {
    let order = match after {
        Cursor::Position(_) => "o.position",
        Cursor::Key(_) => "o.key",
    };
    let mut sql = Sql::new(
        "select key, position, payload from (select o.key, o.position, i.payload, sum(octet_length(i.payload)) over (order by ",
    );
    sql.push(order)
        .push(") - octet_length(i.payload) as before from (select key, position, bytes_position from ")
        .name(&table(place.id, Table::Documents))
        .push(" o");
    asked.narrow(&mut sql, place.keep);
    match after {
        Cursor::Position(position) => {
            sql.bind(" and o.position > $", position.0)
                .bind(" and o.position <= $", end);
        }
        Cursor::Key(key) => {
            sql.bind(" and o.key > $", key.clone());
        }
    }
    if !asked.lookups.is_empty() || matches!(after, Cursor::Key(_)) {
        sql.push(" order by ").push(order).bind(" limit $", ROWS);
    }
    sql.push(") o join inbox i on i.position = o.bytes_position) o")
        .bind(" where before < $ order by ", BYTES)
        .push(order);
    sql
}

/// The page after `after`; none if there are no more documents up to `until`.
pub async fn page(
    client: &Client,
    place: Place,
    asked: &Asked,
    after: Cursor,
    until: Position,
) -> Result<Page, Error> {
    let mut after = after;
    loop {
        let end = match (&after, asked.lookups.as_slice()) {
            (Cursor::Position(position), []) => until.0.min(position.0.saturating_add(SPAN)),
            _ => until.0,
        };
        if matches!(after, Cursor::Position(position) if position.0 >= until.0) {
            return Ok(Page {
                documents: Vec::new(),
                next: None,
            });
        }
        let rows = page_after(place, asked, &after, end).query(client).await?;
        let mut documents = Vec::with_capacity(rows.len());
        let mut bytes = 0;
        for row in &rows {
            let payload = Bytes::copy_from_slice(row.get(2));
            bytes += payload.len() as i64;
            documents.push((row.get(0), payload));
        }
        let by_rows = rows.len() as i64 >= ROWS;
        let last = rows.last();
        let next = match (&after, last) {
            // If the page was cut short, by bytes or by rows, the next begins after its last row; if not, after its whole span.
            (Cursor::Position(_), Some(last)) if bytes >= BYTES || (by_rows && end == until.0) => {
                Some(Cursor::Position(Position(last.get(1))))
            }
            (Cursor::Position(_), _) => Some(Cursor::Position(Position(end))),
            (Cursor::Key(_), Some(last)) if bytes >= BYTES || by_rows => {
                Some(Cursor::Key(last.get(0)))
            }
            (Cursor::Key(_), _) => None,
        };
        match next {
            Some(next) if documents.is_empty() => after = next,
            next => return Ok(Page { documents, next }),
        }
    }
}

/// By the index on the position, or of `latest` by the primary key of its versions: what came last.
pub async fn newest(client: &Client, place: Place, limit: usize) -> Result<Vec<Stored>, Error> {
    if place.keep == Keep::First {
        let start = Cursor::start(place.keep);
        let (found, _) = list(client, place, &Asked::default(), &start, limit).await?;
        return Ok(found);
    }
    let mut sql = Sql::new("");
    select(&mut sql, place);
    sql.push(" join (select distinct key from (select key from ")
        .name(&table(place.id, Table::Versions))
        .bind(
            " where what = 'document' order by position desc limit $) l) n on n.key = o.key",
            i64::try_from(limit).unwrap_or(i64::MAX),
        )
        .push(" where not o.gone order by o.position desc");
    Ok(sql.query(client).await?.iter().map(stored).collect())
}

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use jiff::Timestamp;
use tokio_postgres::Row as SqlRow;
use tokio_postgres::types::Json;

use super::decision::Decision;
use super::row::{Position, Row, SourceId};
use crate::postgres::{Client, Error, execute, query, query_one, query_opt};

/// By inbox_pkey. The running sum bounds the answer in bytes without reading what lies beyond; octet_length does not fetch a
/// payload that is stored apart (TOAST). A decision is jsonb, and has to be fetched for its length: decisions are few, and most
/// are short.
const READ_BATCH: &str = "
    select position, source_id, sequence, broker_time_ns, received_at, payload, decision
    from (
        select *, sum(bytes) over (order by position) - bytes as before
        from (
            select *, coalesce(octet_length(payload), 0) + coalesce(octet_length(decision::text), 0) as bytes
            from inbox
            where position > $1 and position <= $1 + $2
        ) sized
    ) batch
    where before < $3
    order by position";

/// The rows after `after`, in order, bounded in rows and in bytes (but at least one).
pub async fn read_batch(
    client: &Client,
    after: Position,
    rows: i64,
    bytes: i64,
) -> Result<Vec<Row>, Error> {
    let found = query(client, READ_BATCH, &[&after.0, &rows, &bytes]).await?;
    Ok(found.iter().map(row).collect())
}

/// By place, which costs nothing: the first columns of both statements that read whole rows.
fn row(found: &SqlRow) -> Row {
    Row {
        position: Position(found.get(0)),
        source: SourceId(found.get(1)),
        sequence: found.get(2),
        broker_time_ns: found.get(3),
        received_at: found.get(4),
        payload: bytes_of(found.get(5)),
        decision: found.get::<_, Option<Json<Decision>>>(6).map(|json| json.0),
    }
}

fn bytes_of(column: Option<&[u8]>) -> Option<Bytes> {
    column.map(Bytes::copy_from_slice)
}

/// One row with all that the log says of it, for people.
pub struct Content {
    pub row: Row,
    pub source_kind: String,
    pub source_name: String,
    /// What its source feeds.
    pub collection: Option<String>,
    pub key: Option<String>,
    pub hash: i64,
}

const ROW_AT: &str = "
    select i.position, i.source_id, i.sequence, i.broker_time_ns, i.received_at, i.payload, i.decision,
           s.kind, s.name, s.collection, i.key, i.hash
    from inbox i join source s on s.id = i.source_id
    where i.position = $1";

pub async fn row_at(client: &Client, position: Position) -> Result<Option<Content>, Error> {
    let found = query_opt(client, ROW_AT, &[&position.0]).await?;
    Ok(found.map(|found| Content {
        row: row(&found),
        source_kind: found.get("kind"),
        source_name: found.get("name"),
        collection: found.get("collection"),
        key: found.get("key"),
        hash: found.get("hash"),
    }))
}

/// By inbox_key.
const BY_KEY: &str = "select decision from inbox where source_id = $1 and key = $2";

/// The decision that was made under this key.
pub async fn decision_by_key(
    client: &Client,
    source: SourceId,
    key: &str,
) -> Result<Option<Decision>, Error> {
    let found = query_opt(client, BY_KEY, &[&source.0, &key]).await?;
    Ok(found
        .and_then(|row| row.get::<_, Option<Json<Decision>>>(0))
        .map(|json| json.0))
}

const PAYLOAD: &str = "select payload from inbox where position = $1";

pub async fn payload(client: &Client, position: Position) -> Result<Option<Bytes>, Error> {
    let found = query_opt(client, PAYLOAD, &[&position.0]).await?;
    Ok(found.and_then(|row| bytes_of(row.get(0))))
}

const PAYLOADS: &str =
    "select position, payload from inbox where position = any($1) and payload is not null";

/// The bytes of several messages: of the orders and letters that a batch refers to.
pub async fn payloads(client: &Client, positions: &[i64]) -> Result<Vec<(Position, Bytes)>, Error> {
    if positions.is_empty() {
        return Ok(Vec::new());
    }
    let found = query(client, PAYLOADS, &[&positions]).await?;
    Ok(found
        .iter()
        .map(|row| (Position(row.get(0)), Bytes::copy_from_slice(row.get(1))))
        .collect())
}

/// The running sum bounds the answer in bytes, as in `READ_BATCH`.
const PAYLOADS_WITHIN: &str = "
    select position, payload from (
        select position, payload, sum(coalesce(octet_length(payload), 0)) over (order by position desc)
            - coalesce(octet_length(payload), 0) as before
        from inbox where position = any($1)
    ) batch where before < $2 order by position desc";

/// The payloads at these positions, the newest first, until they add up to `bytes` (but at least one).
pub async fn payloads_within(
    client: &Client,
    positions: &[i64],
    bytes: i64,
) -> Result<Vec<(Position, Bytes)>, Error> {
    let found = query(client, PAYLOADS_WITHIN, &[&positions, &bytes]).await?;
    Ok(found
        .iter()
        .map(|row| {
            (
                Position(row.get(0)),
                bytes_of(row.get(1)).unwrap_or_default(),
            )
        })
        .collect())
}

const HEAD: &str = "select next_position - 1 from inbox_head";

/// The last position that was given to a row; 0 in an empty log.
pub async fn head(client: &Client) -> Result<Position, Error> {
    Ok(Position(query_one(client, HEAD, &[]).await?.get(0)))
}

const RECEIVED_AT: &str = "select received_at from inbox where position = $1";

/// The first position that was received at or after a time, as far as positions rise with time: each process has a clock of its
/// own. One beyond the last, if none was.
pub async fn position_at(client: &Client, at: Timestamp) -> Result<Position, Error> {
    let (mut low, mut high) = (1, head(client).await?.0 + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let found = query_opt(client, RECEIVED_AT, &[&middle]).await?;
        // Beyond what is committed: received later than all that is.
        let earlier = found.is_some_and(|row| row.get::<_, Timestamp>(0) < at);
        if earlier {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(Position(low))
}

/// By inbox_pkey.
const MESSAGES: &str = "
    select position, payload, source_id from inbox
    where position > $1 and position <= $2 and payload is not null
    order by position desc";

/// A row with a payload.
pub struct Message(tokio_postgres::Row);

impl Message {
    pub fn position(&self) -> Position {
        Position(self.0.get(0))
    }

    pub fn payload(&self) -> &[u8] {
        self.0.get(1)
    }

    pub fn source(&self) -> SourceId {
        SourceId(self.0.get(2))
    }
}

/// The messages between two positions, the newest first, as a stream: a window of the largest messages would not fit in memory.
pub async fn messages(
    client: &Client,
    after: Position,
    to: Position,
) -> Result<impl Stream<Item = Result<Message, Error>>, Error> {
    let statement = client.prepare_cached(MESSAGES).await?;
    let rows = client.query_raw(&statement, [after.0, to.0]).await?;
    Ok(rows.map_ok(Message).map_err(Error::from))
}

/// By inbox_pkey. Order and limit keep the planner from reading all of a table whose statistics are old.
const COUNT: &str = "
    select count(*) from (select from inbox where position > $1 and position <= $1 + $2 order by position limit $2) w";

/// Positions that one statement counts. If vacuum has not been there yet, each row is looked up in the table: 0.2 s for so many
/// from memory, some seconds from the disk. A statement may take 12 s.
const SPAN: i64 = 100_000;

/// Counts the rows between two positions. The positions are dense, so they say how many there should be; this says how many there
/// are.
pub async fn count(client: &Client, after: Position, to: Position) -> Result<i64, Error> {
    let mut rows = 0;
    let mut after = after.0;
    while after < to.0 {
        let span = SPAN.min(to.0 - after);
        rows += query_one(client, COUNT, &[&after, &span])
            .await?
            .get::<_, i64>(0);
        after += span;
    }
    Ok(rows)
}

const SOURCE: &str = "select id, collection from source where kind = $1 and name = $2";
const NEW_SOURCE: &str = "
    insert into source (kind, name, collection) values ($1, $2, $3) on conflict on constraint source_name do nothing";

/// The id of a source, made at its first use, and the collection that it feeds, which never changes. Looked for first: an insert
/// takes a number also if there is a conflict, and ids are to stay dense.
pub async fn source(
    client: &Client,
    kind: &'static str,
    name: &str,
    collection: Option<&str>,
) -> Result<(SourceId, Option<String>), Error> {
    let read = |row: tokio_postgres::Row| (SourceId(row.get(0)), row.get(1));
    if let Some(row) = query_opt(client, SOURCE, &[&kind, &name]).await? {
        return Ok(read(row));
    }
    execute(client, NEW_SOURCE, &[&kind, &name, &collection]).await?;
    // Made by us, or by another process that came first.
    Ok(read(query_one(client, SOURCE, &[&kind, &name]).await?))
}

const COLLECTIONS: &str = "select id, collection from source where collection is not null";

/// Which collection each source feeds, by its name.
pub async fn collections(client: &Client) -> Result<Vec<(SourceId, String)>, Error> {
    let rows = query(client, COLLECTIONS, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| (SourceId(row.get(0)), row.get(1)))
        .collect())
}

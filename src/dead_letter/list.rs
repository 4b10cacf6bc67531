//! What readers ask: lists, groups, one letter's story.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use jiff::Timestamp;
use tokio_postgres::types::Json;

use super::filter::{Filter, Named, format_fingerprint, parse_fingerprint};
use super::letter::{Letter, Verdict};
use super::store::{LETTER, from_row};
use crate::collection::Id;
use crate::inbox::{Decision, Position};
use crate::postgres::{Client, Error, Sql, query, query_one, query_opt};

async fn look_up(client: &Client, filter: &Filter) -> Result<Named, Error> {
    let mut named = Named::default();
    if filter.asks_for_a_group() {
        let mut sql = Sql::new("");
        filter.groups(&mut sql);
        let rows = sql.query_once(client).await?;
        named.groups = Some(rows.iter().map(|row| row.get(0)).collect());
    }
    if filter.source.is_some() {
        let mut sql = Sql::new("");
        filter.sources(&mut sql);
        let rows = sql.query_once(client).await?;
        named.sources = Some(rows.iter().map(|row| row.get(0)).collect());
    }
    Ok(named)
}

pub async fn list(
    client: &Client,
    filter: &Filter,
    before: i64,
    limit: i64,
) -> Result<Vec<Letter>, Error> {
    let named = look_up(client, filter).await?;
    if named.is_nothing() {
        return Ok(Vec::new());
    }
    let page = filter.page(&named, before, limit);
    let rows = page.query_once(client).await?;
    Ok(rows.iter().map(from_row).collect())
}

/// Of the letters above `above` and up to `to`, those that the filter asks for; `limit` at most, in no order.
pub async fn ids(
    client: &Client,
    filter: &Filter,
    above: i64,
    to: i64,
    limit: i64,
) -> Result<Vec<i64>, Error> {
    let page = filter.ids_between(above, to, limit);
    let rows = page.query_once(client).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// By dead_letters_pkey.
const PAGE_END: &str = "
    select case when count(*) < $3 then $2 else max(id) end
    from (select id from dead_letters where id > $1 and id <= $2 order by id limit $3) page";

/// Where a page of `letters` letters above `above` ends; `to` if there are no more of them.
pub async fn page_end(client: &Client, above: i64, to: i64, letters: i64) -> Result<i64, Error> {
    let row = query_one(client, PAGE_END, &[&above, &to, &letters]).await?;
    Ok(row.get(0))
}

/// By dead_letters_pkey.
const NEWEST: &str = "select coalesce(max(id), 0) from dead_letters";

pub async fn newest(client: &Client) -> Result<i64, Error> {
    Ok(query_one(client, NEWEST, &[]).await?.get(0))
}

/// A group's letters are alike: reason, code and field.
pub struct Group {
    pub fingerprint: i64,
    pub collection: Id,
    pub reason: String,
    pub code: String,
    pub pointer: String,
    pub message: String,
    pub open: i64,
    pub replaced: i64,
    pub discarded: i64,
    pub sample: Position,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
}

/// Where a group stands in the list of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupPlace {
    pub open: i64,
    pub last_seen: Timestamp,
    pub fingerprint: i64,
}

/// As a cursor, `12.1767225600000000.00ab…`: open letters, microseconds, fingerprint.
impl fmt::Display for GroupPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fingerprint = format_fingerprint(self.fingerprint);
        write!(
            f,
            "{}.{}.{fingerprint}",
            self.open,
            self.last_seen.as_microsecond()
        )
    }
}

impl FromStr for GroupPlace {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parts: Vec<&str> = text.split('.').collect();
        let [open, last_seen, fingerprint] = parts[..] else {
            return Err(());
        };
        let last_seen = last_seen.parse().map_err(|_| ())?;
        Ok(Self {
            open: open.parse().map_err(|_| ())?,
            last_seen: Timestamp::from_microsecond(last_seen).map_err(|_| ())?,
            fingerprint: parse_fingerprint(fingerprint).ok_or(())?,
        })
    }
}

impl Group {
    pub fn place(&self) -> GroupPlace {
        GroupPlace {
            open: self.open,
            last_seen: self.last_seen,
            fingerprint: self.fingerprint,
        }
    }
}

/// There are as many groups as kinds of mistakes: the table is small however many letters there are.
const GROUPS: &str = "
    select fingerprint, reason, code, pointer, message, open, replaced, discarded, sample, first_seen, last_seen,
        collection
    from dead_letter_groups
    where open + replaced + discarded > 0 and collection = any($7)
      and ($1::text is null or ($1 = 'open' and open > 0) or ($1 = 'replaced' and replaced > 0) or ($1 = 'discarded' and discarded > 0))
      and ($2::text is null or reason = $2)
      and ($3::int8 is null or (open, last_seen, fingerprint) < ($3, $4::timestamptz, $5))
    order by open desc, last_seen desc, fingerprint desc
    limit $6";

/// The largest open ones first, behind `after`.
pub async fn groups(
    client: &Client,
    state: Option<&str>,
    reason: Option<&str>,
    after: Option<GroupPlace>,
    limit: i64,
    collections: &[i64],
) -> Result<Vec<Group>, Error> {
    let open = after.map(|place| place.open);
    let last_seen = after.map(|place| place.last_seen);
    let fingerprint = after.map(|place| place.fingerprint);
    let rows = query(
        client,
        GROUPS,
        &[
            &state,
            &reason,
            &open,
            &last_seen,
            &fingerprint,
            &limit,
            &collections,
        ],
    )
    .await?;
    Ok(rows
        .iter()
        .map(|row| Group {
            fingerprint: row.get("fingerprint"),
            collection: Id(row.get("collection")),
            reason: row.get("reason"),
            code: row.get("code"),
            pointer: row.get("pointer"),
            message: row.get("message"),
            open: row.get("open"),
            replaced: row.get("replaced"),
            discarded: row.get("discarded"),
            sample: Position(row.get("sample")),
            first_seen: row.get("first_seen"),
            last_seen: row.get("last_seen"),
        })
        .collect())
}

/// One letter with everything that is known of it.
pub struct Story {
    pub letter: Letter,
    pub violations: serde_json::Value,
    pub payload: Bytes,
    pub source_kind: String,
    pub source_name: String,
    pub decisions: Vec<PastDecision>,
}

/// One decision about a letter, as the log has it and as the fold answered.
pub struct PastDecision {
    pub position: Position,
    pub decision: Decision,
    pub result: String,
    pub at: Timestamp,
}

/// By the primary key of each table, behind `LETTER`.
const ONE: &str = ", v.violations, i.payload, s.kind as source_kind, s.name as source_name
    from dead_letters l
    join verdict v on v.position = l.verdict_position
    join inbox i on i.position = l.id
    join source s on s.id = l.source_id
    where l.id = $";

/// By decisions_letter.
const DECISIONS: &str = "
    select d.position, i.decision, d.result, i.received_at
    from decisions d join inbox i on i.position = d.position
    where d.letter = $1 order by d.position limit 500";

pub async fn story(client: &Client, id: Position) -> Result<Option<Story>, Error> {
    let mut sql = Sql::new(LETTER);
    sql.bind(ONE, id.0);
    let found = sql.query(client).await?;
    let Some(row) = found.first() else {
        return Ok(None);
    };
    let decisions = query(client, DECISIONS, &[&id.0]).await?;
    Ok(Some(Story {
        letter: from_row(row),
        violations: row.get("violations"),
        payload: Bytes::copy_from_slice(row.get::<_, Option<&[u8]>>("payload").unwrap_or_default()),
        source_kind: row.get("source_kind"),
        source_name: row.get("source_name"),
        decisions: decisions
            .iter()
            .map(|row| PastDecision {
                position: Position(row.get("position")),
                decision: row.get::<_, Json<Decision>>("decision").0,
                result: row.get("result"),
                at: row.get("received_at"),
            })
            .collect(),
    }))
}

/// What the fold said of a decision; none while it is pending.
const RESULT: &str = "select result, refers_to, fate, letter from decisions where position = $1";

pub struct DecisionResult {
    pub result: String,
    pub refers_to: Option<Position>,
    pub fate: String,
    pub letter: Option<i64>,
}

pub async fn result(client: &Client, position: Position) -> Result<Option<DecisionResult>, Error> {
    let found = query_opt(client, RESULT, &[&position.0]).await?;
    Ok(found.map(|row| DecisionResult {
        result: row.get("result"),
        refers_to: row.get::<_, Option<i64>>("refers_to").map(Position),
        fate: row.get("fate"),
        letter: row.get("letter"),
    }))
}

/// By dead_letters_state.
const OLDEST_OPEN: &str = "
    select l.received_at from dead_letters l where l.state = 'open' and l.collection = any($1) order by l.id limit 1";
const COUNTS: &str = "
    select coalesce(sum(open), 0)::int8, coalesce(sum(replaced), 0)::int8, coalesce(sum(discarded), 0)::int8
    from dead_letter_groups where collection = any($1)";

pub struct Summary {
    pub open: i64,
    pub replaced: i64,
    pub discarded: i64,
    pub oldest_open: Option<Timestamp>,
}

/// Of these collections.
pub async fn summary(client: &Client, collections: &[i64]) -> Result<Summary, Error> {
    let counts = query_one(client, COUNTS, &[&collections]).await?;
    let oldest = query_opt(client, OLDEST_OPEN, &[&collections]).await?;
    Ok(Summary {
        open: counts.get(0),
        replaced: counts.get(1),
        discarded: counts.get(2),
        oldest_open: oldest.map(|row| row.get(0)),
    })
}

/// What the fold said of several decisions, and the verdict of those that failed again.
pub struct ResultWithVerdict {
    pub position: Position,
    pub result: String,
    pub failing: Option<Verdict>,
}

/// By decisions_pkey and verdict_pkey.
const RESULTS: &str = "
    select d.position, d.result, v.fingerprint, v.reason, v.code, v.pointer, v.message, v.definition, v.code_version
    from decisions d left join verdict v on v.position = d.position
    where d.position = any($1)";

pub async fn results(client: &Client, positions: &[i64]) -> Result<Vec<ResultWithVerdict>, Error> {
    let rows = query(client, RESULTS, &[&positions]).await?;
    Ok(rows
        .iter()
        .map(|row| ResultWithVerdict {
            position: Position(row.get("position")),
            result: row.get("result"),
            failing: row
                .get::<_, Option<i64>>("fingerprint")
                .map(|fingerprint| Verdict {
                    position: Position(row.get("position")),
                    definition: row.get("definition"),
                    code_version: row.get("code_version"),
                    fingerprint,
                    reason: row.get("reason"),
                    code: row.get("code"),
                    message: row.get("message"),
                    pointer: row.get("pointer"),
                    key: None,
                    violations: String::new(),
                }),
        })
        .collect())
}

/// The code and the last definition in the log by which letters are judged.
#[derive(Clone, Copy, Debug)]
pub struct Judges {
    pub code_version: i32,
    pub definition: i64,
}

/// By verdict_pkey, and ordered by it so that the planner takes no other way: the first may be far away.
const OLDER_VERDICT: &str = "
    select position from verdict
    where position > $1 and position <= $2 and code_version < $3 order by position limit 1";

/// Whether a verdict above `above` and up to `to` was given by older code. By another definition none can have been: it is told by
/// the position.
pub async fn older_verdicts(
    client: &Client,
    judges: Judges,
    above: Position,
    to: Position,
) -> Result<bool, Error> {
    let found = query_opt(
        client,
        OLDER_VERDICT,
        &[&above.0, &to.0, &judges.code_version],
    )
    .await?;
    Ok(found.is_some())
}

//! The `operation` and `operation_item` tables.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::Error;
use crate::dead_letter::{Filter, Sql};
use crate::postgres::{self, Client, Session, execute, query, query_once, query_one, query_opt};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Bulk,
    RulesCheck,
    Replay,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Bulk => "bulk",
            Kind::RulesCheck => "rules_check",
            Kind::Replay => "replay",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Pending,
    Running,
    Paused,
    Done,
    Failed,
    Cancelled,
    /// By itself, because too many failed again.
    Stopped,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Running => "running",
            State::Paused => "paused",
            State::Done => "done",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
            State::Stopped => "stopped",
        }
    }
}

/// What a bulk operation does to each letter of its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Retry,
    Discard,
    Reopen,
    Note,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BulkRequest {
    pub action: Action,
    pub filter: Filter,
    /// Needed where the filter is empty.
    #[serde(default)]
    pub all: bool,
    /// Judges, and decides nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Letters a second; none for as fast as it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// Stops when more than this share of those judged fails again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_share: Option<f64>,
    /// The service's own: decides only about letters that would pass or change their group.
    #[serde(default)]
    pub only_changed: bool,
}

#[derive(Clone, Debug)]
pub struct Operation {
    pub id: i64,
    pub kind: String,
    pub state: String,
    pub asked_by: String,
    pub reason: String,
    pub request: Value,
    pub progress: Value,
    pub outcome: Option<Value>,
    pub total: i64,
    pub done: i64,
    pub failed: i64,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

impl Operation {
    pub fn is_over(&self) -> bool {
        matches!(
            self.state.as_str(),
            "done" | "failed" | "cancelled" | "stopped"
        )
    }
}

macro_rules! columns {
    () => {
        "id, kind, state, asked_by, reason, request, progress, outcome, total, done, failed, created_at, started_at, finished_at"
    };
}

fn from_row(row: &Row) -> Operation {
    Operation {
        id: row.get(0),
        kind: row.get(1),
        state: row.get(2),
        asked_by: row.get(3),
        reason: row.get(4),
        request: row.get(5),
        progress: row.get(6),
        outcome: row.get(7),
        total: row.get(8),
        done: row.get(9),
        failed: row.get(10),
        created_at: row.get(11),
        started_at: row.get(12),
        finished_at: row.get(13),
    }
}

const BY_ID: &str = concat!("select ", columns!(), " from operation where id = $1");
const BY_KEY: &str = concat!("select ", columns!(), " from operation where key = $1");
const LIST: &str = concat!(
    "select ",
    columns!(),
    " from operation where id < $1 order by id desc limit $2"
);
/// By operation_active.
const ACTIVE: &str = concat!(
    "select ",
    columns!(),
    " from operation where state in ('pending', 'running') order by id limit 50"
);

pub async fn by_id(client: &Client, id: i64) -> Result<Option<Operation>, postgres::Error> {
    Ok(query_opt(client, BY_ID, &[&id])
        .await?
        .as_ref()
        .map(from_row))
}

pub async fn list(
    client: &Client,
    before: i64,
    limit: i64,
) -> Result<Vec<Operation>, postgres::Error> {
    Ok(query(client, LIST, &[&before, &limit])
        .await?
        .iter()
        .map(from_row)
        .collect())
}

pub async fn active(client: &Client) -> Result<Vec<Operation>, postgres::Error> {
    Ok(query(client, ACTIVE, &[])
        .await?
        .iter()
        .map(from_row)
        .collect())
}

const INSERT: &str = concat!(
    "insert into operation (kind, state, asked_by, reason, key, request) values ($1, 'pending', $2, $3, $4, $5)
     returning ",
    columns!()
);
const RUNNING_REPLAY: &str =
    "select id from operation where kind = 'replay' and state in ('pending', 'running', 'paused')";

/// Who asks, why, and under which key a second asking is the same.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    pub who: &'a str,
    pub why: &'a str,
    pub key: Option<&'a str>,
}

/// A rule check or a replay. True where it is new.
pub async fn ask(
    client: &Client,
    kind: Kind,
    request: &Value,
    asked: Asked<'_>,
) -> Result<(Operation, bool), Error> {
    let inserted = query_one(
        client,
        INSERT,
        &[&kind.as_str(), &asked.who, &asked.why, &asked.key, request],
    )
    .await;
    match inserted {
        Ok(row) => Ok((from_row(&row), true)),
        Err(error) => repeated(client, kind, request, asked, error).await,
    }
}

async fn repeated(
    client: &Client,
    kind: Kind,
    request: &Value,
    asked: Asked<'_>,
    error: postgres::Error,
) -> Result<(Operation, bool), Error> {
    let constraint = match &error {
        postgres::Error::Server(server) if server.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
            server
                .as_db_error()
                .and_then(|db| db.constraint())
                .map(str::to_owned)
        }
        _ => None,
    };
    if constraint.is_none() {
        return Err(error.into());
    }
    if let Some(row) = query_opt(client, BY_KEY, &[&asked.key]).await? {
        let earlier = from_row(&row);
        let same = earlier.kind == kind.as_str()
            && earlier.request == *request
            && earlier.asked_by == asked.who
            && earlier.reason == asked.why;
        return if same {
            Ok((earlier, false))
        } else {
            Err(Error::KeyTaken(earlier.id))
        };
    }
    match query_opt(client, RUNNING_REPLAY, &[]).await? {
        Some(row) => Err(Error::ReplayRunning(row.get(0))),
        None => Err(error.into()),
    }
}

const SET_TOTAL: &str = concat!(
    "update operation set total = $2 where id = $1 returning ",
    columns!()
);

/// A bulk operation: the set is frozen here, in the same transaction that asks for it.
pub async fn ask_bulk(
    session: &Session,
    request: &BulkRequest,
    asked: Asked<'_>,
) -> Result<(Operation, bool), Error> {
    let client = session.client();
    let json = serde_json::to_value(request).unwrap_or_default();
    session.begin().await?;
    let inserted = query_one(
        client,
        INSERT,
        &[
            &Kind::Bulk.as_str(),
            &asked.who,
            &asked.why,
            &asked.key,
            &json,
        ],
    )
    .await;
    let operation = match inserted {
        Ok(row) => from_row(&row),
        Err(error) => {
            session.rollback().await?;
            return repeated(client, Kind::Bulk, &json, asked, error).await;
        }
    };
    let mut sql =
        Sql::new("with frozen as (insert into operation_item (operation, letter) select ");
    sql.bind(operation.id, Type::INT8)
        .push(", l.id from dead_letters l where true");
    request.filter.conditions(&mut sql);
    if request.only_changed {
        sql.push(" and l.state = 'open'");
    }
    sql.push(" returning 1) select count(*) from frozen");
    let frozen = query_once(client, &sql.text, &sql.parameters()).await?;
    let total: i64 = frozen.first().map_or(0, |row| row.get(0));
    let row = query_one(client, SET_TOTAL, &[&operation.id, &total]).await?;
    session.commit().await?;
    Ok((from_row(&row), true))
}

const PAUSE: &str = concat!(
    "update operation set state = 'paused' where id = $1 and state in ('pending', 'running') returning ",
    columns!()
);
/// Who goes on with one that stopped has seen what failed: only what comes now counts against its share.
const RESUME: &str = concat!(
    "update operation set state = 'pending', finished_at = null,
        progress = case state when 'stopped' then jsonb_build_object('forgiven_done', done, 'forgiven_failed', failed)
                   else progress end
     where id = $1 and state in ('paused', 'stopped') returning ",
    columns!()
);
const CANCEL: &str = concat!(
    "update operation set state = 'cancelled', finished_at = now()
     where id = $1 and state in ('pending', 'running', 'paused', 'stopped') returning ",
    columns!()
);

async fn turn(
    client: &Client,
    statement: &'static str,
    id: i64,
    already: &[&str],
) -> Result<Operation, Error> {
    if let Some(row) = query_opt(client, statement, &[&id]).await? {
        return Ok(from_row(&row));
    }
    match by_id(client, id).await? {
        None => Err(Error::NotFound),
        Some(operation) if already.contains(&operation.state.as_str()) => Ok(operation),
        Some(operation) => Err(Error::WrongState(operation.state)),
    }
}

pub async fn pause(client: &Client, id: i64) -> Result<Operation, Error> {
    turn(client, PAUSE, id, &["paused"]).await
}

pub async fn resume(client: &Client, id: i64) -> Result<Operation, Error> {
    turn(client, RESUME, id, &["pending", "running"]).await
}

pub async fn cancel(client: &Client, id: i64) -> Result<Operation, Error> {
    turn(client, CANCEL, id, &["cancelled"]).await
}

const START: &str = "
    update operation set state = 'running', started_at = coalesce(started_at, now())
    where id = $1 and state in ('pending', 'running')";

/// False where it was paused or cancelled meanwhile.
pub async fn start(client: &Client, id: i64) -> Result<bool, postgres::Error> {
    Ok(execute(client, START, &[&id]).await? == 1)
}

const PROGRESS: &str = "
    update operation set progress = $2, done = $3, total = $4 where id = $1 and state = 'running'";

/// False where it is no longer to run.
pub async fn report(
    client: &Client,
    id: i64,
    progress: &Value,
    done: i64,
    total: i64,
) -> Result<bool, postgres::Error> {
    Ok(execute(client, PROGRESS, &[&id, progress, &done, &total]).await? == 1)
}

const LEFT_OVER: &str = "
    select to_regnamespace('retired') is not null
        or exists (select from checkpoint c where c.projection = 'next' and not exists (
            select from operation o where o.id = c.term and o.state in ('pending', 'running', 'paused')))";

/// Tables of a replay that is over: cancelled while it was paused, or killed between its swap and the cleaning up.
pub async fn replay_left_over(client: &Client) -> Result<bool, postgres::Error> {
    Ok(query_one(client, LEFT_OVER, &[]).await?.get(0))
}

const FINISH: &str = "
    update operation set state = $2, outcome = $3, finished_at = now() where id = $1 and state = 'running'";

pub async fn finish(
    client: &Client,
    id: i64,
    state: State,
    outcome: &Value,
) -> Result<(), postgres::Error> {
    execute(client, FINISH, &[&id, &state.as_str(), outcome]).await?;
    Ok(())
}

/// By operation_item_open.
const OPEN_ITEMS: &str = "
    select letter from operation_item where operation = $1 and result is null order by letter limit $2";

pub async fn open_items(client: &Client, id: i64, limit: i64) -> Result<Vec<i64>, postgres::Error> {
    let rows = query(client, OPEN_ITEMS, &[&id, &limit]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// What became of one item.
pub struct ItemResult {
    pub letter: i64,
    pub position: Option<i64>,
    pub result: String,
    pub detail: Value,
}

const RECORD: &str = "
    with recorded as (
        update operation_item i set position = w.position, result = w.result, detail = w.detail
        from unnest($2::int8[], $3::int8[], $4::text[], $5::jsonb[]) as w(letter, position, result, detail)
        where i.operation = $1 and i.letter = w.letter and i.result is null
        returning i.result
    )
    update operation set
        done = done + (select count(*) from recorded),
        failed = failed + (select count(*) from recorded where result in ('still_failing', 'would_fail', 'too_late', 'would_be_too_late'))
    where id = $1";

/// Items and counters in one statement: recorded twice counts once.
pub async fn record(
    client: &Client,
    id: i64,
    results: &[ItemResult],
) -> Result<(), postgres::Error> {
    let letters: Vec<i64> = results.iter().map(|item| item.letter).collect();
    let positions: Vec<Option<i64>> = results.iter().map(|item| item.position).collect();
    let words: Vec<&str> = results.iter().map(|item| item.result.as_str()).collect();
    let details: Vec<&Value> = results.iter().map(|item| &item.detail).collect();
    execute(
        client,
        RECORD,
        &[&id, &letters, &positions, &words, &details],
    )
    .await?;
    Ok(())
}

const FORGET: &str =
    "update operation_item set result = null, position = null, detail = null where operation = $1";
const FORGET_COUNTS: &str = "update operation set done = 0, failed = 0 where id = $1";

/// A dry run that was interrupted begins again: what passes depends on what passed before. What was forgiven stays so.
pub async fn forget(client: &Client, id: i64) -> Result<(), postgres::Error> {
    execute(client, FORGET, &[&id]).await?;
    execute(client, FORGET_COUNTS, &[&id]).await?;
    Ok(())
}

const RESULTS: &str = "select result, count(*) from operation_item where operation = $1 and result is not null group by result";
/// Why those failed that did, by group, with one letter of each.
const FAILING: &str = "
    select detail ->> 'fingerprint', detail ->> 'reason', detail ->> 'code', detail ->> 'pointer',
           min(detail ->> 'message'), count(*), min(letter)
    from operation_item where operation = $1 and result in ('would_fail', 'still_failing') and detail is not null
    group by 1, 2, 3, 4 order by 6 desc limit 50";

/// How it ended, in numbers and by group.
pub async fn summary(client: &Client, id: i64) -> Result<Value, postgres::Error> {
    let mut results = serde_json::Map::new();
    for row in query(client, RESULTS, &[&id]).await? {
        results.insert(row.get(0), Value::from(row.get::<_, i64>(1)));
    }
    let failing: Vec<Value> = query(client, FAILING, &[&id])
        .await?
        .iter()
        .map(|row| {
            serde_json::json!({
                "fingerprint": row.get::<_, Option<&str>>(0),
                "reason": row.get::<_, Option<&str>>(1),
                "code": row.get::<_, Option<&str>>(2),
                "pointer": row.get::<_, Option<&str>>(3),
                "message": row.get::<_, Option<&str>>(4),
                "count": row.get::<_, i64>(5),
                "sample": row.get::<_, i64>(6),
            })
        })
        .collect();
    Ok(serde_json::json!({"results": results, "failing": failing}))
}

/// One letter of a frozen set, and what became of it.
pub struct Item {
    pub letter: i64,
    /// The decision's place in the log; none where there was none.
    pub position: Option<i64>,
    /// None while it is not its turn.
    pub result: Option<String>,
    pub detail: Option<Value>,
}

/// By operation_item_pkey.
const ITEMS: &str = "
    select letter, position, result, detail from operation_item
    where operation = $1 and letter > $2 and ($3::text[] is null or result = any($3))
    order by letter limit $4";

/// The set, by letter, narrowed to these results.
pub async fn items(
    client: &Client,
    id: i64,
    results: Option<&[&str]>,
    after: i64,
    limit: i64,
) -> Result<Vec<Item>, postgres::Error> {
    let rows = query(client, ITEMS, &[&id, &after, &results, &limit]).await?;
    Ok(rows
        .iter()
        .map(|row| Item {
            letter: row.get(0),
            position: row.get(1),
            result: row.get(2),
            detail: row
                .get::<_, Option<Value>>(3)
                .filter(|detail| !detail.is_null()),
        })
        .collect())
}

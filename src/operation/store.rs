//! The `operation` table: what was asked for, how far it is, and how it ended. Who asks is in `ask`, the frozen sets in `item`.

mod ask;
mod freeze;
mod item;
mod removal;
mod request;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;

use super::Error;
use crate::inbox::Position;
use crate::postgres::{self, Client, Session, execute, query, query_one, query_opt};

pub use ask::{Asked, ask, ask_bulk, ask_bulk_of_some};
pub use freeze::{freeze, freezing};
pub use item::{Item, ItemResult, forget, items, open_items, record, summary};
pub use removal::{is_gone, let_go, remove_items};
pub use request::BulkRequest;

words! {
    pub enum Kind {
        Bulk = "bulk",
        Plan = "plan",
        Replay = "replay",
        Refresh = "refresh",
        Index = "index",
    }
}

words! {
    pub enum State {
        /// The letters of its set are being listed.
        Freezing = "freezing",
        Pending = "pending",
        Running = "running",
        Paused = "paused",
        Done = "done",
        Failed = "failed",
        Cancelled = "cancelled",
        /// By itself, because too many failed again.
        Stopped = "stopped",
    }
}

#[derive(Clone, Debug)]
pub struct Operation {
    pub id: i64,
    pub kind: String,
    pub state: String,
    pub asked_by: String,
    /// How it was proven who asked.
    pub proof: Option<String>,
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

    pub fn bulk_request(&self) -> Result<BulkRequest, Error> {
        serde_json::from_value(self.request.clone()).map_err(|_| Error::UnknownRequest(self.id))
    }
}

macro_rules! columns {
    () => {
        "id, kind, state, asked_by, reason, request, progress, outcome, total, done, failed, created_at, started_at, finished_at, proof"
    };
}

use columns;

fn from_row(row: &Row) -> Operation {
    Operation {
        id: row.get("id"),
        kind: row.get("kind"),
        state: row.get("state"),
        asked_by: row.get("asked_by"),
        reason: row.get("reason"),
        request: row.get("request"),
        progress: row.get("progress"),
        outcome: row.get("outcome"),
        total: row.get("total"),
        done: row.get("done"),
        failed: row.get("failed"),
        created_at: row.get("created_at"),
        started_at: row.get("started_at"),
        finished_at: row.get("finished_at"),
        proof: row.get("proof"),
    }
}

const BY_ID: &str = concat!("select ", columns!(), " from operation where id = $1");
const LIST: &str = concat!(
    "select ",
    columns!(),
    " from operation where id < $1 and ($3::text is null or (asked_by = $3 and proof = $4)) order by id desc limit $2"
);
/// By operation_active. Not their requests: one may name a million letters, and this is asked five times a second.
const ACTIVE: &str = "
    select id, kind from operation
    where state in ('freezing', 'pending', 'running') and kind = any($1) order by id limit 50";

pub async fn by_id(client: &Client, id: i64) -> Result<Option<Operation>, postgres::Error> {
    Ok(query_opt(client, BY_ID, &[&id])
        .await?
        .as_ref()
        .map(from_row))
}

/// Who asked for an operation. A name alone is nobody: a token's holder and somebody of the issuer's may have the same.
#[derive(Clone, Copy)]
pub struct Owner<'a> {
    pub name: &'a str,
    pub proof: &'a str,
}

impl Owner<'_> {
    pub fn has(&self, operation: &Operation) -> bool {
        operation.asked_by == self.name && operation.proof.as_deref() == Some(self.proof)
    }
}

/// Newest first: all, or those of one owner.
pub async fn list(
    client: &Client,
    before: i64,
    limit: i64,
    of: Option<Owner<'_>>,
) -> Result<Vec<Operation>, postgres::Error> {
    let (name, proof) = (of.map(|of| of.name), of.map(|of| of.proof));
    Ok(query(client, LIST, &[&before, &limit, &name, &proof])
        .await?
        .iter()
        .map(from_row)
        .collect())
}

/// Those that this version knows: what newer code was asked for is left to it.
pub async fn active(client: &Client) -> Result<Vec<(i64, Kind)>, postgres::Error> {
    let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    let rows = query(client, ACTIVE, &[&known]).await?;
    let known = |row: &Row| Some((row.get("id"), row.get::<_, &str>("kind").parse().ok()?));
    Ok(rows.iter().filter_map(known).collect())
}

/// What the work itself goes by, again and again.
pub struct Standing {
    pub state: String,
    pub progress: Value,
    pub done: i64,
    pub failed: i64,
    /// It ended so long ago that the letters of its set are no longer kept.
    pub letters_gone: bool,
}

const STANDING: &str = "
    select state, progress, done, failed, letters <> 'kept' as letters_gone from operation where id = $1";

pub async fn standing(client: &Client, id: i64) -> Result<Option<Standing>, postgres::Error> {
    let found = query_opt(client, STANDING, &[&id]).await?;
    Ok(found.map(|row| Standing {
        state: row.get("state"),
        progress: row.get("progress"),
        done: row.get("done"),
        failed: row.get("failed"),
        letters_gone: row.get("letters_gone"),
    }))
}

const PAUSE: &str = concat!(
    "update operation set state = 'paused' where id = $1 and state in ('freezing', 'pending', 'running') returning ",
    columns!()
);
/// Who goes on with one that stopped has seen what failed: only what comes now counts against its share.
const RESUME: &str = concat!(
    "update operation set state = case when frozen_to is null then 'pending' else 'freezing' end, finished_at = null,
        progress = case state when 'stopped' then jsonb_build_object('forgiven_done', done, 'forgiven_failed', failed)
                   else progress end
     where id = $1 and state in ('paused', 'stopped') returning ",
    columns!()
);
const CANCEL: &str = concat!(
    "update operation set state = 'cancelled', finished_at = now()
     where id = $1 and state in ('freezing', 'pending', 'running', 'paused', 'stopped') returning ",
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
    turn(client, RESUME, id, &["freezing", "pending", "running"]).await
}

pub async fn cancel(client: &Client, id: i64) -> Result<Operation, Error> {
    turn(client, CANCEL, id, &["cancelled"]).await
}

const START: &str = concat!(
    "update operation
     set state = case state when 'freezing' then state else 'running' end, started_at = coalesce(started_at, now())
     where id = $1 and state in ('freezing', 'pending', 'running') returning ",
    columns!()
);

/// None if it was paused or cancelled meanwhile.
pub async fn start(client: &Client, id: i64) -> Result<Option<Operation>, postgres::Error> {
    Ok(query_opt(client, START, &[&id])
        .await?
        .as_ref()
        .map(from_row))
}

const PROGRESS: &str = "
    update operation set progress = $2, done = $3, total = $4 where id = $1 and state = 'running'";

/// False if it is no longer to run.
pub async fn report(
    client: &Client,
    id: i64,
    progress: &Value,
    done: i64,
    total: i64,
) -> Result<bool, postgres::Error> {
    Ok(execute(client, PROGRESS, &[&id, progress, &done, &total]).await? == 1)
}

const END_REPLAY: &str = "
    update operation set state = 'done', finished_at = now(), done = $2, total = $2,
        outcome = jsonb_build_object('position', $2::int8)
    where id = $1 and state = 'running'";

/// In the transaction that swaps its tables. False if it is no longer to run.
pub fn end_replay(
    session: &Session,
    id: i64,
    position: Position,
) -> BoxFuture<'_, Result<bool, postgres::Error>> {
    Box::pin(
        async move { Ok(execute(session.client(), END_REPLAY, &[&id, &position.0]).await? == 1) },
    )
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
    update operation set state = $2, outcome = $3, finished_at = now()
    where id = $1 and state in ('freezing', 'running')";

pub async fn finish(
    client: &Client,
    id: i64,
    state: State,
    outcome: &Value,
) -> Result<(), postgres::Error> {
    execute(client, FINISH, &[&id, &state.as_str(), outcome]).await?;
    Ok(())
}

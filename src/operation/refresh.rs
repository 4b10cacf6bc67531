//! After a definition by which documents look otherwise, the stored ones are written anew: page by page, at a rate, without a
//! swap. What is served was rendered by the definition in force from its first moment on. And the indexes of lookups that a
//! definition has gained are built. Both are asked for by the service itself, and worked by the holder of the lease alone.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::store::{self, Asked, Kind, Operation, State};
use super::{Dependencies, Error};
use crate::collection::Id;
use crate::document;
use crate::inbox::Position;
use crate::postgres::{Client, Sql};
use crate::projection::{self, Leadership, read_checkpoint};

const WHO: &str = "waybill";
/// Documents a second: the append and the projection come first.
const RATE: f64 = 20_000.0;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Request {
    collection: String,
    id: i64,
    /// Of the definition by which documents are to look.
    position: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct IndexRequest {
    collection: String,
    id: i64,
    pointer: String,
}

/// How far it came: the last key, and in which table. A swap puts another in its place.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    after: String,
    table: Option<i64>,
    changed: i64,
}

/// Asks for what the definitions in force need, unless it is asked for already.
pub async fn ask(deps: &Dependencies, leadership: &Leadership) -> Result<(), Error> {
    let reader = deps.database.reader().await?;
    let client: &Client = &reader;
    let active = store::active(client).await?;
    let built = document::indexed(client).await?;
    for made in projection::tables(client).await? {
        let Some(defined) = leadership.in_force.by_id(made.id) else {
            continue;
        };
        let Some(collection) = defined.compiled.as_deref() else {
            continue;
        };
        if made.rendered_by != defined.position {
            let before = projection::definitions_until(client, made.rendered_by).await?;
            let before = before.by_id(made.id).and_then(|one| one.compiled.clone());
            let is_alike = before.is_some_and(|before| before.looks == collection.looks);
            // One that was in force in between wrote documents that look by it.
            if is_alike
                && !projection::is_defined_between(
                    client,
                    made.id,
                    made.rendered_by,
                    defined.position,
                )
                .await?
            {
                projection::rendered(client, made.id, made.rendered_by, defined.position).await?;
            } else if !is_asked(client, &active, Kind::Refresh, made.id, None).await? {
                let request = Request {
                    collection: defined.name.to_string(),
                    id: made.id.0,
                    position: defined.position.0,
                };
                let why = "documents look otherwise by the definition in force";
                ask_for(client, Kind::Refresh, &json!(request), why).await?;
            }
        }
        for pointer in &collection.lookups {
            if built.contains(&document::index(made.id, pointer))
                || is_asked(client, &active, Kind::Index, made.id, Some(pointer)).await?
            {
                continue;
            }
            let request = IndexRequest {
                collection: defined.name.to_string(),
                id: made.id.0,
                pointer: pointer.clone(),
            };
            let why = "the definition in force looks documents up by it";
            ask_for(client, Kind::Index, &json!(request), why).await?;
        }
    }
    Ok(())
}

async fn ask_for(
    client: &Client,
    kind: Kind,
    request: &serde_json::Value,
    why: &str,
) -> Result<(), Error> {
    let asked = Asked {
        who: WHO,
        proof: None,
        why,
        key: None,
    };
    let (operation, _) = store::ask(client, kind, request, asked).await?;
    tracing::info!(
        operation = operation.id,
        "operation {}: {why}",
        operation.id
    );
    Ok(())
}

async fn is_asked(
    client: &Client,
    active: &[(i64, Kind)],
    kind: Kind,
    id: Id,
    pointer: Option<&str>,
) -> Result<bool, Error> {
    for (operation, _) in active.iter().filter(|(_, active)| *active == kind) {
        let request = store::by_id(client, *operation)
            .await?
            .map(|found| found.request);
        let request = request.unwrap_or_default();
        let same =
            request["id"] == id.0 && pointer.is_none_or(|pointer| request["pointer"] == pointer);
        if same {
            return Ok(true);
        }
    }
    Ok(false)
}

pub async fn run(
    deps: &Dependencies,
    leadership: &Leadership,
    operation: Operation,
) -> Result<(), Error> {
    let unknown = |_| Error::UnknownRequest(operation.id);
    let request: Request = serde_json::from_value(operation.request.clone()).map_err(unknown)?;
    let id = Id(request.id);
    let mut progress: Progress =
        serde_json::from_value(operation.progress.clone()).unwrap_or_default();
    let mut done = operation.done;
    loop {
        let started = Instant::now();
        let reader = deps.database.reader().await?;
        let checkpoint = read_checkpoint(&reader).await?;
        if (checkpoint.leader.as_str(), checkpoint.term)
            != (leadership.name.as_str(), leadership.term)
        {
            // Another leads, and goes on.
            return Ok(());
        }
        let in_force = deps.in_force.borrow().clone();
        let defined = in_force
            .by_id(id)
            .filter(|one| one.position.0 == request.position);
        let Some(collection) = defined.and_then(|one| one.compiled.as_deref()) else {
            // Another definition came, or it was dropped: what it needs is asked for anew.
            let outcome = json!({"changed": progress.changed, "overtaken": true});
            store::finish(&reader, operation.id, State::Cancelled, &outcome).await?;
            return Ok(());
        };
        let table = document::table_oid(&reader, id).await?;
        if progress.table != Some(table) {
            // A replay has put other tables there, which look as its beginning saw them.
            progress = Progress {
                table: Some(table),
                ..Progress::default()
            };
        }
        let render = |payload: &[u8]| {
            let mut stored = Vec::new();
            collection.model.render(payload).write_stored(&mut stored);
            stored
        };
        let by = Position(request.position);
        let writer = |sql: &mut Sql| projection::may_write(sql, leadership, id, by);
        let page = document::refresh(&reader, id, &progress.after, writer, render).await?;
        let Some(page) = page else {
            // What has changed is seen above, here perhaps a moment later.
            drop(reader);
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        done += page.seen;
        progress.changed += page.changed;
        match page.last {
            Some(last) => progress.after = last,
            None => {
                drop(reader);
                let session = deps.database.session("refresh").await?;
                if !projection::rendered_now(&session, id, table, by).await? {
                    continue;
                }
                let reader = deps.database.reader().await?;
                let outcome = json!({"changed": progress.changed});
                store::finish(&reader, operation.id, State::Done, &outcome).await?;
                return Ok(());
            }
        }
        let value = serde_json::to_value(&progress).unwrap_or_default();
        if !store::report(&reader, operation.id, &value, done, done).await? {
            return Ok(());
        }
        drop(reader);
        let due = Duration::from_secs_f64(page.seen as f64 / RATE);
        tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
    }
}

/// Builds the index of one lookup. A leftover of one that was killed is invalid, and is removed first.
pub async fn build(deps: &Dependencies, operation: Operation) -> Result<(), Error> {
    let unknown = |_| Error::UnknownRequest(operation.id);
    let request: IndexRequest =
        serde_json::from_value(operation.request.clone()).map_err(unknown)?;
    let id = Id(request.id);
    let is_in_force = deps.in_force.borrow().by_id(id).is_some();
    let session = deps.database.session("index").await?;
    if is_in_force {
        document::build_index(session.client(), id, &request.pointer).await?;
    }
    let outcome = json!({"built": is_in_force});
    store::finish(session.client(), operation.id, State::Done, &outcome).await?;
    Ok(())
}

//! Asking for an operation: a row, and for a bulk operation its frozen set with it. The same asking again is the same
//! operation.

use serde_json::Value;
use tokio_postgres::error::SqlState;

use super::super::Error;
use super::freeze::{find, list_or_leave};
use super::request::BulkRequest;
use super::{Kind, Operation, columns, from_row};
use crate::postgres::{self, Client, Session, query_one, query_opt};

const BY_KEY: &str = concat!("select ", columns!(), " from operation where key = $1");
const INSERT: &str = concat!(
    "insert into operation (kind, state, asked_by, reason, key, request, proof) values ($1, 'pending', $2, $3, $4, $5, $6)
     returning ",
    columns!()
);
const RUNNING_REPLAY: &str =
    "select id from operation where kind = 'replay' and state in ('pending', 'running', 'paused')";

/// Who asks, why, and under which key a second asking is the same.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    pub who: &'a str,
    /// How it was proven who asks.
    pub proof: Option<&'a str>,
    pub why: &'a str,
    pub key: Option<&'a str>,
}

/// A plan, a replay, a refresh. True where it is new.
pub async fn ask(
    client: &Client,
    kind: Kind,
    request: &Value,
    asked: Asked<'_>,
) -> Result<(Operation, bool), Error> {
    let inserted = query_one(
        client,
        INSERT,
        &[
            &kind.as_str(),
            &asked.who,
            &asked.why,
            &asked.key,
            request,
            &asked.proof,
        ],
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
            && is_same(&earlier.request, request)
            && earlier.asked_by == asked.who
            && earlier.proof.as_deref() == asked.proof
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

/// Which collections there were when it was asked is no part of what was asked.
fn is_same(earlier: &Value, request: &Value) -> bool {
    let asked = |request: &Value| {
        let mut asked = request.clone();
        if let Some(filter) = asked.get_mut("filter").and_then(Value::as_object_mut) {
            filter.remove("within");
        }
        asked
    };
    asked(earlier) == asked(request)
}

const ASKED: &str = concat!("select ", columns!(), " from operation where id = $1");

/// A bulk operation. A small set is frozen here, in the transaction that asks for it.
pub async fn ask_bulk(
    session: &Session,
    request: &BulkRequest,
    asked: Asked<'_>,
) -> Result<(Operation, bool), Error> {
    session.begin().await?;
    let letters = find(session, request).await?;
    ask_about(session, request, letters, asked).await
}

/// None, and nothing is asked for, if no letter is like that.
pub async fn ask_bulk_of_some(
    session: &Session,
    request: &BulkRequest,
    asked: Asked<'_>,
) -> Result<Option<(Operation, bool)>, Error> {
    session.begin().await?;
    let letters = find(session, request).await?;
    if letters.as_ref().is_some_and(Vec::is_empty) {
        session.rollback().await?;
        return Ok(None);
    }
    ask_about(session, request, letters, asked).await.map(Some)
}

/// Ends the transaction.
async fn ask_about(
    session: &Session,
    request: &BulkRequest,
    letters: Option<Vec<i64>>,
    asked: Asked<'_>,
) -> Result<(Operation, bool), Error> {
    let client = session.client();
    let json = serde_json::to_value(request).unwrap_or_default();
    let kind = Kind::Bulk.as_str();
    let inserted = query_one(
        client,
        INSERT,
        &[
            &kind,
            &asked.who,
            &asked.why,
            &asked.key,
            &json,
            &asked.proof,
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
    list_or_leave(client, operation.id, letters).await?;
    let row = query_one(client, ASKED, &[&operation.id]).await?;
    session.commit().await?;
    Ok((from_row(&row), true))
}

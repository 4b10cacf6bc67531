//! The rules in force: those of the latest `apply` decision in the log whose result is `done`. A process that cannot compile
//! them neither projects nor takes the lease.

use std::sync::Arc;

use jiff::Timestamp;

use super::Error;
use crate::expression::{Rules, hash};
use crate::inbox::Position;
use crate::order;
use crate::postgres::{self, Client, copy, query, query_opt};

#[derive(Clone, Debug)]
pub struct InForce {
    /// The position of the `apply`; 0 if there never was one.
    pub position: Position,
    /// SHA-256 of their text in hexadecimal; empty if there never was an `apply`.
    pub hash: String,
    pub rules: Rules,
}

impl InForce {
    pub fn none() -> Arc<Self> {
        Arc::new(Self {
            position: Position(0),
            hash: String::new(),
            rules: Rules::none(),
        })
    }

    pub fn compile(position: Position, text: &str) -> Result<Arc<Self>, Error> {
        let rules =
            Rules::compile(text, order::model()).map_err(|_| Error::UnknownRules(position.0))?;
        Ok(Arc::new(Self {
            position,
            hash: hash(text),
            rules,
        }))
    }
}

/// How one `apply` ended.
pub struct Applied {
    pub position: Position,
    pub hash: String,
    pub text: String,
    pub result: &'static str,
}

const COPY_RULES: &str = "copy rules (position, hash, text, result) from stdin binary";

pub async fn write(client: &Client, applied: &[Applied]) -> Result<(), postgres::Error> {
    copy(client, COPY_RULES, 4, applied.iter(), |row, rules| {
        row.int8(rules.position.0);
        row.text(&rules.hash);
        row.text(&rules.text);
        row.text(rules.result);
    })
    .await
}

const LATEST: &str =
    "select position, hash, text from rules where result = 'done' order by position desc limit 1";

/// Position, hash and text of the rules in force; none if there never was an `apply`.
pub async fn latest(
    client: &Client,
) -> Result<Option<(Position, String, String)>, postgres::Error> {
    let found = query_opt(client, LATEST, &[]).await?;
    Ok(found.map(|row| (Position(row.get(0)), row.get(1), row.get(2))))
}

pub async fn load(client: &Client) -> Result<Arc<InForce>, Error> {
    match latest(client).await? {
        None => Ok(InForce::none()),
        Some((position, _, text)) => InForce::compile(position, &text),
    }
}

const HISTORY: &str = "
    select r.position, r.hash, r.text, r.result, i.received_at, i.decision ->> 'who' as who,
        coalesce(i.decision ->> 'why', '') as why, i.decision ->> 'proof' as proof
    from rules r join inbox i on i.position = r.position
    where r.position < $1 order by r.position desc limit $2";

/// One `apply`, as the history of rules shows it.
pub struct Entry {
    pub position: Position,
    pub hash: String,
    pub text: String,
    pub result: String,
    pub at: Timestamp,
    pub who: String,
    pub why: String,
    pub proof: Option<String>,
}

pub async fn history(
    client: &Client,
    before: i64,
    limit: i64,
) -> Result<Vec<Entry>, postgres::Error> {
    let rows = query(client, HISTORY, &[&before, &limit]).await?;
    Ok(rows
        .iter()
        .map(|row| Entry {
            position: Position(row.get("position")),
            hash: row.get("hash"),
            text: row.get("text"),
            result: row.get("result"),
            at: row.get("received_at"),
            who: row.get("who"),
            why: row.get("why"),
            proof: row.get("proof"),
        })
        .collect())
}

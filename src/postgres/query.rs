//! Statements prepared once on each connection, each answer bounded in time: a server that is frozen answers nothing, and
//! tokio-postgres would wait for ever. `statement` is always a constant: the cache is never emptied. What is put together at run
//! time is an `Sql`.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::{Client, Error};

/// Wraps a whole exchange: a server that is frozen answers nothing, and tokio-postgres would wait for ever.
pub async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::TimedOut(limit)),
    }
}

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Above the servers' own statement_timeout, which ends a slow statement first.
pub(super) const PATIENCE: Duration = Duration::from_secs(14);

pub async fn query(
    client: &Client,
    statement: &'static str,
    parameters: Parameters<'_>,
) -> Result<Vec<Row>, Error> {
    within(PATIENCE, async {
        let prepared = client.prepare_cached(statement).await?;
        Ok(client.query(&prepared, parameters).await?)
    })
    .await
}

pub async fn query_opt(
    client: &Client,
    statement: &'static str,
    parameters: Parameters<'_>,
) -> Result<Option<Row>, Error> {
    within(PATIENCE, async {
        let prepared = client.prepare_cached(statement).await?;
        Ok(client.query_opt(&prepared, parameters).await?)
    })
    .await
}

pub async fn query_one(
    client: &Client,
    statement: &'static str,
    parameters: Parameters<'_>,
) -> Result<Row, Error> {
    within(PATIENCE, async {
        let prepared = client.prepare_cached(statement).await?;
        Ok(client.query_one(&prepared, parameters).await?)
    })
    .await
}

pub async fn execute(
    client: &Client,
    statement: &'static str,
    parameters: Parameters<'_>,
) -> Result<u64, Error> {
    within(PATIENCE, async {
        let prepared = client.prepare_cached(statement).await?;
        Ok(client.execute(&prepared, parameters).await?)
    })
    .await
}

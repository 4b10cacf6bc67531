//! Statements prepared once on each connection. `statement` is always a constant: the cache is never emptied.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::{Client, Error};

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

pub async fn query(
    client: &Client,
    statement: &'static str,
    parameters: Parameters<'_>,
) -> Result<Vec<Row>, Error> {
    let prepared = client.prepare_cached(statement).await?;
    Ok(client.query(&prepared, parameters).await?)
}

pub async fn query_one(
    client: &Client,
    statement: &'static str,
    parameters: Parameters<'_>,
) -> Result<Row, Error> {
    let prepared = client.prepare_cached(statement).await?;
    Ok(client.query_one(&prepared, parameters).await?)
}

pub async fn query_opt(
    client: &Client,
    statement: &'static str,
    parameters: Parameters<'_>,
) -> Result<Option<Row>, Error> {
    let prepared = client.prepare_cached(statement).await?;
    Ok(client.query_opt(&prepared, parameters).await?)
}

pub async fn execute(
    client: &Client,
    statement: &'static str,
    parameters: Parameters<'_>,
) -> Result<u64, Error> {
    let prepared = client.prepare_cached(statement).await?;
    Ok(client.execute(&prepared, parameters).await?)
}

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

/// Someone's snapshot that stays open keeps dead rows from being cleaned away: its age is an alarm.
const OLDEST_SNAPSHOT: &str = "
    select coalesce(extract(epoch from max(clock_timestamp() - xact_start)), 0)::float8
    from pg_stat_activity where backend_xmin is not null and datname = current_database()";

pub async fn oldest_snapshot_seconds(client: &Client) -> Result<f64, Error> {
    Ok(query_one(client, OLDEST_SNAPSHOT, &[]).await?.get(0))
}

//! Brings the database to this version, and says who may touch what in it.

use std::time::Duration;

use super::grant::{granted, settle};
use super::{Client, Database, Error, Session, query_one};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// One starter migrates, the others wait. Held by the session, so it goes with it.
const LOCK: &str = "select pg_try_advisory_lock(724913570061)";
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Whether the role may make tables beside the log: the service's own, in a database that was granted to it, may not.
const MAY_MIGRATE: &str = "select has_schema_privilege('public', 'create')";
const HAS_HISTORY: &str = "select to_regclass('public.refinery_schema_history') is not null";
const NEWEST: &str = "select coalesce(max(version), 0) from public.refinery_schema_history";
const MAY_READ: &str =
    "select has_table_privilege('public.refinery_schema_history', 'select'), current_user::text";

/// Brings the database to this version, and gives `grant` the rights of a service and no more. Migrations that newer code
/// has added are left alone (abort_missing), so that an older service can come back after an upgrade. Returns the names of
/// those applied.
pub async fn migrate(database: &Database, grant: Option<&str>) -> Result<Vec<String>, Error> {
    let mut session = database.session("migrate").await?;
    session
        .client()
        .batch_execute("set statement_timeout = 0; set lock_timeout = 0; set search_path = public")
        .await?;
    if grant.is_none() && !may_migrate(&session).await? {
        return Ok(Vec::new());
    }
    lock(session.client()).await?;
    let report = embedded::migrations::runner()
        .set_abort_missing(false)
        .run_async(&mut **session.client_mut())
        .await?;
    // A new table belongs to who made it: those who were granted the others get their rights to it, too.
    let mut roles = granted(session.client()).await?;
    roles.extend(grant.map(str::to_owned));
    roles.sort();
    roles.dedup();
    for role in roles {
        settle(&session, &role).await?;
    }
    Ok(report
        .applied_migrations()
        .iter()
        .map(|migration| format!("V{} {}", migration.version(), migration.name()))
        .collect())
}

/// Waits visibly: migrations of a large log may take minutes, and behind a pooler the lock may stay with its server process.
async fn lock(client: &Client) -> Result<(), Error> {
    let mut said = false;
    while !query_one(client, LOCK, &[]).await?.get::<_, bool>(0) {
        if !said {
            tracing::info!("waiting for another process to bring the database to its version");
            said = true;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

/// False if there is nothing to do for a role that could not do it.
async fn may_migrate(session: &Session) -> Result<bool, Error> {
    let client = session.client();
    if query_one(client, MAY_MIGRATE, &[]).await?.get(0) {
        return Ok(true);
    }
    let needed = newest_known();
    let found = newest_applied(client).await?;
    if found < needed {
        return Err(Error::NotMigrated { found, needed });
    }
    Ok(false)
}

async fn newest_applied(client: &Client) -> Result<i32, Error> {
    if !query_one(client, HAS_HISTORY, &[]).await?.get::<_, bool>(0) {
        return Ok(0);
    }
    let may = query_one(client, MAY_READ, &[]).await?;
    if !may.get::<_, bool>(0) {
        return Err(Error::NotGranted(may.get(1)));
    }
    Ok(query_one(client, NEWEST, &[]).await?.get(0))
}

fn newest_known() -> i32 {
    let runner = embedded::migrations::runner();
    let versions = runner.get_migrations().iter().map(|one| one.version());
    versions.max().unwrap_or(0)
}

use super::{Database, Error};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// One starter migrates, the others wait. Held by the session, so it goes with it.
const LOCK: &str = "select pg_advisory_lock(724913570061)";

/// Brings the database to this version. Migrations that newer code has added are left alone (abort_missing), so that
/// an older service can come back after an upgrade. Returns the names of those applied.
pub async fn migrate(database: &Database) -> Result<Vec<String>, Error> {
    let mut session = database.session("migrate").await?;
    session
        .client()
        .batch_execute("set statement_timeout = 0; set lock_timeout = 0; set search_path = public")
        .await?;
    session.client().batch_execute(LOCK).await?;
    let report = embedded::migrations::runner()
        .set_abort_missing(false)
        .run_async(&mut **session.client_mut())
        .await?;
    Ok(report
        .applied_migrations()
        .iter()
        .map(|migration| format!("V{} {}", migration.version(), migration.name()))
        .collect())
}

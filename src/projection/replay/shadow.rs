//! The shadow tables. They are made from the catalogue's description of the live ones, so that migrations need not know of
//! them, and swapped with them at the end.

use crate::expression;
use crate::inbox::Position;
use crate::order;
use crate::postgres::{Error, Session, execute, query, query_opt};
use crate::record;

use super::super::checkpoint::{Checkpoint, from_row};
use super::carry_over;

const TABLES: &str = "select relname::text, coalesce(array_to_string(reloptions, ', '), '')
    from pg_class where relnamespace = 'live'::regnamespace and relkind = 'r' order by relname";
/// The indexes that `next` still lacks, constraints first: a primary key makes its own index.
const INDEXES: &str = "
    select t.relname::text, i.relname::text, pg_get_indexdef(i.oid), c.conname::text, pg_get_constraintdef(c.oid)
    from pg_index x
    join pg_class t on t.oid = x.indrelid
    join pg_class i on i.oid = x.indexrelid
    left join pg_constraint c on c.conindid = i.oid and c.contype in ('p', 'u')
    where t.relnamespace = 'live'::regnamespace
      and not exists (select from pg_class n where n.relnamespace = 'next'::regnamespace and n.relname = i.relname)
    order by c.conname is null, i.relname";
const NEXT: &str =
    "select position, leader, term, renewals from checkpoint where projection = 'next'";
const ADOPT: &str = "update checkpoint set leader = $1, renewals = renewals + 1 where projection = 'next' and term = $2";
/// Indexes that the load itself needs or that cost it little: those of small tables, and the one by which letters are looked
/// up.
const KEPT_IN_LOAD: [&str; 8] = [
    "checkpoint_pkey",
    "dead_letters_pkey",
    "dead_letter_groups_pkey",
    "decisions_pkey",
    "duplicates_pkey",
    "rules_pkey",
    "fates_pkey",
    "source_account_pkey",
];

/// Which code builds the shadow tables, kept as the schema's comment. Other code, or another model, begins anew. So does
/// another operation, whose id is the checkpoint's term.
fn builder() -> String {
    format!(
        "waybill {} checks {} model {}",
        env!("CARGO_PKG_VERSION"),
        record::CODE_VERSION,
        expression::hash(&order::model().schema().to_string())
    )
}

pub async fn checkpoint(session: &Session) -> Result<Checkpoint, Error> {
    let row = query_opt(session.client(), NEXT, &[]).await?;
    Ok(row.map_or(
        Checkpoint {
            position: Position(0),
            leader: String::new(),
            term: 0,
            renewals: 0,
        },
        |row| from_row(&row),
    ))
}

const COMMENT: &str =
    "select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = 'next'";

pub async fn begin_or_resume(session: &Session, operation: i64, leader: &str) -> Result<(), Error> {
    let by = query_opt(session.client(), COMMENT, &[]).await?;
    let by: Option<String> = by.and_then(|row| row.get(0));
    if by == Some(builder()) {
        let adopted = execute(session.client(), ADOPT, &[&leader, &operation]).await?;
        if adopted == 1 {
            return Ok(());
        }
    }
    begin(session, operation, leader).await
}

async fn begin(session: &Session, operation: i64, leader: &str) -> Result<(), Error> {
    drop_next(session).await?;
    let tables = query(session.client(), TABLES, &[]).await?;
    let mut statements = format!(
        "create schema next; comment on schema next is '{}';",
        builder()
    );
    for table in &tables {
        let (name, options): (&str, &str) = (table.get(0), table.get(1));
        statements += &format!(
            "create table next.{name} (like live.{name} including defaults including constraints including storage including compression);"
        );
        if !options.is_empty() {
            statements += &format!("alter table next.{name} set ({options});");
        }
        // Rows are only added here, so there is nothing to vacuum, and a vacuum would hold up the swap.
        statements += &format!("alter table next.{name} set (autovacuum_enabled = off);");
    }
    statements += "insert into next.fates (fate, count) select fate, 0 from live.fates;";
    session.begin().await?;
    session.client().batch_execute(&statements).await?;
    execute(session.client(), "insert into checkpoint (projection, position, leader, term, renewals) values ('next', 0, $1, $2, 0)", &[&leader, &operation]).await?;
    make_indexes(session, true).await?;
    session.commit().await
}

/// All that are missing, or with `only_kept` those of KEPT_IN_LOAD.
async fn make_indexes(session: &Session, only_kept: bool) -> Result<(), Error> {
    for row in query(session.client(), INDEXES, &[]).await? {
        let (table, index, definition): (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
        if only_kept && !KEPT_IN_LOAD.contains(&index) {
            continue;
        }
        let statement = match (row.get::<_, Option<&str>>(3), row.get::<_, Option<&str>>(4)) {
            (Some(name), Some(constraint)) => {
                format!("alter table next.{table} add constraint {name} {constraint}")
            }
            _ => definition.replacen(" ON live.", " ON next.", 1),
        };
        session.client().batch_execute(&statement).await?;
    }
    Ok(())
}

const HAS_INDEXES: &str = "select 1 from pg_class
    where relnamespace = 'next'::regnamespace and relname = 'indexed'";

/// True if all indexes are built. A view says so, which is made after the last of them: after a kill in the middle it is
/// missing.
pub async fn has_indexes(session: &Session) -> Result<bool, Error> {
    Ok(query_opt(session.client(), HAS_INDEXES, &[])
        .await?
        .is_some())
}

/// Builds the indexes, the only statements of a replay that may take long. If the process dies, those that were built are kept.
pub async fn build_indexes(session: &Session) -> Result<(), Error> {
    let client = session.client();
    client
        .batch_execute("set statement_timeout = 0; set maintenance_work_mem = '256MB'")
        .await?;
    make_indexes(session, false).await?;
    client
        .batch_execute(
            "analyze next.orders; analyze next.dead_letters; analyze next.duplicates; analyze next.decisions;
             create view next.indexed as select true as indexed; set statement_timeout = '12s'",
        )
        .await?;
    Ok(())
}

/// To be called inside the swap's transaction, with all locks held.
pub async fn swap(session: &Session) -> Result<(), Error> {
    let tables = query(session.client(), TABLES, &[]).await?;
    let mut statements = carry_over::statements(session.client()).await?;
    statements += "; drop view next.indexed; create schema retired;";
    for table in &tables {
        let (name, options): (&str, &str) = (table.get(0), table.get(1));
        statements += &format!(
            "alter table live.{name} set schema retired; alter table next.{name} set schema live;
             alter table live.{name} reset (autovacuum_enabled);"
        );
        if !options.is_empty() {
            statements += &format!("alter table live.{name} set ({options});");
        }
    }
    statements += "delete from checkpoint where projection = 'next'; drop schema next;";
    session.client().batch_execute(&statements).await?;
    Ok(())
}

/// Autovacuum yields only to a waiter of 1 s (deadlock_timeout), which is longer than readers may be blocked. So first take a
/// lock that conflicts with autovacuum and not with readers; then ask for ACCESS EXCLUSIVE.
pub async fn keep_autovacuum_out(session: &Session) -> Result<(), Error> {
    let tables = query(session.client(), TABLES, &[]).await?;
    let names: Vec<String> = tables
        .iter()
        .map(|row| row.get::<_, &str>(0))
        .map(|name| format!("live.{name}, next.{name}"))
        .collect();
    let statement = format!(
        "set local lock_timeout = '5s'; lock table {} in share update exclusive mode",
        names.join(", ")
    );
    session.client().batch_execute(&statement).await?;
    Ok(())
}

/// Locks the live tables against everybody, `orders` first, because the live projection locks it first. A reader may hold a
/// later table and wait for an earlier one: we give up after 500 ms, before Postgres (deadlock_timeout, 1 s) would end one of
/// the two.
pub async fn lock_live(session: &Session) -> Result<(), Error> {
    let tables = query(session.client(), TABLES, &[]).await?;
    let mut names: Vec<String> = tables
        .iter()
        .map(|row| format!("live.{}", row.get::<_, &str>(0)))
        .collect();
    names.sort_by_key(|name| name != "live.orders");
    let statement = format!(
        "set local lock_timeout = '500ms'; lock table {} in access exclusive mode",
        names.join(", ")
    );
    session.client().batch_execute(&statement).await?;
    Ok(())
}

pub async fn drop_retired(session: &Session) -> Result<(), Error> {
    carry_over::warn_of_others(session.client()).await?;
    session
        .client()
        .batch_execute("drop schema if exists retired cascade")
        .await?;
    Ok(())
}

pub async fn drop_next(session: &Session) -> Result<(), Error> {
    session
        .client()
        .batch_execute(
            "begin; drop schema if exists next cascade; drop schema if exists retired cascade;
             delete from checkpoint where projection = 'next'; commit",
        )
        .await?;
    Ok(())
}

//! The shadow tables. They are made from the catalogue's description of the live ones, so that migrations need not know of
//! them, and swapped with them at the end.

use crate::document::{self, Table};
use crate::inbox::Position;
use crate::postgres::{Error, Session, Sql, execute, query, query_opt};
use crate::record;

use super::super::checkpoint::{Checkpoint, from_row};
use super::super::tables;
use super::carry_over;
use super::looks::Looks;

/// The derived tables that there are whatever is defined.
const FIXED: [&str; 7] = [
    // The gate: every batch of the live projection locks it first.
    "fates",
    "dead_letter_groups",
    "dead_letters",
    "decisions",
    "definitions",
    "duplicates",
    "source_account",
];

/// Those of a list that are in `live`.
const TABLES: &str = "select relname::text, coalesce(array_to_string(reloptions, ', '), '')
    from pg_class where relnamespace = 'live'::regnamespace and relkind = 'r' and relname = any($1)
    order by relname <> 'fates', relname";

/// What a replay makes anew: what is ours by the catalog, never whatever stands in `live`.
async fn ours(session: &Session) -> Result<Vec<String>, Error> {
    let mut names: Vec<String> = FIXED.map(str::to_owned).to_vec();
    for made in tables::all(session.client()).await? {
        names.extend(Table::ALL.map(|table| document::table(made.id, table)));
    }
    Ok(names)
}

async fn live_tables(session: &Session) -> Result<Vec<(String, String)>, Error> {
    let ours = ours(session).await?;
    let rows = query(session.client(), TABLES, &[&ours]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The indexes that `next` still lacks, constraints first: a primary key makes its own index.
const INDEXES: &str = "
    select t.relname::text, i.relname::text, pg_get_indexdef(i.oid), c.conname::text, pg_get_constraintdef(c.oid)
    from pg_index x
    join pg_class t on t.oid = x.indrelid
    join pg_class i on i.oid = x.indexrelid
    left join pg_constraint c on c.conindid = i.oid and c.contype in ('p', 'u')
    where t.relnamespace = 'live'::regnamespace and x.indisvalid and t.relname = any($1)
      and exists (select from pg_class n where n.relnamespace = 'next'::regnamespace and n.relname = t.relname)
      and not exists (select from pg_class n where n.relnamespace = 'next'::regnamespace and n.relname = i.relname)
    order by c.conname is null, i.relname";
const NEXT: &str =
    "select position, leader, term, renewals from checkpoint where projection = 'next'";
const ADOPT: &str = "update checkpoint set leader = $1, renewals = renewals + 1 where projection = 'next' and term = $2";
/// Indexes that the load itself needs or that cost it little: those of small tables, and the one by which letters are looked
/// up.
const KEPT_IN_LOAD: [&str; 7] = [
    "dead_letters_pkey",
    "dead_letter_groups_pkey",
    "decisions_pkey",
    "duplicates_pkey",
    "definitions_pkey",
    "fates_pkey",
    "source_account_pkey",
];

/// Which code builds the shadow tables, kept as the schema's comment. Other code begins anew. So does another operation, whose id
/// is the checkpoint's term.
fn builder() -> String {
    format!(
        "waybill {} checks {}",
        env!("CARGO_PKG_VERSION"),
        record::CODE_VERSION
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

pub async fn begin_or_resume(
    session: &Session,
    looks: &Looks,
    operation: i64,
    leader: &str,
) -> Result<(), Error> {
    let by = query_opt(session.client(), COMMENT, &[]).await?;
    let by: Option<String> = by.and_then(|row| row.get(0));
    if by == Some(builder()) {
        let adopted = execute(session.client(), ADOPT, &[&leader, &operation]).await?;
        if adopted == 1 {
            // Of what was defined since it began.
            return make_tables(session, looks).await;
        }
    }
    begin(session, looks, operation, leader).await
}

async fn begin(
    session: &Session,
    looks: &Looks,
    operation: i64,
    leader: &str,
) -> Result<(), Error> {
    drop_next(session).await?;
    let tables = live_tables(session).await?;
    let mut statements = format!(
        "create schema next; comment on schema next is '{}';
         create table next.rendered (id bigint primary key, position bigint not null);",
        builder()
    );
    for (name, options) in &tables {
        statements += &format!(
            "create table next.{name} (like live.{name} including defaults including constraints including storage including compression including generated);"
        );
        if !options.is_empty() {
            statements += &format!("alter table next.{name} set ({options});");
        }
        // Rows are only added here, so there is nothing to vacuum, and a vacuum would hold up the swap.
        statements += &format!("alter table next.{name} set (autovacuum_enabled = off);");
    }
    session.begin().await?;
    session.client().batch_execute(&statements).await?;
    execute(session.client(), "insert into checkpoint (projection, position, leader, term, renewals) values ('next', 0, $1, $2, 0)", &[&leader, &operation]).await?;
    for (id, position) in looks.rendered() {
        execute(
            session.client(),
            "insert into next.rendered (id, position) values ($1, $2)",
            &[&id.0, &position.0],
        )
        .await?;
    }
    make_indexes(session, true).await?;
    make_tables(session, looks).await?;
    session.commit().await
}

/// Also of collections whose live tables are removed already: the fates of their messages need their keys.
pub async fn make_tables(session: &Session, looks: &Looks) -> Result<(), Error> {
    for (id, shape) in looks.shapes() {
        let name = document::table(id, Table::Documents);
        if query_opt(session.client(), IN_NEXT, &[&name])
            .await?
            .is_none()
        {
            let statements = document::create("next", id, shape);
            session.client().batch_execute(&statements).await?;
        }
    }
    Ok(())
}

const IN_NEXT: &str = "
    select 1 from pg_class where relnamespace = 'next'::regnamespace and relname = $1";

/// All that are missing, or with `only_kept` those of KEPT_IN_LOAD.
async fn make_indexes(session: &Session, only_kept: bool) -> Result<(), Error> {
    let ours = ours(session).await?;
    for row in query(session.client(), INDEXES, &[&ours]).await? {
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
        .batch_execute("set statement_timeout = '12s'")
        .await?;
    Ok(())
}

/// Says that all indexes are built and all rows there that the load makes at its end.
pub async fn is_loaded(session: &Session) -> Result<(), Error> {
    let mut statements = String::from("set statement_timeout = 0;");
    for (name, _) in live_tables(session).await? {
        statements += &format!("analyze next.{name};");
    }
    statements +=
        "create view next.indexed as select true as indexed; set statement_timeout = '12s'";
    session.client().batch_execute(&statements).await?;
    Ok(())
}

/// Whether an index of a live table is missing beside it: one that was built since.
pub async fn lacks_indexes(session: &Session) -> Result<bool, Error> {
    let ours = ours(session).await?;
    Ok(!query(session.client(), INDEXES, &[&ours]).await?.is_empty())
}

const ALL_IN_NEXT: &str = "
    select relname::text from pg_class where relnamespace = 'next'::regnamespace and relkind = 'r'";
const RENDERED: &str = "
    update collection c set rendered_by = r.position from next.rendered r where r.id = c.id";

/// To be called inside the swap's transaction, with all locks held. `views` are ours, and are put over the new tables.
pub async fn swap(session: &Session, operation: i64, views: &str) -> Result<(), Error> {
    let client = session.client();
    let mut left: Vec<String> = query(client, ALL_IN_NEXT, &[])
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();
    let retired = retired(operation);
    let mut statements = carry_over::statements(client).await?;
    statements += &format!("; {RENDERED}; drop view next.indexed; create schema {retired};");
    for (name, options) in live_tables(session).await? {
        // A collection that is being defined at this moment has live tables already.
        let Some(at) = left.iter().position(|one| *one == name) else {
            continue;
        };
        left.remove(at);
        statements += &format!(
            "alter table live.{name} set schema {retired}; alter table next.{name} set schema live;
             alter table live.{name} reset (autovacuum_enabled);"
        );
        if !options.is_empty() {
            statements += &format!("alter table live.{name} set ({options});");
        }
    }
    statements += views;
    // Of collections that are no more.
    for name in left {
        statements += &format!("drop table next.{name};");
    }
    statements += "delete from checkpoint where projection = 'next'; drop schema next;";
    client.batch_execute(&statements).await?;
    Ok(())
}

/// Where the old tables go.
pub fn retired(operation: i64) -> String {
    format!("retired_{operation}")
}

/// Autovacuum yields only to a waiter of 1 s (deadlock_timeout), which is longer than readers may be blocked. So first take a
/// lock that conflicts with autovacuum and not with readers; then ask for ACCESS EXCLUSIVE.
pub async fn keep_autovacuum_out(session: &Session) -> Result<(), Error> {
    let mut names = Vec::new();
    for (name, _) in live_tables(session).await? {
        names.push(format!("live.{name}"));
        if query_opt(session.client(), IN_NEXT, &[&name])
            .await?
            .is_some()
        {
            names.push(format!("next.{name}"));
        }
    }
    let statement = format!(
        "set local lock_timeout = '5s'; lock table {} in share update exclusive mode",
        names.join(", ")
    );
    session.client().batch_execute(&statement).await?;
    Ok(())
}

/// Locks the live tables against everybody, the gate first, because the live projection locks it first. A reader may hold a later
/// table and wait for an earlier one: we give up after 500 ms, before Postgres (deadlock_timeout, 1 s) would end one of the two.
pub async fn lock_live(session: &Session) -> Result<(), Error> {
    let tables = live_tables(session).await?;
    let names: Vec<String> = tables
        .iter()
        .map(|(name, _)| format!("live.{name}"))
        .collect();
    let statement = format!(
        "set local lock_timeout = '500ms'; lock table {} in access exclusive mode",
        names.join(", ")
    );
    session.client().batch_execute(&statement).await?;
    Ok(())
}

const RETIRED: &str = "
    select n.nspname::text, c.relname::text
    from pg_namespace n left join pg_class c on c.relnamespace = n.oid and c.relkind = 'r'
    where n.nspname like 'retired\\_%' and pg_has_role(n.nspowner, 'usage') order by 1, 2";

/// Removes the tables that a swap has retired, one by one. One on which somebody else's view stands stays where it is.
pub async fn drop_retired(session: &Session) -> Result<(), Error> {
    let client = session.client();
    for row in query(client, RETIRED, &[]).await? {
        let (schema, table): (&str, Option<&str>) = (row.get(0), row.get(1));
        let mut sql = Sql::new("drop table ");
        if let Some(table) = table {
            sql.name(schema).push(".").name(table);
            if let Err(error) = client.batch_execute(sql.text()).await {
                let error = Error::from(error);
                tracing::warn!(schema, table, %error, "{schema}.{table} was replayed and stays: {error}");
                continue;
            }
        }
        let mut sql = Sql::new("drop schema ");
        sql.name(schema);
        // Not yet, if another table is in it.
        let _ = client.batch_execute(sql.text()).await;
    }
    Ok(())
}

const DROP_NEXT: &str = "
    begin; drop schema if exists next cascade; delete from checkpoint where projection = 'next'; commit";

pub async fn drop_next(session: &Session) -> Result<(), Error> {
    session.client().batch_execute(DROP_NEXT).await?;
    drop_retired(session).await
}

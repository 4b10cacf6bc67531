//! Least privilege: what the service's own role may do in a database that another role owns. It appends to the log and reads
//! it; it can neither change nor remove a message, nor touch a migration. What is derived is its own, since a replay makes
//! those tables anew.

use super::{Client, Error, Session, query, query_one};

/// What the service does with each table that is not derived. A table that is not named here is not the service's to touch;
/// a test compares this list with the tables that there are.
const RIGHTS: &[(&str, &str)] = &[
    ("source", "select, insert"),
    ("inbox", "select, insert"),
    ("inbox_head", "select, update"),
    ("verdict", "select, insert"),
    ("amount", "select, insert"),
    ("audit", "select, insert"),
    ("checkpoint", "select, insert, update, delete"),
    ("collection", "select, insert, update, delete"),
    ("operation", "select, insert, update"),
    ("healed", "select, insert, update"),
    ("operation_item", "select, insert, update, delete"),
    ("refinery_schema_history", "select"),
];

/// If we own the inbox, who else may append to it: roles that were granted before.
const GRANTED: &str = "
    select distinct r.rolname::text
    from pg_class c, aclexplode(c.relacl) a join pg_roles r on r.oid = a.grantee
    where c.oid = to_regclass('public.inbox') and c.relowner = current_user::regrole
      and a.privilege_type = 'INSERT' and a.grantee <> c.relowner";

pub async fn granted(client: &Client) -> Result<Vec<String>, Error> {
    let rows = query(client, GRANTED, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

const ROLE: &str = "
    select quote_ident($1), quote_ident(current_user), quote_ident(current_database()),
           exists (select from pg_roles where rolname = $1),
           (select pg_has_role(oid, 'member') from pg_roles where rolname = $1),
           $1 = current_user,
           (select rolsuper from pg_roles where rolname = $1)";
/// Tables of the log that the role owns: it migrated them itself once.
const OWNED: &str = "
    select quote_ident(tablename) from pg_tables t join pg_roles r on r.rolname = t.tableowner
    where schemaname = 'public' and r.rolname = $1 and tablename = any($2)";
const OWNS_DATABASE: &str = "
    select exists (select from pg_database d join pg_roles r on r.oid = d.datdba
                   where d.datname = current_database() and r.rolname = $1)";
const DERIVED: &str = "
    select quote_ident(n.nspname), quote_ident(c.relname)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where (n.nspname in ('live', 'next', 'waybill') or n.nspname like 'retired\\_%') and c.relkind in ('r', 'v')";

/// Gives the role a service's rights, and takes from it what is more. To be called as the owner of the log.
pub async fn settle(session: &Session, role: &str) -> Result<(), Error> {
    let client = session.client();
    let found = query_one(client, ROLE, &[&role]).await?;
    let (name, owner, database): (&str, &str, &str) = (found.get(0), found.get(1), found.get(2));
    check(
        role,
        owner,
        found.get(3),
        found.get(4),
        found.get(5),
        found.get(6),
    )?;
    let mut statements = String::from("begin;");
    if query_one(client, OWNS_DATABASE, &[&role]).await?.get(0) {
        statements += &format!("alter database {database} owner to {owner};");
    }
    let tables: Vec<&str> = RIGHTS.iter().map(|(table, _)| *table).collect();
    for row in query(client, OWNED, &[&role, &tables]).await? {
        let table: &str = row.get(0);
        statements += &format!("alter table public.{table} owner to {owner};");
    }
    statements += &format!(
        "grant connect, create on database {database} to {name};
         revoke create on schema public from public, {name};
         grant usage on schema public to {name};"
    );
    for (table, rights) in RIGHTS {
        statements += &format!(
            "revoke all on public.{table} from {name}; grant {rights} on public.{table} to {name};"
        );
    }
    // The tables of a schema that is not there yet come with it.
    let mut schemas = Vec::new();
    for row in query(client, DERIVED, &[]).await? {
        let (schema, table): (String, &str) = (row.get(0), row.get(1));
        if !schemas.contains(&schema) {
            statements += &format!("alter schema {schema} owner to {name};");
            schemas.push(schema.clone());
        }
        statements += &format!("alter table {schema}.{table} owner to {name};");
    }
    statements += "commit";
    client.batch_execute(&statements).await?;
    Ok(())
}

fn check(
    role: &str,
    owner: &str,
    exists: bool,
    member: Option<bool>,
    itself: bool,
    superuser: Option<bool>,
) -> Result<(), Error> {
    let problem = if !exists {
        format!("there is no role {role}: make it by create role {role} login, and try again")
    } else if itself {
        format!(
            "--grant {role}: that is the role that migrates; name the one that `waybill serve` connects as"
        )
    } else if superuser == Some(true) {
        format!("--grant {role}: it is a superuser, whom nothing can be denied; name another role")
    } else if member != Some(true) {
        format!(
            "{owner} cannot give tables to {role}, whose member it is not: grant {role} to {owner}, and try again"
        )
    } else {
        return Ok(());
    };
    Err(Error::Settings(problem))
}

//! The tables of the collections, as far as they are not rows: made by the holder of the lease before a define is projected, and
//! removed after a drop, patiently. The fold itself runs no such statement: somebody's open transaction could make it fail again
//! and again. A view that cannot be made, or a table that cannot be removed, is said in `status` and holds up nothing.

use tokio_postgres::types::ToSql;

use super::definitions::InForce;
use super::{Error, Leadership};
use crate::collection::{Collection, Id, Keep};
use crate::document::{self, Shape, Table};
use crate::inbox::Position;
use crate::postgres::{self, Client, Database, Session, Sql, execute, query};

/// No reader waits longer for us, and we for nobody: it is tried again.
const IMPATIENT: &str = "set lock_timeout = '500ms'";

const MADE: &str = "
    insert into collection (id, name, rendered_by) values ($1, $2, $3)
    on conflict on constraint collection_pkey do update set trouble = null";
const TROUBLE: &str = "
    insert into collection (id, name, rendered_by, trouble) values ($1, $2, $3, $4)
    on conflict on constraint collection_pkey do update set trouble = excluded.trouble";

/// Makes what a collection needs. To be done again is harmless.
pub async fn make(
    database: &Database,
    id: Id,
    position: Position,
    collection: &Collection,
) -> Result<(), Error> {
    let session = database.session("tables").await?;
    let client = session.client();
    let mut statements = document::create("live", id, Shape::of(collection));
    for pointer in &collection.lookups {
        statements += &document::create_index("live", id, pointer, false);
        statements += ";";
    }
    let name = collection.name.as_str();
    let made = Session::bounded(async { Ok(client.batch_execute(&statements).await?) }).await;
    if let Err(error) = made {
        let text = format!("its tables cannot be made: {error}");
        tracing::error!(%error, "the tables of {name} cannot be made, and the projection waits for them: {error}");
        let told: [&(dyn ToSql + Sync); 4] = [&id.0, &name, &position.0, &text];
        let _ = Session::bounded(execute(client, TROUBLE, &told)).await;
        return Err(error.into());
    }
    Session::bounded(execute(client, MADE, &[&id.0, &name, &position.0])).await?;
    if let Err(error) = view(client, id, collection).await {
        trouble(
            client,
            id,
            &format!("its view waybill.{name} cannot be made: {error}"),
        )
        .await?;
    }
    Ok(())
}

const SAY: &str = "update collection set trouble = $2 where id = $1";

async fn trouble(client: &Client, id: Id, text: &str) -> Result<(), postgres::Error> {
    tracing::warn!(collection = id.0, "{text}");
    execute(client, SAY, &[&id.0, &text]).await?;
    Ok(())
}

/// For people: the documents under the collection's name, in a schema of their own.
async fn view(client: &Client, id: Id, collection: &Collection) -> Result<(), postgres::Error> {
    let mut sql = Sql::new("create schema if not exists waybill; ");
    define_view(&mut sql, id, &collection.name, collection.keep);
    client.batch_execute(sql.text()).await?;
    Ok(())
}

fn define_view(sql: &mut Sql, id: Id, name: &str, keep: Keep) {
    sql.push("create or replace view waybill.")
        .name(name)
        .push(" as select key, data, position from live.")
        .name(&document::table(id, Table::Documents))
        .push(match keep {
            Keep::First => "; ",
            Keep::Latest => " where not gone; ",
        });
}

const VIEWS: &str = "
    select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'waybill' and c.relkind = 'v' and pg_has_role(c.relowner, 'usage')";

/// The statements that put our views over the tables that stand in `live` by then: those that are there, of what is in force.
pub async fn views(client: &Client, in_force: &InForce) -> Result<String, postgres::Error> {
    let mut sql = Sql::new("");
    for row in query(client, VIEWS, &[]).await? {
        if let Some(defined) = in_force.get(row.get(0)) {
            define_view(&mut sql, defined.id, &defined.name, defined.place().keep);
        }
    }
    Ok(sql.text().to_owned())
}

const ALL: &str = "select id, name, rendered_by, trouble from collection order by id";

/// A collection whose tables are there.
pub struct Made {
    pub id: Id,
    pub name: String,
    /// Where the definition is by which its documents look.
    pub rendered_by: Position,
    pub trouble: Option<String>,
}

pub async fn all(client: &Client) -> Result<Vec<Made>, postgres::Error> {
    let rows = query(client, ALL, &[]).await?;
    let made = rows.iter().map(|row| Made {
        id: Id(row.get("id")),
        name: row.get("name"),
        rendered_by: Position(row.get("rendered_by")),
        trouble: row.get("trouble"),
    });
    Ok(made.collect())
}

const RENDERED: &str = "update collection set rendered_by = $3 where id = $1 and rendered_by = $2";

/// Documents that looked by one definition look the same by another.
pub async fn rendered(
    client: &Client,
    id: Id,
    before: Position,
    now: Position,
) -> Result<(), postgres::Error> {
    execute(client, RENDERED, &[&id.0, &before.0, &now.0]).await?;
    Ok(())
}

/// Finds a row while this leader leads, and while this definition is the one in force: for a statement that writes documents by it.
pub fn may_write(sql: &mut Sql, leadership: &Leadership, id: Id, by: Position) {
    sql.push("select from checkpoint where projection = 'documents'")
        .bind(" and leader = $", leadership.name.clone())
        .bind(" and term = $", leadership.term)
        .bind(
            " and coalesce((select max(position) from definitions where result = 'done' and collection = $",
            id.0,
        )
        .bind("), 0) = $", by.0);
}

const HELD: &str = "select 1 from collection where id = $1 for update";
const RENDERED_NOW: &str = "update collection set rendered_by = $2 where id = $1";

/// All documents of this table look by this definition. False if a replay has put another table there, whose own swap says by which
/// it looks: the row is held, so either comes wholly after the other.
pub async fn rendered_now(
    session: &Session,
    id: Id,
    table: i64,
    by: Position,
) -> Result<bool, postgres::Error> {
    let client = session.client();
    session.begin().await?;
    query(client, HELD, &[&id.0]).await?;
    let is_there = document::table_oid(client, id).await? == table;
    if is_there {
        execute(client, RENDERED_NOW, &[&id.0, &by.0]).await?;
    }
    session.commit().await?;
    Ok(is_there)
}

const GONE: &str = "delete from collection where id = $1";

/// Removes the tables of what was dropped, those that nobody holds at this moment.
pub async fn remove_dropped(client: &Client, in_force: &InForce) -> Result<(), postgres::Error> {
    client.batch_execute(IMPATIENT).await?;
    for made in all(client).await? {
        // What is being defined at this moment has tables before it is in force.
        if made.id.0 > in_force.position.0 || in_force.by_id(made.id).is_some() {
            continue;
        }
        if let Err(error) = remove(client, &made, in_force).await {
            trouble(
                client,
                made.id,
                &format!("it was dropped, and its tables stay: {error}"),
            )
            .await?;
        }
    }
    Ok(())
}

/// One by one, and never what somebody else has built on them.
async fn remove(client: &Client, made: &Made, in_force: &InForce) -> Result<(), postgres::Error> {
    // A later collection of the same name has made the view its own.
    if in_force.get(&made.name).is_none() {
        let mut sql = Sql::new("drop view if exists waybill.");
        sql.name(&made.name);
        client.batch_execute(sql.text()).await?;
    }
    for table in [
        Table::Entries,
        Table::Sums,
        Table::Versions,
        Table::Documents,
    ] {
        let mut sql = Sql::new("drop table if exists live.");
        sql.name(&document::table(made.id, table));
        client.batch_execute(sql.text()).await?;
    }
    execute(client, GONE, &[&made.id.0]).await?;
    Ok(())
}

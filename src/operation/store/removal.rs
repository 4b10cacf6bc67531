//! The end of a finished operation's letters: first it is said that they go, then they go.

use std::time::Duration;

use crate::postgres::{self, Client, execute, query_one, query_opt};

/// By operation_kept; one whose letters are going is taken again after a kill. One that had stopped by itself can no longer
/// be resumed.
const LET_GO: &str = "
    update operation
    set letters = 'going', state = case state when 'stopped' then 'cancelled' else state end
    where kind = 'bulk' and letters <> 'gone' and finished_at < now() - make_interval(secs => $1)
      and id = (select id from operation
                where kind = 'bulk' and letters <> 'gone' and finished_at < now() - make_interval(secs => $1)
                order by finished_at limit 1)
    returning id";

/// An operation that ended longer ago than `keep`, and that says from now on that its letters are gone.
pub async fn let_go(client: &Client, keep: Duration) -> Result<Option<i64>, postgres::Error> {
    let found = query_opt(client, LET_GO, &[&keep.as_secs_f64()]).await?;
    Ok(found.map(|row| row.get(0)))
}

pub struct Removed {
    pub last: i64,
    pub letters: i64,
}

/// By operation_item_pkey, going on behind the page before: dead entries of the index are not read again and again.
const REMOVE: &str = "
    with removed as (
        delete from operation_item where operation = $1 and letter in (
            select letter from operation_item where operation = $1 and letter > $2 order by letter limit $3)
        returning letter
    )
    select max(letter) as last, count(*) as letters from removed";

/// The next page of its letters; none if none are left.
pub async fn remove_items(
    client: &Client,
    id: i64,
    after: i64,
    letters: i64,
) -> Result<Option<Removed>, postgres::Error> {
    let row = query_one(client, REMOVE, &[&id, &after, &letters]).await?;
    let last: Option<i64> = row.get("last");
    Ok(last.map(|last| Removed {
        last,
        letters: row.get("letters"),
    }))
}

const GONE: &str = "update operation set letters = 'gone' where id = $1";

pub async fn is_gone(client: &Client, id: i64) -> Result<(), postgres::Error> {
    execute(client, GONE, &[&id]).await?;
    Ok(())
}

//! The letters of a set, listed in `operation_item`: at once, or page by page while the operation is `freezing`.

use tokio_postgres::error::SqlState;

use super::request::BulkRequest;
use crate::dead_letter;
use crate::postgres::{self, Client, Session, execute, query_opt};

/// A set of so many letters is listed in the transaction that asks for it, which takes half a second, and its size is in
/// the answer.
const AT_ONCE: i64 = 50_000;

/// So long they are looked for: a rare letter among millions may take a look at each of them.
const LOOK: &str = "savepoint look; set local statement_timeout = '3s'";
const LOOKED: &str = "rollback to savepoint look; release savepoint look";

const ADD_ALL: &str = "
    with added as (
        insert into operation_item (operation, letter) select $1, letter from unnest($2::int8[]) letter returning 1
    )
    update operation set total = (select count(*) from added) where id = $1";

const LEAVE: &str =
    "update operation set state = 'freezing', frozen_to = 0, freeze_to = $2 where id = $1";

/// The letters of a small set; none of one that is large, or is not found soon. In the transaction that asks for it.
pub async fn find(
    session: &Session,
    request: &BulkRequest,
) -> Result<Option<Vec<i64>>, postgres::Error> {
    let client = session.client();
    client.batch_execute(LOOK).await?;
    let found = dead_letter::ids(client, &request.letters(), 0, i64::MAX, AT_ONCE + 1).await;
    let letters = match found {
        Ok(letters) => Some(letters).filter(|letters| letters.len() as i64 <= AT_ONCE),
        Err(error) if is_timeout(&error) => None,
        Err(error) => return Err(error),
    };
    client.batch_execute(LOOKED).await?;
    Ok(letters)
}

/// Lists what was found; what was not is left to the holder of the lease.
pub async fn list_or_leave(
    client: &Client,
    id: i64,
    letters: Option<Vec<i64>>,
) -> Result<(), postgres::Error> {
    match letters {
        Some(letters) => execute(client, ADD_ALL, &[&id, &letters]).await?,
        None => execute(client, LEAVE, &[&id, &dead_letter::newest(client).await?]).await?,
    };
    Ok(())
}

fn is_timeout(error: &postgres::Error) -> bool {
    matches!(error, postgres::Error::Server(server) if server.code() == Some(&SqlState::QUERY_CANCELED))
}

/// How far the listing of a set is, in letters' ids.
#[derive(Clone, Copy)]
pub struct Freezing {
    /// Up to this one they are listed.
    pub above: i64,
    /// Up to this one they are to be.
    pub to: i64,
}

const FREEZING: &str =
    "select frozen_to, freeze_to from operation where id = $1 and state = 'freezing'";

/// None if all are listed, or the operation is not to go on now.
pub async fn freezing(client: &Client, id: i64) -> Result<Option<Freezing>, postgres::Error> {
    let found = query_opt(client, FREEZING, &[&id]).await?;
    Ok(found.map(|row| Freezing {
        above: row.get("frozen_to"),
        to: row.get("freeze_to"),
    }))
}

/// The lock comes first: of two holders that are at the same page, the second finds `frozen_to` moved, and adds nothing.
const ADD: &str = "
    with mine as (
        select id from operation where id = $1 and state = 'freezing' and frozen_to = $2 for update
    ), added as (
        insert into operation_item (operation, letter)
        select mine.id, letter from mine, unnest($4::int8[]) letter
        returning 1
    )
    update operation o
    set total = total + (select count(*) from added),
        frozen_to = case when $3 < freeze_to then $3 end,
        state = case when $3 < freeze_to then state else 'pending' end
    from mine where o.id = mine.id";

/// Adds the page that ends with the letter `last`, and lets the operation begin if it was the last page.
pub async fn freeze(
    client: &Client,
    id: i64,
    at: Freezing,
    last: i64,
    letters: &[i64],
) -> Result<(), postgres::Error> {
    execute(client, ADD, &[&id, &at.above, &last, &letters]).await?;
    Ok(())
}

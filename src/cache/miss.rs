//! What Postgres knows of a key that is not in the cache. It is one statement, hence one snapshot: between two statements
//! a pending message may become an order, and would be found by neither.

use tokio_postgres::Row;

use super::Share;
use crate::document::{Stored, select, stored};
use crate::inbox::Position;
use crate::postgres::{Client, Error, Sql};

/// Why there is no document to answer with.
#[derive(Debug)]
pub enum Miss {
    Rejected {
        latest: Letter,
        earlier: Vec<Position>,
    },
    /// The message at this position has taken it away.
    Gone(Position),
    /// A message at this position holds the key, and is not projected yet.
    OnItsWay(Position),
    NeverReceived,
    Failed(Error),
}

impl From<Error> for Miss {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// A dead letter with the key that was asked for.
#[derive(Debug)]
pub struct Letter {
    pub id: Position,
    pub state: String,
    pub reason: String,
    pub message: String,
}

/// The column that says what a row is, and its values; anything else is a pending message.
const KIND: usize = 5;
const DOCUMENT: i32 = 1;
const LETTER: i32 = 2;

/// By the primary keys, dead_letters_key and inbox_pkey. Only the first 20,000 pending rows are searched for the key: each is read
/// from the table, and a miss should take milliseconds even if the projector is far behind.
pub(super) async fn find(client: &Client, share: &Share, key: &str) -> Result<Stored, Miss> {
    let place = share.place();
    let mut sql = Sql::new("with found as (");
    select(&mut sql, place);
    sql.bind(
        " where o.key = $
        ), projected as (
            select position from checkpoint where projection = 'documents' and not exists (select from found)
        )
        select *, 1 as kind, null as state, null as reason, null as message from found
        union all (
            select null, id, null, null, null, 2, state, reason, message from dead_letters
            where key = $",
        key.to_owned(),
    )
    .bind(" and collection = $", place.id.0)
    .push(
        " and not exists (select from found)
            order by id desc limit 5
        )
        union all (
            select null, position, null, null, null, 3, null, null, null from inbox
            where position > (select position from projected)
              and position <= (select position from projected) + 20000",
    )
    .bind(
        " and source_id in (select id from source where collection = $)",
        share.name().to_string(),
    )
    .bind(
        " and position(convert_to($, 'UTF8') in payload) > 0
            order by position limit 1
        )
        order by kind, position desc",
        key.to_owned(),
    );
    let rows = sql.query(client).await?;
    let Some(first) = rows.first() else {
        return Err(Miss::NeverReceived);
    };
    match first.get(KIND) {
        DOCUMENT => match stored(first) {
            document if document.gone => Err(Miss::Gone(document.position)),
            document => Ok(document),
        },
        LETTER => Err(Miss::Rejected {
            latest: letter(first),
            earlier: rows[1..]
                .iter()
                .filter(|row| row.get::<_, i32>(KIND) == LETTER)
                .map(position)
                .collect(),
        }),
        _ => Err(Miss::OnItsWay(position(first))),
    }
}

fn position(row: &Row) -> Position {
    Position(row.get(1))
}

fn letter(row: &Row) -> Letter {
    Letter {
        id: position(row),
        state: row.get(6),
        reason: row.get(7),
        message: row.get(8),
    }
}

//! What Postgres knows of an order_uid that is not in the cache. One statement sees one moment: asked one after the other, a
//! message that is on its way is an order by the next question, and could be in neither.

use tokio_postgres::Row;

use crate::inbox::Position;
use crate::order::store::{Stored, stored, stored_where};
use crate::postgres::{Client, Error, query};

/// Why there is no order to answer with: not found is a finding, too.
#[derive(Debug)]
pub enum Miss {
    Rejected {
        latest: Letter,
        earlier: Vec<Position>,
    },
    /// Its message is in the inbox here, and not yet projected.
    OnItsWay(Position),
    NeverReceived,
    Failed(Error),
}

impl From<Error> for Miss {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// A dead letter with the order_uid that was asked for.
#[derive(Debug)]
pub struct Letter {
    pub id: Position,
    pub state: String,
    pub reason: String,
    pub message: String,
}

/// Which of the three a row is of, and where it says so.
const KIND: usize = 4;
const ORDER: i32 = 1;
const LETTER: i32 = 2;

/// By orders_pkey, dead_letters_order and inbox_pkey. What is on its way is looked for in a bounded number of rows, so that an
/// answer to "where is my order" is quick.
const FIND: &str = concat!(
    "with found as (",
    stored_where!("o.order_uid = $1"),
    "), projected as (
        select position from checkpoint where projection = 'live' and not exists (select from found)
    )
    select *, 1 as kind, null as state, null as reason, null as message from found
    union all (
        select null, id, null, null, 2, state, reason, message from dead_letters
        where order_uid = $1 and not exists (select from found)
        order by id desc limit 5
    )
    union all (
        select null, position, null, null, 3, null, null, null from inbox
        where position > (select position from projected)
          and position <= (select position from projected) + 20000
          and position(convert_to($1, 'UTF8') in payload) > 0
        order by position limit 1
    )
    order by kind, position desc"
);

pub(super) async fn find(client: &Client, order_uid: &str) -> Result<Stored, Miss> {
    let rows = query(client, FIND, &[&order_uid]).await?;
    let Some(first) = rows.first() else {
        return Err(Miss::NeverReceived);
    };
    match first.get(KIND) {
        ORDER => Ok(stored(first)),
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
        state: row.get(5),
        reason: row.get(6),
        message: row.get(7),
    }
}

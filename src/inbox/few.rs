//! A few new messages in one statement, which is one exchange with the server: at a low rate the exchanges of the general way
//! are most of the time.

use super::row::{Appended, Incoming, Position};
use crate::postgres::{Error, Session, query};

/// With more rows COPY is quicker.
pub(super) const FEW: usize = 16;

/// The update of the head is also the lock: whoever comes second waits, and sees what the first left. If a row could be a
/// redelivery, nothing is updated and nothing stored. The statement is a transaction of its own, whose commit is not to wait for
/// the disk: `set_config` says so for this transaction alone, in the condition, so that it is done before any row is written.
const APPEND: &str = "
    with head as (
        update inbox_head
        set next_position = next_position + cardinality($5::int8[]), highest[$1] = $2
        where highest[$1] < $3 and set_config('synchronous_commit', 'off', true) = 'off'
        returning next_position - cardinality($5::int8[]) as first
    )
    insert into inbox (position, source_id, received_at, sequence, broker_time_ns, hash, payload)
    select head.first + n - 1, $1, received_at, sequence, broker_time_ns, hash, payload
    from head, unnest($4::timestamptz[], $5::int8[], $6::int8[], $7::int8[], $8::bytea[])
        with ordinality as w(received_at, sequence, broker_time_ns, hash, payload, n)
    returning position";

/// None if the rows are too many, or not plainly new messages of one source. Then nothing was done.
pub async fn append_few(
    session: &Session,
    batch: &[Incoming],
) -> Result<Option<Vec<Appended>>, Error> {
    let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
        return Ok(None);
    };
    let messages: Option<Vec<&[u8]>> = batch.iter().map(message).collect();
    let Some(payloads) = messages.filter(|_| batch.len() <= FEW) else {
        return Ok(None);
    };
    fn column<T>(batch: &[Incoming], field: impl Fn(&Incoming) -> T) -> Vec<T> {
        batch.iter().map(field).collect()
    }
    let rows = query(
        session.client(),
        APPEND,
        &[
            &first.source.0,
            &last.sequence,
            &first.sequence,
            &column(batch, |row| row.received_at),
            &column(batch, |row| row.sequence),
            &column(batch, |row| row.broker_time_ns),
            &column(batch, |row| row.hash),
            &payloads,
        ],
    )
    .await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let stored = rows
        .iter()
        .map(|row| Appended::Stored(Position(row.get(0))));
    Ok(Some(stored.collect()))
}

fn message(row: &Incoming) -> Option<&[u8]> {
    row.payload.as_deref().filter(|_| row.decision.is_none())
}

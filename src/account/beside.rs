//! The other tables that the projector keeps (verdicts, the letters' groups, the lives of each source), derived a second time
//! from the rows and compared. Called by `verify`.

use jiff::Timestamp;

use super::epoch::{EpochChanges, Epochs, load_epochs_at};
use crate::inbox::{Position, SourceId};
use crate::postgres::{Client, Error, query, query_one};

/// By the primary keys. A row was rejected if it is a letter, or a decision to retry or reopen one that failed again. A verdict
/// of any other row is harmful: a replay would reject that row.
const VERDICTS: &str = "
    with rejected as (
        select id as position from dead_letters where id > $1 and id <= $2
        union all
        select position from decisions
        where position > $1 and position <= $2
          and (result = 'still_failing' or action = 'reopen' and result = 'done' and fate = 'decision')
    ), given as (select position from verdict where position > $1 and position <= $2)
    select count(*) filter (where g.position is null), count(*) filter (where r.position is null)
    from rejected r full join given g using (position)";

/// How many rows between two positions were rejected without a verdict, and how many have one and were not.
pub async fn verdicts(client: &Client, after: Position, to: Position) -> Result<(i64, i64), Error> {
    let row = query_one(client, VERDICTS, &[&after.0, &to.0]).await?;
    Ok((row.get(0), row.get(1)))
}

/// By dead_letters_group. One statement, so one snapshot: letters change their group all the time.
const GROUPS: &str = "
    select count(*)
    from (
        select fingerprint, count(*) filter (where state = 'open') as open,
               count(*) filter (where state = 'replaced') as replaced,
               count(*) filter (where state = 'discarded') as discarded
        from dead_letters group by fingerprint
    ) l full join dead_letter_groups g using (fingerprint)
    where (coalesce(l.open, 0), coalesce(l.replaced, 0), coalesce(l.discarded, 0))
       is distinct from (coalesce(g.open, 0), coalesce(g.replaced, 0), coalesce(g.discarded, 0))";

/// How many groups have other counts than their letters.
pub async fn groups(client: &Client) -> Result<i64, Error> {
    Ok(query_one(client, GROUPS, &[]).await?.get(0))
}

/// By inbox_pkey.
const RECEIVED: &str = "
    select position, source_id, sequence, broker_time_ns, received_at from inbox
    where position > $1 and position <= $2 and decision is null
      and source_id in (select id from source where kind in ('stan', 'jetstream'))
    order by position";

/// Rows that one statement reads, from the table and not from an index alone: some tenths of a second from a cold disk, and a
/// statement has twelve seconds.
const SPAN: i64 = 20_000;

/// Feeds all rows of brokers through the projector's own code, in the log's order. True if that gives the lives that are kept.
pub async fn epochs_hold(client: &Client) -> Result<bool, Error> {
    let (Position(to), kept) = load_epochs_at(client).await?;
    let mut epochs = Epochs::default();
    for after in (0..to).step_by(SPAN as usize) {
        let end = (after + SPAN).min(to);
        let mut changes = EpochChanges::default();
        for row in query(client, RECEIVED, &[&after, &end]).await? {
            let source = SourceId(row.get("source_id"));
            let at: Timestamp = row.get("received_at");
            epochs.receive(
                &mut changes,
                source,
                row.get("sequence"),
                row.get("broker_time_ns"),
                at,
            );
        }
    }
    Ok(epochs == kept)
}

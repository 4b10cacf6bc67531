//! How many letters of each group were received when, over the last hours: is it still going on, or is it over?

use jiff::Timestamp;

use crate::collection::Id;
use crate::postgres::{Client, Error, query};

/// So many bars; the last one is not yet full.
pub const BARS: i32 = 24;
/// The newest so many letters are looked at, so that a flood costs no more than this.
const LOOKED_AT: i64 = 200_000;

/// By dead_letters_pkey, downwards.
const TREND: &str = "
    select l.fingerprint, least(width_bucket(extract(epoch from l.received_at)::float8, $1, $2, $3), $3), count(*), l.collection
    from (select fingerprint, received_at, collection from dead_letters order by id desc limit $4) l
    where l.received_at >= to_timestamp($1)
    group by 1, 2, 4";

/// Counts by group, in `BARS` equal parts of the time from `since` to `until`.
pub async fn trend(
    client: &Client,
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<(i64, Id, Vec<i64>)>, Error> {
    let seconds = |at: Timestamp| at.as_duration().as_secs_f64();
    let parameters: (f64, f64) = (seconds(since), seconds(until));
    let rows = query(
        client,
        TREND,
        &[&parameters.0, &parameters.1, &BARS, &LOOKED_AT],
    )
    .await?;
    let mut groups = std::collections::BTreeMap::new();
    for row in rows {
        let bars = groups
            .entry((row.get::<_, i64>(0), Id(row.get(3))))
            .or_insert_with(|| vec![0; BARS as usize]);
        let bar = usize::try_from(row.get::<_, i32>(1) - 1).unwrap_or(0);
        bars[bar] += row.get::<_, i64>(2);
    }
    let counted = groups.into_iter();
    Ok(counted
        .map(|((group, id), bars)| (group, id, bars))
        .collect())
}

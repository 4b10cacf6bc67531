//! Pages of orders for whoever reads all of them: oldest first, up to a position fixed before, bounded in rows and in
//! bytes. Called by the export. Each page is a statement of its own, so that no snapshot is older than a page takes.

use bytes::Bytes;

use crate::inbox::Position;
use crate::postgres::{Client, Error, query};

/// Whose orders; both empty means all of them.
#[derive(Clone, Debug, Default)]
pub struct Whose {
    pub customer_id: Option<String>,
    pub track_number: Option<String>,
}

/// Some orders, by uid and bytes, and where the next page begins.
pub struct Page {
    pub orders: Vec<(String, Bytes)>,
    pub after: Position,
}

/// Positions, where all orders are asked for: most of them are orders.
const WINDOW: i64 = 1_024;
/// Rows, where an index finds the few that are asked for.
const ROWS: i64 = 512;
/// What a page's payloads come to at most, if it has more than one.
const BYTES: i64 = 4 << 20;

/// The running sum bounds the answer in bytes without reading what lies beyond.
macro_rules! bounded {
    ($orders:literal) => {
        concat!(
            "select order_uid, position, payload from (
                select o.order_uid, o.position, i.payload,
                    sum(octet_length(i.payload)) over (order by o.position) - octet_length(i.payload) as before
                from (select order_uid, position, bytes_position from orders where ",
            $orders,
            ") o join inbox i on i.position = o.bytes_position
            ) page where before < $3 order by position"
        )
    };
}

/// By orders_position (BRIN).
const ALL: &str = bounded!("position > $1 and position <= $2");
/// By orders_customer.
const OF_CUSTOMER: &str = bounded!(
    "data ->> 'customer_id' = $5 and position > $1 and position <= $2 order by position limit $4"
);
/// By orders_track.
const OF_TRACK: &str = bounded!(
    "data ->> 'track_number' = $5 and position > $1 and position <= $2 order by position limit $4"
);
const OF_BOTH: &str = bounded!(
    "data ->> 'track_number' = $5 and data ->> 'customer_id' = $6 and position > $1 and position <= $2
     order by position limit $4"
);

/// The page after `after`; none where nothing is left up to `until`.
pub async fn page(
    client: &Client,
    whose: &Whose,
    after: Position,
    until: Position,
) -> Result<Option<Page>, Error> {
    let mut after = after.0;
    while after < until.0 {
        let (end, rows) = match (&whose.customer_id, &whose.track_number) {
            (None, None) => {
                let end = until.0.min(after.saturating_add(WINDOW));
                (end, query(client, ALL, &[&after, &end, &BYTES]).await?)
            }
            (Some(one), None) => {
                let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                    [&after, &until.0, &BYTES, &ROWS, one];
                (until.0, query(client, OF_CUSTOMER, &values).await?)
            }
            (None, Some(one)) => {
                let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                    [&after, &until.0, &BYTES, &ROWS, one];
                (until.0, query(client, OF_TRACK, &values).await?)
            }
            (Some(customer), Some(track)) => {
                let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
                    [&after, &until.0, &BYTES, &ROWS, track, customer];
                (until.0, query(client, OF_BOTH, &values).await?)
            }
        };
        let mut page = Page {
            orders: Vec::with_capacity(rows.len()),
            after: Position(end),
        };
        let mut bytes = 0;
        for row in &rows {
            let payload = Bytes::copy_from_slice(row.get(2));
            bytes += payload.len() as i64;
            page.orders.push((row.get(0), payload));
        }
        // A page that was cut goes on at its last row; one that was not has all there is up to its end.
        let by_rows = end == until.0 && rows.len() as i64 >= ROWS;
        if let Some(last) = rows.last().filter(|_| bytes >= BYTES || by_rows) {
            page.after = Position(last.get(1));
        }
        if !page.orders.is_empty() {
            return Ok(Some(page));
        }
        after = page.after.0;
    }
    Ok(None)
}

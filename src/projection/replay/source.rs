//! The log read for a replay: rows together with their verdicts, never past the live checkpoint. One statement over many
//! batches, read as it comes: what is not asked for yet waits on the server.

use std::collections::HashMap;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::stream::Fuse;
use futures_util::{StreamExt, TryStreamExt};
use tokio_postgres::types::{Json, ToSql};
use tokio_postgres::{Row as SqlRow, RowStream};

use super::super::reader::{ReadRow, examine_to_store};
use super::{BATCH_BYTES, BATCH_ROWS};
use crate::dead_letter::Verdict;
use crate::inbox::{Decision, Position, Row, SourceId};
use crate::postgres::{Client, Error, Session};

/// By inbox_pkey and verdict_pkey.
const READ: &str = "
    select i.position, i.source_id, i.sequence, i.broker_time_ns, i.received_at, i.payload, i.decision,
           v.rules_position, v.fingerprint, v.code_version, v.reason, v.code, v.message, v.pointer, v.order_uid,
           v.violations::text
    from inbox i
    left join (select * from verdict where position > $1 and position <= $2) v on v.position = i.position
    where i.position > $1 and i.position <= $2
    order by i.position";

pub struct Batch {
    pub rows: Vec<ReadRow>,
    pub verdicts: HashMap<i64, Verdict>,
}

impl Batch {
    pub fn last(&self) -> Option<Position> {
        self.rows.last().map(|read| read.row.position)
    }

    /// Decisions look at what earlier batches wrote.
    pub fn decides(&self) -> bool {
        self.rows.iter().any(|read| read.row.decision.is_some())
    }
}

/// Rows on their way.
pub struct Reading(Pin<Box<Fuse<RowStream>>>);

/// The rows after `after`, up to `until`.
pub async fn read(client: &Client, after: Position, until: Position) -> Result<Reading, Error> {
    Session::bounded(async {
        let prepared = client.prepare_cached(READ).await?;
        let span: [&(dyn ToSql + Sync); 2] = [&after.0, &until.0];
        let rows = client.query_raw(&prepared, span).await?;
        // Past its end, a RowStream says that the connection is closed.
        Ok(Reading(Box::pin(rows.fuse())))
    })
    .await
}

impl Reading {
    /// The next rows, bounded in number and in bytes (but at least one); none at the end.
    pub async fn batch(&mut self) -> Result<Batch, Error> {
        Session::bounded(async {
            let mut batch = Batch {
                rows: Vec::with_capacity(BATCH_ROWS),
                verdicts: HashMap::new(),
            };
            let mut bytes = 0;
            while batch.rows.len() < BATCH_ROWS && bytes < BATCH_BYTES {
                let Some(row) = self.0.try_next().await? else {
                    break;
                };
                bytes += batch.add(&row);
            }
            Ok(batch)
        })
        .await
    }
}

impl Batch {
    /// Answers with the payload's length.
    fn add(&mut self, row: &SqlRow) -> usize {
        let position = Position(row.get(0));
        let payload: Option<&[u8]> = row.get(5);
        if let Some(rules_position) = row.get(7) {
            let verdict = Verdict {
                position,
                rules_position,
                fingerprint: row.get(8),
                code_version: row.get(9),
                reason: row.get(10),
                code: row.get(11),
                message: row.get(12),
                pointer: row.get(13),
                order_uid: row.get(14),
                violations: row.get(15),
            };
            self.verdicts.insert(position.0, verdict);
        }
        let decision = row.get::<_, Option<Json<Decision>>>(6).map(|json| json.0);
        // What is wanted again: a resubmission's bytes, to be compared with another's.
        let kept = |bytes| match decision {
            Some(_) => Bytes::copy_from_slice(bytes),
            None => Bytes::new(),
        };
        self.rows.push(ReadRow {
            row: Row {
                position,
                source: SourceId(row.get(1)),
                sequence: row.get(2),
                broker_time_ns: row.get(3),
                received_at: row.get(4),
                payload: payload.map(kept),
                decision,
            },
            examined: payload.map(examine_to_store),
        });
        payload.map_or(0, <[u8]>::len)
    }
}

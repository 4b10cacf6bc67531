//! The log read for a replay: rows together with their verdicts, never past the live checkpoint.

use std::collections::HashMap;

use bytes::Bytes;
use tokio_postgres::types::Json;

use super::super::reader::{ReadRow, examine};
use super::{BATCH_BYTES, BATCH_ROWS};
use crate::dead_letter::Verdict;
use crate::inbox::{Decision, Position, Row, SourceId};
use crate::postgres::{Client, Error, query};

/// By inbox_pkey and verdict_pkey.
const READ: &str = "
    select b.position, b.source_id, b.sequence, b.broker_time_ns, b.received_at, b.payload, b.decision,
           v.rules_position, v.fingerprint, v.code_version, v.reason, v.code, v.message, v.pointer, v.order_uid,
           v.violations::text
    from (
        select i.*, sum(coalesce(octet_length(payload), 0)) over (order by position) - coalesce(octet_length(payload), 0) as before
        from inbox i
        where position > $1 and position <= least($1 + $2, $4)
    ) b
    left join verdict v on v.position = b.position
    where before < $3
    order by b.position";

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

pub async fn read(client: &Client, after: Position, until: Position) -> Result<Batch, Error> {
    let found = query(
        client,
        READ,
        &[&after.0, &BATCH_ROWS, &BATCH_BYTES, &until.0],
    )
    .await?;
    let mut verdicts = HashMap::new();
    let mut rows = Vec::with_capacity(found.len());
    for row in &found {
        let position = Position(row.get(0));
        let payload: Option<&[u8]> = row.get(5);
        let verdict = row.get::<_, Option<i64>>(7).map(|rules_position| Verdict {
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
        });
        let examined = payload.map(examine);
        let decision = row.get::<_, Option<Json<Decision>>>(6).map(|json| json.0);
        // What is wanted again: a resubmission's bytes, to be compared with another's.
        let keep = decision.is_some();
        rows.push(ReadRow {
            row: Row {
                position,
                source: SourceId(row.get(1)),
                sequence: row.get(2),
                broker_time_ns: row.get(3),
                received_at: row.get(4),
                payload: payload.map(|bytes| {
                    if keep {
                        Bytes::copy_from_slice(bytes)
                    } else {
                        Bytes::new()
                    }
                }),
                decision,
            },
            examined,
        });
        if let Some(verdict) = verdict {
            verdicts.insert(position.0, verdict);
        }
    }
    Ok(Batch { rows, verdicts })
}

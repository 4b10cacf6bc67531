//! Reads the log for a replay: rows together with their verdicts, never past the live checkpoint. One statement covers many
//! batches; its rows are read as they are needed, and back-pressure keeps the rest on the server.

use std::collections::HashMap;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::stream::Fuse;
use futures_util::{StreamExt, TryStreamExt};
use tokio_postgres::types::{Json, ToSql};
use tokio_postgres::{Row as SqlRow, RowStream};

use super::super::reader::{Examiner, ReadRow};
use super::{BATCH_BYTES, BATCH_ROWS};
use crate::dead_letter::Verdict;
use crate::inbox::{Decision, Position, Row, SourceId};
use crate::postgres::{Client, Error, Session, query};

/// By inbox_pkey.
const READ: &str = "
    select position, source_id, sequence, broker_time_ns, received_at, payload, decision
    from inbox where position > $1 and position <= $2 order by position";
/// By verdict_pkey. A statement of its own, because most rows have no verdict.
const VERDICTS: &str = "
    select position, definition, fingerprint, code_version, reason, code, message, pointer, key, violations::text
    from verdict where position > $1 and position <= $2";

pub struct Batch {
    pub rows: Vec<ReadRow>,
    pub verdicts: HashMap<i64, Verdict>,
}

impl Batch {
    pub fn last(&self) -> Option<Position> {
        self.rows.last().map(|read| read.row.position)
    }

    /// Whether it has decisions, which need the letters that earlier batches wrote.
    pub fn decides(&self) -> bool {
        self.rows.iter().any(|read| read.row.decision.is_some())
    }
}

/// A statement whose rows are being read.
pub struct Reading {
    rows: Pin<Box<Fuse<RowStream>>>,
    verdicts: HashMap<i64, Verdict>,
    examiner: Examiner,
}

/// The rows after `after`, up to `until`.
pub async fn read(client: &Client, after: Position, until: Position) -> Result<Reading, Error> {
    Session::bounded(async {
        let verdicts = query(client, VERDICTS, &[&after.0, &until.0]).await?;
        let prepared = client.prepare_cached(READ).await?;
        let span: [&(dyn ToSql + Sync); 2] = [&after.0, &until.0];
        let rows = client.query_raw(&prepared, span).await?;
        // Fused, because a RowStream that is polled past its end says that the connection is closed.
        Ok(Reading {
            rows: Box::pin(rows.fuse()),
            verdicts: verdicts.iter().map(verdict).collect(),
            examiner: Examiner::default(),
        })
    })
    .await
}

fn verdict(row: &SqlRow) -> (i64, Verdict) {
    let position = row.get(0);
    let verdict = Verdict {
        position: Position(position),
        definition: row.get(1),
        fingerprint: row.get(2),
        code_version: row.get(3),
        reason: row.get(4),
        code: row.get(5),
        message: row.get(6),
        pointer: row.get(7),
        key: row.get(8),
        violations: row.get(9),
    };
    (position, verdict)
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
                let Some(row) = self.rows.try_next().await? else {
                    break;
                };
                bytes += batch.add(&row, &mut self.verdicts, &mut self.examiner);
            }
            Ok(batch)
        })
        .await
    }
}

impl Batch {
    /// Answers with the row's length: of its payload, and of its decision.
    fn add(
        &mut self,
        row: &SqlRow,
        verdicts: &mut HashMap<i64, Verdict>,
        examiner: &mut Examiner,
    ) -> usize {
        let position = Position(row.get(0));
        let payload: Option<&[u8]> = row.get(5);
        if let Some(verdict) = verdicts.remove(&position.0) {
            self.verdicts.insert(position.0, verdict);
        }
        let decision = row.get::<_, Option<Json<Decision>>>(6).map(|json| json.0);
        // Only a resubmission's bytes are needed again, to be compared with those of a later resubmission.
        let kept = payload.filter(|_| decision.is_some());
        self.rows.push(ReadRow {
            row: Row {
                position,
                source: SourceId(row.get(1)),
                sequence: row.get(2),
                broker_time_ns: row.get(3),
                received_at: row.get(4),
                payload: kept.map(Bytes::copy_from_slice),
                decision,
            },
            examined: payload.map(|bytes| examiner.examine_to_store(bytes)),
        });
        row.raw_size_bytes()
    }
}

//! Reads the log for a replay: rows together with their verdicts, never past the live checkpoint. One statement covers many
//! batches; its rows are read as they are needed, and back-pressure keeps the rest on the server.

use std::collections::HashMap;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::stream::Fuse;
use futures_util::{StreamExt, TryStreamExt};
use tokio_postgres::types::{Json, ToSql};
use tokio_postgres::{Row as SqlRow, RowStream};

use super::super::Error;
use super::super::examine::Examiner;
use super::super::judge::Amount;
use super::super::reader::ReadRow;
use super::looks::Looks;
use super::{BATCH_BYTES, BATCH_ROWS};
use crate::dead_letter::Verdict;
use crate::inbox::{Decision, Position, Row, SourceId};
use crate::postgres::{Client, Session, query};

/// By inbox_pkey.
const READ: &str = "
    select position, source_id, sequence, broker_time_ns, received_at, payload, decision
    from inbox where position > $1 and position <= $2 order by position";
/// By verdict_pkey. A statement of its own, because most rows have no verdict.
const VERDICTS: &str = "
    select position, definition, fingerprint, code_version, reason, code, message, pointer, key, violations::text
    from verdict where position > $1 and position <= $2";

/// By amount_pkey.
const AMOUNTS: &str = "
    select position, value, gone from amount where position > $1 and position <= $2";

#[derive(Default)]
pub struct Batch {
    pub rows: Vec<ReadRow>,
    pub verdicts: HashMap<i64, Verdict>,
    pub amounts: HashMap<i64, Amount>,
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
pub struct Reading<'l> {
    rows: Pin<Box<Fuse<RowStream>>>,
    verdicts: HashMap<i64, Verdict>,
    amounts: HashMap<i64, Amount>,
    examiner: Examiner,
    looks: &'l Looks,
}

/// The rows after `after`, up to `until`. Their bytes are read as `looks` says.
pub async fn read<'l>(
    client: &Client,
    looks: &'l Looks,
    after: Position,
    until: Position,
) -> Result<Reading<'l>, Error> {
    let reading = Session::bounded(async {
        let verdicts = query(client, VERDICTS, &[&after.0, &until.0]).await?;
        let amounts = query(client, AMOUNTS, &[&after.0, &until.0]).await?;
        let prepared = client.prepare_cached(READ).await?;
        let span: [&(dyn ToSql + Sync); 2] = [&after.0, &until.0];
        let rows = client.query_raw(&prepared, span).await?;
        // Fused, because a RowStream that is polled past its end says that the connection is closed.
        Ok(Reading {
            rows: Box::pin(rows.fuse()),
            verdicts: verdicts.iter().map(verdict).collect(),
            amounts: amounts.iter().map(amount).collect(),
            examiner: Examiner::default(),
            looks,
        })
    });
    Ok(reading.await?)
}

fn amount(row: &SqlRow) -> (i64, Amount) {
    let amount = Amount {
        value: row.get(1),
        gone: row.get(2),
    };
    (row.get(0), amount)
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

impl Reading<'_> {
    /// The next rows, bounded in number and in bytes (but at least one); none at the end. A definition ends its batch.
    pub async fn batch(&mut self) -> Result<Batch, Error> {
        let batch = Session::bounded(async {
            let mut batch = Batch {
                rows: Vec::with_capacity(BATCH_ROWS),
                ..Batch::default()
            };
            let mut bytes = 0;
            while batch.rows.len() < BATCH_ROWS && bytes < BATCH_BYTES {
                let Some(row) = self.rows.try_next().await? else {
                    break;
                };
                bytes += self.add(&mut batch, &row);
                if batch.rows.last().is_some_and(ReadRow::defines) {
                    break;
                }
            }
            Ok(batch)
        });
        Ok(batch.await?)
    }

    /// Answers with the row's length: of its payload, and of its decision.
    fn add(&mut self, batch: &mut Batch, row: &SqlRow) -> usize {
        let position = Position(row.get(0));
        let payload: Option<&[u8]> = row.get(5);
        if let Some(verdict) = self.verdicts.remove(&position.0) {
            batch.verdicts.insert(position.0, verdict);
        }
        if let Some(amount) = self.amounts.remove(&position.0) {
            batch.amounts.insert(position.0, amount);
        }
        let source = SourceId(row.get(1));
        let decision = row.get::<_, Option<Json<Decision>>>(6).map(|json| json.0);
        let to = match decision {
            None => self.looks.collection(source),
            Some(_) => None,
        };
        let examined = match (&to, payload) {
            (Some(to), Some(bytes)) => self.looks.examine(&mut self.examiner, to, position, bytes),
            _ => None,
        };
        // Only a resubmission's bytes are needed again: it is examined as its letter is, and compared with a later one.
        let kept = payload.filter(|_| decision.is_some());
        batch.rows.push(ReadRow {
            row: Row {
                position,
                source,
                sequence: row.get(2),
                broker_time_ns: row.get(3),
                received_at: row.get(4),
                payload: kept.map(Bytes::copy_from_slice),
                decision,
            },
            to,
            examined,
        });
        row.raw_size_bytes()
    }
}

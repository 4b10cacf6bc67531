//! COPY BINARY, row by row into a buffer, sent in pieces while the next is written. tokio-postgres' own BinaryCopyInWriter
//! goes through `&dyn ToSql` for each value and sends 4 kB at a time; this is the hot path of both writers.

use std::pin::Pin;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use jiff::Timestamp;
use tokio_postgres::CopyInSink;

use super::{Client, Error};

const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Microseconds from the Unix epoch to Postgres' (2000-01-01).
const EPOCH_OFFSET_US: i64 = 946_684_800_000_000;
/// Large enough for few exchanges, small enough that the server begins early.
const PIECE: usize = 64 * 1024;

/// Rows, as COPY wants them.
pub struct CopyRows {
    buffer: BytesMut,
}

/// Rows that were sent, and not yet answered for.
pub struct Copying(Pin<Box<CopyInSink<Bytes>>>);

/// Sends what `write` makes of each row; `statement` is `copy table (columns) from stdin binary`. Nothing is sent where there
/// are no rows.
pub async fn copy<T>(
    client: &Client,
    statement: &str,
    columns: i16,
    rows: impl Iterator<Item = T>,
    write: impl FnMut(&mut CopyRows, T),
) -> Result<(), Error> {
    match begin_copy(client, statement, columns, rows, write).await? {
        Some(copying) => copying.finish().await,
        None => Ok(()),
    }
}

/// The same without its end, for what is to be sent together with it.
pub async fn begin_copy<T>(
    client: &Client,
    statement: &str,
    columns: i16,
    rows: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut CopyRows, T),
) -> Result<Option<Copying>, Error> {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return Ok(None);
    }
    let prepared = client.prepare_cached(statement).await?;
    let mut sink = Box::pin(client.copy_in::<_, Bytes>(&prepared).await?);
    let mut copy = CopyRows {
        buffer: BytesMut::with_capacity(PIECE / 8),
    };
    copy.buffer.put_slice(HEADER);
    for row in rows {
        copy.buffer.put_i16(columns);
        write(&mut copy, row);
        if copy.buffer.len() >= PIECE {
            sink.feed(copy.buffer.split().freeze()).await?;
            copy.buffer.reserve(PIECE + PIECE / 8);
        }
    }
    copy.buffer.put_i16(-1);
    sink.feed(copy.buffer.freeze()).await?;
    Ok(Some(Copying(sink)))
}

impl Copying {
    pub async fn finish(mut self) -> Result<(), Error> {
        self.0.as_mut().finish().await?;
        Ok(())
    }
}

/// Exactly the table's columns, in order.
impl CopyRows {
    pub fn null(&mut self) {
        self.buffer.put_i32(-1);
    }

    pub fn int4(&mut self, value: i32) {
        self.buffer.put_i32(4);
        self.buffer.put_i32(value);
    }

    pub fn int8(&mut self, value: i64) {
        self.buffer.put_i32(8);
        self.buffer.put_i64(value);
    }

    pub fn optional_int8(&mut self, value: Option<i64>) {
        match value {
            Some(value) => self.int8(value),
            None => self.null(),
        }
    }

    pub fn truth(&mut self, value: bool) {
        self.buffer.put_i32(1);
        self.buffer.put_u8(u8::from(value));
    }

    pub fn optional_truth(&mut self, value: Option<bool>) {
        match value {
            Some(value) => self.truth(value),
            None => self.null(),
        }
    }

    pub fn timestamp(&mut self, value: Timestamp) {
        self.int8(value.as_microsecond() - EPOCH_OFFSET_US);
    }

    pub fn optional_timestamp(&mut self, value: Option<Timestamp>) {
        match value {
            Some(value) => self.timestamp(value),
            None => self.null(),
        }
    }

    /// text and bytea have the same form.
    pub fn bytes(&mut self, value: &[u8]) {
        self.buffer.put_i32(length(value.len()));
        self.buffer.put_slice(value);
    }

    pub fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    pub fn optional_text(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.text(value),
            None => self.null(),
        }
    }

    pub fn jsonb(&mut self, json: impl AsRef<[u8]>) {
        let json = json.as_ref();
        self.buffer.put_i32(length(json.len() + 1));
        self.buffer.put_u8(1);
        self.buffer.put_slice(json);
    }
}

fn length(bytes: usize) -> i32 {
    i32::try_from(bytes).expect("a payload is bounded far below 2 GiB by the broker and by HTTP")
}

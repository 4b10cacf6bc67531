//! COPY BINARY, row by row into one buffer, sent in large pieces. tokio-postgres' own BinaryCopyInWriter goes through
//! `&dyn ToSql` for each value and sends 4 kB at a time; this is the hot path of both writers.

use std::pin::pin;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use jiff::Timestamp;

use super::{Client, Error};

const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Microseconds from the Unix epoch to Postgres' (2000-01-01).
const EPOCH_OFFSET_US: i64 = 946_684_800_000_000;
const PIECE: usize = 256 * 1024;

/// Rows on their way into one table.
pub struct CopyRows {
    buffer: BytesMut,
    pieces: Vec<Bytes>,
    columns: i16,
    rows: u64,
}

impl CopyRows {
    pub fn new(columns: i16) -> Self {
        let mut buffer = BytesMut::with_capacity(8 * 1024);
        buffer.put_slice(HEADER);
        Self {
            buffer,
            pieces: Vec::new(),
            columns,
            rows: 0,
        }
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Begins a row; exactly the table's columns must follow, in order.
    pub fn row(&mut self) {
        if self.buffer.len() >= PIECE {
            self.pieces.push(self.buffer.split().freeze());
        }
        self.buffer.put_i16(self.columns);
        self.rows += 1;
    }

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

    /// `statement` is `copy table (columns) from stdin binary`. Nothing is sent where there are no rows.
    pub async fn send(mut self, client: &Client, statement: &'static str) -> Result<u64, Error> {
        if self.rows == 0 {
            return Ok(0);
        }
        self.buffer.put_i16(-1);
        self.pieces.push(self.buffer.freeze());
        let prepared = client.prepare_cached(statement).await?;
        let mut sink = pin!(client.copy_in::<_, Bytes>(&prepared).await?);
        for piece in self.pieces {
            sink.feed(piece).await?;
        }
        Ok(sink.finish().await?)
    }
}

fn length(bytes: usize) -> i32 {
    i32::try_from(bytes).expect("a payload is bounded far below 2 GiB by the broker and by HTTP")
}

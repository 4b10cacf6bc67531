//! Messages that wait in the channel, to the last one projected, against what Postgres alone does over the same bytes: one
//! connection appends by COPY, another projects to jsonb behind it.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use waybill::collection;
use waybill::record::Samples;

use super::report::{Figure, Reach, rate};
use super::stage::Stage;

const ROWS: u64 = 300_000;
const PAIRS: usize = 3;
const BATCH: usize = 1024;

pub async fn run() -> anyhow::Result<Vec<Figure>> {
    let mut samples = Samples::seeded(&collection::orders().model, 2)?;
    let messages: Vec<Bytes> = (0..ROWS).map(|_| Bytes::from(samples.message())).collect();
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        // Fresh servers each time: what is there already must not slow the second pair.
        let mut stage = Stage::empty().await?;
        stage.migrate().await?;
        limit.push(pure_sql(&stage, &messages).await?);
        publish(&stage, &messages, &stage.dir.file("messages.ndjson")).await?;
        stage.sql().await?.batch_execute("checkpoint").await?;
        ours.push(drain(&mut stage, ROWS, &[]).await?);
    }
    let ratios = limit
        .iter()
        .zip(&ours)
        .map(|(limit, ours)| limit / ours)
        .collect();
    Ok(vec![
        Figure::new("catch-up", rate(ROWS, &ours), format!("pure SQL, COPY and project behind it {}", rate(ROWS, &limit)))
            .ratios(ratios, Reach::AtLeast(0.8))
            .note(
                "ours begins with the start of the process, and has the broker's and its own work to do on the same cores; \
                 the limit has its bytes in memory",
            ),
    ])
}

/// Starts the service on a channel that is full already: seconds to the last one projected.
pub async fn drain(stage: &mut Stage, rows: u64, arguments: &[&str]) -> anyhow::Result<f64> {
    let begun = Instant::now();
    stage.serve(arguments).await?;
    stage.until_projected(rows).await?;
    Ok(begun.elapsed().as_secs_f64())
}

pub async fn publish(stage: &Stage, messages: &[Bytes], file: &Path) -> anyhow::Result<()> {
    let mut lines = BytesMut::new();
    for message in messages {
        lines.put_slice(message);
        lines.put_u8(b'\n');
    }
    std::fs::write(file, &lines)?;
    let path = file.display().to_string();
    stage
        .publish(&["--file", &path, "--format", "lines", "--window", "8192"])
        .await?;
    std::fs::remove_file(file)?;
    Ok(())
}

async fn pure_sql(stage: &Stage, messages: &[Bytes]) -> anyhow::Result<f64> {
    let writer = stage.sql().await?;
    writer
        .batch_execute(
            "create table pure_inbox (like inbox including all); create table pure_orders (like orders including all)",
        )
        .await?;
    let rows = i64::try_from(messages.len())?;
    let begun = Instant::now();
    let projector = stage.sql().await?;
    let projecting = tokio::spawn(async move {
        let mut after = 0_i64;
        while after < rows {
            let done = projector
                .query_one(
                    "with new as (
                         select position, convert_from(payload, 'UTF8')::jsonb as data from pure_inbox
                         where position > $1 and position <= $1 + 2048 offset 0
                     ), stored as (
                         insert into pure_orders (position, bytes_position, key, data)
                         select position, position, data ->> 'order_uid', data from new
                     ) select coalesce(max(position), $1) from new",
                    &[&after],
                )
                .await?;
            let reached: i64 = done.get(0);
            if reached == after {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            after = reached;
        }
        Ok::<(), tokio_postgres::Error>(())
    });
    let mut position = 0_i64;
    for chunk in messages.chunks(BATCH) {
        let mut buffer = BytesMut::from(&b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"[..]);
        for message in chunk {
            position += 1;
            buffer.put_i16(7);
            // position, sequence, broker_time_ns, hash, received_at
            for value in [position, position, position, position, 0] {
                buffer.put_i32(8);
                buffer.put_i64(value);
            }
            buffer.put_i32(4);
            buffer.put_i32(1);
            buffer.put_i32(i32::try_from(message.len())?);
            buffer.put_slice(message);
        }
        buffer.put_i16(-1);
        let copy = "copy pure_inbox (position, sequence, broker_time_ns, hash, received_at, source_id, payload) from stdin binary";
        let mut sink = std::pin::pin!(writer.copy_in::<_, Bytes>(copy).await?);
        sink.send(buffer.freeze()).await?;
        sink.finish().await?;
    }
    projecting.await??;
    let took = begun.elapsed().as_secs_f64();
    writer
        .batch_execute("drop table pure_inbox, pure_orders")
        .await?;
    Ok(took)
}

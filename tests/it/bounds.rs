//! What the service holds at a time is bounded, whatever comes.

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::oneshot;
use waybill::inbox::{self, Action, Decision, Incoming, Position, Reply, content_hash};
use waybill::postgres::{Database, Settings};

use crate::harness::{Bench, Weight};

#[tokio::test]
async fn decisions_count_with_their_bytes_when_a_batch_is_read() {
    let bench = Bench::new(Weight::Light).await;
    let settings = Settings::parse(&bench.url, None, false).unwrap();
    let database = Database::new(settings, 1).unwrap();
    let session = database.session("test").await.unwrap();
    let source = inbox::source_id(session.client(), "operator", "operator").await;
    let source = source.unwrap();
    let rows: Vec<Incoming> = (1..=10)
        .map(|number| {
            let payload = (number % 2 == 0).then(|| Bytes::from("x".repeat(50_000)));
            let why = "y".repeat(50_000);
            let decision = Decision::about(number, Action::Note, "ada", &why).to_json();
            Incoming {
                source,
                sequence: number,
                broker_time_ns: number,
                received_at: Timestamp::now(),
                key: None,
                hash: content_hash(payload.as_deref(), Some(&decision)),
                payload,
                decision: Some(decision),
                reply: Reply::Answer(oneshot::channel().0),
            }
        })
        .collect();
    inbox::append(&session, &rows).await.unwrap();
    let read = async |after: i64, bytes: i64| {
        let read = inbox::read_batch(session.client(), Position(after), 100, bytes).await;
        let read = read.unwrap();
        read.iter().map(|row| row.position.0).collect::<Vec<_>>()
    };
    // One of 50,000 and one of 100,000, and some more each.
    assert_eq!(read(0, 10_000_000).await, (1..=10).collect::<Vec<_>>());
    assert_eq!(read(0, 120_000).await, [1, 2]);
    assert_eq!(read(1, 120_000).await, [2, 3]);
    assert_eq!(read(4, 1).await, [5], "at least one");
}

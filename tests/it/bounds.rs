//! What the service holds at a time is bounded, whatever comes.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use waybill::inbox::{self, Action, Decision, Incoming, Position, Reply, Room, content_hash};
use waybill::postgres::{Database, Settings};

use crate::harness::{Bench, Ledger, OCTETS, Weight, check, order, resident_bytes, within};

#[tokio::test]
async fn decisions_count_with_their_bytes_when_a_batch_is_read() {
    let bench = Bench::new(Weight::Light).await;
    let settings = Settings::parse(&bench.url, None, false).unwrap();
    let database = Database::new(settings, 1).unwrap();
    let session = database.session("test").await.unwrap();
    let source = inbox::source(session.client(), "operator", "operator", None).await;
    let (source, _) = source.unwrap();
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
                reply: Reply::Answer(oneshot::channel().0, Room::default()),
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

/// Of which the service has to hold none that waits for Postgres beyond its budget of 64 MiB.
const POSTS: usize = 300;
const EACH: usize = 1_000_000;

/// So many bytes, and each its own.
fn large(name: &str) -> Bytes {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(EACH, b'x');
    bytes.into()
}

#[tokio::test]
async fn posts_beside_a_frozen_postgres_are_turned_away_before_they_fill_memory() {
    let mut bench = Bench::with_own_postgres(Weight::Heavy, &[]).await;
    let service = bench.serve(None, &[]).await;
    service.post(order("before")).await;
    service.rests(30, 1).await;
    let before = resident_bytes(service.pid());
    bench.postgres().pause();

    let http = reqwest::Client::builder()
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    let mut posts = JoinSet::new();
    for number in 0..POSTS {
        let body = large(&format!("{number} "));
        let post = http
            .post(format!("{}/api/v1/orders", service.url))
            .header(OCTETS.0, OCTETS.1)
            .body(body.clone());
        posts.spawn(async move {
            let answer = post.send().await.unwrap();
            let status = answer.status().as_u16();
            let told = answer.headers().contains_key("retry-after");
            (status, told, answer.text().await.unwrap(), body)
        });
    }
    let (mut turned_away, mut held) = (0, 0);
    // Sooner than those that wait for Postgres are told that nobody knows.
    within(60, "most are turned away", async {
        while turned_away < POSTS - 80 {
            let (status, told, text, _) = posts.join_next().await.unwrap().unwrap();
            assert_eq!((status, told), (503, true), "{text}");
            turned_away += usize::from(text.contains("nothing was stored"));
            held = held.max(resident_bytes(service.pid()).saturating_sub(before));
        }
    })
    .await;
    // Without the budget these would be 286 MiB and what it takes to send them on. With it they are 64 MiB, the buffers of 300
    // connections, and what malloc keeps of those that were turned away: 141 to 162 MiB were seen.
    assert!(held < 224 << 20, "{} MiB are held", held >> 20);
    bench.postgres().resume();

    let mut ledger = Ledger::default();
    while let Some(post) = posts.join_next().await {
        let (status, told, text, body) = post.unwrap();
        match status {
            202 => ledger.acked.push(body),
            _ => assert_eq!((status, told), (503, true), "{text}"),
        }
    }
    // There is room again, for as many as before.
    for number in 0..40 {
        let body = large(&format!("again {number} "));
        service.post(body.clone()).await;
        ledger.acked.push(body);
    }
    service.rests(60, 1 + ledger.rows()).await;
    check(&bench, &service, &ledger).await;
}

//! A sender that has lost its mind: junk as fast as it goes, no two alike. Memory stays bounded, and what is good keeps its
//! pace.

use std::time::{Duration, Instant};

use waybill::sandbox::broker::Store;

use crate::harness::{Bench, Sender, Weight, check, junk, order, resident_bytes, until};

const FLOOD: usize = 30_000;

#[tokio::test]
async fn a_flood_of_different_junk_drowns_nobody() {
    let bench = Bench::new(Weight::Heavy).await;
    let broker = bench.broker(Store::File).await;
    let service = bench.serve(Some(&broker), &[]).await;
    let before = resident_bytes(service.pid());
    let flooding = tokio::spawn({
        let sender = Sender::new(&broker);
        async move {
            let started = Instant::now();
            let ledger = sender.publish((0..FLOOD).map(junk)).await;
            (ledger, started.elapsed())
        }
    });
    let (mut good, mut slowest, mut largest) = (0, Duration::ZERO, 0);
    let pending = async || {
        let stats = service.json("/api/v1/stats").await;
        stats["pending"].as_i64().unwrap() + stats["broker"]["lag"].as_i64().unwrap_or(0)
    };
    while !flooding.is_finished() || pending().await > 0 {
        let order_uid = format!("good-{good}");
        let posted = Instant::now();
        service.post(order(&order_uid)).await;
        until(20, "a good one is served", async || {
            (service.order(&order_uid).await.status == 200).then_some(())
        })
        .await;
        slowest = slowest.max(posted.elapsed());
        largest = largest.max(resident_bytes(service.pid()));
        good += 1;
    }
    let (ledger, took) = flooding.await.unwrap();
    assert!(
        took < Duration::from_secs(20),
        "no flood: {FLOOD} in {took:?}"
    );
    // Beside a busy machine each takes its time; three are enough to be drowned.
    assert!(good >= 3, "only {good}");
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    assert!(largest < 100 << 20, "from {before} to {largest} bytes");
    let rows = (FLOOD + good) as i64;
    service.rests(30, rows).await;
    let count = check(&bench, &service, &ledger).await;
    assert_eq!((count.letters, count.orders), (FLOOD, good));
}

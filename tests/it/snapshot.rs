//! Somebody's snapshot stays open: work goes on, and its age is told, whoever it belongs to.

use std::time::{Duration, Instant};

use crate::harness::{Bench, Service, Weight, check, junk, order, until};

async fn age(service: &Service) -> f64 {
    let metrics = service.get("/metrics").await.body;
    let metrics = String::from_utf8_lossy(&metrics);
    let (_, rest) = metrics
        .split_once("\nwaybill_oldest_snapshot_seconds ")
        .unwrap();
    rest.lines().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_open_snapshot_is_told_and_holds_nobody_up() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    assert!(age(&service).await < 1.0);
    // Another role's: what it does is not for us to see, that it is there must be.
    let stranger = bench.sql().await;
    let opened = Instant::now();
    stranger.run("begin isolation level repeatable read").await;
    assert_eq!(stranger.count("select count(*) from orders").await, 0);
    for number in 0..30 {
        service.post(order(&format!("seen-{number}"))).await;
        service.post(junk(number)).await;
    }
    service.rests(20, 60).await;
    until(20, "its age is told, and grows", async || {
        (age(&service).await >= 2.0).then_some(())
    })
    .await;
    assert!(age(&service).await <= opened.elapsed().as_secs_f64());
    assert!(opened.elapsed() < Duration::from_secs(10));
    // It is a snapshot indeed.
    assert_eq!(stranger.count("select count(*) from orders").await, 0);
    stranger.run("commit").await;
    until(10, "its end is told", async || {
        (age(&service).await < 1.0).then_some(())
    })
    .await;
    let count = check(&bench, &service, &Default::default()).await;
    assert_eq!((count.orders, count.letters), (30, 30));
}

//! The service killed -9, over and over, in the middle of a stream.

use waybill::sandbox::broker::Store;

use crate::harness::{Bench, Sender, Weight, check, mixed, until};

const MESSAGES: usize = 20_000;
const KILLS: i64 = 12;

#[tokio::test]
async fn killed_again_and_again_it_loses_nothing_and_applies_nothing_twice() {
    let bench = Bench::new(Weight::Heavy).await;
    let broker = bench.broker(Store::File).await;
    let sending = {
        // So slowly that the service, which catches up in an instant, is killed while they come.
        let sender = Sender::new(&broker).rate(1_500.0);
        tokio::spawn(async move { sender.publish(mixed(MESSAGES, "kill")).await })
    };
    let sql = bench.sql().await;
    let mut service = bench.serve(Some(&broker), &["--lease", "2"]).await;
    for kill in 0..KILLS {
        let head = sql.head().await;
        let left = MESSAGES as i64 - head;
        let mark = head + fastrand::i64(1..(left / (KILLS - kill + 1)).max(2));
        until(30, "the next kill's mark is reached", async || {
            (sql.head().await >= mark).then_some(())
        })
        .await;
        service.kill();
        let head = sql.head().await;
        assert!(
            head < MESSAGES as i64,
            "kill {kill} was in the middle: {head}"
        );
        service.start().await;
    }
    let ledger = sending.await.unwrap();
    service.rests(60, ledger.rows()).await;
    let count = check(&bench, &service, &ledger).await;
    assert_eq!(count.rows, MESSAGES);
    assert!(count.orders > MESSAGES / 2 && count.duplicates > 500 && count.letters > 500);
}

//! Ten thousand clients who connect and say nothing: the others keep their pace, and the service keeps its own lines to
//! Postgres. As many as the machine grants us.

use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{Bench, Service, Weight, check, order, orders, resident_bytes, until_equal};

/// Lifts our own limit, and says how many sockets we may open at most.
fn granted() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(1 << 20).min(1 << 20);
    let lifted = Rlimit {
        current: Some(most),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, lifted).unwrap();
    // The other tests have theirs.
    usize::try_from(most).unwrap().saturating_sub(3_000)
}

async fn idle(service: &Service, count: usize) -> Vec<TcpStream> {
    let address = service.url.strip_prefix("http://").unwrap();
    let address = address.parse().unwrap();
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = TcpSocket::new_v4().unwrap();
        // Gone at once when dropped: no port waits for anything.
        socket.set_zero_linger().unwrap();
        sockets.push(socket.connect(address).await.unwrap());
    }
    sockets
}

/// Answers in two seconds, and the slowest of them.
async fn pace(service: &Service) -> (usize, Duration) {
    let started = Instant::now();
    let (mut answers, mut slowest) = (0, Duration::ZERO);
    while started.elapsed() < Duration::from_secs(2) {
        let before = Instant::now();
        let order_uid = format!("quick-{}", answers % 20);
        assert_eq!(service.order(&order_uid).await.status, 200);
        slowest = slowest.max(before.elapsed());
        answers += 1;
    }
    (answers, slowest)
}

/// Started with so many file descriptors (`ulimit -S` or `-H`), whatever we have.
async fn with_limit(bench: &Bench, limit: &str) -> Service {
    let script = format!("ulimit {limit}; exec \"$0\" \"$@\"");
    let service = bench.serve_in(&["sh", "-c", &script], None, &[]).await;
    for payload in orders("quick", 20) {
        service.post(payload).await;
    }
    service.rests(10, 20).await;
    service
}

#[tokio::test]
async fn ten_thousand_idle_connections_slow_nobody_down() {
    let bench = Bench::new(Weight::Heavy).await;
    let count = granted().min(10_000);
    // What a shell or systemd grants by default; the service asks for more itself.
    let service = with_limit(&bench, "-S -n 1024").await;
    let (alone, _) = pace(&service).await;
    let before = resident_bytes(service.pid());
    let crowd = idle(&service, count).await;
    let (answers, slowest) = pace(&service).await;
    assert!(
        answers > alone / 3,
        "{answers} answers among {count} idle, {alone} without"
    );
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let grown = resident_bytes(service.pid()).saturating_sub(before);
    // Measured: 12 kB.
    assert!(
        grown / (count as u64) < 20 * 1024,
        "{grown} bytes for {count}"
    );
    // A newcomer is let in, and Postgres is still to be had.
    let newcomer = reqwest::get(format!("{}/healthz/live", service.url)).await;
    assert_eq!(newcomer.unwrap().status(), 200);
    assert!(!service.text().contains("not accepted"));
    drop(crowd);
    service.post(order("after")).await;
    service.rests(10, 21).await;
    check(&bench, &service, &Default::default()).await;
}

#[tokio::test]
async fn where_there_is_no_room_for_all_the_service_keeps_its_own_lines() {
    let bench = Bench::new(Weight::Light).await;
    let service = with_limit(&bench, "-n 256").await;
    // Some of them wait at the door; more would not even be heard.
    let crowd = idle(&service, 240).await;
    let sql = bench.sql().await;
    let ended = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
    assert!(sql.count(ended).await > 3);
    // On the one connection that we have: who comes now waits.
    until_equal(20, "Postgres is back", 200, async || {
        service.get("/api/v1/stats").await.status
    })
    .await;
    service.post(order("without-room")).await;
    service.rests(20, 21).await;
    assert!(!service.text().contains("not accepted"));
    drop(crowd);
    check(&bench, &service, &Default::default()).await;
}

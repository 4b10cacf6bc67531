//! The wall clock jumps a day, ahead and back, and nothing is different: no lease is lost, no retry comes sooner or later by
//! it, nothing that was sent is taken for something else. The clock is the service's own: a library before libc's adds to it
//! what a file says.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use waybill::sandbox::broker::Store;

use crate::account::take_elsewhere;
use crate::harness::{
    Bench, Sender, Weight, check, library, mixed, order, order_with, orders, until,
};
use crate::refusal::REFUSE;

const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile long long *jump;

__attribute__((constructor)) static void begin(void) {
    int file = open(getenv("JUMP"), O_RDONLY);
    jump = mmap(0, sizeof *jump, PROT_READ, MAP_SHARED, file, 0);
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    long failed = syscall(SYS_clock_gettime, clock, at);
    if (!failed && jump && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) at->tv_sec += *jump;
    return (int)failed;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"#;

const DAY: i64 = 86_400;

/// One process' wall clock.
struct Clock {
    file: PathBuf,
    library: PathBuf,
}

impl Clock {
    fn new(bench: &Bench, name: &str) -> Self {
        let clock = Self {
            file: bench.dir.join(format!("{name}.jump")),
            library: library(&bench.dir, name, LIBRARY),
        };
        fs::write(&clock.file, 0_i64.to_ne_bytes()).unwrap();
        clock
    }

    fn environment(&self) -> [String; 2] {
        [
            format!("LD_PRELOAD={}", self.library.display()),
            format!("JUMP={}", self.file.display()),
        ]
    }

    /// From now on it is wrong by so much.
    fn jump(&self, seconds: i64) {
        let file = fs::OpenOptions::new().write(true).open(&self.file).unwrap();
        file.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    }
}

const LEADER: &str = "select leader || ' ' || term from checkpoint";
const RENEWALS: &str = "select renewals from checkpoint";
const HOURS: &str =
    "select (extract(epoch from max(received_at) - min(received_at)) / 3600)::int8 from inbox";

#[tokio::test]
async fn it_jumps_a_day_under_load_and_nobody_notices() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let clocks = [Clock::new(&bench, "first"), Clock::new(&bench, "second")];
    let mut services = Vec::new();
    for (number, clock) in clocks.iter().enumerate() {
        let environment = clock.environment();
        let environment: Vec<&str> = environment.iter().map(String::as_str).collect();
        let id = format!("waybill-{number}");
        let args = ["--client-id", &id, "--lease", "2"];
        let service = bench.serve_in(&environment, Some(&broker), &args);
        services.push(service.await);
    }
    let sql = bench.sql().await;
    until(20, "one leads", async || {
        let leads = sql.text(LEADER).await;
        (!leads.starts_with(' ')).then_some(())
    })
    .await;
    let leader = sql.text(LEADER).await;
    let sender = Sender::new(&broker).rate(600.0);
    let sending = tokio::spawn(async move { sender.publish(mixed(2_000, "clock")).await });
    // Each clock alone, both at once, ahead and back.
    let jumps = [
        [DAY, 0],
        [-DAY, DAY],
        [0, -DAY],
        [DAY, DAY],
        [-DAY, -DAY],
        [0, 0],
    ];
    for (number, jump) in (1..).zip(jumps) {
        let mark = number * 300;
        until(30, "the next jump's mark is reached", async || {
            (sql.head().await >= mark).then_some(())
        })
        .await;
        for (clock, seconds) in clocks.iter().zip(jump) {
            clock.jump(seconds);
        }
        // What comes by HTTP has the clock for its number.
        for service in &services {
            let order_uid = format!("posted-{}-{number}", service.pid());
            service.post(order(&order_uid)).await;
        }
    }
    let ledger = sending.await.unwrap();
    services[0].rests(30, 2_012).await;
    // At rest too, between two of the standby's looks at the same sign of life.
    for jump in [[DAY, DAY], [-DAY, -DAY], [0, 0]] {
        let before = sql.count(RENEWALS).await;
        until(10, "the lease is renewed", async || {
            (sql.count(RENEWALS).await > before).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        for (clock, seconds) in clocks.iter().zip(jump) {
            clock.jump(seconds);
        }
    }
    let before = sql.count(RENEWALS).await;
    until(10, "the lease is renewed", async || {
        (sql.count(RENEWALS).await > before + 1).then_some(())
    })
    .await;
    assert_eq!(sql.text(LEADER).await, leader, "another leads");
    assert!(sql.count(HOURS).await >= 47, "no clock has jumped");
    for service in &services {
        let text = service.text();
        assert!(!text.contains("WARN") && !text.contains("ERROR"), "{text}");
        let account = service.json("/api/v1/reconciliation").await;
        assert_eq!(account["balanced"], true);
        assert_eq!(account["sources"][0]["lost"], 0, "{account:#}");
    }
    let count = check(&bench, &services[1], &ledger).await;
    assert_eq!(count.rows, 2_012);
}

#[tokio::test]
async fn a_hole_is_awaited_however_the_clock_jumps() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let clock = Clock::new(&bench, "clock");
    let environment = clock.environment();
    let environment: Vec<&str> = environment.iter().map(String::as_str).collect();
    let mut service = bench.serve_in(&environment, Some(&broker), &[]).await;
    Sender::new(&broker).publish(orders("before", 50)).await;
    service.rests(30, 50).await;
    assert!(service.stop().await.success());
    take_elsewhere(&bench, &broker, orders("elsewhere", 50)).await;
    service.start().await;
    Sender::new(&broker).publish(orders("after", 50)).await;
    service.rests(30, 100).await;
    for jump in [0, DAY, -DAY] {
        clock.jump(jump);
        let account = service.json("/api/v1/reconciliation").await;
        assert_eq!(
            account["sources"][0]["holes"],
            json!([{"first": 51, "last": 100, "state": "awaited"}]),
            "{jump}"
        );
        assert_eq!(account["well"], true, "{jump}: {account:#}");
    }
}

/// After the first attempts, pauses of at least 2 s and 4 s.
#[tokio::test]
async fn a_retry_by_the_clock_keeps_its_pauses() {
    let bench = Bench::new(Weight::Light).await;
    let clock = Clock::new(&bench, "clock");
    let environment = clock.environment();
    let environment: Vec<&str> = environment.iter().map(String::as_str).collect();
    let service = bench.serve_in(&environment, None, &[]).await;
    let sql = bench.sql().await;
    sql.run(REFUSE).await;
    for (order_uid, seconds) in [("behind", -DAY), ("ahead", DAY)] {
        clock.jump(seconds);
        let poison = ("\"customer_id\": \"test\"", "\"customer_id\": \"poison\"");
        let letter = service.post(order_with(order_uid, &[poison])).await;
        let attempts = format!(
            "select coalesce((select attempts from dead_letters where id = {letter}), 0)::int8"
        );
        let failed = |times: i64| {
            let (sql, attempts) = (&sql, &attempts);
            async move {
                until(15, "it failed so often", async || {
                    (sql.count(attempts).await >= times).then_some(())
                })
                .await;
                Instant::now()
            }
        };
        let second = failed(2).await;
        let third = failed(3).await;
        assert!(
            third - second > Duration::from_millis(1_500),
            "{order_uid}: {:?}",
            third - second
        );
        assert!(sql.count(&attempts).await <= 3, "{order_uid}");
    }
    sql.run("drop trigger refuse on live.orders").await;
    for order_uid in ["behind", "ahead"] {
        until(20, "it comes home", async || {
            (service.order(order_uid).await.status == 200).then_some(())
        })
        .await;
    }
}

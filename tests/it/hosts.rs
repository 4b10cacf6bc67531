//! Several hosts in the database's URL, and the first of them dead: it is hung (takes connections, and says nothing) or off
//! (whoever would connect hears nothing). The next is found within the sum of their bounds, and from then on at once.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::harness::{
    Bench, Line, OCTETS, Proxy, Service, Weight, check, library, order, until_equal,
};
use crate::settings::is_told;

/// Of one host; in src/postgres/connect.rs.
const BOUND: Duration = Duration::from_secs(3);

/// For a start without a dead host, on a machine that has much to do.
const START: Duration = Duration::from_secs(5);

const END_ALL: &str = "
    select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'waybill'";

/// Misses, lists and messages, more of them at once than there are readers' connections yet.
async fn all_answer(service: &Service, round: &str) {
    let ask = async |path: String| service.get(&path).await.status;
    let misses = (0..4).map(|n| ask(format!("/api/v1/orders/{round}-miss-{n}")));
    let lists = (0..4).map(|n| ask(format!("/api/v1/orders?customer_id={round}-{n}")));
    let posts = (0..4).map(async |n| {
        let payload = order(&format!("{round}-{n}"));
        let answer = service.ask(Method::POST, "/api/v1/orders", &[OCTETS], payload);
        answer.await.status
    });
    let (misses, lists, posts) = tokio::join!(join_all(misses), join_all(lists), join_all(posts));
    assert_eq!(
        (misses, lists, posts),
        (vec![404; 4], vec![200; 4], vec![202; 4])
    );
}

async fn starts_beside_a_dead_one(line: Line) {
    let mut bench = Bench::with_own_postgres(Weight::Light, &[]).await;
    let postgres = bench.postgres().tcp_address().unwrap();
    let mut dead = Proxy::to(postgres).await;
    match line {
        Line::Off => dead.off().await,
        line => dead.set(line),
    }
    let url = bench.postgres().tcp_url().unwrap();
    let hosts = format!("{},{postgres}", dead.address);
    let url = url.replace(&postgres.to_string(), &hosts);
    let begun = Instant::now();
    let service = bench.serve(None, &["--database-url", &url]).await;
    let took = begun.elapsed();
    assert!(took > BOUND, "the dead one was not tried: {took:?}");
    assert!(took < 2 * BOUND + START, "{took:?}");
    let begun = Instant::now();
    all_answer(&service, "first").await;
    let took = begun.elapsed();
    assert!(took < BOUND, "the dead one is tried again: {took:?}");
    // All sessions are lost, and the living one is the first to be tried.
    let sql = bench.sql().await;
    let now = sql.text("select clock_timestamp()::text").await;
    assert!(sql.count(END_ALL).await > 2);
    let sessions = format!(
        "select count(*) filter (where backend_start < '{now}'),
                count(distinct application_name) filter (where backend_start > '{now}')
         from pg_stat_activity where usename = 'waybill' and application_name in
             ('waybill inbox', 'waybill projector', 'waybill reader')"
    );
    until_equal(10, "the stages' sessions are new", true, async || {
        let rows = sql.rows(&sessions).await;
        let (before, after): (i64, i64) = (rows[0].get(0), rows[0].get(1));
        before == 0 && after >= 2
    })
    .await;
    until_equal(10, "Postgres", json!("connected"), async || {
        service.get("/healthz/ready").await.json()["postgres"].clone()
    })
    .await;
    let begun = Instant::now();
    all_answer(&service, "second").await;
    let took = begun.elapsed();
    assert!(took < BOUND, "the dead one is tried again: {took:?}");
    service.rests(30, 8).await;
    let count = check(&bench, &service, &Default::default()).await;
    assert_eq!(count.orders, 8);
    // The log says which one it is, and why not the other.
    let log = service.text();
    let (dead, alive) = (dead.address.to_string(), postgres.to_string());
    assert!(
        log.lines()
            .any(|line| line.contains(&dead) && line.contains(&alive)),
        "{log}"
    );
}

#[tokio::test]
async fn a_first_host_that_is_hung_costs_its_bound_and_that_once() {
    starts_beside_a_dead_one(Line::Hole).await;
}

#[tokio::test]
async fn a_first_host_that_is_off_costs_its_bound_and_that_once() {
    starts_beside_a_dead_one(Line::Off).await;
}

/// Names of the machine's own: this one has two addresses, the first of which is dead.
const NAMES: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>

typedef int look_up(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    look_up *real = (look_up *)dlsym(RTLD_NEXT, "getaddrinfo");
    if (!name || strcmp(name, "db.waybill.test")) return real(name, service, hints, found);
    int failed = real("127.0.0.2", service, hints, found);
    if (failed) return failed;
    struct addrinfo *last = *found;
    while (last->ai_next) last = last->ai_next;
    return real("127.0.0.1", service, hints, &last->ai_next);
}
"#;

/// The environment in which `db.waybill.test` is 127.0.0.2 and 127.0.0.1.
pub fn two_addresses(bench: &Bench) -> String {
    let library = library(&bench.dir, "names", NAMES);
    format!("LD_PRELOAD={}", library.display())
}

#[tokio::test]
async fn each_address_of_a_name_counts_as_a_host() {
    let mut bench = Bench::with_own_postgres(Weight::Light, &[]).await;
    let postgres = bench.postgres().tcp_address().unwrap();
    let dead = format!("127.0.0.2:{}", postgres.port());
    let dead = Proxy::at(dead.parse().unwrap(), postgres).await;
    dead.set(Line::Hole);
    let url = bench.postgres().tcp_url().unwrap();
    let url = url.replace("127.0.0.1", "db.waybill.test");
    let environment = two_addresses(&bench);
    let begun = Instant::now();
    let args = ["--database-url", &url];
    let service = bench.serve_in(&[&environment], None, &args).await;
    let took = begun.elapsed();
    assert!(took > BOUND && took < 2 * BOUND + START, "{took:?}");
    let begun = Instant::now();
    all_answer(&service, "named").await;
    let took = begun.elapsed();
    assert!(took < BOUND, "the dead one is tried again: {took:?}");
}

/// What each of them says, by host and port; and no end while one of them may yet come back.
#[tokio::test]
async fn where_none_takes_us_each_is_named() {
    let mut bench = Bench::with_own_postgres(Weight::Light, &[]).await;
    let postgres = bench.postgres().tcp_address().unwrap();
    let url = bench.postgres().tcp_url().unwrap();
    let (_, rest) = url.split_once("waybill:").unwrap();
    let (password, _) = rest.split_once('@').unwrap();
    let wrong = url.replace(password, "wrong");
    let twice = wrong.replace(&postgres.to_string(), &format!("{postgres},{postgres}"));
    let at = format!("{postgres}: ");
    is_told(
        &["migrate", "--database-url", &twice],
        2,
        &[&at, "password"],
    );

    let dead = Proxy::to(postgres).await;
    dead.set(Line::Hole);
    let hosts = format!("{},{postgres}", dead.address);
    let url = wrong.replace(&postgres.to_string(), &hosts);
    let mut service = bench.service(&[], None, &["--database-url", &url]);
    service.launch().await;
    service.says(20, &format!("waybill at {hosts}")).await;
    service.says(1, &format!("{}: ", dead.address)).await;
    service.says(1, &format!("{postgres}: ")).await;
    assert!(service.ended().is_none());
}

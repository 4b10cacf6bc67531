//! Who was let in, who was turned away, and who took data out: on record, whatever happens, and for admins alone.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Bench, OCTETS, Service, TokensFile, Weight, order, until, until_equal};
use crate::http::JSON;
use crate::settings::waybill;

/// The entries, the oldest first, as (what, who, proof, detail).
async fn entries(service: &Service) -> Vec<(String, String, String, String)> {
    let page = service.json("/api/v1/audit?limit=500").await;
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    let items = page["items"].as_array().unwrap().iter().rev();
    items
        .map(|entry| {
            assert_eq!(entry["address"], "127.0.0.1", "{entry}");
            (
                text(entry, "what"),
                text(entry, "who"),
                text(entry, "proof"),
                text(entry, "detail"),
            )
        })
        .collect()
}

#[tokio::test]
async fn what_the_log_does_not_tell_is_on_record_with_who_and_from_where() {
    let bench = Bench::new(Weight::Light).await;
    let mut file = TokensFile::new(&bench);
    let ona = file.give("ona", "role = \"owner\"");
    let rea = file.give("rea", "role = \"reader\"");
    let mut service = bench.serve(None, &file.flag()).await;
    service.token = Some(ona.clone());
    service.post(order("kept")).await;
    service.rests(10, 1).await;

    let sign_in = |name: &str, token: &str| json!({"name": name, "token": token}).to_string();
    let session = "/api/v1/session";
    let post = async |body: String| {
        service
            .ask(Method::POST, session, &[JSON], body)
            .await
            .status
    };
    assert_eq!(post(sign_in("rea", &rea)).await, 200);
    assert_eq!(post(sign_in("eve", &rea)).await, 401);
    assert_eq!(post(sign_in(&rea, "rea")).await, 401, "in the wrong fields");
    let out = service.ask_as(&rea, Method::DELETE, session, "").await;
    assert_eq!(out.status, 204);
    let export = "/api/v1/collections/orders/export?format=csv";
    let taken = service.ask_as(&rea, Method::GET, export, "").await;
    assert_eq!(taken.status, 200);
    let refused = service
        .ask_as(&rea, Method::GET, "/api/v1/dead-letters/export", "")
        .await;
    assert_eq!(refused.status, 403);
    let replay = service
        .ask_as(&ona, Method::POST, "/api/v1/replays", "{}")
        .await;
    assert_eq!(replay.status, 202);
    let unknown = service
        .ask_as("wb_guessed", Method::GET, "/api/v1/stats", "")
        .await;
    assert_eq!(unknown.status, 401);

    let is = |what: &str, who: &str, proof: &str, detail: &str| {
        [what, who, proof, detail].map(str::to_owned).into()
    };
    let expected = [
        is("new_address", "ona", "token", ""),
        is("signed_in", "rea", "token", ""),
        is("sign_in_failed", "eve", "nobody", ""),
        is("sign_in_failed", "(a token)", "nobody", ""),
        is("new_address", "rea", "token", ""),
        is("signed_out", "rea", "token", ""),
        is(
            "exported",
            "rea",
            "token",
            "/collections/orders/export?format=csv",
        ),
        is(
            "refused",
            "rea",
            "token",
            "forbidden: GET /api/v1/dead-letters/export",
        ),
        is("replay", "ona", "token", "/replays"),
        is(
            "refused",
            "",
            "nobody",
            "unauthenticated: GET /api/v1/stats",
        ),
    ];
    until(10, "all is on record", async || {
        (entries(&service).await.len() >= expected.len()).then_some(())
    })
    .await;
    let found = entries(&service).await;
    for one in expected {
        assert_eq!(
            found.iter().filter(|other| **other == one).count(),
            1,
            "{one:?}: {found:#?}"
        );
    }
    let narrowed = service
        .json("/api/v1/audit?who=rea&what=exported&since=1h&limit=1")
        .await;
    assert_eq!(narrowed["items"].as_array().unwrap().len(), 1, "{narrowed}");
    let wrong = service.get("/api/v1/audit?what=stolen").await;
    assert_eq!(wrong.status, 400);

    let secret = bench.dir.join("ona.token");
    std::fs::write(&secret, &ona).unwrap();
    let token_file = ["--token-file", secret.to_str().unwrap()];
    let asked = ["audit", "--url", &service.url, "--what", "exported"];
    let listed = waybill(&[&asked[..], &token_file].concat());
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(
        listed.contains("rea") && listed.contains("/collections/orders/export?format=csv"),
        "{listed}"
    );
    let rows = "select string_agg(detail || who || address, '') from audit";
    let all = bench.sql().await.text(rows).await;
    assert!(!all.contains("wb_"), "{all}");
    assert!(!service.text().contains(&rea[3..20]), "{}", service.text());

    // An address is new once, also to a process that has just started.
    service.stop().await;
    service.start().await;
    service.ask_as(&rea, Method::GET, "/api/v1/me", "").await;
    service.stop().await;
    let addresses = "select count(*) from audit where what = 'new_address'";
    assert_eq!(bench.sql().await.count(addresses).await, 2);
}

#[tokio::test]
async fn what_strangers_cause_without_end_is_counted_and_not_written_again() {
    let bench = Bench::new(Weight::Light).await;
    let mut service = bench.serve(None, &[]).await;
    let foreign = [("host", "evil.example")];
    for _ in 0..300 {
        assert_eq!(
            service
                .ask(Method::GET, "/metrics", &foreign, "")
                .await
                .status,
            403
        );
    }
    service.stop().await;
    let sql = bench.sql().await;
    assert!(sql.count("select count(*) from audit").await <= 20);
    let counted = "select sum(times) from audit where detail = 'foreign-host: GET /metrics'";
    assert_eq!(sql.count(counted).await, 300);
}

#[tokio::test]
async fn nothing_is_taken_out_that_cannot_be_put_on_record() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    service
        .ask(Method::POST, "/api/v1/orders", &[OCTETS], order("kept"))
        .await;
    service.rests(10, 1).await;
    let sql = bench.sql().await;
    let refuse = "
        create function refuse() returns trigger language plpgsql as $$ begin raise 'no room for it'; end $$;
        create trigger refuse before insert on audit for each statement execute function refuse()";
    bench.sql().await.run(refuse).await;
    let export = service.get("/api/v1/collections/orders/export").await;
    assert_eq!(export.status, 503, "{export:?}");
    assert!(!String::from_utf8_lossy(&export.body).contains("kept"));
    assert_eq!(service.order("kept").await.status, 200, "all else goes on");
    bench.sql().await.run("drop trigger refuse on audit").await;
    until_equal(10, "exports go on", 200, async || {
        tokio::time::sleep(Duration::from_millis(50)).await;
        service
            .get("/api/v1/collections/orders/export")
            .await
            .status
    })
    .await;
    assert_eq!(
        sql.count("select count(*) from audit where what = 'exported'")
            .await,
        1
    );
}

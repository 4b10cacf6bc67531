//! The OWASP API Security Top 10 of 2023, item by item: what a stranger tries, and what he gets. What other stories show in full
//! (the table of every route, cross-site, junk) is tried here by an example.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use waybill::sandbox::broker::Store;

use crate::gate::routes;
use crate::harness::{
    Bench, OCTETS, Sender, Service, TokensFile, Weight, bearer, order, order_with, with_rules,
};
use crate::http::JSON;
use crate::settings::is_told;

/// A service that asks for tokens, with the order `kept` and letter 2; its owner's token is the service's, that of somebody with
/// the given grant is answered.
async fn asking(bench: &Bench, grant: &str) -> (Service, TokensFile, String) {
    let mut file = TokensFile::new(bench);
    let ona = file.give("ona", "role = \"owner\"");
    let other = file.give("eve", grant);
    let mut service = bench.serve(None, &file.flag()).await;
    service.token = Some(ona);
    service.post(order("kept")).await;
    service.post(order_with("sick", &[("1817", "-1")])).await;
    service.rests(10, 2).await;
    (service, file, other)
}

#[tokio::test]
async fn api1_objects_of_others_are_not_there_by_whatever_id() {
    let bench = Bench::new(Weight::Light).await;
    let grant = "role = \"owner\"\ncollections = [\"others\"]";
    let (service, _file, eve) = asking(&bench, grant).await;
    assert_eq!(
        service.order("kept").await.status,
        200,
        "it is in the cache"
    );
    for path in [
        "/orders/kept",
        "/orders/k%65pt",
        "/inbox/1",
        "/inbox/1/payload",
        "/dead-letters/2",
        "/dead-letters/2/payload",
    ] {
        let path = format!("/api/v1{path}");
        let there = service.ask_as(&eve, Method::GET, &path, "").await;
        assert_eq!(there.status, 404, "{path}: {there:?}");
        let none = path
            .replace("/1", "/777")
            .replace("/2", "/777")
            .replace("k%65pt", "none");
        let none = service
            .ask_as(&eve, Method::GET, &none.replace("kept", "none"), "")
            .await;
        assert_eq!(there.json()["type"], none.json()["type"], "{path}");
    }
    let decided = service
        .ask_as(
            &eve,
            Method::POST,
            "/api/v1/dead-letters/2/discard",
            "{\"reason\": \"x\"}",
        )
        .await;
    assert_eq!(decided.status, 404);
    assert_eq!(
        service.json("/api/v1/dead-letters/2").await["state"],
        "open"
    );
}

#[tokio::test]
async fn api2_nothing_but_a_whole_token_in_its_place_proves_who_asks() {
    let bench = Bench::new(Weight::Light).await;
    let (mut service, _file, eve) = asking(&bench, "role = \"reader\"").await;
    let ona = service.token.take().unwrap();
    let stats = "/api/v1/stats";
    let cut = &ona[..ona.len() - 1];
    for value in [
        format!("Bearer {cut}"),
        format!("Bearer {ona}x"),
        format!("Bearer {}", ona.to_uppercase()),
        format!("Basic {ona}"),
        ona.clone(),
        "Bearer ".to_owned(),
        "Bearer null".to_owned(),
        // What a JWT library that is told too little takes for signed.
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJvbmEifQ.".to_owned(),
    ] {
        let answer = service
            .ask(Method::GET, stats, &[("authorization", &*value)], "")
            .await;
        assert!(matches!(answer.status, 401 | 429), "{value}: {answer:?}");
    }
    for path in [
        format!("{stats}?token={ona}"),
        format!("{stats}?access_token={ona}"),
    ] {
        let answer = service.get(&path).await;
        assert_eq!(
            answer.status, 401,
            "a token in an address is in every log on the way"
        );
    }
    for name in ["x-api-key", "x-user", "x-forwarded-user", "x-remote-user"] {
        let answer = service.ask(Method::GET, stats, &[(name, &*ona)], "").await;
        assert_eq!(answer.status, 401, "{name}");
    }
    // Two answers to the question who asks: the first counts, and no right comes from the second.
    let two = [
        ("authorization", &*bearer(&eve)),
        ("authorization", &*bearer(&ona)),
    ];
    let answer = service
        .ask(Method::GET, "/api/v1/dead-letters", &two, "")
        .await;
    assert_eq!(answer.status, 403, "{answer:?}");
    let log = service.text();
    assert!(
        !log.contains(&ona[3..]) && !log.contains(&eve[3..]),
        "a token is in the log"
    );
}

#[tokio::test]
async fn api3_no_field_is_taken_that_is_not_for_the_client_and_none_is_shown() {
    let bench = Bench::new(Weight::Light).await;
    let (service, _file, eve) = asking(&bench, "role = \"operator\"").await;
    for body in [
        json!({"reason": "x", "as": "ona"}),
        json!({"reason": "x", "who": "ona"}),
        json!({"reason": "x", "proof": "token"}),
        json!({"reason": "x", "rights": ["admin"]}),
    ] {
        let path = "/api/v1/dead-letters/2/notes";
        let answer = service
            .ask_as(&eve, Method::POST, path, &body.to_string())
            .await;
        assert!(matches!(answer.status, 400 | 403), "{body}: {answer:?}");
    }
    let letter = service.json("/api/v1/dead-letters/2").await;
    assert_eq!(letter["decisions"], json!([]), "{letter}");
    let me = service
        .ask_as(&eve, Method::GET, "/api/v1/me", "")
        .await
        .json();
    assert_eq!(
        (&me["name"], &me["rights"]),
        (&json!("eve"), &json!(["read", "letters", "decide"]))
    );

    // Who may read documents alone is not shown what a rejected message said.
    let mut file = TokensFile::new(&bench);
    let rea = file.give("rea", "role = \"reader\"");
    let narrow = bench.serve(None, &file.flag()).await;
    let rejected = narrow
        .ask_as(&rea, Method::GET, "/api/v1/orders/sick", "")
        .await;
    let text = String::from_utf8_lossy(&rejected.body).into_owned();
    assert_eq!(rejected.status, 404);
    assert!(!text.contains("amount") && !text.contains("-1"), "{text}");
}

#[tokio::test]
async fn api4_nobody_gets_more_than_a_bounded_share() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &["--max-body-bytes", "65536"]).await;
    service.is_ready().await;
    for (path, status) in [
        ("/orders?limit=501", 400),
        ("/orders?limit=99999999999999999999", 400),
        ("/dead-letters?limit=-1", 400),
        ("/audit?limit=1000", 400),
    ] {
        let answer = service.get(&format!("/api/v1{path}")).await;
        assert_eq!(answer.status, status, "{path}");
    }
    let long = format!("/api/v1/orders/{}", "x".repeat(40_000));
    let answer = service.try_ask(Method::GET, &long, &[], "").await;
    if let Some(answer) = answer {
        assert!(matches!(answer.status, 404 | 414 | 431), "{answer:?}");
        assert!(answer.body.len() < 1_000, "{} bytes", answer.body.len())
    }
    let large = "x".repeat(70_000);
    let answer = service
        .ask(Method::POST, "/api/v1/orders", &[OCTETS], large)
        .await;
    assert_eq!(answer.status, 413);
    let deep = "[".repeat(60_000);
    assert_eq!(
        service
            .ask(Method::POST, "/api/v1/orders", &[OCTETS], deep)
            .await
            .status,
        202
    );
    service.rests(10, 1).await;
    let letters = service.json("/api/v1/dead-letters").await;
    assert_eq!(
        letters["items"].as_array().unwrap().len(),
        1,
        "nested too deep, and no crash"
    );
}

#[tokio::test]
async fn api5_what_needs_a_right_needs_it_in_every_disguise() {
    let bench = Bench::new(Weight::Light).await;
    let (service, _file, eve) = asking(&bench, "role = \"support\"").await;
    let discard = "/api/v1/dead-letters/2/discard";
    for path in [
        discard.to_owned(),
        "/api/v1/dead-letters/2/discard/".to_owned(),
        "/api/v1/dead-letters/2/%64iscard".to_owned(),
        "/api/v1//dead-letters/2/discard".to_owned(),
        "/api/v1/orders/../dead-letters/2/discard".to_owned(),
        "/API/V1/dead-letters/2/discard".to_owned(),
        format!("{discard};x=1"),
    ] {
        let answer = service
            .ask_as(&eve, Method::POST, &path, "{\"reason\": \"x\"}")
            .await;
        assert!(matches!(answer.status, 403..=405), "{path}: {answer:?}");
    }
    let bearer = bearer(&eve);
    for name in [
        "x-http-method-override",
        "x-method-override",
        "x-original-url",
        "x-rewrite-url",
    ] {
        let value = if name.ends_with("url") {
            discard
        } else {
            "POST"
        };
        let headers = [("authorization", &*bearer), (name, value), JSON];
        service.ask(Method::GET, discard, &headers, "").await;
        service
            .ask(Method::GET, "/api/v1/dead-letters/2", &headers, "")
            .await;
    }
    assert_eq!(
        service.json("/api/v1/dead-letters/2").await["state"],
        "open"
    );
    for path in ["/api/v1/audit", "/api/v1/replays", "/api/v1/plans"] {
        for method in [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::PATCH,
        ] {
            let answer = service.ask_as(&eve, method.clone(), path, "{}").await;
            assert!(
                matches!(answer.status, 403 | 405),
                "{method} {path}: {answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn api6_work_on_many_is_asked_for_out_loud_and_done_once() {
    let bench = Bench::new(Weight::Light).await;
    let (service, _file, eve) = asking(&bench, "role = \"operator\"").await;
    let batch = "/api/v1/dead-letters/batch";
    let everything = service
        .ask_as(
            &eve,
            Method::POST,
            batch,
            "{\"action\": \"discard\", \"reason\": \"x\"}",
        )
        .await;
    assert_eq!(
        everything.status, 400,
        "all letters are not meant by leaving the filter out"
    );
    let key = ("idempotency-key", "once");
    let bearer = bearer(&eve);
    let headers = [("authorization", &*bearer), JSON, key];
    let body = "{\"action\": \"note\", \"reason\": \"x\", \"all\": true}";
    let mut operations = Vec::new();
    for _ in 0..20 {
        let answer = service.ask(Method::POST, batch, &headers, body).await;
        assert!(matches!(answer.status, 200 | 202), "{answer:?}");
        operations.push(answer.json()["id"].clone());
    }
    operations.dedup();
    assert_eq!(operations.len(), 1);
    let replays = service
        .ask_as(&eve, Method::POST, "/api/v1/replays", "{}")
        .await;
    assert_eq!(replays.status, 403);
}

#[tokio::test]
async fn api7_nothing_that_is_sent_makes_the_service_ask_an_address() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", trap.local_addr().unwrap());
    let of = |field: &str, old: &str| order_with(field, &[(old, &*url)]);
    service.post(of("name", "Test Testov")).await;
    service.post(of("address", "Ploshad Mira 15")).await;
    service
        .post(format!("{{\"$ref\": \"{url}\", \"$schema\": \"{url}\"}}"))
        .await;
    service
        .post(format!(
            "<!DOCTYPE x [<!ENTITY y SYSTEM \"{url}\">]><x>&y;</x>"
        ))
        .await;
    service.rests(10, 4).await;
    for name in ["referer", "x-forwarded-host", "x-callback-url", "link"] {
        service
            .ask(Method::GET, "/api/v1/orders/name", &[(name, &*url)], "")
            .await;
    }
    let rules = format!(
        "- id: x\n  message: m\n  field: order_uid\n  rule: '\"{url}\" == order.order_uid'\n"
    );
    let checked = service
        .ask(Method::POST, "/api/v1/plans", &[OCTETS], with_rules(&rules))
        .await;
    assert!(checked.status < 500, "{checked:?}");
    service
        .get(&format!("/api/v1/orders?customer_id={url}"))
        .await;
    let asked = tokio::time::timeout(Duration::from_millis(500), trap.accept()).await;
    assert!(asked.is_err(), "the service asked {url}");
}

#[tokio::test]
async fn api8_a_service_that_is_set_up_in_haste_is_not_open_and_tells_nothing_of_itself() {
    is_told(
        &[
            "serve",
            "--listen",
            "0.0.0.0:0",
            "--database-url",
            "host=/nowhere user=x",
        ],
        2,
        &["--tokens"],
    );
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    for (method, path, body) in [
        (Method::POST, "/api/v1/dead-letters/batch", "{"),
        (Method::GET, "/api/v1/orders?after=%ff", ""),
        (Method::GET, "/api/v1/inbox/9999999999999999999999", ""),
        (Method::TRACE, "/api/v1/stats", ""),
        (Method::GET, "/api/v1/operations/x", ""),
    ] {
        let answer = service.ask(method, path, &[JSON], body).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
        for told in [
            "panicked",
            "src/",
            ".rs",
            "postgres://",
            "select ",
            "SQLSTATE",
            "RUST_BACKTRACE",
        ] {
            assert!(!text.contains(told), "{path}: {text}");
        }
        assert_eq!(
            (answer.header("server"), answer.header("x-powered-by")),
            ("", "")
        );
    }
}

#[tokio::test]
async fn api9_there_is_no_route_that_is_not_on_the_list() {
    let bench = Bench::new(Weight::Light).await;
    let (service, _file, _eve) = asking(&bench, "role = \"reader\"").await;
    let listed = routes(&service).await;
    for path in [
        "/api",
        "/api/v0/orders",
        "/api/v2/orders",
        "/api/orders",
        "/api/v1/users",
        "/api/v1/tokens",
        "/api/v1/admin",
        "/admin",
        "/debug/pprof/",
        "/actuator/env",
        "/server-status",
        "/.env",
        "/.git/config",
        "/ui/../Cargo.toml",
        "/ui/%2e%2e/Cargo.toml",
        "/swagger.json",
        "/graphql",
    ] {
        assert!(!listed.iter().any(|(_, known)| known == path));
        let answer = service.get(path).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn api10_what_others_send_is_data_and_nothing_else() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    let hostile = [
        "'; drop table inbox; --",
        "\" or 1=1 --",
        "${jndi:ldap://x/y}",
        "{{7*7}}",
        "<script>hurt = 1</script>",
        "../../etc/passwd",
        "\u{1b}[2J\u{7}",
        "=cmd|' /C calc'!A0",
        "%00%0d%0aSet-Cookie: x=y",
    ];
    for text in hostile {
        let quoted = serde_json::to_string(text).unwrap();
        service.post(order_with("x", &[("\"x\"", &*quoted)])).await;
        let escaped: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for path in [
            format!("/api/v1/orders/{escaped}"),
            format!("/api/v1/orders?customer_id={escaped}"),
            format!("/api/v1/dead-letters?text={escaped}"),
            format!("/api/v1/dead-letters?source={escaped}&state=any"),
            format!("/api/v1/audit?who={escaped}"),
        ] {
            let answer = service.get(&path).await;
            assert!(answer.status < 500, "{path}: {answer:?}");
            assert_eq!(answer.header("set-cookie"), "", "{path}");
        }
    }
    service
        .rests(10, i64::try_from(hostile.len()).unwrap())
        .await;
    let account = service.json("/api/v1/reconciliation?verify=true").await;
    assert_eq!(account["verified"]["findings"], json!([]), "{account}");
    let served: Value = service.json("/api/v1/stats").await;
    assert_eq!(served["received"], hostile.len());
}

/// What was sent, and what was shown to prove who asks: in no log (and if it were as talkative as can be), no metric, no error
/// of those who may not see it, and no command line.
#[tokio::test]
async fn no_payload_token_or_password_leaks() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let mut file = TokensFile::new(&bench);
    let ona = file.give("ona", "role = \"owner\"");
    let rea = file.give("rea", "role = \"reader\"");
    let password = bench.dir.join("password");
    std::fs::write(&password, "a-password-of-postgres").unwrap();
    let more = ["--database-password-file", password.to_str().unwrap()];
    let args = [&file.flag()[..], &more].concat();
    let talkative = ["WAYBILL_LOG=trace"];
    let mut service = bench.serve_in(&talkative, Some(&broker), &args).await;
    service.token = Some(ona.clone());
    let secret = "Zaphod-von-Nebenan";
    let named = ("Test Testov", secret);
    let payloads = vec![
        order_with("kept", &[named]),
        order_with("kept", &[named, ("1817", "1818")]),
        order_with("sick", &[named, ("1817", "-1")]),
        order_with("sick", &[named, ("\"payment\"", "\"payments\"")]),
        format!("{{\"name\": \"{secret}\"").into(),
        format!("\u{0}{secret}").into(),
    ];
    let count = payloads.len() as i64;
    Sender::new(&broker).publish(payloads.clone()).await;
    for payload in payloads {
        let key = [OCTETS, ("idempotency-key", "the-same")];
        service
            .ask(Method::POST, "/api/v1/orders", &key, payload)
            .await;
    }
    service.rests(20, count).await;
    for path in ["/api/v1/dead-letters/3/retry", "/api/v1/replays"] {
        service.ask_as(&ona, Method::POST, path, "{}").await;
    }
    let errors = [
        service
            .ask_as(&rea, Method::GET, "/api/v1/orders/sick", "")
            .await,
        service
            .ask_as(&rea, Method::GET, "/api/v1/dead-letters/3", "")
            .await,
        service
            .ask_as(&ona[1..], Method::GET, "/api/v1/orders/kept", "")
            .await,
    ];
    let metrics = service.get("/metrics").await;
    let line = std::fs::read(format!("/proc/{}/cmdline", service.pid())).unwrap();
    service.stop().await;
    let mut told = vec![service.text(), String::from_utf8_lossy(&line).into_owned()];
    for answer in errors.iter().chain([&metrics]) {
        told.push(String::from_utf8_lossy(&answer.body).into_owned());
    }
    for text in told {
        for word in [secret, "a-password-of-postgres", &ona[3..40], &rea[3..40]] {
            let found = text.find(word);
            let near = found.map(|at| &text[at.saturating_sub(200)..(at + 60).min(text.len())]);
            assert_eq!(near, None, "{word} is told");
        }
    }
}

//! What stands before everything that answers: names that web pages make up, and pages of other origins.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Bench, OCTETS, Service, TokensFile, Weight, order, order_with};

/// What answers whoever asks: no data is in any of it.
pub const OPEN: &[&str] = &[
    "/",
    "/orders/kept",
    "/live",
    "/groups",
    "/letters",
    "/letters/2",
    "/collections",
    "/collections/orders",
    "/c/orders",
    "/c/orders/kept",
    "/sums/orders",
    "/sums/orders/x",
    "/operations",
    "/operations/2",
    "/account",
    "/audit",
    "/favicon.ico",
    "/ui/app.js",
    "/healthz/live",
    "/healthz/ready",
    "/api/v1/session",
];

/// All that the service answers to: the specification's paths, with one example for each parameter, and the root's.
pub async fn routes(service: &Service) -> Vec<(Method, String)> {
    let specification = service.json("/openapi.json").await;
    let mut routes = Vec::new();
    for (path, methods) in specification["paths"].as_object().unwrap() {
        let path = format!("/api/v1{path}")
            .replace("{key}", "kept")
            .replace("{name}", "orders")
            .replace("{account}", "x")
            .replace("{id}", "2")
            .replace("{position}", "2");
        assert!(!path.contains('{'), "{path}: an example is missing");
        for method in methods.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            routes.push((method.parse().unwrap(), path.clone()));
        }
    }
    assert!(routes.len() > 30, "{routes:?}");
    let more = ["/docs", "/openapi.json", "/metrics"];
    // Without an issuer they say so.
    let issuer = ["/sign-in/oidc", "/sign-in/oidc/callback"];
    let root = OPEN.iter().chain(&more).chain(&issuer);
    routes.extend(root.map(|path| (Method::GET, (*path).to_owned())));
    routes
}

/// A service with one order, which is in the cache, and one letter, number 2.
async fn lived_in(bench: &Bench, args: &[&str]) -> Service {
    let service = bench.serve(None, args).await;
    service.post(order("kept")).await;
    service.post(order_with("sick", &[("1817", "-1")])).await;
    service.rests(10, 2).await;
    service
}

fn is_refused(answer: &Answer, kind: &str, what: &str) {
    assert_eq!(answer.status, 403, "{what}: {answer:?}");
    let kind = format!("urn:waybill:problem:{kind}");
    assert_eq!(answer.json()["type"], kind, "{what}");
}

/// What answers before the gate: nothing.
#[tokio::test]
async fn nothing_answers_before_the_gate() {
    let bench = Bench::new(Weight::Light).await;
    let service = lived_in(&bench, &[]).await;
    let evil = [OCTETS, ("host", "evil.example:8080")];
    let mut asked = routes(&service).await;
    let nowhere = ["/nothing", "/api/v1", "/api/v1/nothing", "/api/v2/orders"];
    asked.extend(nowhere.map(|path| (Method::GET, path.to_owned())));
    let odd = [Method::HEAD, Method::OPTIONS, Method::TRACE, Method::DELETE];
    asked.extend(odd.map(|method| (method, "/api/v1/orders/kept".to_owned())));
    let mut answered = Vec::new();
    for (method, path) in asked {
        let head = method == Method::HEAD;
        let answer = service.ask(method.clone(), &path, &evil, "{}").await;
        if answer.status != 403 {
            answered.push(format!("{method} {path}: {}", answer.status));
        } else if !head {
            is_refused(&answer, "foreign-host", &path);
        }
    }
    assert_eq!(answered, Vec::<String>::new());
    assert_eq!(service.json("/api/v1/stats").await["received"], 2);
    let metrics = service.get("/metrics").await.body;
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("waybill_http_refused_total{cause=\"foreign-host\"}"));
    let counted = line.and_then(|line| line.split(' ').next_back()?.parse::<f64>().ok());
    assert!(counted.is_some_and(|count| count > 50.0), "{line:?}");
}

#[tokio::test]
async fn what_a_page_of_another_origin_asks_for_is_refused_and_changes_nothing() {
    let bench = Bench::new(Weight::Light).await;
    let service = lived_in(&bench, &[]).await;
    let text = ("content-type", "text/plain");
    let evil = ("origin", "https://evil.example");
    let elsewhere = ("sec-fetch-site", "cross-site");
    let posts = [
        ("/orders", "{}"),
        ("/dead-letters/2/retry", "{}"),
        ("/dead-letters/2/discard", "{\"reason\": \"x\"}"),
        ("/dead-letters/2/resubmit?as=evil", "{}"),
        (
            "/dead-letters/batch",
            "{\"action\": \"retry\", \"all\": true}",
        ),
        ("/plans", "collection: x"),
        ("/replays", "{}"),
        ("/operations/1/cancel", ""),
        ("/collections/orders/validate", "{}"),
    ];
    for (path, body) in posts {
        let path = format!("/api/v1{path}");
        for headers in [
            vec![evil, text],
            vec![evil, elsewhere, OCTETS],
            vec![elsewhere],
            vec![("sec-fetch-site", "same-site")],
            vec![("origin", "null")],
            vec![
                ("origin", "http://127.0.0.1:1"),
                ("sec-fetch-site", "same-site"),
            ],
            // A page that says it is ours, and a second time what it is.
            vec![("origin", &*service.url), evil],
        ] {
            let answer = service.ask(Method::POST, &path, &headers, body).await;
            is_refused(&answer, "cross-site", &format!("{path} {headers:?}"));
        }
    }
    let put = ("/api/v1/collections/orders", [evil, OCTETS]);
    let answer = service.ask(Method::PUT, put.0, &put.1, "[]").await;
    is_refused(&answer, "cross-site", "PUT /collections/orders");
    // Reading, too, though the page would not see the answer: it costs us work, and may tell by its time.
    for headers in [
        vec![evil],
        vec![
            elsewhere,
            ("sec-fetch-mode", "no-cors"),
            ("sec-fetch-dest", "image"),
        ],
        vec![
            elsewhere,
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "iframe"),
        ],
    ] {
        for path in ["/api/v1/orders/kept", "/api/v1/reconciliation?verify=true"] {
            let answer = service.ask(Method::GET, path, &headers, "").await;
            is_refused(&answer, "cross-site", &format!("{path} {headers:?}"));
        }
    }
    let large = "x".repeat(600_000);
    let answer = service
        .ask(Method::POST, "/api/v1/orders", &[evil], large)
        .await;
    is_refused(&answer, "cross-site", "a large body is told, too");
    let stats = service.json("/api/v1/stats").await;
    assert_eq!(stats["received"], 2, "{stats}");
    let operations = service.json("/api/v1/operations").await;
    assert_eq!(operations["items"], json!([]));
}

#[tokio::test]
async fn our_own_page_links_from_elsewhere_and_scripts_go_on() {
    let bench = Bench::new(Weight::Light).await;
    let service = lived_in(&bench, &[]).await;
    let own = ("origin", &*service.url);
    let link = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ];
    for path in ["/letters/2", "/api/v1/orders/kept"] {
        assert_eq!(service.ask(Method::GET, path, &link, "").await.status, 200);
    }
    for headers in [
        vec![OCTETS],
        vec![OCTETS, own],
        vec![OCTETS, own, ("sec-fetch-site", "same-origin")],
        vec![OCTETS, ("sec-fetch-site", "same-origin")],
        vec![("content-type", "application/json; charset=utf-8")],
        vec![("content-type", "application/vnd.shop.order+json")],
        vec![],
    ] {
        let answer = service.ask(Method::POST, "/api/v1/orders", &headers, order("own"));
        assert_eq!(answer.await.status, 202, "{headers:?}");
    }
    let localhost = ("host", "localhost:1234");
    let answer = service
        .ask(Method::GET, "/api/v1/stats", &[localhost], "")
        .await;
    assert_eq!(answer.status, 200, "through a forwarded port");
}

#[tokio::test]
async fn behind_a_proxy_the_public_address_is_known() {
    let bench = Bench::new(Weight::Light).await;
    let public = [
        "--public-url",
        "https://desk.example,http://other.example:81",
    ];
    let service = bench.serve(None, &public).await;
    let ask = async |host, origin| {
        let headers = [OCTETS, ("host", host), ("origin", origin)];
        let answer = service
            .ask(Method::POST, "/api/v1/orders", &headers, "x")
            .await;
        let kind = match answer.status {
            202 => Value::Null,
            _ => answer.json()["type"].clone(),
        };
        (answer.status, kind)
    };
    let taken = (202, Value::Null);
    let foreign = |kind: &str| (403, json!(format!("urn:waybill:problem:{kind}")));
    let address = service.url.strip_prefix("http://").unwrap();
    assert_eq!(ask("desk.example", "https://desk.example").await, taken);
    assert_eq!(
        ask("other.example:81", "http://other.example:81").await,
        taken
    );
    assert_eq!(ask(address, &service.url).await, taken);
    // A proxy that puts our address into Host.
    assert_eq!(ask(address, "https://desk.example").await, taken);
    let plain = ask("desk.example", "http://desk.example").await;
    assert_eq!(plain, foreign("cross-site"), "another scheme");
    let other = ask("third.example", "https://third.example").await;
    assert_eq!(other, foreign("foreign-host"));
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    for (method, path, allowed) in [
        (Method::DELETE, "/api/v1/orders", "GET, POST, HEAD, OPTIONS"),
        (
            Method::POST,
            "/api/v1/collections/x",
            "GET, PUT, DELETE, HEAD, OPTIONS",
        ),
        (Method::GET, "/api/v1/plans", "POST, OPTIONS"),
        (Method::POST, "/api/v1/orders/x", "GET, HEAD, OPTIONS"),
        (Method::POST, "/letters/7", "GET, HEAD, OPTIONS"),
        (Method::TRACE, "/metrics", "GET, HEAD, OPTIONS"),
    ] {
        let answer = service.ask(Method::OPTIONS, path, &[], "").await;
        let told = (answer.status, answer.header("allow"));
        assert_eq!(told, (204, allowed), "OPTIONS {path}");
        let answer = service.ask(method.clone(), path, &[], "").await;
        let told = (answer.status, answer.header("allow"));
        assert_eq!(told, (405, allowed), "{method} {path}");
        let kind = "urn:waybill:problem:method-not-allowed";
        assert_eq!(answer.json()["type"], kind);
    }
}

/// What a form of any page can send without being asked is not what the routes take.
#[tokio::test]
async fn a_body_that_is_called_something_else_than_the_route_names_is_refused() {
    let bench = Bench::new(Weight::Light).await;
    let service = lived_in(&bench, &[]).await;
    for path in [
        "/orders",
        "/collections/orders/validate",
        "/dead-letters/2/resubmit?as=Ada",
        "/plans",
        "/dead-letters/2/retry",
        "/dead-letters/batch",
        "/replays",
        "/session",
    ] {
        for named in [
            "text/plain",
            "text/plain; charset=utf-8",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "",
        ] {
            let path = format!("/api/v1{path}");
            let headers = [("content-type", named)];
            let answer = service.ask(Method::POST, &path, &headers, "{}").await;
            assert_eq!(answer.status, 415, "{path} {named}: {answer:?}");
            let detail = answer.json()["detail"].to_string();
            assert!(detail.contains("application/"), "{detail}");
        }
    }
    assert_eq!(service.json("/api/v1/stats").await["received"], 2);
}

#[tokio::test]
async fn pages_of_named_origins_may_ask_with_a_token_and_never_with_our_cookie() {
    let bench = Bench::new(Weight::Light).await;
    let mut file = TokensFile::new(&bench);
    let ada = file.give("ada", "role = \"owner\"");
    let named = "https://shop.example,http://localhost:3000";
    let args = [&file.flag()[..], &["--cors-origin", named]].concat();
    let service = bench.serve(None, &args).await;
    let bearer = format!("Bearer {ada}");
    let cookie = format!("waybill={ada}");
    let stats = "/api/v1/stats";
    let allowed = "access-control-allow-origin";
    for origin in ["https://shop.example", "http://localhost:3000"] {
        let asks = ("origin", origin);
        let preflight = [
            asks,
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization"),
        ];
        let answer = service
            .ask(Method::OPTIONS, "/api/v1/orders", &preflight, "")
            .await;
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(answer.header(allowed), origin);
        assert_eq!(
            answer.header("access-control-allow-methods"),
            "GET, POST, HEAD, OPTIONS"
        );
        let headers = answer.header("access-control-allow-headers");
        assert!(headers.contains("authorization") && headers.contains("idempotency-key"));
        assert_eq!(answer.header("access-control-allow-credentials"), "");
        assert_eq!(answer.header("vary"), "origin");
        let proven = [asks, ("authorization", &*bearer)];
        let answer = service.ask(Method::GET, stats, &proven, "").await;
        assert_eq!((answer.status, answer.header(allowed)), (200, origin));
        // A page that is refused is told so in words, too.
        let answer = service.ask(Method::GET, stats, &[asks], "").await;
        assert_eq!((answer.status, answer.header(allowed)), (401, origin));
        let answer = service
            .ask(Method::GET, stats, &[asks, ("cookie", &*cookie)], "")
            .await;
        assert_eq!(answer.status, 401, "our cookie is for our own page");
    }
    let own = [("cookie", &*cookie), ("origin", &*service.url)];
    assert_eq!(service.ask(Method::GET, stats, &own, "").await.status, 200);
    for others in [
        vec![("origin", "https://evil.example")],
        vec![("origin", "https://shop.example.evil.example")],
        vec![("origin", "http://shop.example")],
        vec![("origin", "null")],
        vec![
            ("origin", "https://shop.example"),
            ("origin", "https://evil.example"),
        ],
    ] {
        let mut asks = others.clone();
        asks.push(("access-control-request-method", "POST"));
        let answer = service
            .ask(Method::OPTIONS, "/api/v1/orders", &asks, "")
            .await;
        is_refused(&answer, "cross-site", &format!("{others:?}"));
        assert_eq!(answer.header(allowed), "", "{others:?}");
        let answer = service.ask(Method::GET, stats, &others, "").await;
        assert_eq!(answer.header(allowed), "", "{others:?}");
    }
}

/// Of every route, of refusals, of what the cache answers, and of what leads nowhere.
#[tokio::test]
async fn every_answer_tells_the_browser_what_it_may_do_with_it() {
    let bench = Bench::new(Weight::Light).await;
    let public = ["--public-url", "https://desk.example"];
    let service = lived_in(&bench, &public).await;
    let mut asked = routes(&service).await;
    asked.push((Method::GET, "/nothing".to_owned()));
    asked.push((Method::GET, "/api/v1/nothing".to_owned()));
    asked.push((Method::OPTIONS, "/api/v1/stats".to_owned()));
    asked.push((Method::DELETE, "/api/v1/stats".to_owned()));
    asked.retain(|(_, path)| path != "/api/v1/stream");
    for (method, path) in asked {
        for (host, over_tls) in [
            ("127.0.0.1", false),
            ("desk.example", true),
            ("evil", false),
        ] {
            let headers = [("host", host)];
            let answer = service.ask(method.clone(), &path, &headers, "").await;
            let what = format!("{method} {path} of {host}: {answer:?}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{what}");
            if answer.header("content-type").starts_with("text/html") {
                assert_eq!(answer.header("referrer-policy"), "no-referrer", "{what}");
            }
            let resource = answer.header("cross-origin-resource-policy");
            assert_eq!(resource, "same-origin", "{what}");
            let policy = answer.header("content-security-policy");
            assert!(policy.contains("default-src 'none'"), "{what}");
            assert!(policy.contains("frame-ancestors 'none'"), "{what}");
            let cached = answer.header("cache-control");
            assert!(
                cached.contains("no-cache") || cached.contains("no-store"),
                "{what}"
            );
            let only_tls = answer.header("strict-transport-security");
            assert_eq!(!only_tls.is_empty(), over_tls, "{what}");
            assert_eq!(answer.header("server"), "", "{what}");
        }
    }
}

#[tokio::test]
async fn an_open_service_says_so_at_its_start_and_on_every_page() {
    let bench = Bench::new(Weight::Light).await;
    let open = ["--listen", "0.0.0.0:0", "--insecure-listen"];
    let service = bench.serve(None, &open).await;
    let closed = bench.serve(None, &[]).await;
    let said = "is open (--insecure-listen)";
    assert!(service.text().contains(said), "{}", service.text());
    assert!(!closed.text().contains(said));
    for path in ["/", "/letters/7", "/collections", "/docs"] {
        let text = |answer: Answer| String::from_utf8_lossy(&answer.body).into_owned();
        let page = text(service.get(path).await);
        assert_eq!(page.matches(said).count(), 1, "{path}");
        assert!(!text(closed.get(path).await).contains(said), "{path}");
    }
    let me = service.json("/api/v1/me").await;
    assert_eq!(
        (&me["name"], &me["proof"]),
        (&json!("open"), &json!("open"))
    );
    let me = closed.json("/api/v1/me").await;
    assert_eq!(me["proof"], "local");
    assert_eq!(me["proven"], false, "decisions are told who decides");
}

//! The API as strangers meet it: every error is a problem+json that says what is known, and the specification is true.

use reqwest::Method;
use serde_json::Value;

use crate::harness::{Answer, Bench, OCTETS, Weight, order, order_with, until_equal};

pub const JSON: (&str, &str) = ("content-type", "application/json");

/// An error as RFC 9457 has it, that tells a person something and nothing of the inside.
pub fn is_problem(answer: &Answer, status: u16, what: &str) -> Value {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    assert_eq!(
        answer.header("content-type"),
        "application/problem+json",
        "{what}"
    );
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{what}");
    let kind = problem["type"].as_str().unwrap();
    assert!(kind.starts_with("urn:waybill:problem:"), "{what}: {kind}");
    assert!(!problem["title"].as_str().unwrap().is_empty(), "{what}");
    assert!(problem["detail"].as_str().unwrap().len() > 10, "{what}");
    problem
}

/// Method, path, headers, body, and the status that must come of it.
type Case<'a> = (Method, &'a str, Vec<(&'a str, &'a str)>, &'a str, u16);

#[tokio::test]
async fn every_error_is_a_problem() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    let large = "x".repeat((1 << 20) + 1);
    let long = format!("/api/v1/orders/{}", "x".repeat(2_000));
    let letters = "/api/v1/dead-letters";
    let key = "k".repeat(201);
    let cases: Vec<Case> = vec![
        (Method::GET, "/nothing", vec![], "", 404),
        (Method::GET, "/api/v1/nothing", vec![], "", 404),
        (Method::GET, "/api/v1", vec![], "", 404),
        (Method::GET, "/api/v2/orders", vec![], "", 404),
        (Method::DELETE, "/api/v1/orders/x", vec![], "", 405),
        (Method::PUT, "/api/v1/orders", vec![OCTETS], "x", 405),
        (Method::POST, "/healthz/ready", vec![], "", 405),
        (Method::GET, "/api/v1/orders/never", vec![], "", 404),
        (Method::GET, "/api/v1/orders/a%00b", vec![], "", 404),
        (Method::GET, &long, vec![], "", 404),
        (Method::GET, "/api/v1/orders?limit=0", vec![], "", 400),
        (Method::GET, "/api/v1/orders?limit=501", vec![], "", 400),
        (Method::GET, "/api/v1/orders?limit=ten", vec![], "", 400),
        (
            Method::GET,
            "/api/v1/orders?after=yesterday",
            vec![],
            "",
            400,
        ),
        (Method::GET, "/api/v1/orders?after=-1", vec![], "", 400),
        (
            Method::GET,
            "/api/v1/orders?customer_id=a%00b",
            vec![],
            "",
            400,
        ),
        (Method::GET, "/api/v1/inbox/1", vec![], "", 404),
        (Method::GET, "/api/v1/inbox/-1", vec![], "", 404),
        (Method::GET, "/api/v1/inbox/first", vec![], "", 400),
        (
            Method::GET,
            "/api/v1/inbox/99999999999999999999",
            vec![],
            "",
            400,
        ),
        (Method::GET, "/api/v1/inbox/1/payload", vec![], "", 404),
        (Method::GET, "/api/v1/dead-letters/1", vec![], "", 404),
        (
            Method::GET,
            "/api/v1/dead-letters/1/payload",
            vec![],
            "",
            404,
        ),
        (
            Method::GET,
            "/api/v1/dead-letters?state=lost",
            vec![],
            "",
            400,
        ),
        (
            Method::GET,
            "/api/v1/dead-letters?reason=bad",
            vec![],
            "",
            400,
        ),
        (
            Method::GET,
            "/api/v1/dead-letters?since=soon",
            vec![],
            "",
            400,
        ),
        (Method::GET, "/api/v1/dead-letters?from=x", vec![], "", 400),
        (
            Method::GET,
            "/api/v1/dead-letters?code=nope",
            vec![],
            "",
            400,
        ),
        (
            Method::GET,
            "/api/v1/dead-letters?from=5&to=4",
            vec![],
            "",
            400,
        ),
        (
            Method::GET,
            "/api/v1/dead-letters?since=2h&until=3h",
            vec![],
            "",
            400,
        ),
        (
            Method::GET,
            "/api/v1/dead-letters/export?code=nope",
            vec![],
            "",
            400,
        ),
        (
            Method::POST,
            "/api/v1/dead-letters/batch",
            vec![JSON],
            "{\"action\": \"retry\", \"filter\": {\"code\": \"nope\"}}",
            400,
        ),
        (
            Method::GET,
            "/api/v1/dead-letters?fingerprint=xyz",
            vec![],
            "",
            400,
        ),
        (
            Method::GET,
            "/api/v1/dead-letters?text=a%00b",
            vec![],
            "",
            400,
        ),
        (
            Method::GET,
            "/api/v1/dead-letters?key=a%00b",
            vec![],
            "",
            400,
        ),
        (Method::POST, "/api/v1/orders", vec![OCTETS], &large, 413),
        (
            Method::POST,
            "/api/v1/orders",
            vec![OCTETS, ("idempotency-key", "")],
            "x",
            400,
        ),
        (
            Method::POST,
            "/api/v1/orders",
            vec![OCTETS, ("idempotency-key", &key)],
            "x",
            400,
        ),
        (
            Method::POST,
            "/api/v1/dead-letters/1/retry",
            vec![JSON],
            "{\"as\":",
            400,
        ),
        (
            Method::POST,
            "/api/v1/dead-letters/1/retry",
            vec![JSON],
            "{\"as\": []}",
            400,
        ),
        (
            Method::POST,
            "/api/v1/dead-letters/1/discard",
            vec![JSON],
            "{\"reason\": 7}",
            400,
        ),
        (
            Method::POST,
            "/api/v1/dead-letters/1/discard",
            vec![JSON],
            "{\"reason\": \"x\", \"by\": \"Ada\"}",
            400,
        ),
        (
            Method::POST,
            "/api/v1/dead-letters/1/retry",
            vec![("content-type", "text/plain")],
            "{}",
            415,
        ),
        (
            Method::POST,
            "/api/v1/dead-letters/batch",
            vec![JSON],
            "{\"action\": \"retry\", \"all\": true, \"dryrun\": true}",
            400,
        ),
        (
            Method::POST,
            "/api/v1/replays",
            vec![JSON],
            "{\"because\": \"x\"}",
            400,
        ),
        (
            Method::POST,
            "/api/v1/dead-letters/1/retry",
            vec![JSON],
            "{}",
            404,
        ),
        (
            Method::POST,
            "/api/v1/dead-letters/1/discard",
            vec![JSON],
            "{}",
            400,
        ),
        (
            Method::POST,
            "/api/v1/dead-letters/x/retry",
            vec![JSON],
            "{}",
            400,
        ),
        (Method::POST, letters, vec![JSON], "{}", 405),
    ];
    let mut wrong = Vec::new();
    for (method, path, headers, body, status) in cases {
        let shown: String = format!("{method} {path} {body}").chars().take(80).collect();
        let answer = service.ask(method, path, &headers, body.to_owned()).await;
        if answer.status == status {
            is_problem(&answer, status, &shown);
        } else {
            wrong.push(format!(
                "{shown}: {} instead of {status}: {:?}",
                answer.status, answer.body
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let stats = service.json("/api/v1/stats").await;
    // The retry of a letter that is not there is a decision all the same.
    assert_eq!(stats["received"], 1, "nothing else was stored: {stats}");
}

/// Every route that takes who asks and why: method, path, and whether the two are of the query or of a JSON body.
fn routes_that_are_told_why() -> Vec<(Method, &'static str, bool)> {
    let json = [
        "dead-letters/1/retry",
        "dead-letters/1/discard",
        "dead-letters/1/reopen",
        "dead-letters/1/notes",
        "dead-letters/batch",
        "replays",
    ];
    let mut routes: Vec<_> = json.map(|path| (Method::POST, path, false)).into();
    routes.extend([
        (Method::POST, "dead-letters/1/resubmit", true),
        (Method::PUT, "collections/orders", true),
        (Method::DELETE, "collections/none", true),
        (Method::POST, "plans", true),
    ]);
    routes
}

#[tokio::test]
async fn who_asks_and_why_is_bounded_and_holds_no_nul() {
    let bench = Bench::new(Weight::Light).await;
    let sql = bench.sql().await;
    let service = bench.serve(None, &[]).await;
    let (longest, longer) = ("ü".repeat(2_000), "ü".repeat(2_000) + "x");
    let tell = async |method: &Method, path: &str, query: bool, name: &str, text: &str| {
        let mut fields = serde_json::json!({"reason": "x"});
        if path == "dead-letters/batch" {
            fields["action"] = "note".into();
            fields["all"] = true.into();
        }
        fields[name] = text.into();
        let encoded = text.replace('\0', "%00");
        let (path, kind, body) = match query {
            true => (
                format!("{path}?{name}={encoded}"),
                OCTETS,
                waybill::collection::orders().text.clone(),
            ),
            false => (path.to_owned(), JSON, fields.to_string()),
        };
        let path = format!("/api/v1/{path}");
        service.ask(method.clone(), &path, &[kind], body).await
    };
    for (method, path, query) in routes_that_are_told_why() {
        for (name, text) in [
            ("as", "a\0b"),
            ("as", longer.as_str()),
            ("reason", "a\0b"),
            ("reason", longer.as_str()),
        ] {
            // A plan is told no reason.
            if (path, name) == ("plans", "reason") {
                continue;
            }
            let answer = tell(&method, path, query, name, text).await;
            let problem = is_problem(&answer, 400, &format!("{method} {path} {name}"));
            assert!(
                problem["detail"].as_str().unwrap().starts_with(name),
                "{path}: {problem}"
            );
        }
    }
    assert_eq!(sql.head().await, 0, "a decision was stored");
    assert_eq!(sql.count("select count(*) from operation").await, 0);
    // As much as there may be is kept as it is.
    for (method, path, query) in routes_that_are_told_why() {
        let answer = tell(&method, path, query, "as", &longest).await;
        assert!(
            matches!(answer.status, 200 | 202 | 404),
            "{path}: {answer:?}"
        );
    }
    let kept = format!("select count(*) from inbox where decision ->> 'who' = '{longest}'");
    assert_eq!(sql.count(&kept).await, 6);
    let kept = format!("select count(*) from operation where asked_by = '{longest}'");
    assert_eq!(sql.count(&kept).await, 3);
}

#[tokio::test]
async fn a_nul_in_whatever_parameter_is_the_clients_mistake() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    let specification = service.json("/openapi.json").await;
    let mut tried = 0;
    for (path, methods) in specification["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let parameters = operation["parameters"].as_array().cloned();
            let parameters = parameters.unwrap_or_default();
            // The first of them that is a place in the path, and one of the query at a time.
            for parameter in &parameters {
                let name = parameter["name"].as_str().unwrap();
                let (mut url, mut query) = (path.clone(), String::new());
                match parameter["in"].as_str().unwrap() {
                    "path" => url = url.replace(&format!("{{{name}}}"), "a%00b"),
                    "query" => query = format!("?{name}=a%00b"),
                    _ => continue,
                }
                for place in ["id", "position", "key", "account"] {
                    url = url.replace(&format!("{{{place}}}"), "1");
                }
                url = url.replace("{name}", "orders");
                let url = format!("/api/v1{url}{query}");
                let kind = if url.contains("/resubmit")
                    || url.contains("/plans")
                    || method == Method::PUT
                    || url.contains("/validate")
                    || url.contains("/v1/orders")
                {
                    OCTETS
                } else {
                    JSON
                };
                let body = if method == Method::GET { "" } else { "[]" };
                let answer = service.ask(method.clone(), &url, &[kind], body).await;
                // No key, name or account has a NUL, so there is no such thing; what else is missing may be said before.
                let is_place = ["key", "name", "account"].contains(&name) && query.is_empty();
                let wanted = match answer.status {
                    404 if is_place => 404,
                    _ => 400,
                };
                is_problem(&answer, wanted, &format!("{method} {url}"));
                tried += 1;
            }
        }
    }
    assert!(tried > 60, "{tried}");
    let filter = |field: &str| {
        serde_json::json!({"action": "note", "reason": "x", "filter": {field: "a\0b"}}).to_string()
    };
    for field in [
        "state",
        "reason",
        "code",
        "fingerprint",
        "key",
        "source",
        "since",
        "until",
        "text",
    ] {
        let path = "/api/v1/dead-letters/batch";
        let answer = service
            .ask(Method::POST, path, &[JSON], filter(field))
            .await;
        is_problem(&answer, 400, field);
    }
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    service.post(order("known")).await;
    service.rests(10, 1).await;
    let first = service.order("known").await;
    assert_eq!(first.status, 200);
    let tag = first.header("etag").to_owned();
    let path = "/api/v1/orders/known";
    for (asked, status) in [
        (tag.clone(), 304),
        (format!("W/{tag}"), 304),
        (format!("\"other\", {tag}"), 304),
        ("*".to_owned(), 304),
        ("\"other\"".to_owned(), 200),
    ] {
        let answer = service
            .ask(Method::GET, path, &[("if-none-match", &asked)], "")
            .await;
        assert_eq!(answer.status, status, "{asked}");
        assert_eq!(answer.header("etag"), tag);
        assert_eq!(answer.body.is_empty(), status == 304);
    }
    let head = service.ask(Method::HEAD, path, &[], "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test]
async fn not_found_says_what_is_known() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    let answer = service.order("nobody").await;
    let never = is_problem(&answer, 404, "never");
    assert_eq!(
        answer.header("content-length"),
        answer.body.len().to_string()
    );
    assert!(never["type"].as_str().unwrap().ends_with("never-received"));

    let rejected = order_with("sick", &[("1817", "-1")]);
    let position = service.post(rejected).await;
    service.rests(10, 1).await;
    let answer = service.order("sick").await;
    let problem = is_problem(&answer, 404, "rejected");
    assert!(problem["type"].as_str().unwrap().ends_with("rejected"));
    let letter = problem["links"][0]["href"].as_str().unwrap();
    assert_eq!(letter, format!("/api/v1/dead-letters/{position}"));
    assert_eq!(service.json(letter).await["code"], "negative_money");

    // The projector waits for somebody, so what comes stays on its way.
    let sql = bench.sql().await;
    sql.run("begin; select from checkpoint for update").await;
    let position = service.post(order("late")).await;
    let answer = service.order("late").await;
    let pending = is_problem(&answer, 404, "pending");
    assert!(pending["type"].as_str().unwrap().ends_with("pending"));
    assert_eq!(
        pending["links"][0]["href"],
        format!("/api/v1/inbox/{position}")
    );
    let row = service.json(&format!("/api/v1/inbox/{position}")).await;
    assert_eq!(row["fate"], "pending");
    sql.run("commit").await;
    until_equal(20, "it arrives", 200, async || {
        service.order("late").await.status
    })
    .await;
}

#[tokio::test]
async fn the_committed_specification_is_the_one_that_is_served() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    let served = service.json("/openapi.json").await;
    let program = env!("CARGO_BIN_EXE_waybill");
    let output = std::process::Command::new(program)
        .arg("openapi")
        .output()
        .unwrap();
    assert!(output.status.success());
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json");
    if std::env::var_os("WAYBILL_BLESS").is_some() {
        std::fs::write(file, &output.stdout).unwrap();
    }
    let committed = std::fs::read(file).unwrap();
    assert!(
        committed == output.stdout,
        "openapi/openapi.json is out of date: WAYBILL_BLESS=1 cargo test specification"
    );
    let committed: Value = serde_json::from_slice(&committed).unwrap();
    assert_eq!(served, committed);
    assert_eq!(service.get("/docs").await.status, 200);
}

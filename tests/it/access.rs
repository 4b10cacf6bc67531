//! Who may do what: each route as each principal meets it, and that a refusal changes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use waybill::access::Token;

use crate::cli::waybill;
use crate::gate::{OPEN, routes};
use crate::harness::{
    Bench, OCTETS, Service, Sql, TokensFile, Weight, bearer, order, order_with, until, within,
};

const JSON: (&str, &str) = ("content-type", "application/json");

/// What each of these must be answered: reader, support, operator, publisher, owner, a reader and an owner of another collection.
type Expected = [u16; 7];

const NAMES: [&str; 7] = [
    "reader",
    "support",
    "operator",
    "publisher",
    "owner",
    "reader elsewhere",
    "owner elsewhere",
];

const ALL: Expected = [200; 7];
/// Numbers about all collections.
const WHOLE: Expected = [200, 200, 200, 200, 200, 403, 403];
const READ: Expected = [200, 200, 200, 403, 200, 404, 404];
const NO_SUMS: Expected = [404, 404, 404, 403, 404, 404, 404];
const LETTER_LIST: Expected = [403, 200, 200, 403, 200, 403, 200];
const LETTER: Expected = [403, 200, 200, 403, 200, 403, 404];
const DECIDE: Expected = [403, 403, 200, 403, 200, 403, 404];
const DEFINITIONS: Expected = [200, 200, 200, 403, 200, 404, 404];
const STEER: Expected = [403, 403, 403, 403, 409, 403, 404];

/// That of the orders, and a remark.
const DEFINITION: &str = concat!(
    include_str!("../../src/collection/orders.yaml"),
    "# Nothing else.\n"
);
const NOTE: &str = "{\"reason\": \"x\"}";
const DRY: &str = "{\"action\": \"retry\", \"all\": true, \"dry_run\": true}";

/// `{letter}` is a new one each time, `{operation}` one of the owner's that is over.
const TABLE: &[(&str, &str, &str, Expected)] = &[
    (
        "GET",
        "/api/v1/orders/kept",
        "",
        [200, 200, 200, 403, 200, 404, 404],
    ),
    ("GET", "/api/v1/orders", "", READ),
    ("GET", "/api/v1/collections", "", ALL),
    ("GET", "/api/v1/collections/orders", "", DEFINITIONS),
    (
        "GET",
        "/api/v1/collections/orders/definitions",
        "",
        DEFINITIONS,
    ),
    (
        "PUT",
        "/api/v1/collections/orders",
        DEFINITION,
        [403, 403, 403, 403, 200, 403, 404],
    ),
    (
        "POST",
        "/api/v1/plans",
        DEFINITION,
        [403, 403, 403, 403, 202, 403, 404],
    ),
    (
        "GET",
        "/api/v1/collections/orders/schema",
        "",
        [200, 200, 200, 200, 200, 404, 404],
    ),
    (
        "GET",
        "/api/v1/collections/orders/export",
        "",
        [200, 200, 200, 403, 200, 404, 404],
    ),
    // Of which key is not said.
    (
        "GET",
        "/api/v1/collections/orders/versions",
        "",
        [400, 400, 400, 403, 400, 400, 400],
    ),
    ("GET", "/api/v1/collections/orders/sums", "", NO_SUMS),
    ("GET", "/api/v1/collections/orders/sums/x", "", NO_SUMS),
    (
        "POST",
        "/api/v1/collections/orders/validate",
        "{}",
        [200, 200, 200, 200, 200, 404, 404],
    ),
    (
        "POST",
        "/api/v1/orders",
        "junk",
        [403, 403, 403, 202, 202, 403, 404],
    ),
    ("GET", "/api/v1/inbox/2", "", LETTER),
    ("GET", "/api/v1/inbox/2/payload", "", LETTER),
    ("GET", "/api/v1/dead-letters", "", LETTER_LIST),
    ("GET", "/api/v1/dead-letters/export", "", LETTER_LIST),
    ("GET", "/api/v1/dead-letter-groups", "", LETTER_LIST),
    ("GET", "/api/v1/dead-letter-groups/trend", "", LETTER_LIST),
    ("GET", "/api/v1/dead-letters/2", "", LETTER),
    ("GET", "/api/v1/dead-letters/2/payload", "", LETTER),
    ("POST", "/api/v1/dead-letters/{letter}/retry", "{}", DECIDE),
    (
        "POST",
        "/api/v1/dead-letters/{letter}/discard",
        NOTE,
        DECIDE,
    ),
    ("POST", "/api/v1/dead-letters/{letter}/reopen", "{}", DECIDE),
    ("POST", "/api/v1/dead-letters/{letter}/notes", NOTE, DECIDE),
    (
        "POST",
        "/api/v1/dead-letters/{letter}/resubmit",
        "junk",
        DECIDE,
    ),
    (
        "POST",
        "/api/v1/dead-letters/batch",
        DRY,
        [403, 403, 202, 403, 202, 403, 202],
    ),
    (
        "POST",
        "/api/v1/replays",
        "{}",
        [403, 403, 403, 403, 202, 403, 403],
    ),
    ("GET", "/api/v1/operations", "", LETTER_LIST),
    ("GET", "/api/v1/operations/{operation}", "", LETTER),
    ("GET", "/api/v1/operations/{operation}/letters", "", LETTER),
    ("POST", "/api/v1/operations/{operation}/pause", "", STEER),
    ("POST", "/api/v1/operations/{operation}/resume", "", STEER),
    ("POST", "/api/v1/operations/{operation}/cancel", "", STEER),
    ("GET", "/api/v1/reconciliation", "", WHOLE),
    ("GET", "/api/v1/stats", "", WHOLE),
    ("GET", "/api/v1/stream", "", ALL),
    ("GET", "/api/v1/me", "", ALL),
    ("POST", "/api/v1/session", "{}", [400; 7]),
    (
        "GET",
        "/api/v1/audit",
        "",
        [403, 403, 403, 403, 200, 403, 200],
    ),
    ("GET", "/metrics", "", WHOLE),
    ("GET", "/docs", "", ALL),
    ("GET", "/openapi.json", "", ALL),
    // Last: of orders there is nothing after it.
    (
        "DELETE",
        "/api/v1/collections/orders",
        "",
        [403, 403, 403, 403, 200, 403, 404],
    ),
];

struct Desk {
    service: Service,
    sql: Sql,
    operation: i64,
    made: u32,
}

impl Desk {
    /// A letter that nobody has decided about.
    async fn letter(&mut self) -> i64 {
        self.made += 1;
        let uid = format!("sick-{}", self.made);
        let id = self.service.post(order_with(&uid, &[("1817", "-1")])).await;
        let path = format!("/api/v1/dead-letters/{id}");
        until(10, "the letter is there", async || {
            (self.service.get(&path).await.status == 200).then_some(())
        })
        .await;
        id
    }

    /// All that a request could have changed.
    async fn state(&self) -> String {
        // Operations of the rows before may still run to their end, and the service heals after new rules.
        let query = "select concat(
            (select next_position from inbox_head), ' ',
            (select count(*) from operation where asked_by <> 'waybill'), ' ',
            (select count(*) from operation where state in ('paused', 'cancelled')))";
        self.sql.text(query).await
    }

    /// Only the head of the answer: a stream has no end.
    async fn status(&self, method: &str, path: &str, authorization: &str, body: &str) -> u16 {
        let method: Method = method.parse().unwrap();
        let raw = ["/orders", "/validate", "/resubmit", "/plans"];
        let kind = match raw.iter().any(|end| path.ends_with(end)) {
            true => OCTETS,
            false => JSON,
        };
        let url = format!("{}{path}", self.service.url);
        let mut request = reqwest::Client::new()
            .request(method, url)
            .header(kind.0, kind.1)
            .body(body.to_owned());
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        request.send().await.unwrap().status().as_u16()
    }
}

#[tokio::test]
async fn every_route_answers_each_principal_as_it_must() {
    let bench = Bench::new(Weight::Heavy).await;
    let mut file = TokensFile::new(&bench);
    let elsewhere = |role| format!("role = \"{role}\"\ncollections = [\"purchases\"]");
    let principals: Vec<String> = [
        ("rita", "role = \"reader\"".to_owned()),
        ("sam", "role = \"support\"".to_owned()),
        ("otto", "role = \"operator\"".to_owned()),
        ("pia", "role = \"publisher\"".to_owned()),
        ("ona", "role = \"owner\"".to_owned()),
        ("ruth", elsewhere("reader")),
        ("olaf", elsewhere("owner")),
    ]
    .iter()
    .map(|(name, grant)| file.give(name, grant))
    .collect();
    let expired = file.give("eva", "role = \"owner\"\nexpires = 2020-01-01");
    let mut mistyped = principals[4].clone();
    mistyped.pop();
    let mut service = bench.serve(None, &file.flag()).await;
    service.token = Some(principals[4].clone());
    service.post(order("kept")).await;
    service.post(order_with("sick", &[("1817", "-1")])).await;
    service.rests(10, 2).await;
    let dry = serde_json::from_str(DRY).unwrap();
    let operation = service.asks("/dead-letters/batch", &dry).await;
    service.ends(20, operation).await;
    let all: BTreeSet<String> = routes(&service)
        .await
        .into_iter()
        .map(|(method, path)| format!("{method} {path}"))
        .collect();
    let mut desk = Desk {
        sql: bench.sql().await,
        service,
        operation,
        made: 0,
    };

    let strangers = [
        "",
        &bearer(&expired),
        "Bearer hunter2",
        &bearer(&mistyped),
        "Basic b25hOm9uYQ==",
    ];
    let mut wrong = Vec::new();
    let mut asked = BTreeSet::new();
    for (method, path, body, expected) in TABLE {
        let known = path.replace("{letter}", "2").replace("{operation}", "2");
        asked.insert(format!("{method} {known}"));
        let path = path.replace("{operation}", &desk.operation.to_string());
        let mut check = |who: &str, status: u16, wanted: u16| {
            if status != wanted {
                wrong.push(format!(
                    "{method} {path} as {who}: {status} instead of {wanted}"
                ));
            }
        };
        let refused = path.replace("{letter}", "2");
        let before = desk.state().await;
        let open = path.ends_with("/session");
        for authorization in strangers {
            let status = desk.status(method, &refused, authorization, body).await;
            // Beyond some a minute, what is not known is slowed.
            let slowed = status == 429 && !authorization.is_empty();
            let wanted = if open { 400 } else { 401 };
            check(authorization, if slowed { wanted } else { status }, wanted);
        }
        let each = || NAMES.iter().zip(&principals).zip(expected);
        for ((who, token), wanted) in each().filter(|(_, wanted)| **wanted >= 400) {
            let status = desk.status(method, &refused, &bearer(token), body).await;
            check(who, status, *wanted);
        }
        assert_eq!(
            desk.state().await,
            before,
            "{method} {path}: a refusal changed something"
        );
        for ((who, token), wanted) in each().filter(|(_, wanted)| **wanted < 400) {
            let path = match path.contains("{letter}") {
                true => path.replace("{letter}", &desk.letter().await.to_string()),
                false => path.clone(),
            };
            let status = desk.status(method, &path, &bearer(token), body).await;
            check(who, status, *wanted);
        }
    }
    asked.insert("DELETE /api/v1/session".to_owned());
    assert_eq!(desk.status("DELETE", "/api/v1/session", "", "").await, 204);
    // Without an issuer.
    for path in ["/sign-in/oidc", "/sign-in/oidc/callback"] {
        asked.insert(format!("GET {path}"));
        assert_eq!(desk.status("GET", path, "", "").await, 404);
    }
    for path in OPEN {
        asked.insert(format!("GET {path}"));
        for authorization in strangers
            .into_iter()
            .chain([bearer(&principals[0]).as_str()])
        {
            let status = desk.status("GET", path, authorization, "").await;
            if status != 200 {
                wrong.push(format!("GET {path} as {authorization}: {status}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(asked, all, "each route has its row here");
    let log = desk.service.text();
    for secret in principals.iter().chain([&expired]) {
        assert!(!log.contains(&secret[3..20]), "a token is in the log");
    }
}

/// What lists of others hold: nothing.
#[tokio::test]
async fn a_principal_of_another_collection_sees_nothing_of_orders() {
    let bench = Bench::new(Weight::Light).await;
    let mut file = TokensFile::new(&bench);
    let ona = file.give("ona", "role = \"owner\"");
    let olaf = file.give("olaf", "role = \"owner\"\ncollections = [\"purchases\"]");
    let mut service = bench.serve(None, &file.flag()).await;
    service.token = Some(ona);
    service.post(order("kept")).await;
    let letter = service.post(order_with("sick", &[("1817", "-1")])).await;
    service.rests(10, 2).await;
    assert_eq!(
        service.json("/api/v1/dead-letters").await["items"][0]["id"],
        letter
    );
    let of_all = service
        .asks(
            "/dead-letters/batch",
            &json!({"action": "note", "reason": "x", "all": true}),
        )
        .await;
    service.ends(20, of_all).await;
    let before = service.json("/api/v1/stats").await["received"].clone();

    let (ona, olaf) = (service.token.replace(olaf.clone()), olaf);
    for path in [
        "/collections",
        "/dead-letters",
        "/dead-letter-groups",
        "/dead-letter-groups/trend",
        "/operations",
    ] {
        let list = service.json(&format!("/api/v1{path}")).await;
        assert_eq!(list["items"], json!([]), "{path}");
    }
    let answer = service.get("/api/v1/dead-letters/export").await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    for path in [
        "/orders",
        "/collections/orders",
        "/collections/orders/export",
    ] {
        let answer = service.get(&format!("/api/v1{path}")).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
    // Cached or not, it is not there.
    let kept = service.order("kept").await;
    let none = service.order("nobody").await;
    assert_eq!((kept.status, none.status), (404, 404));
    assert_eq!(kept.json()["type"], none.json()["type"]);
    // A set that names the letter is frozen without it.
    for filter in [json!({"ids": [letter]}), json!({"state": "open"})] {
        let body = json!({"action": "discard", "reason": "x", "filter": filter});
        let id = service.asks("/dead-letters/batch", &body).await;
        let ended = service.ends(20, id).await;
        assert_eq!(
            (&ended["total"], &ended["done"]),
            (&json!(0), &json!(0)),
            "{filter}"
        );
    }
    let events = stream(&service, &olaf, 3).await;
    assert!(!events.contains("event: document"), "{events}");
    assert!(
        events.contains("\"documents\":null") && !events.contains("\"cache_documents\":1"),
        "{events}"
    );

    service.token = ona;
    let stats = service.json("/api/v1/stats").await;
    assert_eq!(
        (&stats["received"], &stats["dead_letters_open"]),
        (&before, &json!(1))
    );
}

/// The first events of a stream, as text.
async fn stream(service: &Service, token: &str, stats: usize) -> String {
    let mut response = opened(service, token).await;
    within(20, "the stream tells", async {
        let mut text = String::new();
        while text.matches("event: stats").count() < stats {
            let chunk = response.chunk().await.unwrap().expect("it goes on");
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
        text
    })
    .await
}

async fn opened(service: &Service, token: &str) -> reqwest::Response {
    let url = format!("{}/api/v1/stream", service.url);
    let request = reqwest::Client::new().get(url).bearer_auth(token);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    response
}

#[tokio::test]
async fn the_file_is_read_again_and_what_is_taken_away_ends() {
    let bench = Bench::new(Weight::Light).await;
    let mut file = TokensFile::new(&bench);
    let ona = file.give("ona", "role = \"owner\"");
    let ada = file.give("ada", "role = \"support\"");
    let mut service = bench.serve(None, &file.flag()).await;
    service.token = Some(ona);
    let status = async |service: &Service, token: &str, path: &str| {
        let authorization = bearer(token);
        let headers = [("authorization", authorization.as_str())];
        service.ask(Method::GET, path, &headers, "").await.status
    };
    let letters = "/api/v1/dead-letters";
    assert_eq!(status(&service, &ada, letters).await, 200);
    let ends = async |mut watched: reqwest::Response| {
        within(10, "the stream ends with the token", async {
            while watched.chunk().await.unwrap().is_some() {}
        })
        .await;
    };

    // A right is taken away: the stream that was begun with it ends, and the next request is judged anew.
    let watched = opened(&service, &ada).await;
    file.regrant("ada", "support", "reader");
    ends(watched).await;
    assert_eq!(status(&service, &ada, letters).await, 403);
    assert_eq!(status(&service, &ada, "/api/v1/orders").await, 200);

    // A broken file takes nobody's token away, and is told.
    let watched = opened(&service, &ada).await;
    std::fs::write(&file.path, "[[token]\n").unwrap();
    service.says(10, "what was read last goes on").await;
    let metrics = service.get("/metrics").await.body;
    assert!(String::from_utf8_lossy(&metrics).contains("waybill_tokens_file_well 0"));
    assert_eq!(status(&service, &ada, "/api/v1/orders").await, 200);

    // Mended without her: all of it ends.
    file.take_from("ada");
    ends(watched).await;
    assert_eq!(status(&service, &ada, "/api/v1/orders").await, 401);
    let metrics = service.get("/metrics").await.body;
    assert!(String::from_utf8_lossy(&metrics).contains("waybill_tokens_file_well 1"));

    // A new one counts without a restart.
    let eve = file.give("eve", "role = \"reader\"");
    until(10, "the new token counts", async || {
        (status(&service, &eve, "/api/v1/orders").await == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_decided_is_who_showed_the_token() {
    let bench = Bench::new(Weight::Light).await;
    let mut file = TokensFile::new(&bench);
    let ona = file.give("ona", "role = \"owner\"");
    let mut service = bench.serve(None, &file.flag()).await;
    service.token = Some(ona);
    let letter = service.post(order_with("sick", &[("1817", "-1")])).await;
    service.rests(10, 1).await;

    // Saying it is refused, on every route that takes it, and changes nothing.
    let said = json!({"as": "eve", "reason": "x"});
    let letters = format!("/dead-letters/{letter}");
    for (path, body) in [
        (format!("{letters}/retry"), said.clone()),
        (format!("{letters}/discard"), said.clone()),
        (format!("{letters}/reopen"), said.clone()),
        (format!("{letters}/notes"), said.clone()),
        (format!("{letters}/resubmit?as=eve"), json!({})),
        (
            "/dead-letters/batch".to_owned(),
            json!({"action": "retry", "all": true, "as": "eve"}),
        ),
        ("/replays".to_owned(), said.clone()),
    ] {
        let answer = service.tell(&path, None, &body).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        assert!(
            answer.json()["type"]
                .as_str()
                .unwrap()
                .ends_with("who-is-known"),
            "{path}"
        );
    }
    for (method, path) in [
        (Method::PUT, "/collections/orders?as=eve"),
        (Method::POST, "/plans?as=eve"),
    ] {
        let answer = service
            .ask(method, &format!("/api/v1{path}"), &[OCTETS], DEFINITION)
            .await;
        assert_eq!(answer.status, 400, "{path}");
    }
    assert_eq!(service.json("/api/v1/stats").await["received"], 1);
    assert_eq!(service.json("/api/v1/operations").await["items"], json!([]));

    let noted = service
        .tell(
            &format!("{letters}/notes"),
            None,
            &json!({"reason": "mine"}),
        )
        .await;
    let position = noted.json()["position"].as_i64().unwrap();
    let row = service.json(&format!("/api/v1/inbox/{position}")).await;
    let decision =
        json!({"action": "note", "letter": letter, "who": "ona", "proof": "token", "why": "mine"});
    assert_eq!(row["decision"], decision);
    let body = json!({"action": "discard", "all": true, "reason": "all of it"});
    let operation = service.asks("/dead-letters/batch", &body).await;
    let ended = service.ends(20, operation).await;
    assert_eq!(
        (&ended["asked_by"], &ended["proof"]),
        (&json!("ona"), &json!("token"))
    );
    let story = service.json(&format!("/api/v1{letters}")).await;
    let by: Vec<(&Value, &Value)> = story["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (&entry["who"], &entry["proof"]))
        .collect();
    let (ona, token) = (json!("ona"), json!("token"));
    assert_eq!(
        by,
        [(&ona, &token), (&ona, &token)],
        "the set's decision, too"
    );
    let path = "/api/v1/collections/orders";
    let answer = service.ask(Method::PUT, path, &[OCTETS], DEFINITION).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let history = service.json(&format!("{path}/definitions")).await;
    assert_eq!(
        (&history["items"][0]["who"], &history["items"][0]["proof"]),
        (&ona, &token)
    );
}

#[tokio::test]
async fn only_who_may_operate_steers_the_operations_of_others() {
    let bench = Bench::new(Weight::Light).await;
    let mut file = TokensFile::new(&bench);
    let ona = file.give("ona", "role = \"owner\"");
    let ada = file.give("ada", "role = \"operator\"");
    let bob = file.give("bob", "role = \"operator\"");
    let dan = file.give("dan", "rights = [\"decide\"]");
    let mut service = bench.serve(None, &file.flag()).await;
    service.token = Some(ona.clone());
    for n in 0..30 {
        service
            .post(order_with(&format!("sick-{n}"), &[("1817", "-1")]))
            .await;
    }
    service.rests(10, 30).await;
    let slow = json!({"action": "note", "all": true, "reason": "x", "rate": 1});
    let mut of = Vec::new();
    for token in [&ada, &dan] {
        service.token = Some(token.clone());
        of.push(service.asks("/dead-letters/batch", &slow).await);
    }
    let steer = async |service: &mut Service, token: &str, id: i64, what: &str| {
        service.token = Some(token.to_owned());
        let answer = service
            .tell(&format!("/operations/{id}/{what}"), None, &json!(null))
            .await;
        (answer.status, answer.json()["state"].clone())
    };
    // Another operator sees it, and may not.
    assert_eq!(steer(&mut service, &bob, of[0], "pause").await.0, 403);
    assert_eq!(
        service.json("/api/v1/operations").await["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    // Who may not see letters sees his own alone.
    assert_eq!(steer(&mut service, &dan, of[0], "cancel").await.0, 404);
    let items = service.json("/api/v1/operations").await["items"].clone();
    assert_eq!(
        (items.as_array().unwrap().len(), &items[0]["id"]),
        (1, &json!(of[1]))
    );
    assert_eq!(
        steer(&mut service, &ada, of[0], "pause").await,
        (200, json!("paused"))
    );
    assert_eq!(
        steer(&mut service, &dan, of[1], "cancel").await,
        (200, json!("cancelled"))
    );
    assert_eq!(
        steer(&mut service, &ona, of[0], "cancel").await,
        (200, json!("cancelled"))
    );
}

/// A stranger learns whether the service is well, and not why not.
#[tokio::test]
async fn health_tells_strangers_no_names() {
    let bench = Bench::new(Weight::Light).await;
    let mut file = TokensFile::new(&bench);
    let ona = file.give("ona", "role = \"owner\"");
    let broker = [
        "--stan-url",
        "nats://127.0.0.1:1",
        "--client-id",
        "waybill-1",
    ];
    let args = [&broker[..], &file.flag()].concat();
    let mut service = bench.serve(None, &args).await;
    service.token = Some(ona);
    let problem = until(20, "the broker's problem is known", async || {
        let ready = service.get("/healthz/ready").await.json();
        ready["broker_problem"].as_str().map(str::to_owned)
    })
    .await;
    service.token = None;
    let answer = service.get("/healthz/ready").await;
    assert_eq!(answer.json()["broker"], "away");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(!text.contains(&problem), "{text}");
    tokio::time::timeout(Duration::from_secs(1), service.get("/healthz/live"))
        .await
        .unwrap();
}

/// From an empty directory to a decision by a name that is proven, by the commands alone.
#[tokio::test]
async fn the_commands_make_a_token_and_show_it() {
    let bench = Bench::new(Weight::Light).await;
    let tokens = bench.dir.join("tokens.toml");
    let tokens = tokens.to_str().unwrap();
    let make = [
        "token", "new", "ada", "--role", "operator", "--tokens", tokens,
    ];
    let made = waybill("", &make, b"").await;
    assert_eq!(made.code, 0, "{}", made.err);
    let token = made.out.trim();
    assert!(token.starts_with("wb_") && token.len() == 52, "{token}");
    let file = std::fs::read_to_string(tokens).unwrap();
    assert!(!file.contains(&token[3..20]), "only its hash is kept");
    let ci = [
        "token",
        "new",
        "ci",
        "--right",
        "publish",
        "--collection",
        "orders",
        "--expires",
        "never",
        "--tokens",
        tokens,
    ];
    let ci = waybill("", &ci, b"").await.out;
    let list = waybill(
        "",
        &["token", "list", "--tokens", tokens, "--output", "json"],
        b"",
    )
    .await;
    let list: Value = serde_json::from_str(&list.out).unwrap();
    assert_eq!(
        list["items"][0]["rights"],
        json!(["read", "letters", "decide"])
    );
    assert_eq!(list["items"][1]["collections"], json!(["orders"]));
    assert_eq!(list["items"][1]["expires"], Value::Null);

    let service = bench.serve(None, &["--tokens", tokens]).await;
    let keep = |name: &str, text: &str| {
        let path = bench.dir.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (adas, cis) = (keep("ada", token), keep("ci", &ci));
    let mistyped = keep("mistyped", &token[..51]);
    let other = keep("other", Token::new().unwrap().text());
    let run = async |file: &str, args: &[&str]| {
        let args = [args, &["--token-file", file]].concat();
        waybill(&service.url, &args, b"").await
    };
    let who = run(&adas, &["token", "check"]).await;
    assert!(
        who.code == 0 && who.out.contains("ada: read, letters, decide"),
        "{}",
        who.out
    );
    for (file, code, said) in [
        (&mistyped, 2, "looks like wb_"),
        (&other, 2, "not known here"),
    ] {
        let refused = run(file, &["dead-letters", "list"]).await;
        assert_eq!(refused.code, code, "{}", refused.err);
        assert!(refused.err.contains(said), "{}", refused.err);
    }
    let nobody = waybill(&service.url, &["dead-letters", "list"], b"").await;
    assert!(
        nobody.code == 2 && nobody.err.contains("--token-file"),
        "{}",
        nobody.err
    );

    let publish = [
        "publish",
        "--http",
        &service.url,
        "--count",
        "3",
        "--junk",
        "100%",
        "--seed",
        "7",
    ];
    let sent = run(&cis, &publish).await;
    assert_eq!(sent.code, 0, "{}", sent.err);
    let refused = run(&cis, &["dead-letters", "list"]).await;
    assert!(
        refused.code == 1 && refused.err.contains("needs the right letters"),
        "{}",
        refused.err
    );
    until(10, "the letters are there", async || {
        let listed = run(&adas, &["dead-letters", "list", "--output", "ids"]).await;
        (listed.out.lines().count() == 3).then_some(())
    })
    .await;
    let noted = run(
        &adas,
        &[
            "dead-letters",
            "note",
            "1",
            "--reason",
            "seen",
            "--output",
            "json",
        ],
    )
    .await;
    assert_eq!(noted.code, 0, "{}", noted.err);
    let shown = run(&adas, &["dead-letters", "show", "1", "--output", "json"]).await;
    let story: Value = serde_json::from_str(&shown.out).unwrap();
    let by = &story["decisions"][0];
    assert_eq!((&by["who"], &by["proof"]), (&json!("ada"), &json!("token")));
    let said = run(
        &adas,
        &["dead-letters", "note", "1", "--reason", "x", "--as", "eve"],
    )
    .await;
    assert!(
        said.code == 2 && said.err.contains("ada, by token"),
        "{}",
        said.err
    );
}

#[tokio::test]
async fn a_browser_signs_in_and_out_and_failures_are_slowed() {
    let bench = Bench::new(Weight::Light).await;
    let mut file = TokensFile::new(&bench);
    let ona = file.give("ona", "role = \"owner\"");
    let args = [&file.flag()[..], &["--public-url", "https://desk.example"]].concat();
    let service = bench.serve(None, &args).await;
    let sign_in = async |name: &str, token: &str, host: &str| {
        let body = json!({"name": name, "token": token}).to_string();
        let headers = [JSON, ("host", host)];
        service
            .ask(Method::POST, "/api/v1/session", &headers, body)
            .await
    };
    let local = service.url.strip_prefix("http://").unwrap().to_owned();
    let signed = sign_in("ona", &ona, &local).await;
    assert_eq!(
        (signed.status, &signed.json()["name"]),
        (200, &json!("ona"))
    );
    let cookie = signed.header("set-cookie").to_owned();
    let wanted = format!("waybill={ona}; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict");
    assert_eq!(cookie, wanted);
    let over_tls = sign_in("ona", &ona, "desk.example").await;
    let kept = over_tls.header("set-cookie");
    assert!(
        kept.starts_with("__Host-waybill=") && kept.ends_with("; Secure"),
        "{kept}"
    );

    // The cookie counts for our own page, and for no other.
    let cookie = ("cookie", cookie.split(';').next().unwrap());
    let me = async |more: &[(&str, &str)]| {
        let headers = [&[cookie][..], more].concat();
        service
            .ask(Method::GET, "/api/v1/me", &headers, "")
            .await
            .status
    };
    assert_eq!(me(&[]).await, 200);
    assert_eq!(me(&[("origin", "https://evil.example")]).await, 403);
    assert_eq!(me(&[("sec-fetch-site", "cross-site")]).await, 403);
    let out = service
        .ask(Method::DELETE, "/api/v1/session", &[cookie], "")
        .await;
    assert!(
        out.status == 204
            && out
                .header("set-cookie")
                .starts_with("waybill=; Path=/; Max-Age=0")
    );

    // Another's name, and what is no token: told five times a minute, then when to come again. What is right is always taken.
    let mut statuses = Vec::new();
    for n in 0..8 {
        let (name, token) = if n % 2 == 0 {
            ("eve", ona.as_str())
        } else {
            ("ona", "hunter2")
        };
        let answer = sign_in(name, token, &local).await;
        statuses.push(answer.status);
        if answer.status == 429 {
            assert!(answer.header("retry-after").parse::<u64>().unwrap() <= 61);
        }
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429, 429]);
    assert_eq!(sign_in("ona", &ona, &local).await.status, 200);
    let log = service.text();
    assert!(log.contains("as \"eve\"") && !log.contains(&ona[3..20]) && !log.contains("hunter2"));
    let headers = [("authorization", bearer(&ona))];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(a, b)| (*a, b.as_str())).collect();
    let metrics = service
        .ask(Method::GET, "/metrics", &headers, "")
        .await
        .body;
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    assert!(
        metrics.contains("waybill_sign_ins_total{result=\"failed\"} 8"),
        "{metrics}"
    );
}

//! OpenID Connect against a real issuer: whose JWTs count, what they let one do, and what becomes of it when the issuer changes
//! its keys or is away.

use std::net::{IpAddr, Ipv4Addr};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Authority, Bench, Issuer, Service, TokensFile, Weight, bearer, order_with, until,
};
use crate::settings::is_told;

fn staff() -> Value {
    json!({"roles": ["support-team"]})
}

/// A file in which the issuer's role `support-team` is an operator, and `owners` own all.
fn file(bench: &Bench) -> TokensFile {
    let mut file = TokensFile::new(bench);
    file.role("support-team", "role = \"operator\"");
    file.role("owners", "role = \"owner\"");
    file
}

async fn serve(bench: &Bench, issuer: &Issuer, file: &TokensFile) -> Service {
    bench
        .serve(None, &[&issuer.flags()[..], &file.flag()].concat())
        .await
}

async fn shown(service: &Service, token: &str, path: &str) -> Answer {
    let authorization = bearer(token);
    let headers = [("authorization", authorization.as_str())];
    service.ask(Method::GET, path, &headers, "").await
}

async fn me(service: &Service, token: &str) -> Answer {
    shown(service, token, "/api/v1/me").await
}

#[tokio::test]
async fn a_jwt_of_the_issuer_counts_and_no_other_one_does() {
    let bench = Bench::new(Weight::Light).await;
    let mut issuer = Issuer::start().await;
    let mut file = file(&bench);
    let ona = file.give("ona", "role = \"owner\"");
    let service = serve(&bench, &issuer, &file).await;
    let who = me(&service, &ona).await.json();
    assert_eq!(
        (&who["name"], &who["proof"]),
        (&json!("ona"), &json!("token")),
        "beside it"
    );

    let seconds = |more: i64| jiff::Timestamp::now().as_second() + more;
    for claims in [
        json!({"realm_access": staff()}),
        json!({"realm_access": staff(), "aud": ["elsewhere", "waybill-api"]}),
        // Clocks differ.
        json!({"realm_access": staff(), "exp": seconds(-30), "iat": seconds(40), "nbf": seconds(40)}),
    ] {
        let token = issuer.sign(claims.clone()).await;
        let found = me(&service, &token).await;
        assert_eq!(found.status, 200, "{claims}: {found:?}");
        let found = found.json();
        let known = (&found["name"], &found["proof"], &found["proven"]);
        assert_eq!(known, (&json!("ada"), &json!("oidc"), &json!(true)));
        assert_eq!(found["rights"], json!(["read", "letters", "decide"]));
    }

    let good = json!({"realm_access": staff()});
    let with = |more: Value| {
        let mut claims = good.clone();
        let fields = claims.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        json!({ "claims": claims })
    };
    let forged = |by: &str| json!({"claims": good, "by": by});
    let mut cases = vec![
        (
            "expired",
            with(json!({"exp": seconds(-120)})),
            "has expired",
        ),
        ("without an end", with(json!({"exp": null})), "no exp"),
        (
            "wrong audience",
            with(json!({"aud": "elsewhere"})),
            "is for somebody else",
        ),
        ("no audience", with(json!({"aud": null})), "no aud"),
        (
            "wrong issuer",
            with(json!({"iss": "https://evil.example"})),
            "another issuer",
        ),
        (
            "not before",
            with(json!({"nbf": seconds(120)})),
            "not count yet",
        ),
        (
            "issued in the future",
            with(json!({"iat": seconds(120)})),
            "not count yet",
        ),
        ("alg: none", forged("none"), "no JWT"),
        (
            "an HMAC over the public key",
            forged("hmac"),
            "no key of the issuer",
        ),
        ("a stranger's key", forged("stranger"), "signature is wrong"),
        (
            "no role",
            json!({"claims": {"realm_access": {"roles": ["guests"]}}}),
            "ada is known to the issuer and has no role",
        ),
        (
            "a logout",
            json!({"claims": good, "header": {"typ": "logout+jwt"}}),
            "logout+jwt",
        ),
    ];
    cases.push((
        "an own header",
        json!({"claims": good, "header": {"jwk": {"kty": "oct", "k": "AA"}, "kid": "theirs"}}),
        "no key of the issuer",
    ));
    for (n, (what, wish, said)) in cases.into_iter().enumerate() {
        let token = issuer.forge(wish).await;
        // Each from an address of its own: failures are slowed by address.
        let from = IpAddr::from([127, 0, 1, n as u8 + 1]);
        let answer = from_address(&service, from, &token).await;
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(said), "{what}: {detail}");
        assert!(
            !service.text().contains(&token[..40]),
            "{what}: it is in the log"
        );
    }

    // Beyond some a minute it is told when to come again; who is right is always taken.
    let wrong = issuer.sign(json!({"aud": "elsewhere"})).await;
    let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut statuses = Vec::new();
    for _ in 0..7 {
        statuses.push(from_address(&service, from, &wrong).await.status);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429]);
    let right = issuer.sign(good).await;
    assert_eq!(me(&service, &right).await.status, 200);
}

async fn from_address(service: &Service, from: IpAddr, token: &str) -> Answer {
    let client = reqwest::Client::builder().local_address(from).no_proxy();
    let request = client
        .build()
        .unwrap()
        .get(format!("{}/api/v1/me", service.url));
    let response = request.bearer_auth(token).send().await.unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.bytes().await.unwrap(),
    }
}

#[tokio::test]
async fn roles_of_the_issuer_let_one_do_what_the_file_says() {
    let bench = Bench::new(Weight::Light).await;
    let mut issuer = Issuer::start().await;
    let mut file = file(&bench);
    file.role("buyers", "role = \"owner\"\ncollections = [\"purchases\"]");
    file.role("metrics", "rights = []");
    let mut service = serve(&bench, &issuer, &file).await;
    let mut token = async |name: &str, roles: &[&str]| {
        let claims = json!({"preferred_username": name, "realm_access": {"roles": roles}});
        issuer.sign(claims).await
    };
    let ona = token("ona", &["owners", "offline_access"]).await;
    let ada = token("ada", &["support-team"]).await;
    let bob = token("bob", &["buyers"]).await;
    let both = token("eve", &["buyers", "support-team"]).await;
    let prometheus = token("prometheus", &["metrics"]).await;
    service.token = Some(ona.clone());
    let letter = service.post(order_with("sick", &[("1817", "-1")])).await;
    service.rests(10, 1).await;

    let path = format!("/api/v1/dead-letters/{letter}");
    for (who, token, path, status) in [
        ("ada", &ada, path.as_str(), 200),
        ("ada", &ada, "/api/v1/stats", 200),
        ("bob", &bob, path.as_str(), 404),
        ("bob", &bob, "/api/v1/stats", 403),
        // Different rights in different collections: nowhere both.
        ("eve", &both, path.as_str(), 404),
        ("prometheus", &prometheus, "/metrics", 200),
        ("prometheus", &prometheus, path.as_str(), 403),
    ] {
        assert_eq!(
            shown(&service, token, path).await.status,
            status,
            "{who} {path}"
        );
    }

    // Who decides is who the issuer says; saying it is refused.
    service.token = Some(ada.clone());
    let note = |body: Value| {
        let path = format!("/dead-letters/{letter}/notes");
        let service = &service;
        async move { service.tell(&path, None, &body).await }
    };
    let refused = note(json!({"reason": "x", "as": "ona"})).await;
    assert_eq!(
        (refused.status, refused.json()["type"].as_str()),
        (400, Some("urn:waybill:problem:who-is-known"))
    );
    let noted = note(json!({"reason": "mine"})).await;
    let position = noted.json()["position"].as_i64().unwrap();
    let row = service.json(&format!("/api/v1/inbox/{position}")).await;
    assert_eq!(
        row["decision"],
        json!({"action": "note", "letter": letter, "who": "ada", "proof": "oidc", "why": "mine"})
    );

    // A role that is given less in the file lets its holders do less at once, and ends what they are in the middle of.
    let url = format!("{}/api/v1/stream", service.url);
    let mut stream = reqwest::Client::new()
        .get(url)
        .bearer_auth(&ada)
        .send()
        .await
        .unwrap();
    assert_eq!(stream.status(), 200);
    file.regrant("support-team", "operator", "reader");
    until(10, "the stream ends", async || {
        matches!(stream.chunk().await, Ok(None) | Err(_)).then_some(())
    })
    .await;
    let rights = me(&service, &ada).await.json()["rights"].clone();
    assert_eq!(rights, json!(["read"]));
    file.take_from("support-team");
    until(10, "the role is gone", async || {
        (me(&service, &ada).await.status == 401).then_some(())
    })
    .await;
}

/// A name proves nothing by itself: a token's holder and one whom the issuer calls the same are two.
#[tokio::test]
async fn who_is_called_like_a_tokens_holder_is_somebody_else() {
    let bench = Bench::new(Weight::Light).await;
    let mut issuer = Issuer::start().await;
    let mut file = file(&bench);
    let ada = file.give("ada", "rights = [\"decide\"]");
    file.role("deciders", "rights = [\"decide\"]");
    let mut service = serve(&bench, &issuer, &file).await;
    service.token = Some(
        issuer
            .sign(json!({"realm_access": {"roles": ["owners"]}}))
            .await,
    );
    service.post(order_with("sick", &[("1817", "-1")])).await;
    service.rests(10, 1).await;
    let slow = json!({"action": "note", "all": true, "reason": "x", "rate": 1});
    service.token = Some(ada);
    let operation = service.asks("/dead-letters/batch", &slow).await;
    let path = format!("/api/v1/operations/{operation}");
    assert_eq!(service.get(&path).await.status, 200);

    service.token = Some(
        issuer
            .sign(json!({"realm_access": {"roles": ["deciders"]}}))
            .await,
    );
    let who = service.json("/api/v1/me").await;
    assert_eq!(
        (&who["name"], &who["proof"]),
        (&json!("ada"), &json!("oidc"))
    );
    assert_eq!(service.get(&path).await.status, 404);
    assert_eq!(service.json("/api/v1/operations").await["items"], json!([]));
    let cancel = format!("/operations/{operation}/cancel");
    assert_eq!(service.tell(&cancel, None, &json!(null)).await.status, 404);
}

#[tokio::test]
async fn a_new_key_counts_at_once_and_a_withdrawn_one_no_more() {
    let bench = Bench::new(Weight::Light).await;
    let mut issuer = Issuer::start().await;
    let service = serve(&bench, &issuer, &file(&bench)).await;
    let claims = json!({"realm_access": staff()});
    let first = issuer.sign(claims.clone()).await;
    assert_eq!(me(&service, &first).await.status, 200);

    issuer.wish(json!({"wish": "rotate"})).await;
    let second = issuer.sign(claims.clone()).await;
    assert_eq!(
        me(&service, &second).await.status,
        200,
        "{}",
        service.text()
    );
    assert_eq!(
        me(&service, &first).await.status,
        200,
        "the old key is there yet"
    );

    // For keys that it does not know the service asks once in ten seconds.
    issuer
        .wish(json!({"wish": "rotate", "withdraw": true}))
        .await;
    let third = issuer.sign(claims).await;
    until(20, "the newest key counts", async || {
        (me(&service, &third).await.status == 200).then_some(())
    })
    .await;
    for (what, old) in [("first", &first), ("second", &second)] {
        let answer = from_address(&service, IpAddr::from([127, 0, 2, 1]), old).await;
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
    }
}

#[tokio::test]
async fn while_the_issuer_is_away_known_keys_go_on() {
    let bench = Bench::new(Weight::Light).await;
    let mut issuer = Issuer::start().await;
    let mut file = file(&bench);
    let ona = file.give("ona", "role = \"owner\"");
    let mut service = serve(&bench, &issuer, &file).await;
    let well = async |service: &Service, wanted: &str| {
        until(30, &format!("the metrics say {wanted}"), async || {
            let metrics = shown(service, &ona, "/metrics").await.body;
            let line = format!("\nwaybill_oidc_issuer_well {wanted}\n");
            String::from_utf8_lossy(&metrics)
                .contains(&line)
                .then_some(())
        })
        .await;
    };
    // Also while it is warming up, and so not ready.
    let health =
        async |service: &Service| service.get("/healthz/ready").await.json()["issuer"].clone();
    well(&service, "1").await;
    assert_eq!(health(&service).await, "connected");
    let claims = json!({"realm_access": staff()});
    let seen = issuer.sign(claims.clone()).await;
    assert_eq!(me(&service, &seen).await.status, 200);

    issuer.wish(json!({"wish": "away"})).await;
    let fresh = issuer.sign(claims.clone()).await;
    assert_eq!(me(&service, &seen).await.status, 200);
    assert_eq!(
        me(&service, &fresh).await.status,
        200,
        "by a key that is known"
    );
    issuer.wish(json!({"wish": "rotate"})).await;
    let unknown = issuer.sign(claims).await;
    let answer = me(&service, &unknown).await;
    assert_eq!(
        answer.status, 503,
        "nobody knows yet whether it is wrong: {answer:?}"
    );
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(health(&service).await, "away");

    // It starts without the issuer, says so, and takes tokens.
    assert!(service.stop().await.success());
    service.start().await;
    service.says(10, "is of no use").await;
    well(&service, "0").await;
    assert_eq!(me(&service, &ona).await.status, 200);
    assert_eq!(me(&service, &seen).await.status, 503);
    let page = service.get("/sign-in/oidc").await;
    assert_eq!(page.status, 503);
    assert!(String::from_utf8_lossy(&page.body).contains("does not answer"));

    issuer.wish(json!({"wish": "back"})).await;
    until(30, "its keys are known again", async || {
        (me(&service, &unknown).await.status == 200).then_some(())
    })
    .await;
    service.says(30, "answers again").await;
    well(&service, "1").await;
}

/// As docs/access.md shows it: with a client of its own, and no person.
#[tokio::test]
async fn a_script_gets_its_token_from_the_issuer() {
    let bench = Bench::new(Weight::Light).await;
    let mut issuer = Issuer::start().await;
    let service = serve(&bench, &issuer, &file(&bench)).await;
    issuer.roles("night-shift", &["support-team"]).await;
    let client = json!({
        "wish": "client", "client_id": "night-shift", "client_secret": "s3cret", "redirect_uris": [],
        "response_types": [], "grant_types": ["client_credentials"],
    });
    issuer.wish(client).await;
    let request = reqwest::Client::new().post(format!("{}/token", issuer.url));
    let request = request.basic_auth("night-shift", Some("s3cret"));
    let form = [("grant_type", "client_credentials")];
    let answer: Value = request
        .form(&form)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let token = answer["access_token"].as_str().unwrap();
    let who = me(&service, token).await.json();
    assert_eq!(
        (&who["name"], &who["proof"]),
        (&json!("night-shift"), &json!("oidc"))
    );

    // The commands take it as they take a token.
    let kept = bench.dir.join("jwt");
    std::fs::write(&kept, token).unwrap();
    let args = ["token", "check", "--token-file", kept.to_str().unwrap()];
    let told = crate::cli::waybill(&service.url, &args, b"").await;
    assert!(
        told.code == 0 && told.out.contains("night-shift: read, letters, decide"),
        "{}",
        told.err
    );
}

#[tokio::test]
async fn an_issuer_of_an_own_authority_is_trusted_by_its_file_alone() {
    let bench = Bench::new(Weight::Light).await;
    let (authority, other) = (
        Authority::new(&bench.dir, "authority"),
        Authority::new(&bench.dir, "other"),
    );
    let certificate = authority.issue("127.0.0.1", &["127.0.0.1"]);
    let mut issuer = Issuer::over(Some(&certificate)).await;
    assert!(issuer.url.starts_with("https://"));
    let file = file(&bench);
    let token = issuer.sign(json!({"realm_access": staff()})).await;
    for (root, status) in [(&authority.root, 200), (&other.root, 503)] {
        let ca = ["--oidc-ca-file", root.to_str().unwrap()];
        let args = [&issuer.flags()[..], &ca, &file.flag()].concat();
        let service = bench.serve(None, &args).await;
        assert_eq!(
            me(&service, &token).await.status,
            status,
            "{}",
            service.text()
        );
    }
}

#[tokio::test]
async fn a_wrong_issuer_is_told() {
    let bench = Bench::new(Weight::Light).await;
    let issuer = Issuer::start().await;
    let file = file(&bench);
    // The same one, by another name.
    let called = issuer.url.replace("127.0.0.1", "localhost");
    let flags: Vec<&str> = issuer
        .flags()
        .map(|flag| {
            if flag == issuer.url {
                called.as_str()
            } else {
                flag
            }
        })
        .to_vec();
    let service = bench
        .serve(None, &[&flags[..], &file.flag()].concat())
        .await;
    service
        .says(20, &format!("it calls itself \"{}\"", issuer.url))
        .await;

    let url = [
        "serve",
        "--database-url",
        "postgresql://waybill@127.0.0.1:1/waybill",
    ];
    let tokens = file.flag();
    let id = ["--oidc-client-id", "waybill"];
    let no_file = ["--oidc-ca-file", "/no/such/file"];
    let readme = [
        "--oidc-ca-file",
        concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"),
    ];
    let secret = ["--oidc-client-secret-file", "/no/such/secret"];
    let good = ["--oidc-issuer", "https://login.example.com"];
    let plain = ["--oidc-issuer", "http://login.example.com"];
    for (args, words) in [
        (vec![&good[..], &id], &["--tokens", "[[oidc]]"][..]),
        (vec![&good, &tokens], &["--oidc-client-id"]),
        (vec![&id, &tokens], &["--oidc-issuer"]),
        (
            vec![&plain, &id, &tokens],
            &["--oidc-issuer", "is not https"],
        ),
        (
            vec![&["--oidc-issuer", "login"], &id, &tokens],
            &["--oidc-issuer", "no issuer"],
        ),
        (vec![&good, &id, &tokens, &no_file], &["/no/such/file"]),
        (
            vec![&good, &id, &tokens, &readme],
            &["README.md", "certificates"],
        ),
        (vec![&good, &id, &tokens, &secret], &["/no/such/secret"]),
        (
            vec![&good, &id, &tokens, &["--oidc-scope", "profile"]],
            &["--oidc-scope", "openid"],
        ),
    ] {
        let args: Vec<&str> = [&[&url[..]], &args[..]].concat().concat();
        is_told(&args, 2, words);
    }
}

//! Signing in at the issuer's page, step by step as a browser does it, and as it must not be done. In a real browser:
//! tests/ui/oidc.mjs.

use std::collections::BTreeMap;

use reqwest::Url;
use reqwest::redirect::Policy;
use serde_json::{Value, json};

use crate::harness::{Answer, Bench, Issuer, Service, Sql, TokensFile, Weight, until};

/// What a browser keeps: cookies by their names, for one host, whatever their paths.
struct Browser {
    /// The name by which it knows the service, if that is another than the service's own.
    host: Option<&'static str>,
    http: reqwest::Client,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    fn new() -> Self {
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy();
        Self {
            host: None,
            http: http.build().unwrap(),
            cookies: BTreeMap::new(),
        }
    }

    async fn go(&mut self, url: &str, form: Option<&[(&str, &str)]>) -> Answer {
        let mut request = match form {
            None => self.http.get(url),
            Some(form) => self.http.post(url).form(form),
        };
        let pairs = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let cookies = pairs.collect::<Vec<_>>().join("; ");
        if let Some(host) = self.host.filter(|_| url.contains("/sign-in/")) {
            request = request.header("host", host);
        }
        request = request
            .header("cookie", cookies)
            .header("sec-fetch-site", "cross-site")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document");
        let response = request.send().await.unwrap();
        for cookie in response.headers().get_all("set-cookie") {
            let (pair, _) = cookie.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            match value {
                "" => self.cookies.remove(name),
                value => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await.unwrap(),
        }
    }

    /// From the service's button to the address that the issuer sends one back to.
    async fn through_the_issuer(&mut self, service: &Service, to: &str, user: &str) -> String {
        let begun = self
            .go(&format!("{}/sign-in/oidc?to={to}", service.url), None)
            .await;
        assert_eq!(begun.status, 303, "{begun:?}");
        let mut url = begun.header("location").to_owned();
        for _ in 0..10 {
            if url.contains("/sign-in/oidc/callback") {
                return url;
            }
            let is_login = url.contains("/login/");
            let form = [("user", user)];
            let answer = self.go(&url, is_login.then_some(&form[..])).await;
            let next = Url::parse(&url).unwrap().join(answer.header("location"));
            assert!((300..400).contains(&answer.status), "{url}: {answer:?}");
            url = next.unwrap().into();
        }
        panic!("the issuer sends nobody back: {url}");
    }
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// A page that tells what went wrong, and signs nobody in.
fn is_told(answer: &Answer, status: u16, words: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let page = text(answer);
    assert!(page.contains(words), "{words:?} is not on {page}");
    assert!(answer.header("content-type").starts_with("text/html"));
    assert!(
        answer
            .header("content-security-policy")
            .contains("default-src 'none'")
    );
    let kept = answer.headers.get_all("set-cookie").iter();
    assert_eq!(kept.count(), 0, "{answer:?}");
}

struct Desk {
    bench: Bench,
    issuer: Issuer,
    file: TokensFile,
    service: Service,
}

impl Desk {
    async fn new() -> Self {
        let bench = Bench::new(Weight::Light).await;
        let mut issuer = Issuer::start().await;
        let mut file = TokensFile::new(&bench);
        file.role("support-team", "role = \"operator\"");
        let args = [&issuer.flags()[..], &file.flag()].concat();
        let service = bench.serve(None, &args).await;
        issuer.knows(&service).await;
        issuer.roles("ada", &["support-team"]).await;
        Self {
            bench,
            issuer,
            file,
            service,
        }
    }

    async fn sql(&self) -> Sql {
        self.bench.sql().await
    }

    async fn me(&self, browser: &mut Browser) -> (u16, Value) {
        let answer = browser
            .go(&format!("{}/api/v1/me", self.service.url), None)
            .await;
        let body = answer.json();
        (answer.status, body["name"].clone())
    }
}

#[tokio::test]
async fn a_browser_signs_in_at_the_issuer_and_comes_back_to_where_it_was() {
    let desk = Desk::new().await;
    let ways = desk.service.json("/api/v1/session").await;
    let host = desk.issuer.url.trim_start_matches("http://");
    assert_eq!(ways, json!({"token": false, "oidc": host}));

    let mut browser = Browser::new();
    let begun = browser
        .go(
            &format!("{}/sign-in/oidc?to=/letters/7%3Fx%3Dy", desk.service.url),
            None,
        )
        .await;
    let cookie = begun.header("set-cookie").to_owned();
    assert!(
        cookie.ends_with("; Path=/sign-in/oidc; Max-Age=600; HttpOnly; SameSite=Lax"),
        "{cookie}"
    );
    let asked = Url::parse(begun.header("location")).unwrap();
    let asked: BTreeMap<String, String> = asked.query_pairs().into_owned().collect();
    assert_eq!(asked["code_challenge_method"], "S256");
    assert_eq!(
        asked["redirect_uri"],
        format!("{}/sign-in/oidc/callback", desk.service.url)
    );
    for secret in ["state", "nonce", "code_challenge"] {
        assert_eq!(asked[secret].len(), 43, "256 bits");
    }
    let verifier = cookie.split('.').nth(2).unwrap();
    assert!(
        !begun.header("location").contains(verifier),
        "it stays here until the end"
    );

    let back = browser
        .through_the_issuer(&desk.service, "/letters/7%3Fx%3Dy", "ada")
        .await;
    assert!(!browser.cookies.contains_key("waybill"));
    let done = browser.go(&back, None).await;
    assert_eq!(
        (done.status, done.header("location")),
        (303, "/letters/7?x=y")
    );
    assert_eq!(done.header("cache-control"), "no-store");
    assert_eq!(done.header("referrer-policy"), "no-referrer");
    let kept: Vec<&str> = done
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|cookie| cookie.to_str().unwrap())
        .collect();
    let [session, begun] = kept[..] else {
        panic!("{kept:?}");
    };
    assert!(session.starts_with("waybill=ey") && session.contains("; HttpOnly; SameSite=Strict"));
    assert!(begun.starts_with("waybill-sign-in=; Path=/sign-in/oidc; Max-Age=0"));
    assert!(!browser.cookies.contains_key("waybill-sign-in"));
    let same_origin = [(
        "cookie",
        &*format!("waybill={}", browser.cookies["waybill"]),
    )];
    let who = desk
        .service
        .ask(reqwest::Method::GET, "/api/v1/me", &same_origin, "")
        .await
        .json();
    assert_eq!(
        (&who["name"], &who["proof"]),
        (&json!("ada"), &json!("oidc"))
    );

    // It is written who that is to the issuer, and no secret.
    desk.service
        .says(5, "\"ada\" (sub \"sub-of-ada\") signed in")
        .await;
    let log = desk.service.text();
    let code = Url::parse(&back).unwrap();
    let code = code
        .query_pairs()
        .find(|(name, _)| name == "code")
        .unwrap()
        .1
        .into_owned();
    for secret in [browser.cookies["waybill"].as_str(), verifier, &code] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }

    let audit = &desk.sql().await;
    until(10, "it is on record", async || {
        let query = "select coalesce(string_agg(concat(who, ' ', proof, ' ', detail), ';'), '') from audit where what = 'signed_in'";
        (audit.text(query).await == "ada oidc sub sub-of-ada").then_some(())
    })
    .await;

    // A code counts once, and in one browser.
    is_told(&browser.go(&back, None).await, 400, "Begin again");
    is_told(&Browser::new().go(&back, None).await, 400, "Begin again");
}

#[tokio::test]
async fn a_sign_in_that_somebody_else_began_signs_nobody_in() {
    let mut desk = Desk::new().await;
    desk.issuer.roles("eve", &["support-team"]).await;
    let mut eve = Browser::new();
    let hers = eve.through_the_issuer(&desk.service, "/", "eve").await;
    // She sends her link to Ada, who has begun a sign-in of her own.
    let mut ada = Browser::new();
    let back = ada.through_the_issuer(&desk.service, "/", "ada").await;
    is_told(&ada.go(&hers, None).await, 400, "Begin again");
    // Her code in Ada's answer: the verifier is not the one that it was made for.
    let mut mixed = Url::parse(&back).unwrap();
    let code = Url::parse(&hers).unwrap();
    let code = code
        .query_pairs()
        .find(|(name, _)| name == "code")
        .unwrap()
        .1
        .into_owned();
    let pairs: Vec<(String, String)> = mixed.query_pairs().into_owned().collect();
    mixed
        .query_pairs_mut()
        .clear()
        .extend_pairs(pairs.iter().map(|(name, value)| match name.as_str() {
            "code" => (name, &code),
            _ => (name, value),
        }));
    is_told(&ada.go(mixed.as_str(), None).await, 503, "invalid_grant");
    // Another issuer's answer.
    let elsewhere = back.replace("iss=http", "iss=https");
    assert_ne!(elsewhere, back);
    is_told(&ada.go(&elsewhere, None).await, 400, "Begin again");
    assert_eq!(desk.me(&mut ada).await.0, 401);
    // Her own sign-in goes on.
    assert_eq!(ada.go(&back, None).await.status, 303);
    assert_eq!(desk.me(&mut ada).await, (200, json!("ada")));
}

#[tokio::test]
async fn nobody_is_sent_elsewhere_and_what_the_issuer_says_becomes_no_markup() {
    let mut desk = Desk::new().await;
    let mut browser = Browser::new();
    for to in [
        "https://evil.example",
        "//evil.example",
        "/%5Cevil.example",
        "/%0d%0aset-cookie:x=y",
    ] {
        let back = browser.through_the_issuer(&desk.service, to, "ada").await;
        let done = browser.go(&back, None).await;
        assert_eq!((done.status, done.header("location")), (303, "/"), "{to}");
    }
    // By hand, in the cookie.
    let back = browser.through_the_issuer(&desk.service, "/", "ada").await;
    let begun = browser.cookies.get_mut("waybill-sign-in").unwrap();
    *begun = begun.replace("%2F", "%2F%2Fevil.example");
    is_told(&browser.go(&back, None).await, 400, "Begin again");

    browser
        .through_the_issuer(&desk.service, "/live", "ada")
        .await;
    let state = browser.cookies["waybill-sign-in"]
        .split('.')
        .next()
        .unwrap()
        .to_owned();
    let callback = format!("{}/sign-in/oidc/callback?state={state}", desk.service.url);
    let denied =
        format!("{callback}&error=access_denied&error_description=%3Cscript%3Ehurt()%3C/script%3E");
    let page = browser.go(&denied, None).await;
    is_told(&page, 403, "access_denied. &lt;script&gt;hurt()");
    assert!(text(&page).contains("href=\"/sign-in/oidc?to=%2Flive\""));
    is_told(&browser.go(&callback, None).await, 403, "no code came back");

    // Known there, and without a role here.
    let mut bob = Browser::new();
    let back = bob.through_the_issuer(&desk.service, "/", "bob").await;
    is_told(
        &bob.go(&back, None).await,
        403,
        "bob is known to the issuer and has no role here",
    );
    // A token that no browser would keep is not handed to one.
    let many: Vec<String> = (0..300).map(|n| format!("a-long-name-{n}")).collect();
    let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
    many.push("support-team");
    desk.issuer.roles("cleo", &many).await;
    let mut cleo = Browser::new();
    let back = cleo.through_the_issuer(&desk.service, "/", "cleo").await;
    is_told(&cleo.go(&back, None).await, 403, "more than browsers keep");

    let plain = desk.bench.serve(None, &desk.file.flag()).await;
    for path in ["/sign-in/oidc", "/sign-in/oidc/callback?code=x&state=y"] {
        is_told(
            &browser.go(&format!("{}{path}", plain.url), None).await,
            404,
            "no issuer",
        );
    }
    assert_eq!(
        plain.json("/api/v1/session").await,
        json!({"token": false, "oidc": null})
    );
}

/// A client with a secret shows it, in the header or in the body as the issuer wants; and behind a proxy the browser is sent
/// back to where it knows the service.
#[tokio::test]
async fn a_client_with_a_secret_signs_people_in_behind_a_proxy() {
    let bench = Bench::new(Weight::Light).await;
    let mut file = TokensFile::new(&bench);
    file.role("support-team", "role = \"operator\"");
    let (secret, public) = ("s3:cr+et%/&=", "https://desk.example");
    let kept = bench.dir.join("secret");
    std::fs::write(&kept, format!("{secret}\n")).unwrap();
    let more = [
        "--oidc-client-secret-file",
        kept.to_str().unwrap(),
        "--public-url",
        public,
    ];
    for method in ["client_secret_basic", "client_secret_post"] {
        let mut issuer = Issuer::start().await;
        issuer.roles("ada", &["support-team"]).await;
        issuer
            .wish(json!({
                "wish": "client", "methods": [method], "token_endpoint_auth_method": method,
                "client_id": "waybill", "client_secret": secret,
                "redirect_uris": [format!("{public}/sign-in/oidc/callback")],
            }))
            .await;
        let args = [&issuer.flags()[..], &file.flag(), &more].concat();
        let service = bench.serve(None, &args).await;
        let mut browser = Browser::new();
        browser.host = Some("desk.example");
        let back = browser.through_the_issuer(&service, "/live", "ada").await;
        assert!(
            back.starts_with("https://desk.example/sign-in/oidc/callback?"),
            "{back}"
        );
        assert!(browser.cookies.contains_key("__Secure-waybill-sign-in"));
        let done = browser.go(&back.replace(public, &service.url), None).await;
        assert_eq!(
            (done.status, done.header("location")),
            (303, "/live"),
            "{method}: {done:?}"
        );
        assert!(browser.cookies.contains_key("__Host-waybill"));
        assert!(!service.text().contains("s3:cr"));
    }
}

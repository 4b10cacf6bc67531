//! A broker that asks who we are, and shows who it is: TLS, certificates on both sides, a user's password, a credentials file.
//! `serve` and `publish` get in by flags of the same names; whoever does not is told why, and waits.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use rcgen::date_time_ymd;
use serde_json::{Value, json};
use waybill::sandbox::broker::{Broker, Store};

use crate::harness::{Authority, Bench, Certificate, Service, Weight, order, until, until_equal};
use crate::settings::waybill;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// `publish` sends with these flags, and `serve` receives with them.
async fn both_get_in(bench: &Bench, broker: &Broker, url: &str, flags: &[&str]) {
    let mut service = bench.serve(Some(broker), &with(url, flags)).await;
    let before = service.json("/api/v1/stats").await["received"].clone();
    let before = before.as_i64().unwrap();
    let cluster = ["publish", "--count", "20", "--cluster-id", "waybill"];
    let output = waybill(&[&cluster[..], &with(url, flags)].concat());
    assert!(output.status.success(), "{flags:?}: {output:?}");
    service.rests(20, before + 20).await;
    service.stop().await;
}

fn with<'a>(url: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
    [&["--stan-url", url][..], flags].concat()
}

/// It says so, waits, and takes messages over HTTP all the while.
async fn waits(bench: &Bench, broker: &Broker, url: &str, flags: &[&str], words: &str) -> Service {
    let service = bench.serve(Some(broker), &with(url, flags)).await;
    // On a busy machine a first try may fail for another reason.
    service.says(20, words).await;
    service.says(1, "waiting for the broker").await;
    service.is_ready().await;
    let ready = service.get("/healthz/ready").await;
    assert_eq!(ready.json()["broker"], "away");
    service.post(order("meanwhile")).await;
    service
}

/// What a broker is told that speaks TLS alone.
fn over_tls<'a>(server: &'a Certificate, authority: &'a Authority) -> [&'a str; 7] {
    let (certificate, key) = (text(&server.certificate), text(&server.key));
    let root = text(&authority.root);
    [
        "--tls",
        "--tlscert",
        certificate,
        "--tlskey",
        key,
        "-tls_client_cacert",
        root,
    ]
}

#[tokio::test]
async fn tls_gets_in_by_the_root_that_is_named() {
    let bench = Bench::new(Weight::Light).await;
    let ours = Authority::new(&bench.dir, "authority");
    let stranger = Authority::new(&bench.dir, "stranger");
    let server = ours.issue("broker", &["127.0.0.1"]);
    let args = over_tls(&server, &ours);
    let broker = bench.broker_with(Store::Memory, &args).await;
    let (plain, port) = (broker.url(), broker.port());
    let secure = plain.replace("nats://", "tls://");
    let ca = ["--stan-ca", text(&ours.root)];
    // The server insists on it, also where the URL does not.
    for url in [&secure, &plain] {
        both_get_in(&bench, &broker, url, &ca).await;
    }
    let other_name = format!("tls://localhost:{port}");
    for (url, flags) in [
        (&secure, &["--stan-ca", text(&stranger.root)][..]),
        (&secure, &[]),
        (&other_name, &ca),
    ] {
        waits(&bench, &broker, url, flags, "no TLS connection").await;
    }
}

#[tokio::test]
async fn a_broker_whose_certificate_has_expired_is_not_trusted() {
    let bench = Bench::new(Weight::Light).await;
    let ours = Authority::new(&bench.dir, "authority");
    // The broker starts with none that has expired: this one does so a moment later.
    let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(15);
    let server = ours.issue_with("broker", &["127.0.0.1"], |params| {
        params.not_after = date_time_ymd(1970, 1, 1) + end;
    });
    let args = over_tls(&server, &ours);
    let broker = bench.broker_with(Store::Memory, &args).await;
    until(60, "it has expired", async || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        (now > end + Duration::from_secs(1)).then_some(())
    })
    .await;
    let ca = ["--stan-ca", text(&ours.root)];
    waits(&bench, &broker, &broker.url(), &ca, "no TLS connection").await;
}

#[tokio::test]
async fn a_url_that_wants_tls_gets_none_of_a_broker_without() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::Memory).await;
    let secure = broker.url().replace("nats://", "tls://");
    waits(&bench, &broker, &secure, &[], "TLS").await;
}

#[tokio::test]
async fn a_broker_that_wants_our_certificate_gets_it() {
    let bench = Bench::new(Weight::Light).await;
    let ours = Authority::new(&bench.dir, "authority");
    let stranger = Authority::new(&bench.dir, "stranger");
    let server = ours.issue("broker", &["127.0.0.1"]);
    let args = [
        "--tlsverify",
        "--tlscert",
        text(&server.certificate),
        "--tlskey",
        text(&server.key),
        "--tlscacert",
        text(&ours.root),
        "-tls_client_cert",
        text(&server.certificate),
        "-tls_client_key",
        text(&server.key),
        "-tls_client_cacert",
        text(&ours.root),
    ];
    let broker = bench.broker_with(Store::Memory, &args).await;
    let (known, unknown) = (ours.issue("known", &[]), stranger.issue("unknown", &[]));
    let flags = |client: &'_ crate::harness::Certificate| {
        [
            "--stan-ca".to_owned(),
            text(&ours.root).to_owned(),
            "--stan-cert".to_owned(),
            text(&client.certificate).to_owned(),
            "--stan-key".to_owned(),
            text(&client.key).to_owned(),
        ]
    };
    let url = broker.url();
    let known = flags(&known);
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    both_get_in(&bench, &broker, &url, &known).await;
    let unknown = flags(&unknown);
    let unknown: Vec<&str> = unknown.iter().map(String::as_str).collect();
    for flags in [&unknown[..], &known[..2]] {
        waits(&bench, &broker, &url, flags, "no TLS connection").await;
    }
}

#[tokio::test]
async fn a_password_gets_in_and_a_wrong_one_is_told() {
    let bench = Bench::new(Weight::Light).await;
    let args = ["--user", "ann", "--pass", "s3cret%/@"];
    let broker = bench.broker_with(Store::Memory, &args).await;
    let file = |name: &str, password: &str| {
        let path = bench.dir.join(name);
        fs::write(&path, password).unwrap();
        path
    };
    // With the line break that editors leave.
    let (right, wrong) = (file("right", "s3cret%/@\n"), file("wrong", "guess\n"));
    let url = broker.url();
    let right = ["--stan-user", "ann", "--stan-password-file", text(&right)];
    both_get_in(&bench, &broker, &url, &right).await;
    // Or in the URL, as it is escaped there.
    let in_url = url.replace("nats://", "nats://ann:s3cret%25%2F%40@");
    both_get_in(&bench, &broker, &in_url, &[]).await;
    let wrong = ["--stan-user", "ann", "--stan-password-file", text(&wrong)];
    for flags in [&wrong[..], &[]] {
        let words = "refuses our credentials";
        let service = waits(&bench, &broker, &url, flags, words).await;
        assert!(!service.text().contains("guess"), "{}", service.text());
    }
}

// --- credentials ---

/// A token that says what `subject` may, signed by whoever answers for it.
fn token(by: &KeyPair, subject: &KeyPair, name: &str, mut what: Value) -> String {
    what["version"] = 2.into();
    let claims = json!({
        "jti": name, "iat": 1_700_000_000, "iss": by.public_key(), "name": name, "sub": subject.public_key(), "nats": what,
    });
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!(
        "{}.{}",
        part(&json!({"typ": "JWT", "alg": "ed25519-nkey"})),
        part(&claims)
    );
    let signature = BASE64URL_NOPAD.encode(&by.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

/// Who signs for whom, as `nsc` would have made it: an operator, and an account of his.
struct Trust {
    dir: PathBuf,
    operator: KeyPair,
    account: KeyPair,
}

impl Trust {
    fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            operator: KeyPair::new_operator(),
            account: KeyPair::new_account(),
        }
    }

    fn credentials(&self, name: &str) -> PathBuf {
        let user = KeyPair::new_user();
        let all =
            json!({"type": "user", "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1});
        let token = token(&self.account, &user, name, all);
        let path = self.dir.join(format!("{name}.creds"));
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            user.seed().unwrap()
        );
        fs::write(&path, text).unwrap();
        path
    }

    /// What the server is to believe.
    fn config(&self) -> PathBuf {
        let operator = json!({"type": "operator"});
        let operator = token(&self.operator, &self.operator, "operator", operator);
        let limits = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        });
        let account = json!({"type": "account", "limits": limits});
        let account = token(&self.operator, &self.account, "account", account);
        let text = format!(
            "operator: {operator}\nresolver: MEMORY\nresolver_preload: {{ {}: {account} }}\n\
             streaming: {{ credentials: {:?} }}\n",
            self.account.public_key(),
            text(&self.credentials("streaming")),
        );
        let path = self.dir.join("nats.conf");
        fs::write(&path, text).unwrap();
        path
    }
}

#[tokio::test]
async fn a_credentials_file_gets_in_and_may_be_replaced_while_we_wait() {
    let bench = Bench::new(Weight::Light).await;
    let ours = Trust::new(&bench.dir);
    let config = ours.config();
    let broker = bench
        .broker_with(Store::Memory, &["-c", text(&config)])
        .await;
    let url = broker.url();
    let right = ours.credentials("right");
    both_get_in(&bench, &broker, &url, &["--stan-credentials", text(&right)]).await;
    let wrong = Trust::new(&bench.dir).credentials("wrong");
    let flags = ["--stan-credentials", text(&wrong)];
    let service = waits(&bench, &broker, &url, &flags, "refuses our credentials").await;
    fs::copy(&right, &wrong).unwrap();
    until_equal(20, "the broker", json!("connected"), async || {
        service.get("/healthz/ready").await.json()["broker"].clone()
    })
    .await;
}

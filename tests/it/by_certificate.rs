//! Clients that are known by the certificate which they show in the handshake.

use rcgen::date_time_ymd;
use serde_json::json;

use crate::cli::waybill;
use crate::harness::{
    Authority, Bench, Certificate, Service, TokensFile, Weight, order_with, until,
};
use crate::settings::is_told;

struct Desk {
    bench: Bench,
    /// Who signs for the service and for its clients.
    authority: Authority,
    file: TokensFile,
    args: Vec<String>,
}

impl Desk {
    async fn new() -> Self {
        let bench = Bench::new(Weight::Light).await;
        let authority = Authority::new(&bench.dir, "authority");
        let file = TokensFile::new(&bench);
        let shown = authority.issue("here", &["127.0.0.1"]);
        let ca = ["--tls-client-ca", authority.root.to_str().unwrap()];
        let args = [&shown.flags()[..], &ca, &file.flag()].concat();
        Self {
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            bench,
            authority,
            file,
        }
    }

    async fn serve(&self, more: &[&str]) -> Service {
        let args = self.args.iter().map(String::as_str);
        let args: Vec<&str> = args.chain(more.iter().copied()).collect();
        let mut service = self.bench.service(&[], None, &args);
        service.http = self.authority.client().build().unwrap();
        service.start().await;
        service
    }

    fn shows(&self, certificate: &Certificate) -> reqwest::Client {
        let client = self.authority.client().identity(certificate.identity());
        client.build().unwrap()
    }
}

async fn status(client: &reqwest::Client, service: &Service, path: &str) -> u16 {
    let url = format!("{}{path}", service.url);
    client.get(url).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_certificate_is_known_by_its_subject_beside_tokens() {
    let mut desk = Desk::new().await;
    let token = desk.file.give("otto", "role = \"operator\"");
    desk.file.know("ada", "CN=ada", "role = \"reader\"");
    let mut service = desk.serve(&[]).await;
    let ada = desk.shows(&desk.authority.issue("ada", &[]));
    let eve = desk.shows(&desk.authority.issue("eve", &[]));
    let none = desk.authority.client().build().unwrap();
    for (client, orders, letters) in [(&ada, 200, 403), (&eve, 401, 401), (&none, 401, 401)] {
        assert_eq!(status(client, &service, "/api/v1/orders").await, orders);
        assert_eq!(
            status(client, &service, "/api/v1/dead-letters").await,
            letters
        );
        assert_eq!(status(client, &service, "/healthz/live").await, 200);
    }
    let url = format!("{}/api/v1/me", service.url);
    let me: serde_json::Value = ada.get(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!(
        (&me["name"], &me["proof"], &me["proven"]),
        (&json!("ada"), &json!("certificate"), &json!(true))
    );
    // Who shows a token, too, is whose token it is.
    let answer = ada.get(&url).bearer_auth(&token).send().await.unwrap();
    let me: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(me["name"], "otto");
    // A browser shows a certificate by itself, so a page of another origin asks in vain.
    let foreign = ada.get(&url).header("origin", "https://evil.example");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    // Guesses are slowed as those of tokens are.
    let mut last = 0;
    for _ in 0..10 {
        last = status(&eve, &service, "/api/v1/orders").await;
    }
    assert_eq!(last, 429);
    assert!(service.text().contains("CN=eve"));
    assert_eq!(status(&ada, &service, "/api/v1/orders").await, 200);
    // Taken out of the file, on a connection that stays.
    desk.file.take_from("ada");
    until(10, "she is not known any more", async || {
        let now = status(&ada, &service, "/api/v1/orders").await;
        (now == 429 || now == 401).then_some(())
    })
    .await;
    service.token = Some(token);
    assert_eq!(service.get("/api/v1/orders").await.status, 200);
}

#[tokio::test]
async fn a_decision_keeps_that_it_was_a_certificate() {
    let mut desk = Desk::new().await;
    let token = desk.file.give("ona", "role = \"owner\"");
    desk.file.know("ada", "CN=ada", "role = \"operator\"");
    let mut service = desk.serve(&[]).await;
    service.token = Some(token);
    let letter = service
        .post(order_with("sick", &[("1817", "-1")]))
        .await
        .to_string();
    service.rests(10, 1).await;
    let ada = desk.authority.issue("ada", &[]);
    let args = [
        "dead-letters",
        "discard",
        &letter,
        "--reason",
        "a test",
        "--ca-file",
        desk.authority.root.to_str().unwrap(),
        "--client-cert",
        ada.certificate.to_str().unwrap(),
        "--client-key",
        ada.key.to_str().unwrap(),
    ];
    let run = waybill(&service.url, &args, b"").await;
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    let as_another = [&args[..], &["--as", "eve"]].concat();
    assert_eq!(waybill(&service.url, &as_another, b"").await.code, 2);
    let story = service.get(&format!("/api/v1/dead-letters/{letter}")).await;
    let text = String::from_utf8_lossy(&story.body).into_owned();
    assert!(
        text.contains("\"ada\"") && text.contains("\"certificate\""),
        "{text}"
    );
}

#[tokio::test]
async fn off_loopback_certificates_alone_let_in_and_the_handshake_asks_for_one() {
    let mut desk = Desk::new().await;
    desk.file.know("ada", "CN=ada", "role = \"owner\"");
    let mut service = desk.serve(&["--listen", "0.0.0.0:0"]).await;
    service.url = service.url.replace("0.0.0.0", "127.0.0.1");
    let stranger = Authority::new(&desk.bench.dir, "stranger");
    let good = desk.authority.issue("ada", &[]);
    assert_eq!(
        status(&desk.shows(&good), &service, "/api/v1/stats").await,
        200
    );
    let old = desk.authority.issue_with("old", &[], |params| {
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let forged = stranger.issue("forged", &[]);
    for wrong in [Some(&old), Some(&forged), None] {
        let mut client = desk.authority.client();
        if let Some(wrong) = wrong {
            client = client.identity(wrong.identity());
        }
        let url = format!("{}/healthz/live", service.url);
        let answer = client.build().unwrap().get(url).send().await;
        assert!(answer.is_err(), "{answer:?}");
    }
    let run = waybill(
        &service.url,
        &["status", "--ca-file", desk.authority.root.to_str().unwrap()],
        b"",
    )
    .await;
    assert!(run.err.contains("--client-cert"), "{}", run.err);
    let root = desk.authority.root.to_str().unwrap();
    for (certificate, key, words) in [
        (&forged.certificate, &forged.key, "refuses our certificate"),
        (&good.certificate, &forged.key, "KeyMismatch"),
        (&good.key, &good.key, "--client-cert"),
    ] {
        let args = [
            "status",
            "--ca-file",
            root,
            "--client-cert",
            certificate.to_str().unwrap(),
            "--client-key",
            key.to_str().unwrap(),
        ];
        let run = waybill(&service.url, &args, b"").await;
        assert!(
            run.code != 0 && run.err.contains(words),
            "{words}: {}",
            run.err
        );
    }
    // With a token in the file it is asked for, and not needed.
    let token = desk.file.give("otto", "role = \"owner\"");
    service.token = Some(token);
    until(10, "who has a token is let in", async || {
        let url = format!("{}/api/v1/stats", service.url);
        let client = desk.authority.client().build().unwrap();
        let request = client.get(url).bearer_auth(service.token.as_ref().unwrap());
        let answer = request.send().await.ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn settings_that_know_no_certificate_are_told() {
    let desk = Desk::new().await;
    let args = desk.args.iter().map(String::as_str).collect::<Vec<_>>();
    let serve = ["serve", "--database-url", &desk.bench.url];
    let without_tokens = [&serve[..], &args[..6]].concat();
    is_told(&without_tokens, 2, &["--tls-client-ca", "--tokens"]);
    let mut no_authority = [&serve[..], &args].concat();
    no_authority[8] = desk.file.path.to_str().unwrap();
    is_told(&no_authority, 2, &["no certificate"]);
}

//! The service behind its own TLS: HTTP/1.1 and HTTP/2, a certificate that is renewed while it serves, and clients that do
//! not speak as they should.

use std::fs;
use std::time::{Duration, Instant};

use rcgen::date_time_ymd;
use reqwest::{Client, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cli::waybill;
use crate::harness::{
    Authority, Bench, Certificate, Service, TokensFile, Weight, order, orders, until, within,
};
use crate::settings::is_told;

const HERE: [&str; 2] = ["127.0.0.1", "localhost"];

/// A service with this certificate, and a client that trusts who signed it.
async fn secret(
    bench: &Bench,
    authority: &Authority,
    certificate: &Certificate,
    more: &[&str],
) -> Service {
    let args = [&certificate.flags()[..], more].concat();
    let mut service = bench.service(&[], None, &args);
    service.http = authority.client().build().unwrap();
    service.start().await;
    assert!(service.url.starts_with("https://"), "{}", service.url);
    service
}

#[tokio::test]
async fn it_serves_over_tls_by_http_1_and_by_http_2() {
    let bench = Bench::new(Weight::Light).await;
    let authority = Authority::new(&bench.dir, "authority");
    let certificate = authority.issue("here", &HERE);
    let service = secret(&bench, &authority, &certificate, &[]).await;
    for payload in orders("secret", 50) {
        service.post(payload).await;
    }
    service.rests(10, 50).await;
    let first = authority.client().http1_only().build().unwrap();
    for (client, version) in [(&first, Version::HTTP_11), (&service.http, Version::HTTP_2)] {
        // In the cache, and by a handler; small, and in many frames.
        for path in ["/api/v1/orders/secret-1", "/api/v1/stats", "/docs", "/"] {
            let answer = client.get(format!("{}{path}", service.url)).send().await;
            let answer = answer.unwrap();
            assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
            assert!(!answer.bytes().await.unwrap().is_empty(), "{path}");
        }
        let url = format!("{}/api/v1/collections/orders/export", service.url);
        let export = client.get(url).send().await.unwrap().text().await.unwrap();
        assert_eq!(export.lines().count(), 50);
        let large = client
            .get(format!("{}/api/v1/stats", service.url))
            .header("x-large", "x".repeat(60_000))
            .send()
            .await;
        assert!(
            large.is_err() || large.is_ok_and(|answer| answer.status() == 431),
            "{version:?}: headers are bounded"
        );
        // The page's own origin is https here.
        let session = format!("{}/api/v1/session", service.url);
        for (origin, status) in [
            (service.url.clone(), 204),
            (service.url.replace("https", "http"), 403),
        ] {
            let answer = client.delete(&session).header("origin", origin).send();
            assert_eq!(answer.await.unwrap().status(), status);
        }
    }
    // Without TLS there is nothing.
    let plain = service.url.replace("https", "http");
    assert!(Client::new().get(plain).send().await.is_err());
}

#[tokio::test]
async fn a_stop_ends_what_is_under_way_over_http_2() {
    let bench = Bench::new(Weight::Light).await;
    let authority = Authority::new(&bench.dir, "authority");
    let certificate = authority.issue("here", &HERE);
    let mut service = secret(&bench, &authority, &certificate, &[]).await;
    let url = format!("{}/api/v1/stream", service.url);
    let mut stream = service.http.get(url).send().await.unwrap();
    assert_eq!(stream.version(), Version::HTTP_2);
    assert!(stream.chunk().await.unwrap().is_some());
    // And one whose client takes nothing.
    let url = format!("{}/api/v1/stream", service.url);
    let _deaf = service.http.get(url).send().await.unwrap();
    let begun = Instant::now();
    let status = service.stop().await;
    assert!(status.success(), "{status}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(!service.text().contains("did not stop"));
}

#[tokio::test]
async fn the_cookie_is_kept_for_tls_alone() {
    let bench = Bench::new(Weight::Light).await;
    let authority = Authority::new(&bench.dir, "authority");
    let certificate = authority.issue("here", &HERE);
    let mut file = TokensFile::new(&bench);
    let token = file.give("ada", "role = \"owner\"");
    let service = secret(&bench, &authority, &certificate, &file.flag()).await;
    let url = format!("{}/api/v1/session", service.url);
    let body = serde_json::json!({"name": "ada", "token": token});
    let answer = service.http.post(url).json(&body).send().await.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-waybill=") && cookie.ends_with("; Secure"));
}

#[tokio::test]
async fn our_commands_refuse_a_certificate_that_is_not_the_services() {
    let bench = Bench::new(Weight::Light).await;
    let authority = Authority::new(&bench.dir, "authority");
    let stranger = Authority::new(&bench.dir, "stranger");
    let good = authority.issue("here", &HERE);
    let expired = authority.issue_with("expired", &HERE, |params| {
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let early = authority.issue_with("early", &HERE, |params| {
        params.not_before = date_time_ymd(2999, 1, 1);
    });
    let elsewhere = authority.issue("elsewhere", &["elsewhere.test"]);
    let shown = authority.issue("shown", &HERE);
    let mut service = secret(&bench, &authority, &shown, &[]).await;
    let ours = authority.root.to_str().unwrap();
    let theirs = stranger.root.to_str().unwrap();
    for (certificate, trusted, words) in [
        (&good, ours, ""),
        (&good, theirs, "nobody whom we trust has signed it"),
        (&expired, ours, "it has expired"),
        (&early, ours, "it is not valid yet"),
        (&elsewhere, ours, "it is of another name"),
    ] {
        shown.is_replaced_by(certificate);
        service.kill();
        service.launch().await;
        service.says(30, "serving https").await;
        let log = service.text();
        let (_, rest) = log.split_once("serving ").unwrap();
        let url = rest.split_once('\n').unwrap().0;
        let publish = ["publish", "--http", url, "--count", "1"];
        for args in [&["dead-letters", "groups"][..], &publish] {
            let args = [args, &["--ca-file", trusted]].concat();
            let run = waybill(url, &args, b"").await;
            match words {
                "" => assert_eq!(run.code, 0, "{args:?}: {}", run.err),
                _ => assert!(
                    run.code != 0 && run.err.contains("no TLS with") && run.err.contains(words),
                    "{args:?}: {}",
                    run.err
                ),
            }
        }
    }
    // The system's authorities know nothing of ours.
    let run = waybill(&service.url, &["status"], b"").await;
    assert!(run.code != 0, "{}", run.out);
    let nothing = bench.dir.join("nothing.pem");
    fs::write(&nothing, "no PEM").unwrap();
    for file in [nothing.to_str().unwrap(), "/no/such/file"] {
        let run = waybill(&service.url, &["status", "--ca-file", file], b"").await;
        assert!(run.code == 2 && run.err.contains(file), "{}", run.err);
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
    let bench = Bench::new(Weight::Light).await;
    let before = Authority::new(&bench.dir, "before");
    let after = Authority::new(&bench.dir, "after");
    let shown = before.issue("here", &HERE);
    let renewed = after.issue("renewed", &HERE);
    let service = secret(&bench, &before, &shown, &[]).await;
    let url = format!("{}/api/v1/stream", service.url);
    let mut stream = service.http.get(&url).send().await.unwrap();
    let well = async || {
        let metrics = service.get("/metrics").await.body;
        let metrics = String::from_utf8_lossy(&metrics).into_owned();
        let mut lines = metrics.lines();
        let line = lines.find(|line| line.starts_with("waybill_tls_files_well "));
        line.unwrap().ends_with(" 1")
    };
    assert!(well().await);
    let takes = async |authority: &Authority| {
        // A connection of its own each time.
        let client = authority.client().build().unwrap();
        let answer = client.get(format!("{}/healthz/live", service.url)).send();
        answer.await.is_ok()
    };

    // A pair that does not fit, and a file that is none.
    let key = fs::read(&shown.key).unwrap();
    fs::copy(&renewed.key, &shown.key).unwrap();
    service.says(10, "cannot be used together").await;
    assert!(!well().await && takes(&before).await);
    fs::write(&shown.key, "no PEM").unwrap();
    service.says(10, "no private key").await;
    fs::remove_file(&shown.key).unwrap();
    service.says(10, "cannot be read").await;
    assert!(!well().await && takes(&before).await);
    fs::write(&shown.key, key).unwrap();
    until(10, "the same pair is well", async || {
        well().await.then_some(())
    })
    .await;

    shown.is_replaced_by(&renewed);
    until(10, "the new certificate is shown", async || {
        takes(&after).await.then_some(())
    })
    .await;
    assert!(!takes(&before).await);
    // Who was connected stays so.
    service.post(order("still-here")).await;
    within(10, "the stream goes on", async {
        let mut told = String::new();
        while !told.contains("still-here") {
            let chunk = stream.chunk().await.unwrap().expect("it goes on");
            told.push_str(&String::from_utf8_lossy(&chunk));
        }
    })
    .await;
}

#[tokio::test]
async fn who_never_finishes_a_handshake_holds_nobody_up() {
    let bench = Bench::new(Weight::Light).await;
    let authority = Authority::new(&bench.dir, "authority");
    let certificate = authority.issue("here", &HERE);
    let service = secret(&bench, &authority, &certificate, &[]).await;
    service.post(order("quick")).await;
    service.rests(10, 1).await;
    let address = service.url.strip_prefix("https://").unwrap();
    let mut slow = Vec::new();
    for number in 0..300 {
        let mut socket = TcpStream::connect(address).await.unwrap();
        // Nothing at all; the beginning of a handshake; no TLS, which is told at once.
        let beginning = ["", "\x16\x03\x01\x02", "GET / HTTP/1.1\r\n\r\n"][number % 3];
        socket.write_all(beginning.as_bytes()).await.unwrap();
        slow.push(socket);
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let begun = Instant::now();
        let client = authority.client().build().unwrap();
        let url = format!("{}/api/v1/orders/quick", service.url);
        assert_eq!(client.get(url).send().await.unwrap().status(), 200);
        slowest = slowest.max(begun.elapsed());
    }
    // Nobody waits for their ten seconds.
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    within(30, "all of them are cut off", async {
        for socket in &mut slow {
            let _ = socket.read_to_end(&mut Vec::new()).await;
        }
    })
    .await;
    let metrics = service.get("/metrics").await.body;
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    assert!(metrics.contains("waybill_tls_handshakes_failed_total 300\n"));
}

#[tokio::test]
async fn settings_that_make_no_tls_are_told() {
    let bench = Bench::new(Weight::Light).await;
    let authority = Authority::new(&bench.dir, "authority");
    let (one, other) = (authority.issue("one", &HERE), authority.issue("other", &[]));
    let serve = |more: &[&str], words: &[&str]| {
        let args = [&["serve", "--database-url", &bench.url], more].concat();
        is_told(&args, 2, words);
    };
    let (pem, key) = (one.certificate.to_str().unwrap(), one.key.to_str().unwrap());
    let mixed = ["--tls-cert", pem, "--tls-key", other.key.to_str().unwrap()];
    serve(&mixed, &["--tls-cert", "together"]);
    serve(&["--tls-cert", key, "--tls-key", key], &["no certificate"]);
    serve(&["--tls-cert", pem, "--tls-key", pem], &["no private key"]);
    serve(&["--tls-cert", "/no/such", "--tls-key", key], &["/no/such"]);
    // TLS keeps secrets; who may do what it does not say.
    let open = [&one.flags()[..], &["--listen", "0.0.0.0:0"]].concat();
    serve(&open, &["--tokens"]);
}

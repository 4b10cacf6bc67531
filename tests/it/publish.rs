//! `waybill publish` against a real broker, and against an inbox that fails now and then.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use poem::http::StatusCode;
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::{EndpointExt, Request, Route, Server, handler, post, web::Data};
use sha2::{Digest, Sha256};

use crate::stan_broker::{Broker, within};
use waybill::cli::publish::{Arguments, run};
use waybill::stan::{Client, SubscribeOptions, channel_status};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    arguments: Arguments,
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let name = format!("waybill-publish-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        Scratch(directory)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn publish(arguments: &[&str]) -> u8 {
    let command = Command::try_parse_from([&["publish"], arguments].concat());
    let code = run(command.unwrap().arguments).await.unwrap();
    (0..=2)
        .find(|&candidate| code == ExitCode::from(candidate))
        .unwrap()
}

fn hashes(payloads: impl IntoIterator<Item = Vec<u8>>) -> BTreeSet<String> {
    let hash = |payload: Vec<u8>| {
        let digest = Sha256::digest(&payload);
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    payloads.into_iter().map(hash).collect()
}

fn logged(path: &str) -> Vec<String> {
    let log = std::fs::read_to_string(path).unwrap();
    log.lines().map(str::to_owned).collect()
}

/// All that is in the channel, once so many have come.
async fn channel(client: &Client, count: usize) -> Vec<Vec<u8>> {
    let options = SubscribeOptions::new("orders", "reader");
    let mut subscription = client.subscribe(&options).await.unwrap();
    let mut payloads = Vec::new();
    while payloads.len() < count {
        let message = within(20, subscription.next()).await.unwrap();
        payloads.push(message.payload.to_vec());
        message.receipt.ack().await.unwrap();
    }
    payloads
}

#[tokio::test]
async fn what_it_logs_as_acknowledged_is_in_the_channel() {
    let broker = Broker::with_memory_store();
    let client = broker.client("reader").await;
    let scratch = Scratch::new("samples");
    let log = scratch.path("acks");
    let url = broker.url();
    let to = [
        "--stan-url",
        &url,
        "--cluster-id",
        "test",
        "--ack-log",
        &log,
    ];
    let samples = [
        "--count",
        "2000",
        "--junk",
        "20%",
        "--junk-kinds",
        "array,xml",
        "--seed",
        "1",
    ];
    assert_eq!(publish(&[&to[..], &samples].concat()).await, 0);
    let payloads = channel(&client, 2_000).await;
    let logged = logged(&log);
    assert_eq!(logged.len(), 2_000);
    assert_eq!(
        logged.iter().cloned().collect::<BTreeSet<_>>(),
        hashes(payloads.clone())
    );
    let junk = payloads.iter().filter(|payload| payload[0] != b'{').count();
    assert!((300..500).contains(&junk), "{junk}");
}

#[tokio::test]
async fn a_file_is_published_byte_for_byte() {
    let broker = Broker::with_memory_store();
    let client = broker.client("reader").await;
    let scratch = Scratch::new("file");
    let url = broker.url();
    let write = |name, content| {
        let path = scratch.path(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let file = async |path: &str, format: &[&str]| {
        let arguments = ["--stan-url", &url, "--cluster-id", "test", "--file", path];
        publish(&[&arguments[..], format].concat()).await
    };
    let pretty = "{\n  \"a\": [1,\n 2]\n}\n";
    let half = "{\n\"a\": 1";
    let (one, lines) = (
        write("one", pretty),
        write("lines", "{\"b\":1}\n\n{\"c\":2}\n"),
    );
    let broken = write("half", half);
    assert_eq!(file(&one, &[]).await, 0);
    assert_eq!(file(&broken, &[]).await, 2);
    assert_eq!(file(&scratch.path("missing"), &[]).await, 2);
    assert_eq!(file(&lines, &[]).await, 0);
    assert_eq!(file(&lines, &["--count", "1"]).await, 0);
    assert_eq!(file(&broken, &["--format", "whole"]).await, 0);
    let published = channel(&client, 5).await;
    let texts = [pretty, "{\"b\":1}", "{\"c\":2}", "{\"b\":1}", half];
    assert_eq!(published, texts.map(|text| text.as_bytes().to_vec()));
}

#[tokio::test]
async fn a_killed_broker_is_waited_for_and_nothing_is_missing() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut broker = Broker::with_file_store();
    broker.client("reader").await;
    let scratch = Scratch::new("killed");
    let log = scratch.path("acks");
    let url = broker.url();
    let arguments: Vec<_> = [
        "--stan-url",
        &url,
        "--cluster-id",
        "test",
        "--ack-log",
        &log,
    ]
    .into_iter()
    .chain(["--count", "20000", "--rate", "10000"])
    .map(str::to_owned)
    .collect();
    let run = tokio::spawn(async move {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        publish(&arguments).await
    });
    crate::stan_broker::until(10, || async {
        std::fs::metadata(&log).is_ok_and(|log| log.len() > 100_000)
    })
    .await;
    broker.kill();
    broker.start();
    assert_eq!(within(30, run).await.unwrap(), 0);
    let logged = logged(&log);
    assert_eq!(logged.len(), 20_000, "each is acknowledged once");
    let client = broker.client("reader").await;
    let (http, reader) = (
        reqwest::Client::new(),
        SubscribeOptions::new("orders", "reader"),
    );
    let status = channel_status(&http, &broker.monitoring_url(), &reader).await;
    let last = status.unwrap().unwrap().last;
    let published = hashes(channel(&client, usize::try_from(last).unwrap()).await);
    assert!(logged.iter().all(|hash| published.contains(hash)));
}

#[test]
fn wrong_arguments_are_refused() {
    for wrong in [
        ["--rate", "0"],
        ["--rate", "-5"],
        ["--junk", "110%"],
        ["--junk", "-1%"],
        ["--junk-kinds", "half-baked"],
        ["--count", "0"],
        ["--count", "-3"],
        ["--window", "0"],
        ["--format", "lines"],
    ] {
        let error = Command::try_parse_from([&["publish"], &wrong[..]].concat());
        let error = error.map(drop).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{wrong:?}");
        assert!(error.to_string().contains(wrong[0]), "{error}");
    }
}

#[tokio::test]
async fn a_target_that_cannot_be_is_a_usage_error() {
    for wrong in [
        &["--stan-url", "ftp://x"][..],
        &["--stan-url", "nats://127.0.0.1:1", "--channel", "a.>"],
        &[
            "--stan-url",
            "nats://127.0.0.1:1",
            "--stan-ca",
            "/nowhere/ca",
        ],
        &[
            "--stan-url",
            "nats://127.0.0.1:1",
            "--ack-log",
            "/nowhere/acks",
        ],
        &["--http", "127.0.0.1:1"],
    ] {
        assert_eq!(publish(wrong).await, 2, "{wrong:?}");
    }
}

// --- over HTTP ---

type Seen = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Refuses what is empty, and every seventh request for the moment.
#[handler]
async fn inbox(request: &Request, body: Vec<u8>, seen: Data<&Seen>) -> StatusCode {
    let key = request.header("Idempotency-Key").unwrap().to_owned();
    let mut seen = seen.lock().unwrap();
    seen.push((key, body.clone()));
    match (body.is_empty(), seen.len() % 7) {
        (_, 0) => StatusCode::SERVICE_UNAVAILABLE,
        (true, _) => StatusCode::BAD_REQUEST,
        (false, _) => StatusCode::ACCEPTED,
    }
}

#[tokio::test]
async fn over_http_each_message_keeps_its_key_until_it_is_accepted() {
    let seen = Seen::default();
    let acceptor = TcpListener::bind("127.0.0.1:0")
        .into_acceptor()
        .await
        .unwrap();
    let address = acceptor.local_addr().remove(0);
    let url = format!("http://{}", address.as_socket_addr().unwrap());
    let app = Route::new()
        .at("/api/v1/orders", post(inbox))
        .data(seen.clone());
    let server = tokio::spawn(Server::new_with_acceptor(acceptor).run(app));

    let scratch = Scratch::new("http");
    let log = scratch.path("acks");
    let to = ["--http", &url, "--ack-log", &log];
    assert_eq!(publish(&[&to[..], &["--count", "100"]].concat()).await, 0);
    assert_eq!(logged(&log).len(), 100);
    let requests = std::mem::take(&mut *seen.lock().unwrap());
    assert!(requests.len() > 100);
    let distinct: BTreeSet<_> = requests.iter().collect();
    let keys: BTreeSet<_> = requests.iter().map(|(key, _)| key).collect();
    assert_eq!((distinct.len(), keys.len()), (100, 100));

    let junk = ["--count", "3", "--junk", "1", "--junk-kinds", "empty"];
    assert_eq!(publish(&[&to[..], &junk].concat()).await, 1);
    server.abort();
    let _ = tokio::time::timeout(Duration::from_secs(1), server).await;
}

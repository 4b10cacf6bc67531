//! Wrong settings, as a new user makes them: one clear sentence that names the thing, an exit code that scripts can tell, and
//! nothing started. What only needs time is waited for.

use std::process::{Command, Output};

use waybill::sandbox::postgres::{Options, Postgres};

use crate::harness::{Bench, Weight, directory, until};

pub fn waybill(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waybill"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WAYBILL_")) {
        command.env_remove(name);
    }
    command.args(args).output().unwrap()
}

/// The last line is the sentence; it must name these words.
pub fn is_told(args: &[&str], code: i32, words: &[&str]) {
    let output = waybill(args);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert!(output.stdout.is_empty(), "{args:?}");
    let sentence = text.lines().last().unwrap_or_default();
    assert!(sentence.starts_with("waybill: "), "{args:?}: {text}");
    for word in words {
        assert!(
            sentence.contains(word),
            "{args:?}: {word} is not in: {sentence}"
        );
    }
}

const SOMEWHERE: &str = "postgresql://waybill@127.0.0.1:1/waybill";

#[test]
fn a_wrong_setting_is_one_sentence_and_exit_code_2() {
    let url = ["serve", "--database-url", SOMEWHERE];
    let with = |more: &[&'static str]| -> Vec<&str> { [&url[..], more].concat() };
    for (args, words) in [
        (
            vec!["serve"],
            vec!["--database-url", "WAYBILL_DATABASE_URL"],
        ),
        (vec!["migrate"], vec!["--database-url"]),
        (
            vec!["serve", "--database-url", "mysql://root@here/x"],
            vec!["postgresql://"],
        ),
        (
            vec!["serve", "--database-url", "nonsense"],
            vec!["postgresql://"],
        ),
        (
            vec!["serve", "--database-url", "postgresql:///waybill"],
            vec!["host"],
        ),
        (
            vec![
                "serve",
                "--database-url",
                "postgresql://u@h/d?sslmode=maybe",
            ],
            vec!["sslmode=maybe", "verify-full"],
        ),
        (
            vec!["serve", "--database-url-file", "/no/such/file"],
            vec!["--database-url-file", "/no/such/file"],
        ),
        (
            with(&["--database-password-file", "/no/such/file"]),
            vec!["/no/such/file"],
        ),
        (
            with(&["--listen", "0.0.0.0:0"]),
            vec!["0.0.0.0:0", "--tokens", "--insecure-listen"],
        ),
        (
            with(&["--tokens", "/no/such/file"]),
            vec!["--tokens", "/no/such/file"],
        ),
        (
            with(&[
                "--tokens",
                concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"),
            ]),
            vec!["--tokens", "README.md, line"],
        ),
        (
            with(&["--stan-url", "ftp://here"]),
            vec!["--stan-url", "nats://"],
        ),
        (
            with(&["--stan-url", "nats://here", "--client-id", "a b"]),
            vec!["--client-id"],
        ),
        (
            with(&["--stan-url", "nats://here", "--channel", "orders.>"]),
            vec!["--channel"],
        ),
        (
            with(&[
                "--stan-url",
                "nats://here",
                "--stan-credentials",
                "/no/such",
            ]),
            vec!["/no/such"],
        ),
        (
            with(&[
                "--stan-url",
                "nats://here",
                "--stan-monitoring-url",
                "here:8222",
            ]),
            vec!["--stan-monitoring-url", "http://host:8222"],
        ),
    ] {
        is_told(&args, 2, &words);
    }
}

/// What clap says itself has more lines, and names the flag.
#[test]
fn a_flag_that_cannot_be_is_named() {
    for (args, word) in [
        (&["serve", "--no-such-flag"][..], "--no-such-flag"),
        (&["serve", "--cache-bytes", "-1"], "-1"),
        (&["serve", "--cache-bytes", "much"], "--cache-bytes"),
        (&["serve", "--lease", "0"], "--lease"),
        (&["serve", "--max-in-flight", "0"], "--max-in-flight"),
        (&["serve", "--ack-wait", "1"], "--ack-wait"),
        (&["serve", "--listen", "here"], "--listen"),
        (
            &["serve", "--public-url", "desk.example"],
            "https://waybill.example.com",
        ),
        (&["serve", "--log-format", "xml"], "--log-format"),
        (&["sing"], "sing"),
        (&[], "Usage"),
    ] {
        let output = waybill(args);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
        assert!(text.contains(word), "{args:?}: {text}");
    }
    for args in [&["--help"][..], &["serve", "--help"], &["--version"]] {
        assert!(waybill(args).status.success(), "{args:?}");
    }
}

#[test]
fn a_port_in_use_is_said_before_anything_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let args = ["serve", "--database-url", SOMEWHERE, "--listen", &address];
    is_told(&args, 1, &[&address, "--listen"]);
}

#[tokio::test]
async fn what_postgres_refuses_at_the_first_connect_is_a_wrong_setting() {
    let dir = directory();
    let options = Options {
        data_dir: dir.join("postgres"),
        tcp: true,
        settings: vec![("shared_buffers".into(), "16MB".into())],
        ..Default::default()
    };
    let postgres = Postgres::start(options).await.unwrap();
    let address = postgres.tcp_address().unwrap();
    let password = "hunter2";
    for (url, word) in [
        (
            format!("postgresql://waybill:{password}@{address}/waybill"),
            "waybill",
        ),
        (
            format!("postgresql://nobody:{password}@{address}/waybill"),
            "nobody",
        ),
        (
            postgres.tcp_url().unwrap().replace("/waybill", "/nowhere"),
            "nowhere",
        ),
        (postgres.url_as("nobody", "waybill"), "nobody"),
    ] {
        for command in ["serve", "migrate"] {
            let mut args = vec![command, "--database-url", &url];
            if command == "serve" {
                args.extend(["--listen", "127.0.0.1:0"]);
            }
            is_told(&args, 2, &[word]);
            let output = waybill(&args);
            assert!(!String::from_utf8_lossy(&output.stderr).contains(password));
        }
    }
    // The same password from a file, with the line break that editors leave, is taken.
    let url = postgres.tcp_url().unwrap();
    let (_, rest) = url.split_once("waybill:").unwrap();
    let (password, rest) = rest.split_once('@').unwrap();
    let file = dir.join("password");
    std::fs::write(&file, format!("{password}\n")).unwrap();
    let url = format!("postgresql://waybill@{rest}");
    let file = ["--database-password-file", file.to_str().unwrap()];
    let output = waybill(&[&["migrate", "--database-url", &url], &file[..]].concat());
    assert!(output.status.success(), "{output:?}");
    let output = waybill(&[&["migrate", "--database-url", &url], &file[..]].concat());
    assert!(String::from_utf8_lossy(&output.stdout).contains("already"));
}

#[tokio::test]
async fn fsync_off_is_refused_without_a_flag() {
    let bench = Bench::with_own_postgres(Weight::Light, &[("fsync", "off")]).await;
    let args = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--database-url",
        &bench.url,
    ];
    is_told(&args, 2, &["fsync", "--allow-fsync-off"]);
    let service = bench.serve(None, &["--allow-fsync-off"]).await;
    service.is_ready().await;
}

#[tokio::test]
async fn servers_that_are_not_there_yet_are_waited_for_visibly() {
    let mut bench = Bench::with_own_postgres(Weight::Light, &[]).await;
    let mut broker = bench.broker(Default::default()).await;
    let mut service = bench.serve(Some(&broker), &[]).await;
    service.kill();
    broker.stop().await;
    bench.postgres().stop().await;
    service.launch().await;
    service.says(20, "waiting for Postgres").await;
    bench.postgres().start_again().await.unwrap();
    service.says(30, "waiting for the broker").await;
    assert!(service.ended().is_none());
    broker.start_again().await.unwrap();
    until(30, "it receives", async || {
        service.text().contains("receiving orders").then_some(())
    })
    .await;
}

//! The operators' commands, as people and scripts run them: the built binary, its words on stdout, its exit code.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::harness::{Bench, Weight, order, order_with, within};

#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Run {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no JSON: {}", self.out))
    }
}

/// Runs `waybill` with these arguments; nothing of this process' environment names a service.
pub async fn waybill(url: &str, args: &[&str], stdin: &[u8]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waybill"));
    command
        .args(args)
        .env("WAYBILL_URL", url)
        .env("USER", "ada")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // A command that does not read it may be gone already.
    let _ = pipe.write_all(stdin).await;
    drop(pipe);
    let output = within(60, "the command ends", child.wait_with_output())
        .await
        .unwrap();
    Run {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn letters_are_found_read_and_brought_home() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    let url = service.url.as_str();
    let run = async |args: &[&str], stdin: &[u8]| {
        let args = [&["dead-letters"], args].concat();
        waybill(url, &args, stdin).await
    };
    let negative = order_with("mended", &[("\"amount\": 1817", "\"amount\": -1817")]);
    let id = service.post(negative.clone()).await.to_string();
    let bytes = service.post(&b"\xff\x00junk"[..]).await.to_string();
    let empty = service.post("").await.to_string();
    service.post(order("well")).await;
    service.rests(20, 4).await;

    let listed = run(&["list", "--output", "ids"], b"").await;
    assert_eq!(
        (listed.code, listed.out),
        (0, format!("{empty}\n{bytes}\n{id}\n"))
    );
    let listed = run(
        &["list", "--code", "negative_money", "--output", "json"],
        b"",
    )
    .await;
    assert_eq!(listed.json()["items"][0]["key"], "mended");
    let groups = run(&["groups", "--failed-for", "not_utf8"], b"").await;
    assert!(groups.out.contains("not_utf8") && !groups.out.contains("negative"));

    let story = run(&["show", &id], b"").await;
    assert!(
        story.out.contains("/payment/amount") && story.out.contains('^'),
        "{}",
        story.out
    );
    let story = run(&["show", &bytes], b"").await;
    assert!(story.out.contains("[ff]"), "{}", story.out);
    let payload = run(&["payload", &id], b"").await;
    assert_eq!(payload.out.as_bytes(), negative);

    // Three letters, one of which is none: some were done, some not.
    let noted = run(&["note", &id, "4", "--reason", "asked the shop"], b"").await;
    assert_eq!(noted.code, 3, "{}", noted.out);
    assert_eq!(run(&["retry", &id], b"").await.code, 1);
    let discarded = run(
        &[
            "discard", "-", "--reason", "a test", "--as", "grace", "--output", "ids",
        ],
        format!("{bytes} {empty}\n").as_bytes(),
    )
    .await;
    assert_eq!(
        (discarded.code, discarded.out),
        (0, format!("{bytes}\n{empty}\n"))
    );
    assert_eq!(
        run(&["discard", &empty, "--reason", "again"], b"")
            .await
            .code,
        0
    );
    let late = run(&["retry", &empty], b"").await;
    assert_eq!(late.code, 1);
    assert!(late.out.contains("decided by"), "{}", late.out);
    assert_eq!(run(&["reopen", &empty], b"").await.code, 0);

    // Without an answer to its question nothing is sent, and the same bytes are no edit.
    let unasked = run(&["resubmit", &id, "--file", "-"], &order("mended")).await;
    assert_eq!(unasked.code, 2);
    let same = run(&["resubmit", &id, "--file", "-", "--yes"], &negative).await;
    assert_eq!(same.code, 1);
    let edited = [
        "resubmit",
        id.as_str(),
        "--file",
        "-",
        "--yes",
        "--reason",
        "a slip",
    ];
    let home = run(&edited, &order("mended")).await;
    assert_eq!(home.code, 0, "{}{}", home.out, home.err);
    assert!(
        home.out
            .contains("-     \"amount\": -1817,\n+     \"amount\": 1817,")
    );
    assert_eq!(service.order("mended").await.status, 200);
    assert_eq!(run(&edited, &order("mended")).await.code, 1);

    let story = run(&["show", &id, "--output", "json"], b"").await.json();
    let decisions: Vec<_> = story["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|decision| {
            (
                decision["action"].as_str().unwrap(),
                decision["who"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        decisions,
        [("note", "ada"), ("retry", "ada"), ("resubmit", "ada")]
    );
    assert_eq!(waybill(url, &["reconcile", "--verify"], b"").await.code, 0);
}

#[tokio::test]
async fn many_letters_come_page_by_page() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    let url = service.url.as_str();
    let published = waybill(
        url,
        &[
            "publish",
            "--http",
            url,
            "--count",
            "1201",
            "--junk",
            "100%",
            "--junk-kinds",
            "xml",
        ],
        b"",
    )
    .await;
    assert_eq!(published.code, 0, "{}", published.err);
    service.rests(30, 1_201).await;
    let list = ["dead-letters", "list", "--all", "--output"];
    let ids = waybill(url, &[&list[..], &["ids"]].concat(), b"").await;
    assert_eq!(ids.out.lines().count(), 1_201);
    let json = waybill(url, &[&list[..], &["json"]].concat(), b"")
        .await
        .json();
    assert_eq!(json["items"].as_array().unwrap().len(), 1_201);
    assert_eq!(json["next"], Value::Null);
    let some = waybill(url, &["dead-letters", "list", "--limit", "7"], b"").await;
    assert_eq!(some.out.lines().count(), 1 + 7 + 2, "{}", some.out);
}

#[tokio::test]
async fn status_and_account_have_exit_codes() {
    let bench = Bench::new(Weight::Light).await;
    let mut service = bench.serve(None, &[]).await;
    service.is_ready().await;
    service.post(order("one")).await;
    service.rests(20, 1).await;
    let url = service.url.clone();
    let status = waybill(&url, &["status", "--output", "json"], b"").await;
    assert_eq!(status.code, 0, "{}", status.err);
    assert_eq!(status.json()["ready"]["status"], "ready");
    assert_eq!(status.json()["stats"]["documents"], 1);
    assert_eq!(
        waybill(&url, &["status", "--ready"], b"").await.out,
        "ready\n"
    );
    assert_eq!(waybill(&url, &["reconcile"], b"").await.code, 0);

    bench.sql().await.run("delete from orders").await;
    assert_eq!(waybill(&url, &["reconcile", "--verify"], b"").await.code, 1);

    service.stop().await;
    for command in [&["status"][..], &["reconcile"], &["dead-letters", "list"]] {
        let absent = waybill(&url, command, b"").await;
        assert_eq!(absent.code, 1);
        assert!(
            absent.out.is_empty() && absent.err.contains(&url),
            "{}",
            absent.err
        );
    }
}

#[tokio::test]
async fn messages_are_judged_without_a_service() {
    let valid = waybill("", &["validate", "-"], &order("one")).await;
    assert_eq!(
        (valid.code, valid.out.as_str()),
        (0, "stdin: valid, key one\n")
    );
    let text = String::from_utf8(order("one").to_vec()).unwrap();
    let line = text.split_whitespace().collect::<String>();
    let lines = format!("{line}\n\n{{\"order_uid\": 7}}\n");
    let mixed = waybill("", &["validate", "--lines", "-"], lines.as_bytes()).await;
    assert_eq!(mixed.code, 1);
    assert!(
        mixed.out.contains("stdin:3:15: wrong_type at /order_uid"),
        "{}",
        mixed.out
    );
    assert!(mixed.out.ends_with("1 valid, 1 not\n"));
}

#[tokio::test]
async fn a_definition_is_checked_without_a_service_and_its_tests_are_run() {
    let check = async |text: &str, more: &[&str]| {
        let args = [&["collections", "check", "-"], more].concat();
        waybill("", &args, text.as_bytes()).await
    };
    let good = "\
collection: jobs
schema: {type: object, required: [id], properties: {id: {type: integer}}}
key: /id
tests:
  - send: [{id: 1}, {id: 1.0}, {id: a}]
    expect: {documents: 1, duplicates: 1, dead_letters: [{code: wrong_type, pointer: /id}]}
";
    let passed = check(good, &[]).await;
    assert_eq!(passed.code, 0, "{passed:?}");
    assert!(
        passed
            .out
            .starts_with("jobs: 1 field, 0 rules, 1 test, no mistake"),
        "{passed:?}"
    );
    let failed = check(&good.replace("documents: 1", "documents: 2"), &[]).await;
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(
        failed.err.contains("-:5: documents: expected 2, found 1"),
        "{failed:?}"
    );
    let mistaken = check(&good.replace("key: /id", "key: /nix"), &[]).await;
    assert_eq!(mistaken.code, 2, "{mistaken:?}");
    assert!(
        mistaken.err.starts_with("-:3:6: /nix leads to no text"),
        "{mistaken:?}"
    );
    let json = check(
        &good.replace("key: /id", "key: /nix"),
        &["--output", "json"],
    )
    .await;
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        (
            &json["mistakes"][0]["line"],
            json["mistakes"][0]["column"].as_i64()
        ),
        (&3.into(), Some(6))
    );
}

#[tokio::test]
async fn what_is_asked_for_wrongly_ends_with_2_and_changes_nothing() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    let url = service.url.as_str();
    for args in [
        &["status", "--url", "localhost"][..],
        &["status", "--output", "ids"],
        &["validate"],
        &["validate", "/nowhere/order.json"],
        &["dead-letters"],
        &["dead-letters", "list", "--state", "lost"],
        &["dead-letters", "list", "--since", "yesterday"],
        &["dead-letters", "list", "--fingerprint", "x"],
        &["dead-letters", "list", "--limit", "0"],
        &["dead-letters", "show", "-1"],
        &["dead-letters", "retry", "one"],
        &["dead-letters", "retry", "-"],
        &["dead-letters", "discard", "1"],
        &["dead-letters", "discard", "1", "--reason", " "],
        &["dead-letters", "note", "1", "--reason", "x", "--as", ""],
        &["dead-letters", "resubmit", "1"],
        &["dead-letters", "resubmit", "1", "--edit", "--file", "x"],
        &[
            "dead-letters",
            "resubmit",
            "1",
            "--yes",
            "--file",
            "/nowhere/order.json",
        ],
        &["dev", "--rate", "-1"],
        &["dev", "--data", "/dev/null"],
        &["dev", "--listen", "0.0.0.0:0"],
    ] {
        let run = waybill(url, args, b"").await;
        // Whether there is a letter 1 is looked at before the file is.
        let wanted = if args.contains(&"--yes") { 1 } else { 2 };
        assert_eq!(run.code, wanted, "{args:?}\n{}", run.err);
        assert!(
            !run.err.is_empty() && !run.err.contains("panicked"),
            "{args:?}\n{}",
            run.err
        );
    }
    assert_eq!(service.json("/api/v1/stats").await["received"], 0);
}

/// `| head` has seen enough, and a full disk is told of: neither is a panic.
#[tokio::test]
async fn a_stdout_that_takes_nothing_is_no_panic() {
    let bench = Bench::new(Weight::Light).await;
    let migrate = ["migrate", "--database-url", &bench.url];
    for args in [&["openapi"][..], &migrate] {
        let run = |stdout: Stdio| {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_waybill"));
            let output = command.args(args).stdout(stdout).output().unwrap();
            (
                output.status.code(),
                String::from_utf8(output.stderr).unwrap(),
            )
        };
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(run(writer.into()), (Some(1), String::new()), "{args:?}");
        let full = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let (code, words) = run(full.into());
        assert_eq!(code, Some(1), "{args:?}");
        assert!(
            words.starts_with("waybill: stdout cannot be written to"),
            "{words}"
        );
    }
}

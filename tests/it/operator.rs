//! The hour after an operator woke up to 40,000 dead letters: all of it through the command line, as a person has it.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use waybill::sandbox::broker::{Broker, Store};

use crate::harness::{Bench, Service, Weight, order_with, until_equal, with_rules, within};

/// `waybill`, beside a service.
struct Shell {
    url: String,
    dir: PathBuf,
}

/// How a command ended, and what it said.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    #[track_caller]
    fn ended(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:#?}");
        self.out
    }

    #[track_caller]
    fn json(self, code: i32) -> Value {
        let out = self.ended(code);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }
}

impl Shell {
    fn new(bench: &Bench, service: &Service) -> Self {
        Self {
            url: service.url.clone(),
            dir: bench.dir.clone(),
        }
    }

    async fn run(&self, args: &[&str]) -> Said {
        self.pipe(args, "").await
    }

    async fn pipe(&self, args: &[&str], stdin: &str) -> Said {
        let mut child = Command::new(env!("CARGO_BIN_EXE_waybill"))
            .args(args)
            .current_dir(&self.dir)
            .env("WAYBILL_URL", &self.url)
            .env("USER", "ada")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let text = stdin.to_owned();
        // A command that reads none of it may have gone.
        tokio::spawn(async move { pipe.write_all(text.as_bytes()).await });
        let output = within(120, &format!("{args:?} ends"), child.wait_with_output())
            .await
            .unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.dir.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.join(name)).unwrap()
    }

    async fn publish(&self, broker: &Broker, args: &[&str]) {
        let broker = [
            "--stan-url",
            &broker.url(),
            "--cluster-id",
            broker.cluster_id(),
        ]
        .map(str::to_owned);
        let all: Vec<&str> = ["publish"]
            .into_iter()
            .chain(args.iter().copied())
            .chain(broker.iter().map(String::as_str))
            .collect();
        self.run(&all).await.ended(0);
    }

    /// How many letters each code has in this state.
    async fn count(&self, state: &str, code: &str) -> i64 {
        let groups = [
            "dead-letters",
            "groups",
            "--state",
            state,
            "--output",
            "json",
        ];
        let groups = self.run(&groups).await.json(0);
        let of_code = groups["items"].as_array().unwrap().iter();
        of_code
            .filter(|group| code.is_empty() || group["code"] == code)
            .map(|group| group[state].as_i64().unwrap())
            .sum()
    }
}

const STRICT: &str = include_str!("../../docs/strict-rules.yaml");
const KINDS: &str = "empty,truncated,xml,array,wrong-type,missing-field,negative-money,huge-number,bad-date,no-items,\
                     empty-uid,nul-escape";
const LETTERS: i64 = 40_000;
const BAD_PHONES: i64 = 300;

#[tokio::test]
async fn forty_thousand_dead_letters_are_brought_home() {
    let bench = Bench::new(Weight::Heavy).await;
    let broker = bench.broker(Store::Memory).await;
    let service = bench.serve(Some(&broker), &[]).await;
    let shell = Shell::new(&bench, &service);

    // Strict rules, a night's junk, and orders that violate one rule.
    let strict = shell.file("strict.yaml", with_rules(STRICT));
    let apply = ["collections", "apply", &strict, "--yes"];
    let applied = shell
        .run(&[&apply[..], &["--reason", "as agreed"]].concat())
        .await
        .ended(0);
    assert!(
        applied.contains("It replaces the definition of position 0 "),
        "{applied}"
    );
    let count = LETTERS.to_string();
    shell
        .publish(
            &broker,
            &[
                "--count",
                &count,
                "--junk",
                "100%",
                "--junk-kinds",
                KINDS,
                "--seed",
                "40",
            ],
        )
        .await;
    let bad_phones: String = (0..BAD_PHONES)
        .map(|number| {
            let order = order_with(
                &format!("phone-{number}"),
                &[("+9720000000", "call the shop")],
            );
            let order: Value = serde_json::from_slice(&order).unwrap();
            format!("{order}\n")
        })
        .collect();
    let bad_phones = shell.file("phones.ndjson", bad_phones);
    shell.publish(&broker, &["--file", &bad_phones]).await;
    service.rests(120, LETTERS + BAD_PHONES + 1).await;

    groups_are_seen(&shell).await;
    a_loosened_rule_brings_them_home(&shell, &service).await;
    some_are_resubmitted(&shell).await;
    some_are_discarded_and_brought_back(&shell).await;
    some_are_retried(&shell).await;
    exports_hold_all_of_them(&shell).await;

    // And in the end it adds up, now and when the log is folded again.
    let before = shell
        .run(&["reconcile", "--verify", "--output", "json"])
        .await
        .json(0);
    assert_eq!(before["balanced"], true);
    let replayed = shell
        .run(&["replay", "--reason", "to be sure"])
        .await
        .ended(0);
    assert!(replayed.contains("the new tables are live"), "{replayed}");
    let after = shell
        .run(&["reconcile", "--verify", "--output", "json"])
        .await
        .json(0);
    for fate in [
        "received",
        "documents",
        "superseded",
        "duplicates",
        "dead_letters",
        "decisions",
        "pending",
    ] {
        assert_eq!(before[fate], after[fate], "{fate}");
    }
}

async fn groups_are_seen(shell: &Shell) {
    let groups = shell
        .run(&["dead-letters", "groups", "--output", "json"])
        .await
        .json(0);
    let mut codes: Vec<&str> = groups["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["code"].as_str().unwrap())
        .collect();
    codes.sort_unstable();
    codes.dedup();
    let expected = "bad_date empty empty_field missing_field negative_money no_items nul_character number_out_of_range \
                    rule_violated syntax truncated wrong_type";
    for code in expected.split_whitespace() {
        assert!(codes.contains(&code), "no {code} in {codes:?}");
    }
    assert_eq!(shell.count("open", "").await, LETTERS + BAD_PHONES);
    assert_eq!(shell.count("open", "rule_violated").await, BAD_PHONES);
}

async fn a_loosened_rule_brings_them_home(shell: &Shell, service: &Service) {
    // Some of them were let go before anybody thought of the rule.
    let ids = [
        "dead-letters",
        "list",
        "--failed-for",
        "rule",
        "--limit",
        "100",
        "--output",
        "ids",
    ];
    let ids = shell.run(&ids).await.ended(0);
    let discard = [
        "dead-letters",
        "discard",
        "-",
        "--reason",
        "no phone",
        "--output",
        "json",
    ];
    let discarded = shell.pipe(&discard, &ids).await.json(0);
    assert_eq!(
        discarded["outcome"]["results"]["done"], 100,
        "{discarded:#}"
    );

    let rule = STRICT.find("- id: phone_is_e164").unwrap();
    let next = rule + STRICT[rule..].find("- id: email_looks_right").unwrap();
    let loose = format!("{}{}", &STRICT[..rule], &STRICT[next..]);
    let loose = shell.file("loose.yaml", with_rules(&loose));
    let planned = shell
        .run(&["collections", "plan", &loose, "--output", "json"])
        .await
        .json(0);
    assert_eq!(
        planned["outcome"]["letters_passing"],
        BAD_PHONES - 100,
        "{planned:#}"
    );
    assert_eq!(planned["outcome"]["documents_refused"], 0, "{planned:#}");
    let apply = ["collections", "apply", &loose, "--yes"];
    let applied = shell.run(&apply).await.ended(0);
    assert!(applied.contains("-   - id: phone_is_e164\n"), "{applied}");
    until_equal(
        60,
        "orders that came home by themselves",
        BAD_PHONES - 100,
        async || {
            service.json("/api/v1/stats").await["documents"]
                .as_i64()
                .unwrap()
        },
    )
    .await;
    assert_eq!(shell.count("open", "rule_violated").await, 0);

    // What was discarded is nobody's but the operator's.
    let dry = [
        "dead-letters",
        "reopen",
        "--failed-for",
        "rule",
        "--dry-run",
    ];
    let said = shell.run(&dry).await.ended(0);
    assert!(
        said.contains("100 would pass. Nothing was decided."),
        "{said}"
    );
    let reopen = [
        "dead-letters",
        "reopen",
        "--failed-for",
        "rule",
        "--reason",
        "the rule was wrong",
        "--output",
        "ids",
    ];
    let reopened = shell.run(&reopen).await.ended(0);
    assert_eq!(reopened.lines().count(), 100);
    assert_eq!(shell.count("replaced", "rule_violated").await, BAD_PHONES);
    // Once more: they are home, and that is said.
    let again = shell.pipe(&["dead-letters", "retry", "-"], &reopened);
    let again = again.await.ended(0);
    assert!(again.contains("100 were home already"), "{again}");
}

async fn some_are_resubmitted(shell: &Shell) {
    let ids = [
        "dead-letters",
        "list",
        "--code",
        "bad_date",
        "--limit",
        "5",
        "--output",
        "ids",
    ];
    let ids = shell.run(&ids).await.ended(0);
    for id in ids.lines() {
        let payload = shell.run(&["dead-letters", "payload", id]).await.ended(0);
        let mut order: Value = serde_json::from_str(&payload).unwrap();
        order["date_created"] = "2021-11-26T06:22:19Z".into();
        let mended = shell.file("mended.json", order.to_string());
        let resubmit = [
            "dead-letters",
            "resubmit",
            id,
            "--file",
            &mended,
            "--yes",
            "--reason",
            "the date",
        ];
        let said = shell.run(&resubmit).await.ended(0);
        assert!(said.contains("it is a document now"), "{said}");
    }
    assert_eq!(shell.count("replaced", "bad_date").await, 5);
}

async fn some_are_discarded_and_brought_back(shell: &Shell) {
    let empty = shell.count("open", "empty").await;
    let refused = shell
        .run(&["dead-letters", "discard", "--code", "empty"])
        .await;
    assert!(
        refused.code == 2 && refused.err.contains("--reason"),
        "{refused:#?}"
    );
    let said = shell
        .run(&[
            "dead-letters",
            "discard",
            "--code",
            "empty",
            "--reason",
            "a test gone astray",
        ])
        .await
        .ended(0);
    let grouped = said.replace(',', "");
    assert!(grouped.contains(&format!("{empty} discarded")), "{said}");
    assert_eq!(shell.count("discarded", "empty").await, empty);
    assert_eq!(shell.count("open", "empty").await, 0);
    let none = shell.run(&["dead-letters", "retry"]).await;
    assert!(none.code == 2 && none.err.contains("--all"), "{none:#?}");
}

async fn some_are_retried(shell: &Shell) {
    let missing = shell.count("open", "missing_field").await;
    let dry = [
        "dead-letters",
        "retry",
        "--code",
        "missing_field",
        "--dry-run",
        "--output",
        "json",
    ];
    let dry = shell.run(&dry).await.json(1);
    assert_eq!(dry["outcome"]["results"]["would_fail"], missing, "{dry:#}");
    let all = [
        "dead-letters",
        "list",
        "--code",
        "missing_field",
        "--all",
        "--output",
        "ids",
    ];
    let ids = shell.run(&all).await.ended(0);
    assert_eq!(ids.lines().count() as i64, missing);
    let real = shell
        .pipe(&["dead-letters", "retry", "-", "--output", "json"], &ids)
        .await
        .json(1);
    assert_eq!(
        real["outcome"]["results"]["still_failing"], missing,
        "{real:#}"
    );
    assert_eq!(real["outcome"]["failing"], dry["outcome"]["failing"]);

    // All that is left, but not if it is of no use.
    let stopped = [
        "dead-letters",
        "retry",
        "--all",
        "--stop-share",
        "20%",
        "--output",
        "json",
    ];
    let stopped = shell.run(&stopped).await.json(1);
    assert_eq!(stopped["state"], "stopped");
    let id = stopped["id"].to_string();
    shell.run(&["operations", "cancel", &id]).await.ended(0);
    let shown = shell.run(&["operations", "show", &id]).await;
    assert!(shown.out.contains("cancelled"), "{shown:#?}");

    // Every one of them by its id, from stdin: one set.
    let all = [
        "dead-letters",
        "list",
        "--state",
        "all",
        "--all",
        "--output",
        "ids",
    ];
    let ids = shell.run(&all).await.ended(0);
    assert_eq!(ids.lines().count() as i64, LETTERS + BAD_PHONES);
    let note = [
        "dead-letters",
        "note",
        "-",
        "--reason",
        "seen by ada",
        "--dry-run",
        "--output",
        "json",
    ];
    let noted = shell.pipe(&note, &ids).await.json(0);
    assert_eq!(
        noted["outcome"]["results"]["would_do"],
        LETTERS + BAD_PHONES
    );
}

async fn exports_hold_all_of_them(shell: &Shell) {
    shell
        .run(&[
            "dead-letters",
            "export",
            "--state",
            "all",
            "--output",
            "letters.ndjson",
        ])
        .await
        .ended(0);
    let letters = shell.text("letters.ndjson");
    assert_eq!(letters.lines().count() as i64, LETTERS + BAD_PHONES);
    let orders = shell.run(&["export"]).await.ended(0);
    assert_eq!(orders.lines().count() as i64, BAD_PHONES + 5);
}

#[tokio::test]
async fn mistakes_in_a_definition_are_told_with_their_place() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    let shell = Shell::new(&bench, &service);
    let orders = waybill::collection::orders().text.as_str();
    let rules = "- id: a\n  message: m\n  field: locale\n  rule: order.locale == 1\n- id: b\n  message: m\n  field: nope\n  rule: order.nope == 1\n";
    shell.file("bad.yaml", with_rules(rules));
    let before = orders.lines().count() + 1;
    for command in ["check", "plan", "apply"] {
        let said = shell.run(&["collections", command, "bad.yaml"]).await;
        assert_eq!(said.code, 2, "{said:#?}");
        for line in [4, 7] {
            let place = format!("bad.yaml:{}:", before + line);
            assert!(
                said.err.lines().any(|told| told.starts_with(&place)),
                "{place} {said:#?}"
            );
        }
    }

    // What is in force is no change, and nobody is asked.
    let show = ["collections", "show", "orders"];
    let shown = shell.run(&show).await.ended(0);
    assert_eq!(shown, orders);
    let same = shell.pipe(&["collections", "apply", "-"], &shown).await;
    let same = same.ended(0);
    assert!(same.starts_with("no changes"), "{same}");
    let strict = shell.file("strict.yaml", with_rules(STRICT));
    let unasked = shell.run(&["collections", "apply", &strict]).await;
    assert!(
        unasked.code == 2 && unasked.err.contains("--yes"),
        "{unasked:#?}"
    );
    let history = ["collections", "history", "orders", "--output", "json"];
    assert_eq!(
        shell.run(&history).await.json(0)["items"],
        serde_json::json!([])
    );

    // Two who apply: the second one is told whose definition came between.
    let apply = ["collections", "apply", "--yes"];
    shell
        .run(&[&apply[..], &[&strict, "--as", "bob"]].concat())
        .await
        .ended(0);
    let none = shell.file("none.yaml", with_rules("[]"));
    let late = shell
        .run(&[&apply[..], &[&none, "--replaces", "0"]].concat())
        .await;
    assert!(
        late.code == 1 && late.err.contains(", by bob "),
        "{late:#?}"
    );
    let history = shell.run(&history).await.json(0);
    assert_eq!(history["items"][0]["result"], "too_late");
    assert_eq!(history["items"][1]["result"], "done");
    assert_eq!(shell.run(&show).await.ended(0), with_rules(STRICT));
    let table = shell.run(&["collections", "history", "orders"]).await;
    let table = table.ended(0);
    assert!(
        table.contains("too late") && table.contains("bob"),
        "{table}"
    );
}

const PURCHASES: &str = "\
collection: purchases
one: purchase
schema:
  type: object
  required: [id, customer, amount]
  properties:
    id: {type: string, minLength: 1}
    customer: {type: string}
    amount: {type: integer, minimum: 0}
key: /id
lookups: [/customer]
";

#[tokio::test]
async fn a_collection_is_planned_applied_filled_read_and_dropped() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    let shell = Shell::new(&bench, &service);
    let file = shell.file("purchases.yaml", PURCHASES);
    let collection = ["--collection", "purchases"];
    let messages = r#"{"id":"p1","customer":"c1","amount":5}
{"id":"p2","customer":"c2","amount":700}
{"id":"p3","customer":"c2","amount":-1}
"#;
    let messages = shell.file("messages.ndjson", messages);
    let publish = ["publish", "--http", &service.url, "--file", &messages];
    let publish = [&publish[..], &collection].concat();
    let early = shell.run(&publish).await;
    assert!(
        early.code == 2 && early.err.contains("of no collection"),
        "{early:#?}"
    );

    let planned = shell.run(&["collections", "plan", &file]).await.ended(0);
    assert!(
        planned.contains("purchases would be a new collection."),
        "{planned}"
    );
    let apply = ["collections", "apply", "--yes", &file];
    let applied = shell.run(&apply).await.ended(0);
    assert!(applied.contains("It is new"), "{applied}");
    let again = shell.run(&apply).await.ended(0);
    assert!(again.starts_with("no changes"), "{again}");
    shell.run(&publish).await.ended(0);
    service.rests(10, 4).await;

    let get = [&["get", "p1"], &collection[..]].concat();
    let got = shell.run(&get).await.json(0);
    assert_eq!(got["amount"], 5);
    let absent = [&["get", "p3"], &collection[..]].concat();
    let absent = shell.run(&absent).await;
    assert!(
        absent.code == 1 && absent.err.contains("/api/v1/dead-letters/"),
        "{absent:#?}"
    );
    let list = [&["list", "--where", "customer=c2"], &collection[..]].concat();
    let listed = shell.run(&list).await.json(0);
    assert_eq!(listed["id"], "p2");
    let export = [&["export", "--format", "csv"], &collection[..]].concat();
    let exported = shell.run(&export).await.ended(0);
    assert_eq!(exported.lines().count(), 3, "{exported}");
    let letters = ["dead-letters", "list", "--output", "ids"];
    let of = async |name: &str| {
        let args = [&letters[..], &["--collection", name]].concat();
        shell.run(&args).await.ended(0).lines().count()
    };
    assert_eq!((of("purchases").await, of("orders").await), (1, 0));
    let judge = [&["validate", "--lines", &messages], &collection[..]].concat();
    let judged = shell.run(&judge).await.ended(1);
    assert!(judged.ends_with("2 valid, 1 not\n"), "{judged}");

    // A rule that today's documents break is told with their keys, and what is fixed is refused.
    let rule = "rules:\n  - {id: cheap, field: /amount, message: Too dear., rule: purchase.amount < 100}\n";
    let strict = shell.file("strict.yaml", format!("{PURCHASES}{rule}"));
    let plan = ["collections", "plan", &strict];
    let refused = shell.run(&plan).await.ended(2);
    for part in [
        "2 documents of today 1 would be refused",
        "rule cheap",
        "p2",
        "Too dear.",
    ] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let allowed = [&plan[..], &["--allow-refused"]].concat();
    shell.run(&allowed).await.ended(0);
    let keyed = PURCHASES.replace("key: /id", "key: /customer");
    let keyed = shell.file("keyed.yaml", keyed);
    let plan = ["collections", "plan", "--allow-refused", &keyed];
    let fixed = shell.run(&plan).await.ended(2);
    assert!(fixed.contains("fixed for the life of purchases"), "{fixed}");
    let apply_keyed = ["collections", "apply", "--yes", &keyed];
    let fixed = shell.run(&apply_keyed).await;
    assert!(
        fixed.code == 1 && fixed.err.contains("are fixed for the life"),
        "{fixed:#?}"
    );

    let drop = ["collections", "drop", "purchases"];
    let unasked = shell.run(&drop).await;
    assert!(
        unasked.code == 2 && unasked.err.contains("--yes"),
        "{unasked:#?}"
    );
    let drop = [&drop[..], &["--yes", "--reason", "a trial"]].concat();
    let dropped = shell.run(&drop).await.ended(0);
    assert!(dropped.starts_with("purchases is dropped"), "{dropped}");
    assert_eq!(shell.run(&drop).await.code, 1);
    let listed = shell.run(&["collections", "list"]).await.ended(0);
    assert!(
        listed.contains("orders") && !listed.contains("purchases"),
        "{listed}"
    );
    // Defined again it begins with nothing.
    shell.run(&apply).await.ended(0);
    assert_eq!(shell.run(&get).await.code, 1);
}

//! The page in a real browser: Chromium drives it (tests/ui/), and here the servers are done to what a story needs.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use waybill::sandbox::broker::{Broker, Store};

use super::harness::{
    Bench, Issuer, Sender, Service, Sql, TokensFile, Weight, bearer, order_with, orders, until,
    until_equal, within,
};

/// Letters that come all at once, as if a sender had lost its mind. They go into the log itself, and the projector does the
/// rest.
const FLOOD: &str = "
    insert into public.source (kind, name) values ('stan', 'flood');
    insert into public.inbox (position, sequence, broker_time_ns, hash, received_at, source_id, payload)
    select h.next_position + n - 1, n, n, n, now() - (100000 - n) * interval '30 milliseconds',
           (select id from public.source where name = 'flood'),
           convert_to(case n % 4 when 0 then 'flood ' || n
                                 when 1 then '{\"order_uid\": \"flood-' || n || '\"'
                                 when 2 then '{\"order_uid\": \"flood-' || n || '\", \"items\": []}'
                                 else '[' || n || ']' end, 'UTF8')
    from public.inbox_head h, generate_series(1, 100000) n;
    update public.inbox_head
    set next_position = next_position + 100000,
        highest[(select id from public.source where name = 'flood')] = 100000;";

struct Stage {
    bench: Bench,
    broker: Broker,
    /// Holds the projector up, where one is held.
    holding: Option<Sql>,
    /// The other service that `holes` speaks of, with what it stands on.
    beside: Option<(Bench, Broker, Service)>,
    /// The one that `tokens` speaks of, which asks for them.
    asking: Option<(Bench, TokensFile, Service)>,
    /// The token of sam, who is given rights there and loses them.
    sam: String,
    /// The one that `issuer` speaks of, at whose issuer one signs in.
    signing: Option<(Bench, TokensFile, Service, Issuer)>,
}

impl Stage {
    /// Does it; what the browser has to know of it.
    async fn act(&mut self, what: &str) -> String {
        match what {
            "kill-broker" => self.broker.kill(),
            "start-broker" => self.broker.start_again().await.unwrap(),
            "kill-postgres" => self.bench.postgres().kill(),
            "start-postgres" => self.bench.postgres().start_again().await.unwrap(),
            "hold-projector" => {
                let session = self.bench.sql().await;
                let hold = "begin; select from public.checkpoint for update";
                session.run(hold).await;
                self.holding = Some(session);
            }
            "release-projector" => {
                let session = self.holding.take().unwrap();
                session.run("rollback").await;
            }
            "flood" => self.bench.sql().await.run(FLOOD).await,
            "holes" => {
                let beside = with_holes(&self.bench).await;
                return self.beside.insert(beside).2.url.clone();
            }
            "tokens" => {
                let (token, letter) = self.ask_for_tokens().await;
                let (_, _, service) = self.asking.as_ref().unwrap();
                return format!("{} {token} {letter}", service.url);
            }
            "support" => {
                let (_, letter) = self.ask_for_tokens().await;
                let (_, file, service) = self.asking.as_mut().unwrap();
                self.sam = file.give("sam", "role = \"support\"");
                until(10, "sam is known", async || {
                    (!rights(service, &self.sam).await.is_empty()).then_some(())
                })
                .await;
                return format!("{} {} {letter}", service.url, self.sam);
            }
            "promote" => {
                let (_, file, service) = self.asking.as_mut().unwrap();
                file.regrant("sam", "support", "operator");
                may_decide(service, &self.sam, true).await;
            }
            "demote" => {
                let (_, file, service) = self.asking.as_mut().unwrap();
                file.regrant("sam", "operator", "support");
                may_decide(service, &self.sam, false).await;
            }
            "another-token" => {
                let (_, file, service) = self.asking.as_mut().unwrap();
                file.take_from("ona");
                let token = file.give("ona", "role = \"owner\"");
                service.token = Some(token.clone());
                until(10, "it counts", async || {
                    (service.get("/api/v1/me").await.status == 200).then_some(())
                })
                .await;
                return token;
            }
            "issuer" => {
                let bench = self.bench.beside().await;
                let mut file = TokensFile::new(&bench);
                let token = file.give("ona", "role = \"owner\"");
                file.role("support-team", "role = \"operator\"");
                let mut issuer = Issuer::start().await;
                let args = [&issuer.flags()[..], &file.flag()].concat();
                let mut service = bench.serve(None, &args).await;
                service.token = Some(token);
                issuer.knows(&service).await;
                issuer.roles("ada", &["support-team"]).await;
                let letter = service
                    .post(order_with("mended", &[("1817", "-1817")]))
                    .await;
                service.rests(20, 1).await;
                let told = format!("{} {} {letter}", service.url, issuer.url);
                self.signing = Some((bench, file, service, issuer));
                return told;
            }
            "expired-jwt" => {
                let (.., issuer) = self.signing.as_mut().unwrap();
                let roles = json!({"roles": ["support-team"]});
                let long_ago = jiff::Timestamp::now().as_second() - 3600;
                let claims = json!({"realm_access": roles, "iat": long_ago, "exp": long_ago + 600});
                return issuer.sign(claims).await;
            }
            "only-reads" => {
                let (_, file, service, issuer) = self.signing.as_mut().unwrap();
                file.regrant("support-team", "operator", "reader");
                let roles = json!({"realm_access": {"roles": ["support-team"]}});
                let authorization = bearer(&issuer.sign(roles).await);
                let headers = [("authorization", authorization.as_str())];
                until(10, "the role is a reader's", async || {
                    let who = service.ask(Method::GET, "/api/v1/me", &headers, "").await;
                    (who.json()["rights"] == json!(["read"])).then_some(())
                })
                .await;
            }
            "no-role" => {
                let (.., issuer) = self.signing.as_mut().unwrap();
                issuer.roles("ada", &[]).await;
            }
            other => panic!("tests/ui asks for {other:?}"),
        }
        String::new()
    }

    /// A service of its own, which asks for tokens, with one letter: its owner's token, and the letter.
    async fn ask_for_tokens(&mut self) -> (String, i64) {
        let bench = self.bench.beside().await;
        let mut file = TokensFile::new(&bench);
        let token = file.give("ona", "role = \"owner\"");
        let mut service = bench.serve(None, &file.flag()).await;
        service.token = Some(token.clone());
        let letter = service
            .post(order_with("edited", &[("1817", "-1817")]))
            .await;
        service.rests(20, 1).await;
        self.asking = Some((bench, file, service));
        (token, letter)
    }
}

async fn rights(service: &Service, token: &str) -> Vec<Value> {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", &*bearer)];
    let me = service.ask(Method::GET, "/api/v1/me", &headers, "").await;
    match me.status {
        200 => me.json()["rights"].as_array().unwrap().clone(),
        _ => Vec::new(),
    }
}

async fn may_decide(service: &Service, token: &str, may: bool) {
    until_equal(10, "the right to decide", may, async || {
        rights(service, token).await.contains(&json!("decide"))
    })
    .await;
}

/// A service that misses 51 to 250, which its broker discarded for its limit, and 351 to 370, which another took for a while
/// and the broker still has.
async fn with_holes(first: &Bench) -> (Bench, Broker, Service) {
    let (bench, stranger) = (first.beside().await, first.beside().await);
    let broker = bench.broker_with(Store::File, &["-mm", "100"]).await;
    let send = async |prefix: &str, count| {
        let ledger = Sender::new(&broker).publish(orders(prefix, count)).await;
        assert_eq!(ledger.acked.len(), count);
    };
    let mut service = bench.serve(Some(&broker), &[]).await;
    send("first", 50).await;
    service.rests(30, 50).await;
    assert!(service.stop().await.success());
    send("discarded", 300).await;
    service.start().await;
    service.rests(30, 150).await;
    assert!(service.stop().await.success());
    let mut other = stranger.serve(Some(&broker), &[]).await;
    send("elsewhere", 20).await;
    other.rests(30, 20).await;
    assert!(other.stop().await.success());
    service.start().await;
    send("last", 10).await;
    service.rests(30, 160).await;
    (bench, broker, service)
}

/// The same names as in .ci/tools.
const BROWSERS: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

fn program(names: &[&str]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names
        .iter()
        .flat_map(|name| dirs.iter().map(move |dir| dir.join(name)))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{} was not found on the PATH: run `make tools`", names[0]))
}

#[tokio::test]
async fn the_page_is_usable_in_a_real_browser() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
    assert!(
        dir.join("node_modules/playwright-core").is_dir(),
        "the browser's driver is missing: run `make tools`"
    );
    let bench = Bench::with_own_postgres(Weight::Heavy, &[]).await;
    let broker = bench.broker(Store::File).await;
    let service = bench.serve(Some(&broker), &["--lease", "2"]).await;
    service.is_ready().await;
    let mut stage = Stage {
        bench,
        broker,
        holding: None,
        beside: None,
        asking: None,
        sam: String::new(),
        signing: None,
    };
    let mut node = Command::new(program(&["node"]))
        .arg("run.mjs")
        .current_dir(&dir)
        .env("WAYBILL_URL", &service.url)
        .env("WAYBILL_CHROMIUM", program(&BROWSERS))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut answers = node.stdin.take().unwrap();
    let mut lines = BufReader::new(node.stdout.take().unwrap()).lines();
    let stories = async {
        let mut said = String::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(what) = line.strip_prefix("need ") {
                let answer = format!("done {}\n", stage.act(what).await);
                answers.write_all(answer.as_bytes()).await.unwrap();
            } else {
                println!("{line}");
                said.push_str(&line);
                said.push('\n');
            }
        }
        (node.wait().await.unwrap(), said)
    };
    let (status, said) = within(600, "the browser's stories", stories).await;
    assert!(status.success(), "{said}");
}

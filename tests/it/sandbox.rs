//! The private servers: found, started, found again, harmed, and gone when their owner is.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tokio_postgres::NoTls;
use waybill::sandbox::broker::{self, Broker, Store};
use waybill::sandbox::postgres::{self, Postgres};
use waybill::sandbox::process::{Signal, is_alive, signal};
use waybill::sandbox::{Error, find_program};

struct TempDir(PathBuf);

impl TempDir {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("waybill-test-{:08x}", fastrand::u32(..)));
        fs::create_dir_all(&dir).unwrap();
        // Postgres may run as another user than we.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        Self(dir)
    }

    fn postgres(&self) -> postgres::Options {
        postgres::Options {
            data_dir: self.0.join("postgres"),
            settings: vec![("shared_buffers".into(), "16MB".into())],
            ..Default::default()
        }
    }

    fn broker(&self, store: Store) -> broker::Options {
        broker::Options {
            dir: self.0.join("broker"),
            cluster_id: "waybill".into(),
            monitoring: true,
            store,
            ..Default::default()
        }
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

async fn connect(url: &str) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn ask(client: &tokio_postgres::Client, query: &str) -> String {
    client.query_one(query, &[]).await.unwrap().get(0)
}

async fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !done() {
        assert!(Instant::now() < deadline, "still not: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn second_start_of_postgres_finds_the_data_of_the_first() {
    let dir = TempDir::new();
    let mut first = Postgres::start(dir.postgres()).await.unwrap();
    let client = connect(&first.url()).await.unwrap();
    for (setting, value) in [
        ("fsync", "on"),
        ("data_checksums", "on"),
        ("listen_addresses", ""),
    ] {
        assert_eq!(ask(&client, &format!("show {setting}")).await, value);
    }
    assert_eq!(
        ask(&client, "select current_setting('is_superuser')").await,
        "off"
    );
    assert_eq!(
        ask(&client, "select current_setting('server_encoding')").await,
        "UTF8"
    );
    client
        .batch_execute("create table kept (what text)")
        .await
        .unwrap();
    client
        .execute("insert into kept values ('this')", &[])
        .await
        .unwrap();
    let url = first.url();
    first.stop().await;
    drop(first);

    let second = Postgres::start(dir.postgres()).await.unwrap();
    assert_eq!(second.url(), url, "the address stays the same too");
    let client = connect(&second.url()).await.unwrap();
    assert_eq!(ask(&client, "select what from kept").await, "this");
    let superuser = connect(&second.superuser_url()).await.unwrap();
    assert_eq!(
        ask(&superuser, "select current_setting('is_superuser')").await,
        "on"
    );
    drop(second);
    Postgres::erase(&dir.0.join("postgres")).unwrap();
    assert!(!dir.0.join("postgres").exists());
}

#[tokio::test]
async fn postgres_comes_back_after_every_kind_of_end() {
    let dir = TempDir::new();
    let mut postgres = Postgres::start(dir.postgres()).await.unwrap();
    let url = postgres.url();
    let client = connect(&url).await.unwrap();
    client
        .batch_execute("create table kept (end_nr int)")
        .await
        .unwrap();
    for end in 0..3 {
        let client = connect(&url).await.unwrap();
        client
            .execute("insert into kept values ($1)", &[&end])
            .await
            .unwrap();
        match end {
            0 => postgres.stop().await,
            1 => postgres.stop_immediate().await,
            _ => postgres.kill(),
        }
        assert!(!postgres.is_running());
        assert!(connect(&url).await.is_err());
        postgres.start_again().await.unwrap();
        let client = connect(&url).await.unwrap();
        let kept = ask(&client, "select count(*)::text from kept").await;
        assert_eq!(kept, (end + 1).to_string());
    }

    let client = connect(&url).await.unwrap();
    postgres.pause();
    let answer = ask(&client, "select 'thawed'");
    tokio::pin!(answer);
    assert!(
        timeout(Duration::from_millis(300), &mut answer)
            .await
            .is_err()
    );
    postgres.resume();
    assert_eq!(
        timeout(Duration::from_secs(10), answer).await.unwrap(),
        "thawed"
    );
    postgres.pause();
    // Dropped while frozen: nothing may be left behind, which the next start would notice.
    drop(postgres);
    Postgres::start(dir.postgres()).await.unwrap();
}

#[tokio::test]
async fn postgres_over_tcp_wants_the_password() {
    let dir = TempDir::new();
    let options = postgres::Options {
        tcp: true,
        ..dir.postgres()
    };
    let postgres = Postgres::start(options).await.unwrap();
    let url = postgres.tcp_url().unwrap();
    connect(&url).await.unwrap();
    connect(&postgres.url()).await.unwrap();
    let address = postgres.tcp_address().unwrap();
    let wrong = format!("postgresql://waybill:wrong@{address}/waybill");
    let refused = connect(&wrong).await.err().unwrap();
    assert_eq!(refused.code().unwrap().code(), "28P01");
}

#[tokio::test]
async fn failed_start_quotes_the_log() {
    let dir = TempDir::new();
    let mut options = dir.postgres();
    options
        .settings
        .push(("no_such_setting".into(), "1".into()));
    match Postgres::start(options).await.err().unwrap() {
        Error::Failed { tail, .. } => assert!(tail.contains("no_such_setting"), "{tail}"),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn second_postgres_on_the_same_data_is_refused() {
    let dir = TempDir::new();
    let first = Postgres::start(dir.postgres()).await.unwrap();
    let second = Postgres::start(dir.postgres()).await.err().unwrap();
    assert!(matches!(second, Error::InUse { .. }), "{second}");
    connect(&first.url()).await.unwrap();
}

#[tokio::test]
async fn pid_file_with_the_number_of_another_process_is_no_obstacle() {
    let dir = TempDir::new();
    let mut postgres = Postgres::start(dir.postgres()).await.unwrap();
    let pid_file = postgres.data_dir().join("postmaster.pid");
    let left = fs::read_to_string(&pid_file).unwrap();
    postgres.kill();
    let owner = fs::metadata(postgres.data_dir()).unwrap().uid();
    let mut other = Command::new("sleep");
    if is_root() {
        other.uid(owner);
    }
    let mut other = other.arg("60").current_dir("/").spawn().unwrap();
    let (_, rest) = left.split_once('\n').unwrap();
    fs::write(&pid_file, format!("{}\n{rest}", other.id())).unwrap();
    let started = postgres.start_again().await;
    other.kill().unwrap();
    other.wait().unwrap();
    started.unwrap();
}

#[tokio::test]
async fn half_made_cluster_is_made_again() {
    let dir = TempDir::new();
    fs::create_dir(dir.0.join("postgres.new")).unwrap();
    fs::write(dir.0.join("postgres.new/PG_VERSION"), "15\n").unwrap();
    let postgres = Postgres::start(dir.postgres()).await.unwrap();
    connect(&postgres.url()).await.unwrap();
    assert!(!dir.0.join("postgres.new").exists());
}

#[tokio::test]
async fn data_under_a_closed_directory_goes_elsewhere_and_is_found_again() {
    let dir = TempDir::new();
    fs::set_permissions(&dir.0, fs::Permissions::from_mode(0o700)).unwrap();
    let data_dir = dir.postgres().data_dir;
    let mut first = Postgres::start(dir.postgres()).await.unwrap();
    let client = connect(&first.url()).await.unwrap();
    client.batch_execute("create table kept ()").await.unwrap();
    first.stop().await;
    let real = first.data_dir().to_owned();
    drop(first);
    // Only root has another user for Postgres, to whom its own directories are closed.
    assert_eq!(
        fs::read_link(&data_dir).ok(),
        is_root().then(|| real.clone())
    );

    let second = Postgres::start(dir.postgres()).await.unwrap();
    let client = connect(&second.url()).await.unwrap();
    assert_eq!(ask(&client, "select count(*)::text from kept").await, "0");
    drop(second);
    Postgres::erase(&data_dir).unwrap();
    assert!(!real.exists() && !data_dir.exists());
}

/// A request that STAN refuses: whoever answers, serves.
async fn stan_answers(broker: &Broker) -> bool {
    let client = async_nats::connect(broker.url()).await.unwrap();
    let subject = format!("_STAN.discover.{}", broker.cluster_id());
    client.request(subject, "".into()).await.is_ok()
}

#[tokio::test]
async fn broker_serves_at_once_and_restarts_on_the_same_port() {
    let dir = TempDir::new();
    for store in [Store::File, Store::Memory] {
        let mut broker = Broker::start(dir.broker(store)).await.unwrap();
        let url = broker.url();
        for end in 0..4 {
            assert!(stan_answers(&broker).await);
            match end {
                0 => {}
                1 => broker.kill(),
                2 => broker.stop().await,
                _ => {
                    broker.pause();
                    let client = async_nats::connect(&url);
                    assert!(timeout(Duration::from_millis(300), client).await.is_err());
                    broker.resume();
                }
            }
            broker.restart().await.unwrap();
            assert_eq!(broker.url(), url);
        }
        assert!(stan_answers(&broker).await);
    }
}

#[tokio::test]
async fn wiped_broker_has_an_empty_store() {
    let dir = TempDir::new();
    let mut broker = Broker::start(dir.broker(Store::File)).await.unwrap();
    let old = broker.store_dir().join("old");
    fs::write(&old, "").unwrap();
    broker.restart().await.unwrap();
    assert!(old.exists());
    broker.wipe_and_restart().await.unwrap();
    assert!(!old.exists());
    assert!(stan_answers(&broker).await);
}

#[tokio::test]
async fn broker_can_be_monitored_and_has_no_limits() {
    let dir = TempDir::new();
    let broker = Broker::start(dir.broker(Store::File)).await.unwrap();
    let url = broker.monitoring_url().unwrap();
    let host = url.strip_prefix("http://").unwrap();
    let mut socket = tokio::net::TcpStream::connect(host).await.unwrap();
    let request = "GET /streaming/storez HTTP/1.0\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    for limit in ["max_channels", "max_msgs", "max_bytes", "max_subscriptions"] {
        assert_eq!(body["limits"][limit], 0, "{body}");
    }
}

#[tokio::test]
async fn broker_on_a_port_in_use_says_so() {
    let dir = TempDir::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options = broker::Options {
        port: taken.local_addr().unwrap().port(),
        ..dir.broker(Store::Memory)
    };
    match Broker::start(options).await.err().unwrap() {
        Error::Failed { tail, .. } => assert!(tail.contains("address already in use"), "{tail}"),
        other => panic!("{other}"),
    }
}

/// Run again by itself, with this variable, to be the owner that gets killed.
const OWNER: &str = "WAYBILL_TEST_OWNER";

#[tokio::test]
async fn everything_dies_with_an_owner_that_is_killed() {
    if let Some(dir) = std::env::var_os(OWNER) {
        own_servers(Path::new(&dir)).await;
    }
    for frozen in [false, true] {
        let dir = TempDir::new();
        let mut owner = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "sandbox::everything_dies_with_an_owner_that_is_killed",
            ])
            .env(OWNER, &dir.0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(owner.stdout.take().unwrap());
        let line = stdout.lines().map(|line| line.unwrap());
        let line = line.filter_map(|line| Some(line.split_once("pids ")?.1.to_owned()));
        let line = { line }.next().unwrap();
        let pids: Vec<u32> = line.split(' ').map(|pid| pid.parse().unwrap()).collect();
        assert!(
            pids.len() > 2,
            "the two servers and Postgres' own children: {line}"
        );
        assert!(pids.iter().all(|pid| is_alive(*pid)));
        if frozen {
            pids.iter().for_each(|pid| signal(*pid, Signal::STOP));
        }
        owner.kill().unwrap();
        owner.wait().unwrap();
        wait_until("all are gone", || !pids.iter().any(|pid| is_alive(*pid))).await;
        // And nothing stands in the way of the next.
        let postgres = Postgres::start(dir.postgres()).await.unwrap();
        let broker = Broker::start(dir.broker(Store::File)).await.unwrap();
        connect(&postgres.url()).await.unwrap();
        assert!(stan_answers(&broker).await);
    }
}

async fn own_servers(dir: &Path) -> ! {
    let dir = std::mem::ManuallyDrop::new(TempDir(dir.to_owned()));
    let postgres = Postgres::start(dir.postgres()).await.unwrap();
    let broker = Broker::start(dir.broker(Store::File)).await.unwrap();
    let pid = postgres.pid().unwrap();
    let mut pids = vec![pid, broker.pid().unwrap()];
    pids.extend(waybill::sandbox::process::descendants(pid));
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    println!("pids {}", pids.join(" "));
    std::future::pending().await
}

#[test]
fn programs_are_looked_for_in_extra_directories_too() {
    let found: Vec<PathBuf> = find_program("pg_controldata", &[]).collect();
    let extra = find_program("pg_controldata", &[found[0].parent().unwrap().into()]).count();
    assert_eq!(extra, found.len() + 1);
}

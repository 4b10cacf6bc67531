//! What every benchmark needs: servers, the service, a way to fill them and to wait.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio_postgres::NoTls;
use waybill::sandbox::broker::{self, Broker};
use waybill::sandbox::postgres::{self, Postgres};

pub const CLUSTER: &str = "waybill";
pub const CHANNEL: &str = "orders";

/// A database and a broker of their own, and the service where one was asked for.
pub struct Stage {
    /// First, so that it goes before what it stands on.
    service: Option<Service>,
    pub postgres: Postgres,
    pub broker: Broker,
    pub http: reqwest::Client,
    pub dir: Scratch,
}

/// A directory that goes when the benchmark ends.
pub struct Scratch(pub PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!(
            "waybill-bench-{}-{}",
            std::process::id(),
            fastrand::u32(..)
        ));
        std::fs::create_dir_all(&dir)?;
        Ok(Self(dir))
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Service {
    child: Child,
    url: String,
}

/// Beside us in the target directory: examples are one folder deeper.
pub fn waybill() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let binary = own
        .parent()
        .and_then(Path::parent)
        .map(|dir| dir.join("waybill"))
        .filter(|path| path.exists());
    binary.context("target/release/waybill is not there: cargo build --release")
}

impl Stage {
    /// The servers, without a service.
    pub async fn empty() -> anyhow::Result<Self> {
        let dir = Scratch::new()?;
        let postgres = Postgres::start(postgres::Options {
            data_dir: dir.file("postgres"),
            socket_dir: None,
            tcp: false,
            settings: [("shared_buffers", "2GB"), ("max_wal_size", "8GB")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
        })
        .await?;
        let broker = Broker::start(broker::Options {
            dir: dir.file("broker"),
            cluster_id: CLUSTER.to_owned(),
            port: 0,
            monitoring: true,
            store: broker::Store::File,
            extra_args: Vec::new(),
        })
        .await?;
        Ok(Self {
            postgres,
            broker,
            service: None,
            http: reqwest::Client::new(),
            dir,
        })
    }

    /// With the service, whose cache is empty and warm.
    pub async fn open(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut stage = Self::empty().await?;
        stage.serve(arguments).await?;
        stage
            .until("cache_warm", |stats| stats["cache_warm"] == true)
            .await?;
        Ok(stage)
    }

    pub async fn migrate(&self) -> anyhow::Result<()> {
        run(Command::new(waybill()?)
            .arg("migrate")
            .args(["--database-url", &self.postgres.url()]))
        .await
        .map(drop)
    }

    /// Starts the service; it is serving when this returns.
    pub async fn serve(&mut self, arguments: &[&str]) -> anyhow::Result<()> {
        let mut child = Command::new(waybill()?)
            .args(["serve", "--listen", "127.0.0.1:0", "--client-id", "bench"])
            .args(["--database-url", &self.postgres.url()])
            .args(["--stan-url", &self.broker.url(), "--cluster-id", CLUSTER])
            .args(arguments)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stderr = child.stderr.take().context("stderr was piped")?;
        let mut lines = BufReader::new(stderr).lines();
        let url = loop {
            let Some(line) = lines.next_line().await? else {
                bail!("the service ended before it served");
            };
            if let Some((_, address)) = line.split_once("serving ") {
                break address.trim().to_owned();
            }
        };
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if line.contains("WARN") || line.contains("ERROR") {
                    eprintln!("    service: {line}");
                }
            }
        });
        self.service = Some(Service { child, url });
        Ok(())
    }

    /// SIGTERM, and wait.
    pub async fn stop_service(&mut self) -> anyhow::Result<()> {
        if let Some(mut service) = self.service.take() {
            if let Some(pid) = service.child.id() {
                run(Command::new("kill").arg(pid.to_string())).await?;
            }
            service.child.wait().await?;
        }
        Ok(())
    }

    pub fn url(&self) -> &str {
        self.service.as_ref().map_or("", |service| &service.url)
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self
            .http
            .get(format!("{}{path}", self.url()))
            .send()
            .await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    pub async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        let request = self.http.post(format!("{}{path}", self.url())).json(&body);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    pub async fn stats(&self) -> anyhow::Result<Value> {
        self.get("/api/v1/stats").await
    }

    pub async fn projected(&self) -> anyhow::Result<u64> {
        Ok(self.stats().await?["projected"].as_u64().unwrap_or(0))
    }

    pub async fn until(&self, what: &str, done: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let deadline = Instant::now() + Duration::from_secs(900);
        loop {
            let stats = self.stats().await?;
            if done(&stats) {
                return Ok(stats);
            }
            if Instant::now() > deadline {
                bail!("{what} did not come within fifteen minutes: {stats}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn until_projected(&self, position: u64) -> anyhow::Result<()> {
        let reached = |stats: &Value| stats["projected"].as_u64().unwrap_or(0) >= position;
        self.until("the projection", reached).await.map(drop)
    }

    /// `waybill publish`, as any user would.
    pub async fn publish(&self, arguments: &[&str]) -> anyhow::Result<()> {
        run(Command::new(waybill()?)
            .args(["publish", "--output", "json"])
            .args(arguments)
            .args(["--stan-url", &self.broker.url(), "--cluster-id", CLUSTER])
            .args(["--channel", CHANNEL]))
        .await
        .map(drop)
    }

    /// Publishes samples to the running service: seconds from the first publish to the last projected.
    pub async fn through(&self, count: u64, junk: &str) -> anyhow::Result<f64> {
        let target = self.projected().await? + count;
        let begun = Instant::now();
        self.publish(&["--count", &count.to_string(), "--junk", junk])
            .await?;
        self.until_projected(target).await?;
        Ok(begun.elapsed().as_secs_f64())
    }

    /// The service's database, as the superuser.
    pub fn database(&self) -> String {
        self.postgres.url_as("postgres", "waybill")
    }

    pub async fn sql(&self) -> anyhow::Result<tokio_postgres::Client> {
        let (client, connection) = tokio_postgres::connect(&self.database(), NoTls).await?;
        tokio::spawn(connection);
        client
            .batch_execute("set search_path = live, public")
            .await?;
        Ok(client)
    }

    /// psql, timed: what a client that does nothing but its work needs.
    pub async fn psql(&self, command: &str) -> anyhow::Result<f64> {
        let begun = Instant::now();
        run(Command::new(self.postgres.bin_dir().join("psql"))
            .args([
                "--no-psqlrc",
                "--quiet",
                "--set",
                "ON_ERROR_STOP=1",
                "--command",
                command,
            ])
            .arg(self.database()))
        .await?;
        Ok(begun.elapsed().as_secs_f64())
    }

    /// Of the service, in MB: `VmRSS` now, `VmHWM` at its highest.
    pub fn memory(&self, what: &str) -> f64 {
        let pid = self
            .service
            .as_ref()
            .and_then(|service| service.child.id())
            .unwrap_or(0);
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
        let kilobytes: f64 = line
            .and_then(|text| text.trim().trim_end_matches(" kB").parse().ok())
            .unwrap_or(f64::NAN);
        kilobytes / 1024.0
    }
}

/// A program to its end; what it printed.
pub async fn run(command: &mut Command) -> anyhow::Result<String> {
    let program = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    let done = command.kill_on_drop(true).output().await;
    let done =
        done.with_context(|| format!("{program} cannot be started; `make bench` brings it"))?;
    let printed = String::from_utf8_lossy(&done.stdout).into_owned();
    if !done.status.success() {
        bail!(
            "{program}: {}\n{printed}{}",
            done.status,
            String::from_utf8_lossy(&done.stderr)
        );
    }
    Ok(printed)
}

//! What every benchmark needs: servers, the service, a way to wait, a way to print.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use waybill::sandbox::broker::{self, Broker};
use waybill::sandbox::postgres::{self, Postgres};

pub struct Stage {
    pub postgres: Postgres,
    pub broker: Broker,
    pub service: Service,
    _dir: Scratch,
}

/// A directory that goes when the benchmark ends.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!(
            "waybill-bench-{}-{}",
            std::process::id(),
            fastrand::u32(..)
        ));
        std::fs::create_dir_all(&dir)?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub struct Service {
    child: Child,
    pub url: String,
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

pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    format!("{cores} cores, load {load} before the run")
}

impl Stage {
    pub async fn open(arguments: &[&str]) -> anyhow::Result<Self> {
        let dir = Scratch::new()?;
        let postgres = Postgres::start(postgres::Options {
            data_dir: dir.0.join("postgres"),
            socket_dir: None,
            tcp: false,
            settings: [
                ("shared_buffers", "2GB"),
                ("max_wal_size", "8GB"),
                ("autovacuum_naptime", "10s"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        })
        .await?;
        let broker = Broker::start(broker::Options {
            dir: dir.0.join("broker"),
            cluster_id: "waybill".to_owned(),
            port: 0,
            monitoring: true,
            store: broker::Store::File,
            extra_args: Vec::new(),
        })
        .await?;
        let service = Service::start(&postgres, &broker, arguments).await?;
        Ok(Self {
            postgres,
            broker,
            service,
            _dir: dir,
        })
    }

    /// Publishes samples, and says how long it took until the last was projected.
    pub async fn publish(&self, count: u64, junk: &str) -> anyhow::Result<Duration> {
        let target = self.stats().await?["projected"].as_u64().unwrap_or(0) + count;
        let begun = Instant::now();
        let done = Command::new(waybill()?)
            .args([
                "publish",
                "--count",
                &count.to_string(),
                "--junk",
                junk,
                "--output",
                "json",
            ])
            .args([
                "--stan-url",
                &self.broker.url(),
                "--cluster-id",
                "waybill",
                "--channel",
                "orders",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await?;
        if !done.success() {
            bail!("waybill publish failed");
        }
        self.wait_until(target).await?;
        Ok(begun.elapsed())
    }

    pub async fn wait_until(&self, position: u64) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(180);
        while self.stats().await?["projected"].as_u64().unwrap_or(0) < position {
            if Instant::now() > deadline {
                bail!("position {position} was not projected within three minutes");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    pub async fn stats(&self) -> anyhow::Result<Value> {
        get(&format!("{}/api/v1/stats", self.service.url)).await
    }

    /// Peak resident memory of the service, in MB.
    pub fn peak_memory(&self) -> f64 {
        let pid = self.service.child.id().unwrap_or(0);
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes: f64 = peak
            .and_then(|text| text.trim().trim_end_matches(" kB").parse().ok())
            .unwrap_or(0.0);
        kilobytes / 1024.0
    }
}

pub async fn get(url: &str) -> anyhow::Result<Value> {
    Ok(reqwest::get(url).await?.error_for_status()?.json().await?)
}

impl Service {
    async fn start(
        postgres: &Postgres,
        broker: &Broker,
        arguments: &[&str],
    ) -> anyhow::Result<Self> {
        let mut child = Command::new(waybill()?)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--cluster-id",
                "waybill",
                "--client-id",
                "bench",
            ])
            .args([
                "--database-url",
                &postgres.url(),
                "--stan-url",
                &broker.url(),
            ])
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
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { child, url })
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

//! A nats-streaming-server for a test, and waiting for it. Not every test binary uses all of it.
#![allow(dead_code)]

use std::future::Future;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use waybill::stan::{Client, Options, connect_with_backoff};

/// A server of its own for a test, on loopback; killed when dropped, also by a panic.
pub struct Broker {
    dir: PathBuf,
    pub port: u16,
    monitoring: u16,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl Broker {
    pub fn with_file_store() -> Broker {
        let mut broker = Broker::new();
        let dir = broker.dir.join("store").display().to_string();
        broker.start_with(&["-store", "file", "-dir", &dir, "-mm", "0", "-mb", "0"]);
        broker
    }

    pub fn with_memory_store() -> Broker {
        let mut broker = Broker::new();
        broker.start_with(&["-store", "memory"]);
        broker
    }

    pub fn new() -> Broker {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "waybill-stan-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        Broker {
            dir,
            port: free_port(),
            monitoring: free_port(),
            arguments: Vec::new(),
            process: None,
        }
    }

    pub fn start_with(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|&argument| argument.into()).collect();
        self.start();
    }

    pub fn start(&mut self) {
        let installed = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".tools/bin");
        let program = installed.join("nats-streaming-server");
        let program = if program.exists() {
            program
        } else {
            "nats-streaming-server".into()
        };
        let log = std::fs::File::create(self.dir.join("log")).unwrap();
        let child = Command::new(program)
            .args(["-cid", "test", "-a", "127.0.0.1"])
            .args(["-p", &self.port.to_string()])
            .args(["-m", &self.monitoring.to_string()])
            .args(["-hbi", "1s", "-hbt", "1s", "-hbf", "2"])
            .args(&self.arguments)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .expect("nats-streaming-server 0.25.6 must be on the PATH or in .tools/bin: `make tools` brings it");
        self.process = Some(child);
    }

    /// `kill -9`: the broker has no time to write anything.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.process.as_ref().unwrap().id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn monitoring_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.monitoring)
    }

    pub fn options(&self, client_id: &str) -> Options {
        let mut options = Options::new(self.url(), "test", client_id);
        options.ping_interval = Duration::from_secs(1);
        options
    }

    pub async fn client(&self, client_id: &str) -> Client {
        let options = self.options(client_id);
        within(15, connect_with_backoff(&options, |_, _| ())).await
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            eprintln!("--- the broker's log ---\n{log}");
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Below the range from which the system takes ports for outgoing connections: a broker that is down for a
/// moment must find its port again.
pub fn free_port() -> u16 {
    let mut ports = std::iter::repeat_with(|| fastrand::u16(15_000..32_000));
    ports
        .find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        .unwrap()
}

pub async fn within<T>(seconds: u64, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(seconds), work)
        .await
        .expect("it should have happened by now")
}

/// For what gives no signal.
pub async fn until<F: Future<Output = bool>>(seconds: u64, mut holds: impl FnMut() -> F) {
    within(seconds, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

//! A private nats-streaming-server on loopback, with its limits lifted: it never discards a message. `waybill dev`
//! listens to it, the tests do it harm.
//!
//! Its invariant: a start is over only when STAN itself answers, which is later than the port is open; and every
//! restart is on the same port, for clients are to come back by themselves.
//!
//! Deliberately absent: clusters, TLS and users; `extra_args` can ask for what a test needs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::place;
use super::process::{Launch, Process, Signal, free_port};
use super::{Error, find_program, io_error};

const PROGRAM: &str = "nats-streaming-server";
const INSTALL: &str = "run `make tools`, or `go install \
                       github.com/nats-io/nats-streaming-server@v0.25.6` with its directory on the PATH";

/// Written once the internal subscriptions have been flushed: from then on requests are answered.
const READY: &str = "Streaming Server is ready";
/// A file store of many messages is read through first.
const START_PATIENCE: Duration = Duration::from_secs(120);
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// Another process can take a free port before the server does; then the next one is tried.
const PORT_TRIES: u32 = 5;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Store {
    #[default]
    File,
    Memory,
}

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// For the log and the store.
    pub dir: PathBuf,
    pub cluster_id: String,
    /// 0: any free one.
    pub port: u16,
    pub monitoring: bool,
    pub store: Store,
    /// More of the server's own arguments. The log has to stay on stderr.
    pub extra_args: Vec<String>,
}

/// A running broker, or one that is stopped for a while. Dropping it kills it; its store stays.
pub struct Broker {
    program: PathBuf,
    options: Options,
    store_dir: PathBuf,
    port: u16,
    monitoring_port: Option<u16>,
    process: Option<Process>,
}

impl Broker {
    pub async fn start(mut options: Options) -> Result<Self, Error> {
        let program = find_program(PROGRAM, &[]).next().ok_or(Error::NotFound {
            program: PROGRAM,
            install: INSTALL,
        })?;
        options.dir = std::path::absolute(&options.dir).map_err(io_error("find", &options.dir))?;
        std::fs::create_dir_all(&options.dir).map_err(io_error("create", &options.dir))?;
        let mut broker = Self {
            program,
            store_dir: options.dir.join("store"),
            port: options.port,
            monitoring_port: None,
            options,
            process: None,
        };
        let mut tries = 1;
        loop {
            broker.choose_ports()?;
            match broker.start_again().await {
                Err(Error::Failed { tail, .. })
                    if tries < PORT_TRIES && tail.contains("address already in use") => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(broker),
            }
            tries += 1;
        }
    }

    fn choose_ports(&mut self) -> Result<(), Error> {
        let free = || free_port().map_err(io_error("find a free port for", &self.program));
        if self.options.port == 0 {
            self.port = free()?;
        }
        if self.options.monitoring {
            self.monitoring_port = Some(free()?);
        }
        Ok(())
    }

    /// Starts a stopped or killed broker where it was: same store, same ports.
    pub async fn start_again(&mut self) -> Result<(), Error> {
        self.process = None;
        let process = Process::start(Launch {
            name: PROGRAM,
            program: self.program.clone(),
            args: self.args(),
            log: self.log(),
            user: None,
            farewell: "TERM",
        })
        .await?;
        let process = self.process.insert(process);
        let deadline = Instant::now() + START_PATIENCE;
        while !process.log_text().contains(READY) {
            if let Some(status) = process.ended() {
                return Err(process.failed(format!("ended at its start ({status})")));
            }
            if Instant::now() >= deadline {
                return Err(process.failed("does not get ready"));
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    fn args(&self) -> Vec<OsString> {
        let port = self.port.to_string();
        let store = match self.options.store {
            Store::File => "file",
            Store::Memory => "memory",
        };
        let mut args: Vec<OsString> = ["-cid", &self.options.cluster_id, "-a", "127.0.0.1"]
            .into_iter()
            .chain(["-p", &port, "-mc", "0", "-msu", "0", "-mm", "0", "-mb", "0"])
            .chain(["-store", store])
            .map(OsString::from)
            .collect();
        if self.options.store == Store::File {
            args.extend(["-dir".into(), self.store_dir.clone().into()]);
        }
        if let Some(port) = self.monitoring_port {
            args.extend(["-m".into(), port.to_string().into()]);
        }
        args.extend(self.options.extra_args.iter().map(OsString::from));
        args
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn monitoring_url(&self) -> Option<String> {
        Some(format!("http://127.0.0.1:{}", self.monitoring_port?))
    }

    pub fn cluster_id(&self) -> &str {
        &self.options.cluster_id
    }

    pub fn store_dir(&self) -> &Path {
        &self.store_dir
    }

    pub fn log(&self) -> PathBuf {
        self.options.dir.join("broker.log")
    }

    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    pub fn is_running(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| process.ended().is_none())
    }

    pub async fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop(Signal::TERM, STOP_PATIENCE).await;
        }
    }

    /// Stopped in order and started; a killed one is started.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.stop().await;
        self.start_again().await
    }

    /// Killed, its store thrown away, and started: sequences begin at 1 again.
    pub async fn wipe_and_restart(&mut self) -> Result<(), Error> {
        self.kill();
        place::remove(&self.store_dir)?;
        self.start_again().await
    }

    /// -9.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Freezes it, until `resume`.
    pub fn pause(&mut self) {
        if let Some(process) = &mut self.process {
            process.pause();
        }
    }

    pub fn resume(&mut self) {
        if let Some(process) = &mut self.process {
            process.resume();
        }
    }
}

//! A private Postgres cluster: made at the first start, found again at each later one. `waybill dev` keeps its data
//! in it, the tests do it harm.
//!
//! Its invariant: only we can reach it. It listens on a Unix socket in a directory that is closed to other users (so
//! the roles need no password there), and on loopback only when asked, with a password made anew at each start. What
//! it has committed is on the disk: no setting here weakens fsync, and only a caller's own `settings` can.
//!
//! Deliberately absent: upgrades of a cluster to another major version, and clusters that were here before us.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};

use super::place::{self, User};
use super::process::{Launch, Process, Signal, free_port};
use super::program::postgres_bin_dir;
use super::{Error, io_error};

/// Fit for a laptop with two cores; `Options::settings` come after them and win.
const SETTINGS: [(&str, &str); 8] = [
    ("shared_buffers", "256MB"),
    ("max_wal_size", "2GB"),
    ("max_connections", "100"),
    ("log_line_prefix", "%m [%p] "),
    ("log_timezone", "UTC"),
    ("timezone", "UTC"),
    ("cluster_name", "waybill"),
    // The log must stay on stderr, where the leash's lock is.
    ("logging_collector", "off"),
];

/// A cluster that has a crash behind it reads up to `max_wal_size` of WAL before it serves.
const START_PATIENCE: Duration = Duration::from_secs(180);
const STOP_PATIENCE: Duration = Duration::from_secs(30);

const ROLE_EXISTS: &str = "select from pg_roles where rolname = 'waybill'";
const DATABASE_EXISTS: &str = "select from pg_database where datname = 'waybill'";

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The cluster's directory; its log is beside it, with `.log` at the end of the name.
    pub data_dir: PathBuf,
    /// By default a short one under the temporary directory. One that is named here is closed to other users.
    pub socket_dir: Option<PathBuf>,
    /// Listen on a free port of 127.0.0.1 as well.
    pub tcp: bool,
    pub settings: Vec<(String, String)>,
}

/// A running cluster, or one that is stopped for a while. Dropping it kills it; its data stays.
pub struct Postgres {
    bin_dir: PathBuf,
    user: Option<User>,
    /// Where the data really is (see `place::settle`).
    data_dir: PathBuf,
    log: PathBuf,
    socket_dir: PathBuf,
    /// Nobody asked for that directory, so it is ours to remove.
    temporary_socket_dir: bool,
    /// We have held the log's lock: before that another may be at work in the socket's directory.
    was_started: bool,
    port: u16,
    password: Option<String>,
    settings: Vec<(String, String)>,
    process: Option<Process>,
}

impl Postgres {
    pub async fn start(options: Options) -> Result<Self, Error> {
        let asked =
            std::path::absolute(&options.data_dir).map_err(io_error("find", &options.data_dir))?;
        let user = User::for_data(&asked)?;
        let data_dir = place::settle(&asked, user.as_ref())?;
        let bin_dir = postgres_bin_dir(&data_dir)?;
        let socket_dir = place::socket_dir(options.socket_dir.as_deref(), &asked, user.as_ref())?;
        let mut log = asked.into_os_string();
        log.push(".log");
        let port = match options.tcp {
            true => free_port().map_err(io_error("find a free port for", &data_dir))?,
            // It is only a part of the socket's name.
            false => 5432,
        };
        let mut postgres = Self {
            bin_dir,
            user,
            data_dir,
            log: log.into(),
            socket_dir,
            temporary_socket_dir: options.socket_dir.is_none(),
            was_started: false,
            port,
            password: options.tcp.then(secret).transpose()?,
            settings: options.settings,
            process: None,
        };
        if !postgres.data_dir.join("PG_VERSION").exists() {
            postgres.init().await?;
        }
        postgres.start_again().await?;
        Ok(postgres)
    }

    /// Starts a stopped or killed cluster where it was: same data, same socket, same port.
    pub async fn start_again(&mut self) -> Result<(), Error> {
        self.process = None;
        self.remove_stale_pid_file()?;
        let process = Process::start(self.launch("postgres", self.server_args())).await?;
        let process = self.process.insert(process);
        self.was_started = true;
        let deadline = Instant::now() + START_PATIENCE;
        let url = url(&self.socket_dir, self.port, "postgres", "postgres");
        let client = loop {
            if let Some(status) = process.ended() {
                return Err(process.failed(format!("ended at its start ({status})")));
            }
            if let Ok(Ok(client)) = timeout(Duration::from_secs(2), connect(&url)).await {
                break client;
            }
            if Instant::now() >= deadline {
                return Err(process.failed("does not answer"));
            }
            sleep(Duration::from_millis(20)).await;
        };
        self.set_up(&client).await
    }

    /// Postgres takes the pid in the file of a run that was killed for its own, if any process has that number by now. A
    /// postmaster, though, has its data directory as its current directory. Where that can't be told, Postgres decides.
    fn remove_stale_pid_file(&self) -> Result<(), Error> {
        let file = self.data_dir.join("postmaster.pid");
        let Ok(text) = fs::read_to_string(&file) else {
            return Ok(());
        };
        let pid = text.lines().next().unwrap_or_default();
        let name = fs::read_to_string(format!("/proc/{pid}/comm"));
        let dir = fs::read_link(format!("/proc/{pid}/cwd"));
        let other_program = name.is_ok_and(|name| name.trim_end() != "postgres");
        let other_data = match (dir, fs::canonicalize(&self.data_dir)) {
            (Ok(dir), Ok(data_dir)) => dir != data_dir,
            _ => false,
        };
        match other_program || other_data {
            true => place::remove(&file),
            false => Ok(()),
        }
    }

    async fn init(&self) -> Result<(), Error> {
        // Under another name until it is whole: an initdb that was killed leaves nothing that looks like a cluster.
        let mut half = self.data_dir.clone().into_os_string();
        half.push(".new");
        let half = PathBuf::from(half);
        place::remove(&half)?;
        place::private_dir(&half, self.user.as_ref())?;
        let mut args: Vec<OsString> = [
            "--username=postgres",
            "--data-checksums",
            "--encoding=UTF8",
            "--locale=C",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--pgdata",
        ]
        .map(OsString::from)
        .to_vec();
        args.push(half.clone().into());
        if self
            .settings
            .iter()
            .any(|(name, value)| name == "fsync" && value == "off")
        {
            args.push("--no-sync".into());
        }
        let mut initdb = Process::start(self.launch("initdb", args)).await?;
        match initdb.ends_within(START_PATIENCE).await {
            Some(status) if status.success() => {}
            Some(status) => return Err(initdb.failed(format!("failed ({status})"))),
            None => return Err(initdb.failed("does not end")),
        }
        fs::rename(&half, &self.data_dir).map_err(io_error("name", &self.data_dir))
    }

    /// The role and its database, and a password for it where there is TCP. Done at each start, so that a first start
    /// which was killed in the middle is made good by the next.
    async fn set_up(&self, client: &Client) -> Result<(), Error> {
        if client.query_opt(ROLE_EXISTS, &[]).await?.is_none() {
            client.batch_execute("create role waybill login").await?;
        }
        if let Some(password) = &self.password {
            // Made here, of hexadecimal digits: nothing to escape.
            let statement = format!("alter role waybill password '{password}'");
            client.batch_execute(&statement).await?;
        }
        if client.query_opt(DATABASE_EXISTS, &[]).await?.is_none() {
            client
                .batch_execute("create database waybill owner waybill")
                .await?;
        }
        Ok(())
    }

    fn launch(&self, program: &'static str, args: Vec<OsString>) -> Launch {
        Launch {
            name: program,
            program: self.bin_dir.join(program),
            args,
            log: self.log.clone(),
            user: self.user.clone(),
            // At once, without a checkpoint: the next start may be waiting for this end.
            farewell: "QUIT",
        }
    }

    fn server_args(&self) -> Vec<OsString> {
        let own = [
            (
                "unix_socket_directories",
                self.socket_dir.display().to_string(),
            ),
            ("unix_socket_permissions", "0700".to_owned()),
            ("port", self.port.to_string()),
            (
                "listen_addresses",
                self.password
                    .as_ref()
                    .map_or("", |_| "127.0.0.1")
                    .to_owned(),
            ),
        ];
        let mut args = vec![OsString::from("-D"), self.data_dir.clone().into()];
        let mut set = |name: &str, value: &str| {
            args.extend(["-c".into(), format!("{name}={value}").into()]);
        };
        SETTINGS.iter().for_each(|(name, value)| set(name, value));
        own.iter().for_each(|(name, value)| set(name, value));
        self.settings
            .iter()
            .for_each(|(name, value)| set(name, value));
        args
    }

    /// As the unprivileged role, which owns the database of the same name.
    pub fn url(&self) -> String {
        self.url_as("waybill", "waybill")
    }

    pub fn superuser_url(&self) -> String {
        self.url_as("postgres", "postgres")
    }

    pub fn url_as(&self, role: &str, database: &str) -> String {
        url(&self.socket_dir, self.port, role, database)
    }

    /// By TCP, with the password; there is one if `tcp` was asked for.
    pub fn tcp_url(&self) -> Option<String> {
        let password = self.password.as_ref()?;
        Some(format!(
            "postgresql://waybill:{password}@{}/waybill",
            self.tcp_address()?
        ))
    }

    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.password
            .as_ref()
            .map(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))
    }

    /// Where the data really is.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Where `psql` and its like are.
    pub fn bin_dir(&self) -> &Path {
        &self.bin_dir
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    pub fn is_running(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| process.ended().is_none())
    }

    /// In order: sessions are ended, everything is written (a "fast" shutdown).
    pub async fn stop(&mut self) {
        self.end(Signal::INT, STOP_PATIENCE).await;
    }

    /// At once: the next start recovers from the WAL, as after a crash.
    pub async fn stop_immediate(&mut self) {
        self.end(Signal::QUIT, STOP_PATIENCE).await;
    }

    async fn end(&mut self, soft: Signal, patience: Duration) {
        if let Some(mut process) = self.process.take() {
            process.stop(soft, patience).await;
        }
    }

    /// All of its processes, -9, as if the power had gone.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Freezes all of its processes, until `resume`.
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

    /// Removes a cluster that is not running, wherever its data really is.
    pub fn erase(data_dir: &Path) -> Result<(), Error> {
        place::erase(data_dir)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
        if self.temporary_socket_dir && self.was_started {
            // The socket and its lock file are all that is in there. The next start makes it again.
            let _ = fs::remove_dir_all(&self.socket_dir);
        }
    }
}

/// An URL that tokio-postgres and libpq both read; everything but letters, digits and -._~ is escaped.
fn url(socket_dir: &Path, port: u16, role: &str, database: &str) -> String {
    let escape = |text: &str| -> String {
        let byte = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        };
        text.bytes().map(byte).collect()
    };
    let host = escape(&socket_dir.to_string_lossy());
    let (role, database) = (escape(role), escape(database));
    format!("postgresql://{role}@/{database}?host={host}&port={port}")
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // Ends with the client; what goes wrong on it, the client's calls report.
    tokio::spawn(connection);
    Ok(client)
}

/// 128 bits from the system's generator, as hexadecimal digits.
fn secret() -> Result<String, Error> {
    use std::io::Read;
    let source = Path::new("/dev/urandom");
    let mut bytes = [0; 16];
    fs::File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(io_error("read", source))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_keeps_any_path() {
        for dir in ["/tmp/waybill-1", "/tmp/a b/ä%2F?&=#+@:"] {
            let config: tokio_postgres::Config = url(Path::new(dir), 5433, "way bill", "a/b")
                .parse()
                .unwrap();
            let host = tokio_postgres::config::Host::Unix(dir.into());
            assert_eq!(config.get_hosts(), [host]);
            assert_eq!(config.get_ports(), [5433]);
            assert_eq!(config.get_user(), Some("way bill"));
            assert_eq!(config.get_dbname(), Some("a/b"));
        }
    }
}

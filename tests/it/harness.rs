//! What the stories stand on: a bench for each test, with a database of its own, and on it a broker and services that are
//! real processes. Everything dies with the test, also after a panic, and with the run, however that ends.
//!
//! Nobody sleeps here: `until` looks again and again, with a deadline, at what gives no signal.

mod authority;
mod cluster;
mod frames;
mod issuer;
mod library;
mod lifecycle;
mod operator;
mod oracle;
mod pooler;
mod proxy;
mod service;
mod tokens;
mod traffic;

use std::ffi::OsString;
use std::fmt::Debug;
use std::future::Future;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::NoTls;
use waybill::sandbox::broker::{self, Broker, Store};
use waybill::sandbox::postgres::{self, Postgres};

pub use authority::{Authority, Certificate};
pub use cluster::directory;
pub use issuer::Issuer;
pub use library::library;
pub use operator::{Tables, healing_is_asked, make_log, same, tables, with_rules};
pub use oracle::check;
pub use pooler::{Pooler, Pooling};
pub use proxy::{Line, Proxy};
pub use service::{Answer, OCTETS, Service, resident_bytes};
pub use tokens::{TokensFile, bearer};
pub use traffic::{Ledger, Sender, junk, mixed, order, order_with, orders};

/// How much of the machine a test takes: those that push thousands of messages are few at a time.
#[derive(Clone, Copy)]
pub enum Weight {
    Light = 1,
    Heavy = 2,
}

static MACHINE: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    Semaphore::new(cores.max(2) * 2)
});

/// A place of a test's own: a directory, a database, and a turn on the machine.
pub struct Bench {
    pub dir: PathBuf,
    /// As the service connects: the unprivileged role.
    pub url: String,
    pub superuser_url: String,
    /// Postgres itself, where the test does harm to it.
    pub postgres: Option<Postgres>,
    services: AtomicU32,
    _turn: Option<SemaphorePermit<'static>>,
}

impl Bench {
    /// A migrated database in the cluster that all tests share.
    pub async fn new(weight: Weight) -> Self {
        let turn = turn(weight).await;
        let (url, superuser_url) = cluster::database().await;
        Self::at(url, superuser_url, None, Some(turn))
    }

    /// A second database, empty, in the same test.
    pub async fn beside(&self) -> Self {
        let (url, superuser_url) = cluster::empty_database().await;
        Self::at(url, superuser_url, None, None)
    }

    /// A database of a cluster that the test has made in its own way.
    pub fn over(postgres: &Postgres, database: &str) -> Self {
        let url = postgres.url_as("waybill", database);
        Self::at(url, postgres.url_as("postgres", database), None, None)
    }

    /// A cluster of its own, to be stopped, frozen and killed; its database is still empty.
    pub async fn with_own_postgres(weight: Weight, settings: &[(&str, &str)]) -> Self {
        let turn = turn(weight).await;
        let settings = [("shared_buffers", "32MB")].iter().chain(settings);
        let options = postgres::Options {
            data_dir: cluster::directory().join("postgres"),
            settings: settings
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            tcp: true,
            ..Default::default()
        };
        let postgres = Postgres::start(options).await.unwrap();
        let superuser_url = postgres.url_as("postgres", "waybill");
        Self::at(postgres.url(), superuser_url, Some(postgres), Some(turn))
    }

    fn at(
        url: String,
        superuser_url: String,
        postgres: Option<Postgres>,
        turn: Option<SemaphorePermit<'static>>,
    ) -> Self {
        Self {
            dir: cluster::directory(),
            url,
            superuser_url,
            postgres,
            services: AtomicU32::new(0),
            _turn: turn,
        }
    }

    /// Postgres, in a test that has one of its own.
    pub fn postgres(&mut self) -> &mut Postgres {
        self.postgres.as_mut().unwrap()
    }

    /// A session of the superuser in the test's database, which sees our tables by their short names.
    pub async fn sql(&self) -> Sql {
        until(30, "Postgres takes a session", async || {
            self.try_sql().await
        })
        .await
    }

    async fn try_sql(&self) -> Option<Sql> {
        let (client, connection) = tokio_postgres::connect(&self.superuser_url, NoTls)
            .await
            .ok()?;
        tokio::spawn(connection);
        let short_names = "set search_path to live, public";
        client.batch_execute(short_names).await.ok()?;
        Some(Sql(client))
    }

    /// A broker that notices a dead client within seconds.
    pub async fn broker(&self, store: Store) -> Broker {
        self.broker_with(store, &[]).await
    }

    pub async fn broker_with(&self, store: Store, extra: &[&str]) -> Broker {
        let dir = cluster::directory();
        brief_broker(dir, store, extra).await
    }

    /// A service of this database, started and serving; `args` are more of its flags.
    pub async fn serve(&self, broker: Option<&Broker>, args: &[&str]) -> Service {
        self.serve_in(&[], broker, args).await
    }

    /// With more in its environment: NAME=value.
    pub async fn serve_in(
        &self,
        environment: &[&str],
        broker: Option<&Broker>,
        args: &[&str],
    ) -> Service {
        let mut service = self.service(environment, broker, args);
        service.start().await;
        service
    }

    /// Not started yet.
    pub fn service(&self, environment: &[&str], broker: Option<&Broker>, args: &[&str]) -> Service {
        let mut all: Vec<OsString> = vec!["serve".into()];
        let mut set = |name: &str, value: &str| {
            if !args.contains(&name) {
                all.extend([name.into(), value.into()]);
            }
        };
        set("--database-url", &self.url);
        set("--listen", "127.0.0.1:0");
        set("--cache-bytes", "33554432");
        if let Some(broker) = broker {
            set("--stan-url", &broker.url());
            set("--cluster-id", broker.cluster_id());
            set("--client-id", "waybill-1");
            if let Some(url) = broker.monitoring_url() {
                set("--stan-monitoring-url", &url);
            }
        }
        all.extend(args.iter().map(OsString::from));
        let number = self.services.fetch_add(1, Ordering::Relaxed);
        let log = self.dir.join(format!("service-{number}.log"));
        let environment = environment.iter().map(OsString::from).collect();
        Service::new(all, environment, log)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // The run's end removes what is left; this keeps the disk small while it lasts.
        self.postgres = None;
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

async fn turn(weight: Weight) -> SemaphorePermit<'static> {
    MACHINE.acquire_many(weight as u32).await.unwrap()
}

pub async fn brief_broker(dir: PathBuf, store: Store, extra: &[&str]) -> Broker {
    let brief = ["-hbi", "1s", "-hbt", "1s", "-hbf", "2"];
    let options = broker::Options {
        dir,
        cluster_id: "waybill".into(),
        monitoring: true,
        store,
        extra_args: brief
            .iter()
            .chain(extra)
            .map(|arg| (*arg).to_owned())
            .collect(),
        ..Default::default()
    };
    Broker::start(options).await.unwrap()
}

/// A session for looking, and for doing harm.
pub struct Sql(tokio_postgres::Client);

impl Sql {
    /// The source of what comes over HTTP for the orders, which the service makes at the first message.
    pub async fn http_source(&self) {
        self.run(
            "insert into source (kind, name, collection) select 'http', 'orders', 'orders'
             where not exists (select from source where kind = 'http')",
        )
        .await;
    }

    /// One number.
    pub async fn count(&self, query: &str) -> i64 {
        self.0.query_one(query, &[]).await.unwrap().get(0)
    }

    pub async fn text(&self, query: &str) -> String {
        self.0.query_one(query, &[]).await.unwrap().get(0)
    }

    pub async fn rows(&self, query: &str) -> Vec<tokio_postgres::Row> {
        self.0.query(query, &[]).await.unwrap()
    }

    pub async fn run(&self, statements: &str) {
        self.0.batch_execute(statements).await.unwrap();
    }

    /// Where the session may be gone.
    pub async fn try_count(&self, query: &str) -> Option<i64> {
        Some(self.0.query_one(query, &[]).await.ok()?.get(0))
    }

    /// The last position given.
    pub async fn head(&self) -> i64 {
        self.count("select next_position - 1 from inbox_head").await
    }
}

/// What must happen within so many seconds.
pub async fn within<T>(seconds: u64, what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(seconds), work).await {
        Ok(done) => done,
        Err(_) => panic!("not within {seconds} s: {what}"),
    }
}

/// Looks every few milliseconds until there is something, for so many seconds at most.
pub async fn until<T>(seconds: u64, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    within(seconds, what, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// As `until`, and says what was there instead when the time is over.
pub async fn until_equal<T: PartialEq + Debug>(
    seconds: u64,
    what: &str,
    wanted: T,
    mut look: impl AsyncFnMut() -> T,
) {
    let mut last = None;
    let looking = async {
        loop {
            let now = look().await;
            if now == wanted {
                return;
            }
            last = Some(now);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(seconds), looking)
        .await
        .is_err()
    {
        panic!("{what}: {last:?} for {seconds} s, and {wanted:?} was wanted");
    }
}

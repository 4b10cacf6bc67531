//! `waybill dev`: everything a newcomer needs, in one command. A private Postgres and a private NATS Streaming under
//! `.waybill/`, the service in this process, and a trickle of sample orders with some junk among them.
//!
//! Its invariant: what a run stored, the next run finds, and one run at a time works on a directory. `.waybill/run.json`
//! is there while all is up, and tells the other commands where everything is.
//! Deliberately absent: downloads; `make run` brings the servers, and without a broker messages come over HTTP alone.

mod place;
mod trickle;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use reqwest::Method;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::client::{Client, Shown};
use super::run_file::RunFile;
use super::{screen, usage};
use crate::config::{BrokerArgs, DatabaseArgs, ServeArgs, loopback};
use crate::sandbox::broker::{self, Broker};
use crate::sandbox::postgres::{self, Postgres};
use crate::telemetry::{self, LogFormat};
use crate::{api, sandbox, serve};

use place::Place;

const CLUSTER_ID: &str = "waybill";
const CHANNEL: &str = "orders";
const FIRST_PORT: u16 = 8080;
const PORTS: u16 = 100;
/// Messages sent at once into an empty inbox, so that there is something to see.
const FIRST_SAMPLES: u32 = 60;

#[derive(clap::Args)]
#[command(after_help = "\
It needs PostgreSQL 14 or newer and nats-streaming-server on this machine (`make tools` brings both); where there is no \
broker, it takes messages over HTTP alone. The settings of `waybill serve` and their WAYBILL_* variables are not used \
here, those below aside. WAYBILL_LOG=info shows the service's log.

Examples:
  waybill dev                       start, or go on with the data that is there
  waybill dev --fresh               begin with nothing
  waybill dev --no-samples          only what you publish yourself
  waybill dev --data /tmp/try --listen 127.0.0.1:9000

Exit codes: 0 stopped by Ctrl-C or SIGTERM; 1 something did not start, or broke; 2 a wrong argument.")]
pub struct Args {
    /// Where data and logs are
    #[arg(long, value_name = "DIR", default_value = ".waybill")]
    data: PathBuf,

    /// Throw away what is in the data directory, and begin with nothing
    #[arg(long)]
    fresh: bool,

    /// Where to listen [default: 127.0.0.1:8080, or the next free port]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,

    /// Listen off loopback: whoever reaches the port can read and decide everything
    #[arg(long)]
    insecure_listen: bool,

    /// Make up no sample orders
    #[arg(long, conflicts_with = "rate")]
    no_samples: bool,

    /// Sample messages a second, one in ten of them junk
    #[arg(long, value_name = "PER_SECOND", default_value = "2", value_parser = rate, allow_negative_numbers = true)]
    rate: f64,

    /// Memory for cached orders, in bytes
    #[arg(long, env = "WAYBILL_CACHE_BYTES", value_name = "BYTES", default_value_t = 256 << 20, value_parser = clap::value_parser!(u64).range(1 << 20..))]
    cache_bytes: u64,

    /// Days for which the letters of a finished operation can be asked for
    #[arg(long, env = "WAYBILL_OPERATION_DAYS", value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    operation_days: u32,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    telemetry::init_logs(LogFormat::Text, "warn");
    if let Some(address) = args.listen
        && !address.ip().is_loopback()
        && !args.insecure_listen
    {
        return Err(usage(format!(
            "{address} is off loopback, and `waybill dev` asks nobody who they are: say --insecure-listen if whoever reaches it may read and decide everything"
        )));
    }
    let stop = CancellationToken::new();
    super::stop_on_signal(stop.clone())?;
    // Before anything starts: a taken port, or a taken directory, is to be told at once.
    let place = Place::take(&args.data).await?;
    let listener = listen(args.listen).await?;
    if args.fresh {
        place.erase()?;
    }
    let started = tokio::select! {
        servers = Servers::start(&place) => Some(servers?),
        () = stop.cancelled() => None,
    };
    if let Some(mut servers) = started {
        let outcome = serve_with(&args, &place, &mut servers, listener, &stop).await;
        servers.stop().await;
        outcome?;
    }
    eprintln!("Stopped; the data stays in {}.", args.data.display());
    Ok(ExitCode::SUCCESS)
}

/// From a service that starts to one that has stopped; the servers are still up before and after.
async fn serve_with(
    args: &Args,
    place: &Place,
    servers: &mut Servers,
    listener: TcpListener,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    let config = settings(args, servers, address).config()?;
    let mut service = tokio::spawn(serve::run(config, listener, stop.clone()));
    let url = format!("http://{}", reachable(address));
    let client = Client::new(
        &url,
        "the service in this process has ended",
        Shown::default(),
    )?;
    let mut samples = None;
    let up = async {
        until_ready(&client).await;
        let run_file = servers.run_file(&url, place);
        run_file.write(place.dir()).with_context(|| {
            format!(
                "{} cannot be written to",
                place.dir().join("run.json").display()
            )
        })?;
        if !args.no_samples {
            let target = trickle::Target::of(&run_file);
            let burst = match is_empty(&client).await {
                true => FIRST_SAMPLES,
                false => 0,
            };
            samples = Some(tokio::spawn(trickle::run(
                target,
                &crate::collection::orders().model,
                burst,
                args.rate,
                stop.clone(),
            )));
        }
        let order = an_order(&client, samples.is_some()).await;
        screen::print(welcome(args, place, servers, &url, order.as_deref()))?;
        servers.watch(stop).await;
        anyhow::Ok(())
    };
    let outcome = tokio::select! {
        outcome = up => outcome,
        ended = &mut service => {
            place.forget_run();
            return flatten(ended);
        }
        () = stop.cancelled() => Ok(()),
    };
    place.forget_run();
    stop.cancel();
    eprintln!("Stopping: what was received is being committed.");
    if let Some(samples) = samples {
        // It ends by the same stop.
        let _ = samples.await;
    }
    outcome.and(flatten(service.await))
}

fn flatten(ended: Result<anyhow::Result<()>, tokio::task::JoinError>) -> anyhow::Result<()> {
    ended.context("the service panicked: this is a bug")?
}

/// As `waybill serve` with these flags, and with no variable of the environment.
fn settings(args: &Args, servers: &Servers, listen: SocketAddr) -> ServeArgs {
    let broker = servers.broker.as_ref();
    ServeArgs {
        database: DatabaseArgs {
            database_url: Some(servers.postgres.url()),
            ..DatabaseArgs::default()
        },
        broker: BrokerArgs {
            stan_url: broker.map(Broker::url),
            cluster_id: CLUSTER_ID.to_owned(),
            channel: CHANNEL.to_owned(),
            ..BrokerArgs::default()
        },
        client_id: Some("waybill-dev".to_owned()),
        stan_monitoring_url: broker.and_then(Broker::monitoring_url),
        listen,
        insecure_listen: args.insecure_listen,
        cache_bytes: args.cache_bytes,
        operation_days: args.operation_days,
        ..ServeArgs::defaults()
    }
}

struct Servers {
    postgres: Postgres,
    broker: Option<Broker>,
}

impl Servers {
    async fn start(place: &Place) -> anyhow::Result<Self> {
        let data_dir = place.postgres();
        eprintln!(
            "Starting a private PostgreSQL and NATS Streaming in {}{}.",
            place.dir().display(),
            if data_dir.exists() {
                ""
            } else {
                ", for the first time"
            }
        );
        let postgres = Postgres::start(postgres::Options {
            data_dir,
            settings: vec![
                ("shared_buffers".to_owned(), "256MB".to_owned()),
                ("max_wal_size".to_owned(), "4GB".to_owned()),
            ],
            ..postgres::Options::default()
        });
        let broker = Broker::start(broker::Options {
            dir: place.broker(),
            cluster_id: CLUSTER_ID.to_owned(),
            monitoring: true,
            ..broker::Options::default()
        });
        let (postgres, broker) = tokio::join!(postgres, broker);
        let broker = match broker {
            Ok(broker) => Some(broker),
            Err(error @ sandbox::Error::NotFound { .. }) => {
                eprintln!("{error}.\nGoing on without a broker: messages come over HTTP alone.");
                None
            }
            Err(error) => return Err(error.into()),
        };
        let postgres = postgres?;
        migrate(&postgres).await?;
        Ok(Self { postgres, broker })
    }

    fn run_file(&self, url: &str, place: &Place) -> RunFile {
        let broker = self.broker.as_ref();
        RunFile {
            url: url.to_owned(),
            stan_url: broker.map(Broker::url),
            cluster_id: broker.map(|_| CLUSTER_ID.to_owned()),
            channel: broker.map(|_| CHANNEL.to_owned()),
            monitoring_url: broker.and_then(Broker::monitoring_url),
            database_url: Some(self.postgres.url()),
            data: Some(place.dir().to_owned()),
        }
    }

    /// Until `stop`. A server that ended by itself is started again: the service waits for it meanwhile.
    async fn watch(&mut self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
            if !self.postgres.is_running() {
                tracing::warn!("PostgreSQL has ended by itself: starting it again");
                if let Err(error) = self.postgres.start_again().await {
                    tracing::error!(%error, "PostgreSQL does not start: {error}");
                }
            }
            if let Some(broker) = &mut self.broker
                && !broker.is_running()
            {
                tracing::warn!("NATS Streaming has ended by itself: starting it again");
                if let Err(error) = broker.start_again().await {
                    tracing::error!(%error, "NATS Streaming does not start: {error}");
                }
            }
        }
    }

    /// In order: nobody writes to Postgres any more once the broker is gone.
    async fn stop(mut self) {
        if let Some(broker) = &mut self.broker {
            broker.stop().await;
        }
        self.postgres.stop().await;
    }
}

/// As the superuser, so that the service's own role can neither change nor remove a message.
async fn migrate(postgres: &Postgres) -> anyhow::Result<()> {
    let url = postgres.url_as("postgres", "waybill");
    let settings = crate::postgres::Settings::parse(&url, None, false)?;
    let database = crate::postgres::Database::new(settings, 1)?;
    crate::postgres::migrate(&database, Some("waybill"))
        .await
        .context("the private PostgreSQL")?;
    Ok(())
}

async fn listen(asked: Option<SocketAddr>) -> anyhow::Result<TcpListener> {
    if let Some(address) = asked {
        return Ok(api::listen(address).await?);
    }
    for port in FIRST_PORT..FIRST_PORT + PORTS {
        if let Ok(listener) = api::listen(loopback(port)).await {
            return Ok(listener);
        }
    }
    anyhow::bail!(
        "no port of {FIRST_PORT} to {} is free: name one with --listen 127.0.0.1:PORT",
        FIRST_PORT + PORTS - 1
    )
}

/// An address that a client can use: nobody can go to 0.0.0.0.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip().is_unspecified() {
        true => loopback(address.port()),
        false => address,
    }
}

/// However long it takes: the caller sees when the service ends instead.
async fn until_ready(client: &Client) {
    loop {
        let asked = client.exchange(client.request(Method::GET, "/healthz/ready"));
        if asked.await.is_ok_and(|answer| answer.status.is_success()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn is_empty(client: &Client) -> bool {
    #[derive(Deserialize)]
    struct Stats {
        received: i64,
    }
    let stats = client.get("/api/v1/stats", &[]).await;
    stats
        .and_then(|answer| answer.read::<Stats>())
        .is_ok_and(|stats| stats.received == 0)
}

/// The address of an order that is there; with samples on their way, the first one is waited for.
async fn an_order(client: &Client, wait: bool) -> Option<String> {
    #[derive(Deserialize)]
    struct Page {
        items: Vec<Order>,
    }
    #[derive(Deserialize)]
    struct Order {
        order_uid: String,
    }
    let query = [("limit", "1".to_owned())];
    for _ in 0..100 {
        let page = client.get("/api/v1/orders", &query).await;
        let page = page.and_then(|answer| answer.read::<Page>()).ok();
        if let Some(order) = page.and_then(|page| page.items.into_iter().next()) {
            let mut url = reqwest::Url::parse(&client.url()).ok()?;
            url.path_segments_mut()
                .ok()?
                .extend(["api", "v1", "orders", &order.order_uid]);
            return Some(url.into());
        }
        if !wait {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    None
}

fn welcome(
    args: &Args,
    place: &Place,
    servers: &Servers,
    url: &str,
    order: Option<&str>,
) -> String {
    let waybill = place::own_name();
    let mut rows = vec![
        ("Page", url.to_owned()),
        ("API, to try", format!("{url}/docs")),
        (
            "An order",
            order.map_or_else(|| "none yet".to_owned(), str::to_owned),
        ),
        ("Dead letters", format!("{url}/api/v1/dead-letters?limit=5")),
        (
            "Broker",
            match &servers.broker {
                Some(broker) => format!(
                    "{}, cluster id {CLUSTER_ID}, channel {CHANNEL}",
                    broker.url()
                ),
                None => format!("none; POST {url}/api/v1/orders takes messages"),
            },
        ),
        ("Data and logs", place.dir().display().to_string()),
    ];
    if !servers.postgres.data_dir().starts_with(place.dir()) {
        rows.push((
            "PostgreSQL's data",
            servers.postgres.data_dir().display().to_string(),
        ));
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::from("\nWaybill is running.\n\n");
    for (name, value) in rows {
        text.push_str(&format!("  {name:width$}  {value}\n"));
    }
    text.push_str(&match args.no_samples {
        true => "\nNo samples are made up (--no-samples).".to_owned(),
        false => format!(
            "\nSample orders come at {} a second, one in ten of them junk; --no-samples makes none.",
            args.rate
        ),
    });
    // The other commands look for the run file upwards from where they are.
    let found = RunFile::find().is_ok_and(|run| run.url == url);
    let at = if found {
        String::new()
    } else {
        format!(" --url {url}")
    };
    let http = if found {
        String::new()
    } else {
        format!(" --http {url}")
    };
    text.push_str(&format!(
        "\n\nIn another terminal{here}:\n\
         \x20 {waybill} publish{http} --count 1000 --junk 10%\n\
         \x20 {waybill} status{at}\n\
         \x20 {waybill} dead-letters groups{at}\n\n\
         Ctrl-C stops all of it and keeps the data. To begin with nothing: {waybill} dev{data} --fresh\n",
        here = if found { ", in this directory" } else { "" },
        data = match args.data == Path::new(".waybill") {
            true => String::new(),
            false => format!(" --data {}", args.data.display()),
        },
    ));
    text
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && (0.001..=10_000.0).contains(&rate) => Ok(rate),
        _ => Err("a number of messages a second, up to 10000; --no-samples for none".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_above_zero() {
        assert_eq!(rate("0.5"), Ok(0.5));
        for text in ["0", "-1", "NaN", "inf", "many", ""] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_taken_port_gives_way_to_the_next_one() {
        let one = listen(None).await.unwrap().local_addr().unwrap();
        let held = listen(Some(one)).await.unwrap();
        let other = listen(None).await.unwrap();
        assert_ne!(
            held.local_addr().unwrap().port(),
            other.local_addr().unwrap().port()
        );
        assert!(listen(Some(one)).await.is_err());
    }

    #[test]
    fn an_address_is_one_that_a_client_can_use() {
        assert_eq!(
            reachable("0.0.0.0:81".parse().unwrap()).to_string(),
            "127.0.0.1:81"
        );
        assert_eq!(
            reachable("127.0.0.2:81".parse().unwrap()).to_string(),
            "127.0.0.2:81"
        );
    }
}

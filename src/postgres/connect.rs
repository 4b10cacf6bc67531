//! The one way to a server, for sessions and for the pool. The hosts of the URL are tried one after the other, and so are the
//! addresses of each name, until one takes us and takes writes. Each has a bound of its own: a host that is off, or hung,
//! costs that much and no more. What failed last is tried last: it costs that much once, not at each connection.

use std::net::IpAddr;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_postgres::config::{self, Config};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{Error, Failure, describe_all};
use super::query::within;
use super::settings::{Host, Settings};
use super::tls;

/// What one address may take for TCP, TLS, authentication and the question whether it takes writes; and the look-up of one
/// name. TCP sends again after 1 s, so one lost packet is no failure.
pub const BOUND: Duration = Duration::from_secs(3);

/// Failures that are remembered. Names whose addresses change for ever would fill memory.
const REMEMBERED: usize = 64;

pub type Connection =
    tokio_postgres::Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// A connection that nobody drives yet.
pub type Connected = (Client, Connection);

/// What can fail: a host, with all its addresses; and one of them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Host(usize),
    Address(usize, Option<IpAddr>),
}

pub struct Connector {
    settings: Settings,
    /// The latest is the last.
    failed: Mutex<Vec<Place>>,
    /// For each host, how many addresses its name had when it was last looked up.
    addresses: Vec<AtomicU32>,
}

impl Connector {
    pub fn new(settings: Settings) -> Self {
        let addresses = settings.hosts.iter().map(|_| AtomicU32::new(1)).collect();
        Self {
            settings,
            failed: Mutex::default(),
            addresses,
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The sum of all bounds: after so long every host has been tried.
    pub fn patience(&self) -> Duration {
        let hosts = self.settings.hosts.iter().zip(&self.addresses);
        let tries: u32 = hosts
            .map(|(host, addresses)| {
                addresses.load(Ordering::Relaxed) + u32::from(host.name_to_look_up().is_some())
            })
            .sum();
        BOUND * tries
    }

    /// To the first host that takes writes. `config` is one of `Settings`: it names no host. Goes on if its caller gives up, so
    /// that one who waits for less than a host's bound gets past a dead host, too: at the next try.
    pub async fn connect(self: &Arc<Self>, config: Config) -> Result<Connected, Error> {
        let this = self.clone();
        let trying = tokio::spawn(async move { this.try_hosts(&config).await });
        match trying.await {
            Ok(outcome) => outcome,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_) => Err(Error::Pool("the service is stopping".to_owned())),
            },
        }
    }

    async fn try_hosts(&self, config: &Config) -> Result<Connected, Error> {
        let hosts = &self.settings.hosts;
        let mut failures = Vec::new();
        for index in self.in_order((0..hosts.len()).collect(), |index| Place::Host(*index)) {
            match self.try_host(index, config).await {
                Ok(connected) => {
                    if !failures.is_empty() {
                        tracing::info!(
                            "the Postgres at {} takes writes; passed over: {}",
                            hosts[index],
                            describe_all(&failures)
                        );
                    }
                    return Ok(connected);
                }
                Err(more) => {
                    self.remember(Place::Host(index));
                    failures.extend(more);
                }
            }
        }
        match failures.len() {
            1 => Err(failures.remove(0).1),
            _ => Err(Error::NoHost(failures)),
        }
    }

    async fn try_host(&self, index: usize, config: &Config) -> Result<Connected, Vec<Failure>> {
        let host = &self.settings.hosts[index];
        let addresses = match host.name_to_look_up() {
            None => vec![host.address],
            Some(name) => within(BOUND, look_up(name))
                .await
                .map_err(|error| vec![(host.to_string(), error)])?,
        };
        let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        self.addresses[index].store(count, Ordering::Relaxed);
        let mut failures = Vec::new();
        for address in self.in_order(addresses, |address| Place::Address(index, *address)) {
            match self.try_address(host, address, config).await {
                Ok(connected) => return Ok(connected),
                Err(error) => {
                    self.remember(Place::Address(index, address));
                    let at = match address {
                        Some(address) if host.name.is_some() => format!("{host} ({address})"),
                        _ => host.to_string(),
                    };
                    failures.push((at, error));
                }
            }
        }
        Err(failures)
    }

    async fn try_address(
        &self,
        host: &Host,
        address: Option<IpAddr>,
        config: &Config,
    ) -> Result<Connected, Error> {
        let mut config = config.clone();
        match &host.name {
            Some(config::Host::Tcp(name)) => {
                config.host(name);
            }
            Some(config::Host::Unix(path)) => {
                config.host_path(path);
            }
            None => {}
        }
        if let Some(address) = address {
            config.hostaddr(address);
        }
        config.port(host.port);
        within(BOUND, async {
            config.connect(self.settings.tls()).await.map_err(refused)
        })
        .await
    }

    /// As they are given (at random, if the URL says so); but what has failed comes after the others, the latest failure last.
    fn in_order<T>(&self, mut all: Vec<T>, place: impl Fn(&T) -> Place) -> Vec<T> {
        if self.settings.at_random {
            fastrand::shuffle(&mut all);
        }
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        all.sort_by_key(|one| failed.iter().position(|other| *other == place(one)));
        all
    }

    fn remember(&self, place: Place) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.retain(|other| *other != place);
        if failed.len() == REMEMBERED {
            failed.remove(0);
        }
        failed.push(place);
    }
}

async fn look_up(name: &str) -> Result<Vec<Option<IpAddr>>, Error> {
    // The port is only for the form.
    let found: Vec<_> = match tokio::net::lookup_host((name, 0)).await {
        Ok(found) => found.map(|address| Some(address.ip())).collect(),
        Err(error) => return Err(Error::NoAddress(error.to_string())),
    };
    if found.is_empty() {
        return Err(Error::NoAddress("it has none".to_owned()));
    }
    Ok(found)
}

fn refused(error: tokio_postgres::Error) -> Error {
    let fatal = [
        SqlState::INVALID_PASSWORD,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        SqlState::INVALID_CATALOG_NAME,
    ];
    match error.as_db_error() {
        Some(db) if fatal.contains(db.code()) => Error::Refused(db.message().to_owned()),
        _ => match tls::distrust(&error) {
            Some(why) => Error::Untrusted(why),
            None => Error::Server(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_last_is_tried_last() {
        let url = "host=one,two,three user=u dbname=d";
        let connector = Connector::new(Settings::parse(url, None, false).unwrap());
        let order = || connector.in_order(vec![0, 1, 2], |index| Place::Host(*index));
        assert_eq!(order(), [0, 1, 2]);
        connector.remember(Place::Host(0));
        assert_eq!(order(), [1, 2, 0]);
        connector.remember(Place::Host(1));
        assert_eq!(order(), [2, 0, 1]);
        connector.remember(Place::Host(0));
        assert_eq!(order(), [2, 1, 0]);
        // An address is another matter than its host.
        connector.remember(Place::Address(2, None));
        assert_eq!(order(), [2, 1, 0]);
    }

    #[test]
    fn patience_covers_each_host_each_address_and_each_look_up() {
        for (url, tries) in [
            ("postgresql://u@127.0.0.1,[::1]/d", 2),
            ("host=/one,/two user=u dbname=d", 2),
            ("host=one,two user=u dbname=d", 4),
            ("host=one,two hostaddr=127.0.0.1,127.0.0.2 user=u", 2),
        ] {
            let connector = Connector::new(Settings::parse(url, None, false).unwrap());
            assert_eq!(connector.patience(), BOUND * tries, "{url}");
        }
        let connector = Connector::new(Settings::parse("host=one user=u", None, false).unwrap());
        connector.addresses[0].store(3, Ordering::Relaxed);
        assert_eq!(connector.patience(), BOUND * 4);
    }
}

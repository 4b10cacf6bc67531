//! `--database-url` as libpq reads it, including the sslmodes that tokio-postgres does not know.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{self, LoadBalanceHosts, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Error;
use super::tls::{self, Verify};

/// A host as the URL names it.
#[derive(Clone, Debug)]
pub struct Host {
    /// With TLS the name is what the certificate must have, also if the address comes from elsewhere.
    pub name: Option<config::Host>,
    /// `hostaddr`: given with the name, or in its place.
    pub address: Option<IpAddr>,
    pub port: u16,
}

impl Host {
    /// The name to look up, if the address is not given.
    pub fn name_to_look_up(&self) -> Option<&str> {
        match (&self.name, self.address) {
            (Some(config::Host::Tcp(name)), None) if name.parse::<IpAddr>().is_err() => Some(name),
            _ => None,
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.name, self.address) {
            (Some(config::Host::Tcp(name)), _) => write!(f, "{name}:{}", self.port),
            (Some(config::Host::Unix(path)), _) => write!(f, "{}:{}", path.display(), self.port),
            (None, Some(address)) => SocketAddr::new(address, self.port).fmt(f),
            (None, None) => write!(f, "port {}", self.port),
        }
    }
}

/// Everything needed to connect. Never printed whole: it holds the password.
#[derive(Clone)]
pub struct Settings {
    pub(super) hosts: Vec<Host>,
    /// `load_balance_hosts=random`.
    pub(super) at_random: bool,
    /// All but the hosts.
    config: Config,
    tls: MakeRustlsConnect,
    pub allow_fsync_off: bool,
}

impl Settings {
    /// Reads a URL or key-value string; a password given apart from it wins.
    pub fn parse(url: &str, password: Option<&str>, allow_fsync_off: bool) -> Result<Self, Error> {
        let split = split_ssl(url);
        let given: Config = split.rest.parse().map_err(|e: tokio_postgres::Error| {
            let cause = std::error::Error::source(&e).map(ToString::to_string);
            Error::Settings(format!(
                "the database URL cannot be read: {}; it looks like postgresql://user@host:5432/database?sslmode=verify-full",
                cause.unwrap_or_else(|| e.to_string())
            ))
        })?;
        let hosts = hosts(&given)?;
        let mut config = without_hosts(&given);
        if let Some(password) = password {
            config.password(password);
        }
        let (mode, mut verify) = match split.mode.as_deref() {
            None | Some("prefer" | "allow") => (SslMode::Prefer, Verify::Nothing),
            Some("disable") => (SslMode::Disable, Verify::Nothing),
            Some("require") => (SslMode::Require, Verify::Nothing),
            Some("verify-ca") => (SslMode::Require, Verify::Chain),
            Some("verify-full") => (SslMode::Require, Verify::Full),
            Some(other) => {
                return Err(Error::Settings(format!(
                    "sslmode={other} is none of disable, allow, prefer, require, verify-ca, verify-full"
                )));
            }
        };
        // As libpq has it: a root certificate that is there is used, also under `require`.
        if verify == Verify::Nothing && mode == SslMode::Require && split.root.is_some() {
            verify = Verify::Chain;
        }
        config
            .ssl_mode(mode)
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .tcp_user_timeout(Duration::from_secs(8))
            .keepalives_idle(Duration::from_secs(5))
            .keepalives_interval(Duration::from_secs(2))
            .keepalives_retries(3);
        let tls = tls::connector(verify, split.root.as_deref(), split.client)?;
        Ok(Self {
            hosts,
            at_random: given.get_load_balance_hosts() == LoadBalanceHosts::Random,
            config,
            tls,
            allow_fsync_off,
        })
    }

    pub(super) fn tls(&self) -> MakeRustlsConnect {
        self.tls.clone()
    }

    pub(super) fn stage_config(&self, name: &str) -> Config {
        let mut config = self.config.clone();
        config.application_name(format!("waybill {name}"));
        config
    }

    /// For logs: where, without the secret.
    pub fn target(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(Host::to_string).collect();
        format!(
            "{} at {}",
            self.config.get_dbname().unwrap_or("the default database"),
            hosts.join(",")
        )
    }
}

fn hosts(config: &Config) -> Result<Vec<Host>, Error> {
    let (names, addresses) = (config.get_hosts(), config.get_hostaddrs());
    let count = names.len().max(addresses.len());
    if count == 0 {
        return Err(Error::Settings(
            "the database URL names no host: postgresql://user@host:5432/database, or ?host=/socket/directory".into(),
        ));
    }
    if names.len().min(addresses.len()) > 0 && names.len() != addresses.len() {
        return Err(Error::Settings(format!(
            "the database URL names {} hosts and {} hostaddrs: as many of one as of the other, or none",
            names.len(),
            addresses.len()
        )));
    }
    let ports = config.get_ports();
    if ports.len() > 1 && ports.len() != count {
        return Err(Error::Settings(format!(
            "the database URL names {} ports for {count} hosts: postgresql://user@one:5432,two:5432/database",
            ports.len()
        )));
    }
    let host = |index| Host {
        name: names.get(index).cloned(),
        address: addresses.get(index).copied(),
        port: *ports.get(index).or(ports.first()).unwrap_or(&5432),
    };
    Ok((0..count).map(host).collect())
}

/// A Config takes more hosts, and gives none away. Left out is also what `parse` sets.
fn without_hosts(given: &Config) -> Config {
    let mut config = Config::new();
    if let Some(user) = given.get_user() {
        config.user(user);
    }
    if let Some(password) = given.get_password() {
        config.password(password);
    }
    if let Some(database) = given.get_dbname() {
        config.dbname(database);
    }
    if let Some(options) = given.get_options() {
        config.options(options);
    }
    config
        .ssl_negotiation(given.get_ssl_negotiation())
        .channel_binding(given.get_channel_binding())
        .keepalives(given.get_keepalives());
    config
}

struct Split {
    rest: String,
    mode: Option<String>,
    root: Option<PathBuf>,
    client: Option<(PathBuf, PathBuf)>,
}

/// Takes the ssl parameters out of the string, in either of libpq's two forms.
fn split_ssl(url: &str) -> Split {
    let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
    let (head, parameters, joint) = match (is_url, url.split_once('?')) {
        (true, Some((head, query))) => (Some(head), query.split('&').collect::<Vec<_>>(), "&"),
        (true, None) => (Some(url), Vec::new(), "&"),
        (false, _) => (None, url.split_whitespace().collect(), " "),
    };
    let (mut mode, mut root, mut cert, mut key) = (None, None, None, None);
    let mut kept = Vec::new();
    for parameter in parameters {
        match parameter.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value.to_owned()),
            Some(("sslrootcert", value)) => root = path(value, is_url),
            Some(("sslcert", value)) => cert = path(value, is_url),
            Some(("sslkey", value)) => key = path(value, is_url),
            _ => kept.push(parameter),
        }
    }
    let kept = kept.join(joint);
    let rest = match head {
        Some(head) if kept.is_empty() => head.to_owned(),
        Some(head) => format!("{head}?{kept}"),
        None => kept,
    };
    Split {
        rest,
        mode,
        root,
        client: cert.zip(key),
    }
}

/// `sslrootcert=system` is the system's own store, which is what we use where none is named.
fn path(value: &str, is_url: bool) -> Option<PathBuf> {
    if value == "system" {
        return None;
    }
    let text = if is_url {
        value
            .replace("%2F", "/")
            .replace("%2f", "/")
            .replace("%20", " ")
    } else {
        value.trim_matches('\'').to_owned()
    };
    Some(PathBuf::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sslmodes_are_those_of_libpq() {
        for (text, ok) in [
            ("postgresql://u@h/d", true),
            (
                "postgresql://u@h/d?sslmode=require&application_name=x",
                true,
            ),
            ("postgresql://u@h/d?sslmode=verify-full", true),
            ("host=h user=u dbname=d sslmode=verify-ca", true),
            ("postgresql://u@h/d?sslmode=always", false),
            (
                "postgresql://u@h/d?sslrootcert=/nowhere/ca.pem&sslmode=verify-full",
                false,
            ),
            (
                "postgresql://u@one:5432,two:5433/d?target_session_attrs=read-write&sslmode=require",
                true,
            ),
            ("host=/one,/two port=5432,5433 user=u dbname=d", true),
            ("host=one port=5432,5433 user=u dbname=d", false),
            ("postgresql:///d", false),
            ("mysql://u@h/d", false),
        ] {
            assert_eq!(Settings::parse(text, None, false).is_ok(), ok, "{text}");
        }
    }

    #[test]
    fn each_host_has_its_port_and_none_is_lost_on_the_way() {
        for (url, target) in [
            ("postgresql://u@one,two:5433/d", "d at one:5432,two:5433"),
            ("postgresql://u@one/d?hostaddr=127.0.0.1", "d at one:5432"),
            ("hostaddr=::1 port=5433 dbname=d", "d at [::1]:5433"),
            ("host=/one port=5433 dbname=d", "d at /one:5433"),
        ] {
            let settings = Settings::parse(url, None, false).unwrap();
            assert_eq!(settings.target(), target);
        }
        let url = "postgresql://u:p@h/d?options=-c%20x%3Dy&sslnegotiation=direct&channel_binding=require&keepalives=0&sslmode=require";
        let given: Config = url.parse().unwrap();
        let config = Settings::parse(url, None, false).unwrap().config;
        assert_eq!(config.get_user(), given.get_user());
        assert_eq!(config.get_password(), given.get_password());
        assert_eq!(config.get_dbname(), given.get_dbname());
        assert_eq!(config.get_options(), given.get_options());
        assert_eq!(config.get_ssl_negotiation(), given.get_ssl_negotiation());
        assert_eq!(config.get_channel_binding(), given.get_channel_binding());
        assert_eq!(config.get_keepalives(), given.get_keepalives());
    }
}

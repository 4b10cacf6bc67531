//! `--database-url` as libpq reads it, including the sslmodes that tokio-postgres does not know.

use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Error;
use super::tls::{self, Verify};

/// Everything needed to connect. Never printed whole: it holds the password.
#[derive(Clone)]
pub struct Settings {
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
    pub allow_fsync_off: bool,
}

impl Settings {
    /// Reads a URL or key-value string; a password given apart from it wins.
    pub fn parse(url: &str, password: Option<&str>, allow_fsync_off: bool) -> Result<Self, Error> {
        let split = split_ssl(url);
        let mut config: tokio_postgres::Config = split.rest.parse().map_err(|e: tokio_postgres::Error| {
            let cause = std::error::Error::source(&e).map(ToString::to_string);
            Error::Settings(format!(
                "the database URL cannot be read: {}; it looks like postgresql://user@host:5432/database?sslmode=verify-full",
                cause.unwrap_or_else(|| e.to_string())
            ))
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(Error::Settings(
                "the database URL names no host: postgresql://user@host:5432/database, or ?host=/socket/directory".into(),
            ));
        }
        let hosts = config.get_hosts().len().max(config.get_hostaddrs().len());
        if config.get_ports().len() > 1 && config.get_ports().len() != hosts {
            return Err(Error::Settings(format!(
                "the database URL names {} ports for {hosts} hosts: postgresql://user@one:5432,two:5432/database",
                config.get_ports().len()
            )));
        }
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
            .connect_timeout(Duration::from_secs(3))
            .tcp_user_timeout(Duration::from_secs(8))
            .keepalives_idle(Duration::from_secs(5))
            .keepalives_interval(Duration::from_secs(2))
            .keepalives_retries(3);
        let tls = tls::connector(verify, split.root.as_deref(), split.client)?;
        Ok(Self {
            config,
            tls,
            allow_fsync_off,
        })
    }

    pub(super) fn tls(&self) -> MakeRustlsConnect {
        self.tls.clone()
    }

    pub(super) fn stage_config(&self, name: &str) -> tokio_postgres::Config {
        let mut config = self.config.clone();
        config.application_name(format!("waybill {name}"));
        config
    }

    /// Readers bound each statement on the server too: a slow list must not hold a connection for ever.
    pub(super) fn reader_config(&self) -> tokio_postgres::Config {
        let mut config = self.stage_config("reader");
        let options = format!(
            "{} -c search_path=live,public -c statement_timeout=10s -c idle_in_transaction_session_timeout=5s -c jit=off",
            self.config.get_options().unwrap_or_default()
        );
        config.options(options.trim());
        config
    }

    /// For logs: where, without the secret.
    pub fn target(&self) -> String {
        let hosts: Vec<String> = self
            .config
            .get_hosts()
            .iter()
            .map(|host| match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        format!(
            "{} at {}",
            self.config.get_dbname().unwrap_or("the default database"),
            hosts.join(",")
        )
    }
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
}

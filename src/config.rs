//! Flags and environment of `serve`, checked and turned into one struct for each room. Every flag has its `WAYBILL_*`
//! variable, every secret can come from a file. Called by the CLI. A wrong setting is one sentence and exit code 2.

mod oidc;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, FromArgMatches, ValueHint};

use crate::access::TokenFile;
use crate::access::oidc::Oidc;
use crate::stan;
use crate::telemetry::LogFormat;
use crate::{api, inbox, operation, postgres, projection, source};

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(String);

fn wrong(text: impl Into<String>) -> Wrong {
    Wrong(text.into())
}

/// Where Postgres is: also what `migrate` needs.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Postgres")]
pub struct DatabaseArgs {
    /// Where Postgres is, as libpq writes it: postgresql://user@host:5432/database?sslmode=verify-full.
    /// sslmode is one of disable, allow, prefer (default), require, verify-ca, verify-full; sslrootcert, sslcert and
    /// sslkey name files.
    #[arg(
        long,
        env = "WAYBILL_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database_url: Option<String>,

    /// A file that holds the database URL, where the URL itself is a secret.
    #[arg(long, env = "WAYBILL_DATABASE_URL_FILE", value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "database_url")]
    pub database_url_file: Option<PathBuf>,

    /// The password, where it is not in the URL. Better: --database-password-file.
    #[arg(
        long,
        env = "WAYBILL_DATABASE_PASSWORD",
        hide_env_values = true,
        value_name = "PASSWORD"
    )]
    pub database_password: Option<String>,

    /// A file that holds the password.
    #[arg(long, env = "WAYBILL_DATABASE_PASSWORD_FILE", value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "database_password")]
    pub database_password_file: Option<PathBuf>,

    /// Start although Postgres runs with fsync = off. An acknowledged message can then be lost in a power cut.
    #[arg(long, env = "WAYBILL_ALLOW_FSYNC_OFF")]
    pub allow_fsync_off: bool,
}

impl DatabaseArgs {
    pub fn settings(&self) -> Result<postgres::Settings, Wrong> {
        let url = secret(self.database_url.as_deref(), self.database_url_file.as_deref(), "--database-url-file")?
            .ok_or_else(|| {
                wrong("no database: set --database-url or WAYBILL_DATABASE_URL, for example postgresql://waybill@localhost/waybill; `waybill dev` brings its own")
            })?;
        let password = secret(
            self.database_password.as_deref(),
            self.database_password_file.as_deref(),
            "--database-password-file",
        )?;
        postgres::Settings::parse(&url, password.as_deref(), self.allow_fsync_off)
            .map_err(|error| wrong(error.to_string()))
    }
}

/// Where the broker is. `publish` has flags of the same names, most of them with other defaults.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "NATS Streaming")]
pub struct BrokerArgs {
    /// Where the broker is: nats://host:4222, tls://host:4222, several with commas. Without it, messages come over HTTP
    /// alone.
    #[arg(
        long,
        env = "WAYBILL_STAN_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub stan_url: Option<String>,

    /// The broker's cluster id.
    #[arg(
        long,
        env = "WAYBILL_CLUSTER_ID",
        value_name = "ID",
        default_value = "waybill"
    )]
    pub cluster_id: String,

    /// The channel.
    #[arg(
        long,
        env = "WAYBILL_CHANNEL",
        value_name = "NAME",
        default_value = "orders"
    )]
    pub channel: String,

    /// The user at the broker, where it is not in the URL.
    #[arg(long, env = "WAYBILL_STAN_USER", value_name = "USER")]
    pub stan_user: Option<String>,

    /// A file that holds that user's password.
    #[arg(long, env = "WAYBILL_STAN_PASSWORD_FILE", value_name = "FILE", value_hint = ValueHint::FilePath, requires = "stan_user")]
    pub stan_password_file: Option<PathBuf>,

    /// A NATS credentials file (JWT and seed).
    #[arg(long, env = "WAYBILL_STAN_CREDENTIALS", value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "stan_user")]
    pub stan_credentials: Option<PathBuf>,

    /// The certificates to trust the broker by, where they are not the system's.
    #[arg(long, env = "WAYBILL_STAN_CA", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub stan_ca: Option<PathBuf>,

    /// Our certificate for the broker, with --stan-key.
    #[arg(long, env = "WAYBILL_STAN_CERT", value_name = "FILE", value_hint = ValueHint::FilePath, requires = "stan_key")]
    pub stan_cert: Option<PathBuf>,

    /// The certificate's key.
    #[arg(long, env = "WAYBILL_STAN_KEY", value_name = "FILE", value_hint = ValueHint::FilePath, requires = "stan_cert")]
    pub stan_key: Option<PathBuf>,
}

impl BrokerArgs {
    /// None where no broker is named.
    pub fn connection(&self, client_id: &str) -> Result<Option<stan::Options>, Wrong> {
        let Some(url) = &self.stan_url else {
            return Ok(None);
        };
        let mut options = stan::Options::new(url, &self.cluster_id, client_id);
        let password = secret(
            None,
            self.stan_password_file.as_deref(),
            "--stan-password-file",
        )?;
        if let Some(user) = &self.stan_user {
            options.auth = stan::Auth::User {
                user: user.clone(),
                password: password.unwrap_or_default(),
            };
        } else if let Some(path) = &self.stan_credentials {
            options.auth = stan::Auth::CredentialsFile(path.clone());
        }
        options.tls.ca_file = self.stan_ca.clone();
        options.tls.client = self.stan_cert.clone().zip(self.stan_key.clone()).map(
            |(certificate_file, key_file)| stan::ClientCertificate {
                certificate_file,
                key_file,
            },
        );
        for (flag, path) in [
            ("--stan-credentials", &self.stan_credentials),
            ("--stan-ca", &self.stan_ca),
            ("--stan-cert", &self.stan_cert),
            ("--stan-key", &self.stan_key),
        ] {
            if let Some(path) = path {
                readable(path, flag)?;
            }
        }
        options.check().map_err(as_flag)?;
        Ok(Some(options))
    }
}

#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    #[command(flatten)]
    pub database: DatabaseArgs,

    #[command(flatten)]
    pub broker: BrokerArgs,

    /// Our name at the broker. It must stay the same over restarts and differ between replicas; by default made of the
    /// host's name.
    #[arg(
        long,
        env = "WAYBILL_CLIENT_ID",
        value_name = "ID",
        help_heading = "NATS Streaming"
    )]
    pub client_id: Option<String>,

    /// The durable under which the broker keeps our place in the channel.
    #[arg(
        long,
        env = "WAYBILL_DURABLE",
        value_name = "NAME",
        default_value = "waybill",
        help_heading = "NATS Streaming"
    )]
    pub durable: String,

    /// The group in which replicas share the channel. Empty for none: then the durable belongs to one client id.
    #[arg(
        long,
        env = "WAYBILL_QUEUE_GROUP",
        value_name = "NAME",
        default_value = "waybill",
        help_heading = "NATS Streaming"
    )]
    pub queue_group: String,

    /// Messages that may be unacknowledged at the broker.
    #[arg(long, env = "WAYBILL_MAX_IN_FLIGHT", value_name = "COUNT", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "NATS Streaming")]
    pub max_in_flight: u32,

    /// Seconds after which the broker sends an unacknowledged message again. Above the 15 s after which a commit is given up.
    #[arg(long, env = "WAYBILL_ACK_WAIT", value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(20..=3600), help_heading = "NATS Streaming")]
    pub ack_wait: u64,

    /// The broker's monitoring, http://host:8222: for its lag and its own last sequence.
    #[arg(
        long,
        env = "WAYBILL_STAN_MONITORING_URL",
        value_name = "URL",
        help_heading = "NATS Streaming"
    )]
    pub stan_monitoring_url: Option<String>,

    /// Where to listen. Port 0 takes a free one.
    #[arg(
        long,
        env = "WAYBILL_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080",
        help_heading = "HTTP"
    )]
    pub listen: SocketAddr,

    /// Who may do what: a file of names, rights and hashes of tokens, which `waybill token new` writes. It is read again when
    /// it changes. Without it nobody is asked, and the service listens on loopback alone.
    #[arg(long, env = "WAYBILL_TOKENS", value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "HTTP")]
    pub tokens: Option<PathBuf>,

    /// Speak TLS alone, HTTP/1.1 and HTTP/2, with this certificate (PEM, its own first, then who signed it). It is read again
    /// when it changes.
    #[arg(long, env = "WAYBILL_TLS_CERT", value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_key", help_heading = "HTTP")]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's key (PEM).
    #[arg(long, env = "WAYBILL_TLS_KEY", value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_cert", help_heading = "HTTP")]
    pub tls_key: Option<PathBuf>,

    /// Know clients by certificates that these authorities (PEM) have signed; certificate entries in the --tokens file say
    /// what each subject may do. A certificate is asked for, and needed only if the file knows nobody in another way.
    #[arg(long, env = "WAYBILL_TLS_CLIENT_CA", value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_cert", help_heading = "HTTP")]
    pub tls_client_ca: Option<PathBuf>,

    /// Networks of proxies whose Forwarded or X-Forwarded-For and -Proto say who asks, read from the right: 10.0.0.0/8. Several
    /// with commas. Of everybody else these headers are ignored.
    #[arg(
        long,
        env = "WAYBILL_TRUSTED_PROXY",
        value_name = "CIDR",
        value_delimiter = ',',
        help_heading = "HTTP"
    )]
    pub trusted_proxy: Vec<ipnet::IpNet>,

    /// Requests that one may make: N/s, or N/s:BURST with how many at once after a pause (else 2 s' worth), or off. Whoever is
    /// proven is counted by name, others by address; beyond it is 429. On loopback without tokens nobody is counted.
    #[arg(
        long,
        env = "WAYBILL_LIMIT_REQUESTS",
        value_name = "LIMIT",
        default_value = "2000/s",
        help_heading = "HTTP"
    )]
    pub limit_requests: api::Limit,

    /// Messages that one may publish over HTTP, likewise; they do not count as requests.
    #[arg(
        long,
        env = "WAYBILL_LIMIT_PUBLISHING",
        value_name = "LIMIT",
        default_value = "5000/s",
        help_heading = "HTTP"
    )]
    pub limit_publishing: api::Limit,

    /// Exports and searches by text that one may have under way.
    #[arg(long, env = "WAYBILL_LIMIT_EXPORTS", value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = "HTTP")]
    pub limit_exports: u32,

    #[command(flatten)]
    pub oidc: oidc::OidcArgs,

    /// Listen off loopback and ask nobody: whoever reaches the port can read and decide everything.
    #[arg(long, env = "WAYBILL_INSECURE_LISTEN", help_heading = "HTTP")]
    pub insecure_listen: bool,

    /// Under which address browsers reach the service, where that is not --listen: https://host. Several
    /// with commas. Requests under another name, and from pages of another origin, are refused.
    #[arg(
        long,
        env = "WAYBILL_PUBLIC_URL",
        value_name = "URL",
        value_delimiter = ',',
        help_heading = "HTTP"
    )]
    pub public_url: Vec<api::PublicUrl>,

    /// Pages of which other origins may ask, from a browser, with a token that they show: https://host. Several with commas.
    #[arg(
        long,
        env = "WAYBILL_CORS_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ',',
        help_heading = "HTTP"
    )]
    pub cors_origin: Vec<api::CorsOrigin>,

    /// The largest request body in bytes.
    #[arg(long, env = "WAYBILL_MAX_BODY_BYTES", value_name = "BYTES", default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(1024..=64 << 20), help_heading = "HTTP")]
    pub max_body_bytes: u32,

    /// Memory for cached orders, in bytes.
    #[arg(long, env = "WAYBILL_CACHE_BYTES", value_name = "BYTES", default_value_t = 256 << 20, value_parser = clap::value_parser!(u64).range(1 << 20..), help_heading = "Service")]
    pub cache_bytes: u64,

    /// Seconds without a sign of life after which another replica takes over the projection.
    #[arg(long, env = "WAYBILL_LEASE", value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(2..=300), help_heading = "Service")]
    pub lease: u64,

    /// Days for which the letters of a finished operation can be asked for. The operation itself, and what it came to, stay.
    #[arg(long, env = "WAYBILL_OPERATION_DAYS", value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=36_500), help_heading = "Service")]
    pub operation_days: u32,

    /// How logs look. WAYBILL_LOG filters them, as in info,waybill=debug.
    #[arg(
        long,
        env = "WAYBILL_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text",
        help_heading = "Service"
    )]
    pub log_format: LogFormat,
}

/// One struct for each room.
#[derive(Clone)]
pub struct Config {
    pub postgres: postgres::Settings,
    pub inbox: inbox::Config,
    pub projection: projection::Config,
    pub operation: operation::Config,
    pub broker: Option<source::Config>,
    pub api: api::Config,
    pub cache_bytes: u64,
}

impl ServeArgs {
    /// As without any flag, and without any variable of the environment.
    pub fn defaults() -> Self {
        let command = Self::augment_args(clap::Command::new("serve"))
            .mut_args(|arg| arg.env(clap::builder::Resettable::Reset));
        command
            .try_get_matches_from(["serve"])
            .and_then(|matches| Self::from_arg_matches(&matches))
            .expect("no flag is required, and each default is a value that its flag takes")
    }

    pub fn config(&self) -> Result<Config, Wrong> {
        if !self.listen.ip().is_loopback() && self.tokens.is_none() && !self.insecure_listen {
            return Err(wrong(format!(
                "{} is off loopback, and nothing says who may do what: whoever reaches it could read and decide everything. Give it --tokens FILE (`waybill token new` makes one), listen on 127.0.0.1, or put a proxy that authenticates before it and say --insecure-listen",
                self.listen
            )));
        }
        if self.tls_client_ca.is_some() && self.tokens.is_none() {
            return Err(wrong(
                "--tls-client-ca says whose certificates count, and nothing says what their holders may do: give it --tokens FILE with [[certificate]] entries",
            ));
        }
        let tokens = match &self.tokens {
            None => None,
            Some(path) => {
                let opened = TokenFile::open(path.clone());
                Some(Arc::new(
                    opened.map_err(|error| wrong(format!("--tokens: {error}")))?,
                ))
            }
        };
        let tls = match self.tls_cert.clone().zip(self.tls_key.clone()) {
            None => None,
            Some((certificate, key)) => {
                let opened = api::Tls::open(api::TlsFiles {
                    certificate,
                    key,
                    client_authorities: self.tls_client_ca.clone(),
                });
                Some(Arc::new(opened.map_err(|error| {
                    wrong(format!("--tls-cert, --tls-key, --tls-client-ca: {error}"))
                })?))
            }
        };
        let oidc = self.oidc.settings()?.map(Oidc::new).transpose();
        let oidc = oidc.map_err(|error| wrong(format!("--oidc-issuer: {error}")))?;
        if oidc.is_some() && tokens.is_none() {
            return Err(wrong(
                "--oidc-issuer says who people are, and nothing says what they may do: give it --tokens FILE with an [[oidc]] entry for each role (docs/access.md shows one)",
            ));
        }
        let client_id = match &self.client_id {
            Some(id) => id.clone(),
            None => default_client_id(),
        };
        let broker = match self.broker.connection(&client_id)? {
            None => None,
            Some(connection) => Some(self.source(connection)?),
        };
        Ok(Config {
            postgres: self.database.settings()?,
            inbox: inbox::Config::default(),
            projection: projection::Config {
                batch_rows: 1024,
                batch_bytes: 8 << 20,
                lease: Duration::from_secs(self.lease),
            },
            operation: operation::Config {
                keep_letters: Duration::from_secs(u64::from(self.operation_days) * 86_400),
            },
            broker,
            api: api::Config {
                listen: self.listen,
                public_urls: self.public_url.clone(),
                cors_origins: self.cors_origin.clone(),
                tokens,
                tls,
                trusted_proxies: self.trusted_proxy.clone(),
                limits: api::LimitsConfig {
                    requests: self.limit_requests,
                    publishing: self.limit_publishing,
                    at_once: self.limit_exports,
                },
                oidc: oidc.map(Arc::new),
                max_body_bytes: self.max_body_bytes as usize,
            },
            cache_bytes: self.cache_bytes,
        })
    }

    fn source(&self, connection: stan::Options) -> Result<source::Config, Wrong> {
        let mut subscription = stan::SubscribeOptions::new(&self.broker.channel, &self.durable);
        subscription.queue_group = Some(self.queue_group.clone()).filter(|group| !group.is_empty());
        subscription.max_in_flight = self.max_in_flight;
        subscription.ack_wait = Duration::from_secs(self.ack_wait);
        subscription.byte_budget = 24 << 20;
        subscription.check().map_err(as_flag)?;
        if let Some(url) = &self.stan_monitoring_url
            && !(url.starts_with("http://") || url.starts_with("https://"))
        {
            return Err(wrong(format!(
                "--stan-monitoring-url {url} is no URL: it looks like http://host:8222"
            )));
        }
        Ok(source::Config {
            connection,
            subscription,
            monitoring_url: self.stan_monitoring_url.clone(),
        })
    }
}

/// The client's options are our flags, by other names here and there.
fn as_flag(error: stan::InvalidOption) -> Wrong {
    let flag = match error.name {
        "servers" => "stan-url".to_owned(),
        "auth" => "stan-credentials".to_owned(),
        name => name.replace('_', "-"),
    };
    wrong(format!("--{flag}: {}", error.problem))
}

/// A replica that restarts must be the same client to the broker, or its messages wait for minutes.
fn default_client_id() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_default();
    let name: String = name
        .trim()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    format!("waybill-{name}")
}

/// A secret given directly or by file; a file's last line break is not part of it.
fn secret(direct: Option<&str>, file: Option<&Path>, flag: &str) -> Result<Option<String>, Wrong> {
    match (direct, file) {
        (Some(text), _) => Ok(Some(text.to_owned())),
        (None, Some(path)) => readable(path, flag).map(Some),
        (None, None) => Ok(None),
    }
}

fn readable(path: &Path, flag: &str) -> Result<String, Wrong> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| wrong(format!("{flag} {} cannot be read: {error}", path.display())))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(wrong(format!("{flag} {} is empty", path.display())));
    }
    Ok(text.to_owned())
}

/// For `--listen` and for the next free port of `dev`.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port)
}

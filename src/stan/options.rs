//! Settings, and what is wrong with them. Checked before anything is dialled: a wrong one is told at
//! once, and is not retried for ever.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{InvalidOption, invalid};
use super::server::{Auth, Server};

/// The most messages a subscription or publisher may have in flight. Behind it stands the capacity of
/// async-nats' channels, which drop silently what they cannot hold.
pub(crate) const MAX_IN_FLIGHT: u32 = 32_768;
/// See [`MAX_IN_FLIGHT`]; the margin is wide since redelivery ignores the limit. Costs nothing unfilled.
pub(crate) const CHANNEL_CAPACITY: usize = 4 * MAX_IN_FLIGHT as usize;

/// How to reach a streaming server.
#[derive(Clone)]
pub struct Options {
    /// `nats://host:4222` or `tls://…`, several by commas: tried in turn. A user and password in an URL
    /// are used for that server.
    pub servers: String,
    pub cluster_id: String,
    /// Letters, digits, `-` and `_`. Keep it stable over restarts: the same id connecting again replaces
    /// its dead predecessor at once, another one waits minutes for the broker to notice.
    pub client_id: String,
    pub discover_prefix: String,
    pub auth: Auth,
    pub tls: Tls,
    /// For all of it, from the name's resolution to the first good ping, for each server.
    pub connect_timeout: Duration,
    /// For a subscribe or close.
    pub request_timeout: Duration,
    /// For the broker to acknowledge a message that was published.
    pub ack_timeout: Duration,
    /// In whole seconds, at least 1.
    pub ping_interval: Duration,
    /// After so many pings without an answer the connection is lost.
    pub ping_max_out: u32,
}

#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Insist on TLS, also where the URL says `nats://` and the server would do without.
    pub required: bool,
    /// Trust these roots instead of the system's.
    pub ca_file: Option<PathBuf>,
    pub client: Option<ClientCertificate>,
}

#[derive(Debug, Clone)]
pub struct ClientCertificate {
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
}

impl Options {
    pub fn new(
        servers: impl Into<String>,
        cluster_id: impl Into<String>,
        client_id: impl Into<String>,
    ) -> Options {
        Options {
            servers: servers.into(),
            cluster_id: cluster_id.into(),
            client_id: client_id.into(),
            discover_prefix: "_STAN.discover".into(),
            auth: Auth::None,
            tls: Tls::default(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(5),
            ack_timeout: Duration::from_secs(30),
            ping_interval: Duration::from_secs(2),
            ping_max_out: 3,
        }
    }

    /// Says what is wrong, so far as it can be known without dialling.
    pub fn check(&self) -> Result<(), InvalidOption> {
        self.parse().map(drop)
    }

    /// The servers' hosts and ports, for logs: never their passwords.
    pub fn server_names(&self) -> String {
        match Server::parse_list(&self.servers, &self.auth) {
            Ok(servers) => {
                let names: Vec<_> = servers.into_iter().map(|server| server.name).collect();
                names.join(", ")
            }
            Err(_) => "(unreadable)".into(),
        }
    }

    pub(crate) fn parse(&self) -> Result<Vec<Server>, InvalidOption> {
        check_name("cluster_id", &self.cluster_id)?;
        check_name("client_id", &self.client_id)?;
        check_subject("discover_prefix", &self.discover_prefix)?;
        if self.ping_interval < Duration::from_secs(1) || self.ping_interval.subsec_nanos() != 0 {
            return Err(invalid("ping_interval", "whole seconds, at least 1"));
        }
        if self.ping_interval > Duration::from_secs(3600) {
            return Err(invalid("ping_interval", "at most an hour"));
        }
        if !(1..=1000).contains(&self.ping_max_out) {
            return Err(invalid("ping_max_out", "between 1 and 1000"));
        }
        for (name, timeout) in [
            ("connect_timeout", self.connect_timeout),
            ("request_timeout", self.request_timeout),
            ("ack_timeout", self.ack_timeout),
        ] {
            if timeout.is_zero() {
                return Err(invalid(name, "must not be zero"));
            }
        }
        if let Auth::CredentialsFile(path) = &self.auth {
            check_file("auth", path)?;
        }
        if let Some(path) = &self.tls.ca_file {
            check_file("tls.ca_file", path)?;
        }
        if let Some(client) = &self.tls.client {
            check_file("tls.client.certificate_file", &client.certificate_file)?;
            check_file("tls.client.key_file", &client.key_file)?;
        }
        Server::parse_list(&self.servers, &self.auth)
    }
}

/// Secrets stay out of logs, however the options get there.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("servers", &self.server_names())
            .field("cluster_id", &self.cluster_id)
            .field("client_id", &self.client_id)
            .field("auth", &self.auth)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Auth::None => f.write_str("None"),
            Auth::User { user, .. } => f.debug_tuple("User").field(user).finish(),
            Auth::Token(_) => f.write_str("Token"),
            Auth::CredentialsFile(path) => f.debug_tuple("CredentialsFile").field(path).finish(),
        }
    }
}

/// What to subscribe to. It begins at the first message of the channel, or where the durable left off.
#[derive(Debug, Clone)]
pub struct SubscribeOptions {
    pub channel: String,
    /// The name under which the broker keeps our place in the channel.
    pub durable: String,
    /// Several clients share the durable's messages. Without it, a durable belongs to one client id.
    pub queue_group: Option<String>,
    /// How many messages may be unacknowledged at the broker. Redelivery ignores it.
    pub max_in_flight: u32,
    /// After this time without an ack a message comes again. The broker counts whole seconds: rounded up.
    pub ack_wait: Duration,
    /// How many bytes may be held here, from receipt until the [`Receipt`](super::Receipt) is acked or
    /// dropped. What exceeds it is let go, unacknowledged, and comes again.
    pub byte_budget: usize,
}

impl SubscribeOptions {
    pub fn new(channel: impl Into<String>, durable: impl Into<String>) -> SubscribeOptions {
        SubscribeOptions {
            channel: channel.into(),
            durable: durable.into(),
            queue_group: None,
            max_in_flight: 5_000,
            ack_wait: Duration::from_secs(30),
            byte_budget: 64 << 20,
        }
    }

    pub fn check(&self) -> Result<(), InvalidOption> {
        check_channel(&self.channel)?;
        check_subject("durable", &self.durable)?;
        if let Some(group) = &self.queue_group {
            check_subject("queue_group", group)?;
            if self.durable.contains(':') {
                return Err(invalid("durable", "no ':' in a queue group's durable"));
            }
        }
        if !(1..=MAX_IN_FLIGHT).contains(&self.max_in_flight) {
            return Err(invalid(
                "max_in_flight",
                format!("between 1 and {MAX_IN_FLIGHT}"),
            ));
        }
        if self.ack_wait < Duration::from_secs(1) || self.ack_wait_seconds() == i32::MAX {
            return Err(invalid("ack_wait", "at least a second"));
        }
        Ok(())
    }

    pub(crate) fn ack_wait_seconds(&self) -> i32 {
        let rounded_up = self.ack_wait.as_secs() + u64::from(self.ack_wait.subsec_nanos() > 0);
        i32::try_from(rounded_up).unwrap_or(i32::MAX)
    }
}

/// Whether a channel can have this name. The client checks it too: a publish to another one would reach
/// nobody, and get no answer.
pub fn check_channel(channel: &str) -> Result<(), InvalidOption> {
    check_subject("channel", channel)?;
    if channel.contains(['*', '>', '/']) || channel.split('.').any(str::is_empty) {
        return Err(invalid(
            "channel",
            format!("{channel:?}: words joined by single dots, without '*', '>' or '/'"),
        ));
    }
    Ok(())
}

pub(crate) fn check_window(window: u32) -> Result<(), InvalidOption> {
    if !(1..=MAX_IN_FLIGHT).contains(&window) {
        return Err(invalid("window", format!("between 1 and {MAX_IN_FLIGHT}")));
    }
    Ok(())
}

fn check_name(name: &'static str, value: &str) -> Result<(), InvalidOption> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if value.is_empty() || !value.chars().all(fits) {
        return Err(invalid(
            name,
            format!("{value:?}: letters, digits, '-' and '_' only, at least one"),
        ));
    }
    Ok(())
}

fn check_subject(name: &'static str, value: &str) -> Result<(), InvalidOption> {
    if value.is_empty() || value.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(invalid(
            name,
            format!("{value:?}: must not be empty or contain spaces"),
        ));
    }
    Ok(())
}

fn check_file(name: &'static str, path: &Path) -> Result<(), InvalidOption> {
    match std::fs::File::open(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(invalid(name, format!("{}: {error}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(servers: &str) -> Options {
        Options::new(servers, "waybill", "me")
    }

    #[test]
    fn no_secret_is_ever_shown() {
        let mut shown = format!("{:?}", options("nats://ann:secret@one:4000"));
        for bad in [
            "nats://ann:secret@one:99999999",
            "http://ann:secret@one",
            "nats://ann:secret@",
        ] {
            shown += &options(bad).check().unwrap_err().to_string();
            shown += &format!("{:?}", options(bad));
        }
        shown += &format!(
            "{:?}{:?}",
            Auth::User {
                user: "ann".into(),
                password: "secret".into()
            },
            Auth::Token("secret".into())
        );
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn wrong_options_name_their_field() {
        let change = |f: fn(&mut Options)| {
            let mut options = options("nats://127.0.0.1:4222");
            f(&mut options);
            options.check().err().map(|error| error.name)
        };
        assert_eq!(change(|_| ()), None);
        assert_eq!(change(|o| o.servers = " , ".into()), Some("servers"));
        assert_eq!(change(|o| o.servers = "ws://x".into()), Some("servers"));
        assert_eq!(change(|o| o.cluster_id = "a b".into()), Some("cluster_id"));
        assert_eq!(change(|o| o.client_id = "a.b".into()), Some("client_id"));
        assert_eq!(change(|o| o.client_id = String::new()), Some("client_id"));
        assert_eq!(
            change(|o| o.ping_interval = Duration::from_millis(1500)),
            Some("ping_interval")
        );
        assert_eq!(change(|o| o.ping_max_out = 0), Some("ping_max_out"));
        assert_eq!(
            change(|o| o.tls.ca_file = Some("/nowhere/ca.pem".into())),
            Some("tls.ca_file")
        );
    }

    #[test]
    fn wrong_subscriptions_name_their_field() {
        let change = |f: fn(&mut SubscribeOptions)| {
            let mut options = SubscribeOptions::new("orders", "waybill");
            f(&mut options);
            options.check().err().map(|error| error.name)
        };
        assert_eq!(change(|_| ()), None);
        for channel in ["", "a b", "a.*", "a.>", ".a", "a.", "a..b", "a/b"] {
            assert_eq!(
                check_channel(channel).unwrap_err().name,
                "channel",
                "{channel}"
            );
        }
        assert_eq!(change(|o| o.durable = String::new()), Some("durable"));
        assert_eq!(
            change(|o| {
                o.durable = "a:b".into();
                o.queue_group = Some("g".into());
            }),
            Some("durable")
        );
        assert_eq!(change(|o| o.max_in_flight = 0), Some("max_in_flight"));
        assert_eq!(change(|o| o.ack_wait = Duration::ZERO), Some("ack_wait"));
        let mut options = SubscribeOptions::new("orders", "waybill");
        options.ack_wait = Duration::from_millis(1_001);
        assert_eq!(options.ack_wait_seconds(), 2);
    }
}

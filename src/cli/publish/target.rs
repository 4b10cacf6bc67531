//! Where the messages go: a broker or a service, by flag, by variable, or as `waybill dev` left word.

use std::path::PathBuf;

use clap::Args;

use super::usage;
use crate::cli::run_file::RunFile;
use crate::collection::may_be_called;
use crate::stan::{Auth, ClientCertificate, InvalidOption, Options, check_channel};

#[derive(Debug, Args)]
#[command(next_help_heading = "Broker")]
pub(super) struct BrokerArguments {
    /// nats://host:4222 or tls://…, several separated by commas
    #[arg(
        long,
        value_name = "URL",
        env = "WAYBILL_STAN_URL",
        hide_env_values = true
    )]
    stan_url: Option<String>,

    /// The broker's cluster id [default: waybill]
    #[arg(long, value_name = "ID", env = "WAYBILL_CLUSTER_ID")]
    cluster_id: Option<String>,

    /// The channel to publish to [default: the collection's name]
    #[arg(long, value_name = "NAME", env = "WAYBILL_CHANNEL")]
    channel: Option<String>,

    /// The user at the broker
    #[arg(long, value_name = "NAME", env = "WAYBILL_STAN_USER")]
    stan_user: Option<String>,

    /// A file with the password of --stan-user
    #[arg(
        long,
        value_name = "FILE",
        env = "WAYBILL_STAN_PASSWORD_FILE",
        requires = "stan_user"
    )]
    stan_password_file: Option<PathBuf>,

    /// A NATS credentials file
    #[arg(
        long,
        value_name = "FILE",
        env = "WAYBILL_STAN_CREDENTIALS",
        conflicts_with = "stan_user"
    )]
    stan_credentials: Option<PathBuf>,

    /// Trust these certificates instead of the system's
    #[arg(long, value_name = "FILE", env = "WAYBILL_STAN_CA")]
    stan_ca: Option<PathBuf>,

    /// Our certificate for the broker, with --stan-key
    #[arg(
        long,
        value_name = "FILE",
        env = "WAYBILL_STAN_CERT",
        requires = "stan_key"
    )]
    stan_cert: Option<PathBuf>,

    /// The certificate's key
    #[arg(
        long,
        value_name = "FILE",
        env = "WAYBILL_STAN_KEY",
        requires = "stan_cert"
    )]
    stan_key: Option<PathBuf>,
}

/// Where the messages go.
pub(super) enum Target {
    Broker {
        options: Box<Options>,
        channel: String,
    },
    Service {
        url: String,
    },
}

impl Target {
    /// What is named by a flag or variable; else what `waybill dev` runs.
    pub(super) fn choose(
        http: Option<&str>,
        broker: &BrokerArguments,
        collection: &str,
    ) -> anyhow::Result<Target> {
        if !may_be_called(collection) {
            return Err(usage(format!(
                "--collection {collection:?}: no collection can be called so"
            )));
        }
        if let Some(url) = http.filter(|url| !url.is_empty()) {
            return Target::service(url, collection);
        }
        if let (None, Some(url)) = (http, &broker.stan_url) {
            return broker.target(url, None, collection);
        }
        let run = RunFile::find().map_err(|error| {
            usage(format!(
                "{error} Or name a broker with --stan-url nats://host:4222, or a service with --http URL"
            ))
        })?;
        match &run.stan_url {
            // The channel of `waybill dev` is that of the orders.
            Some(url) if http.is_none() && (collection == "orders" || broker.channel.is_some()) => {
                broker.target(url, Some(&run), collection)
            }
            _ => Target::service(&run.url, collection),
        }
    }

    fn service(url: &str, collection: &str) -> anyhow::Result<Target> {
        let parsed = reqwest::Url::parse(url).ok();
        if !parsed.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
            return Err(usage(format!(
                "--http {url:?}: not an URL like http://127.0.0.1:8080"
            )));
        }
        let url = format!("{}/api/v1/{collection}", url.trim_end_matches('/'));
        Ok(Target::Service { url })
    }
}

impl BrokerArguments {
    fn target(&self, url: &str, run: Option<&RunFile>, collection: &str) -> anyhow::Result<Target> {
        let or = |given: &Option<String>, run: Option<&String>, default: &str| {
            given
                .as_ref()
                .or(run)
                .map_or(default, String::as_str)
                .to_owned()
        };
        let cluster_id = or(
            &self.cluster_id,
            run.and_then(|run| run.cluster_id.as_ref()),
            "waybill",
        );
        let channel = or(
            &self.channel,
            run.and_then(|run| run.channel.as_ref()),
            collection,
        );
        // Its id is of no use to the next run: nothing waits for a publisher to come back.
        let client_id = format!("publish-{:016x}", fastrand::u64(..));
        let mut options = Options::new(url, cluster_id, client_id);
        options.tls.ca_file.clone_from(&self.stan_ca);
        options.tls.client = self.stan_cert.clone().zip(self.stan_key.clone()).map(
            |(certificate_file, key_file)| ClientCertificate {
                certificate_file,
                key_file,
            },
        );
        if let Some(user) = &self.stan_user {
            options.auth = Auth::User {
                user: user.clone(),
                password: self.password()?,
            };
        } else if let Some(path) = &self.stan_credentials {
            options.auth = Auth::CredentialsFile(path.clone());
        }
        options.check().map_err(name_the_flag)?;
        check_channel(&channel).map_err(name_the_flag)?;
        Ok(Target::Broker {
            options: Box::new(options),
            channel,
        })
    }

    fn password(&self) -> anyhow::Result<String> {
        let Some(path) = &self.stan_password_file else {
            return Err(usage("--stan-user needs --stan-password-file"));
        };
        match std::fs::read_to_string(path) {
            Ok(password) => Ok(password.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) => Err(usage(format!(
                "--stan-password-file {}: {error}",
                path.display()
            ))),
        }
    }
}

/// The client's word for an option is not the user's.
pub(super) fn name_the_flag(mistake: InvalidOption) -> anyhow::Error {
    let flag = match mistake.name {
        "servers" => "--stan-url",
        "cluster_id" => "--cluster-id",
        "channel" => "--channel",
        "auth" => "--stan-credentials",
        "tls.ca_file" => "--stan-ca",
        "tls.client.certificate_file" => "--stan-cert",
        "tls.client.key_file" => "--stan-key",
        name => name,
    };
    usage(format!("{flag}: {}", mistake.problem))
}

//! Which service a command asks, and what it shows to it.

use super::client::{Client, DEFAULT_URL, Error};
use super::credentials::Credentials;
use super::run_file::{RunFile, RunFileError};

/// Which service.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Service")]
pub struct Connection {
    /// The service's address [default: the `waybill dev` that runs here or in a directory above, else
    /// http://127.0.0.1:8080]
    #[arg(
        long,
        env = "WAYBILL_URL",
        value_name = "URL",
        hide_env_values = true,
        hide_default_value = true
    )]
    pub url: Option<String>,

    #[command(flatten)]
    pub credentials: Credentials,
}

impl Connection {
    pub fn client(&self) -> Result<Client, Error> {
        let (url, hint) = match &self.url {
            Some(url) => (
                url.clone(),
                "is it the right address, and is the service running?",
            ),
            None => match RunFile::find() {
                Ok(run) => (
                    run.url,
                    ".waybill/run.json names this address, so `waybill dev` was cut off: start it again",
                ),
                Err(RunFileError::NotFound) => (
                    DEFAULT_URL.to_owned(),
                    "start a service with `waybill dev`, or say where one is with --url or WAYBILL_URL",
                ),
                Err(error) => return Err(error.into()),
            },
        };
        Client::new(&url, hint, self.credentials.shown()?)
    }
}

//! What a command shows to the service, so that it is known who asks; and whom a decision is by.
//!
//! Its invariant: a secret is never an argument, which everybody on the machine can read.

use std::path::PathBuf;

use clap::ValueHint;
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde::Deserialize;

use super::client::{Client, Error, Shown};
use super::trust::Trust;
use super::usage;
use crate::access::Token;

#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Service")]
pub struct Credentials {
    /// A file with the token to show to the service [default: the token in WAYBILL_TOKEN, else the file that
    /// WAYBILL_TOKEN_FILE names]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub token_file: Option<PathBuf>,

    #[command(flatten)]
    pub trust: Trust,
}

impl Credentials {
    /// What a client is made with.
    pub fn builder(&self) -> Result<reqwest::ClientBuilder, Error> {
        self.trust.builder().map_err(Error::Trust)
    }

    pub fn shown(&self) -> Result<Shown, Error> {
        Ok(Shown {
            builder: self.builder()?,
            certificate: self.trust.client_cert.is_some(),
            token: self.header()?,
        })
    }

    /// The token as it was found, and where.
    pub fn token(&self) -> Result<Option<(String, String)>, Error> {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let from_file = |path: PathBuf, named: &str| match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some((
                text.trim().to_owned(),
                format!("{named} {}", path.display()),
            ))),
            Err(error) => Err(Error::Token(format!(
                "{named} {} cannot be read: {error}",
                path.display()
            ))),
        };
        if let Some(path) = &self.token_file {
            return from_file(path.clone(), "--token-file");
        }
        if let Some(token) = variable("WAYBILL_TOKEN") {
            return Ok(Some((token.trim().to_owned(), "WAYBILL_TOKEN".to_owned())));
        }
        match variable("WAYBILL_TOKEN_FILE") {
            Some(path) => from_file(path.into(), "WAYBILL_TOKEN_FILE"),
            None => Ok(None),
        }
    }

    /// For the header Authorization. What was mistyped is told here, and not sent.
    pub fn header(&self) -> Result<Option<HeaderValue>, Error> {
        let Some((token, place)) = self.token()? else {
            return Ok(None);
        };
        if Token::is_like(&token) {
            Token::check(&token).map_err(|wrong| Error::Token(format!("{place}: {wrong}")))?;
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| Error::Token(format!("{place}: what is there is no token")))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// As what a decision says who decides: none where the service knows it.
pub async fn decider(client: &Client, asked: Option<&str>) -> anyhow::Result<Option<String>> {
    #[derive(Deserialize)]
    struct Me {
        proven: bool,
    }
    match asked {
        Some(name) if name.trim().is_empty() => Err(usage("--as is empty: say who decides")),
        Some(name) => Ok(Some(name.to_owned())),
        None if client.shows_who_asks() => {
            let answer = client
                .send(client.request(Method::GET, "/api/v1/me"))
                .await?;
            let me: Me = answer.read()?;
            Ok((!me.proven).then(own_name))
        }
        None => Ok(Some(own_name())),
    }
}

/// The user's name at the system.
fn own_name() -> String {
    let named = |name: &str| {
        std::env::var(name)
            .ok()
            .filter(|name| !name.trim().is_empty())
    };
    named("USER")
        .or_else(|| named("LOGNAME"))
        .or_else(own_user_name)
        .unwrap_or_else(|| "unknown".to_owned())
}

/// A shell without a login has no USER.
fn own_user_name() -> Option<String> {
    let output = std::process::Command::new("id").arg("-un").output().ok()?;
    let name = String::from_utf8(output.stdout).ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

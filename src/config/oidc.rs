//! The flags of OpenID Connect.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::{Wrong, secret, wrong};
use crate::access::oidc::Settings;

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "OpenID Connect")]
pub struct OidcArgs {
    /// Who says who people are, as its discovery document has it, as in `https://login.example.com/realms/shop`. What its roles let
    /// one do stands in --tokens.
    #[arg(long, env = "WAYBILL_OIDC_ISSUER", value_name = "URL")]
    pub oidc_issuer: Option<String>,

    /// The service's client id at the issuer.
    #[arg(long, env = "WAYBILL_OIDC_CLIENT_ID", value_name = "ID")]
    pub oidc_client_id: Option<String>,

    /// A file that holds the client's secret. Without it the client is a public one, which PKCE protects.
    #[arg(long, env = "WAYBILL_OIDC_CLIENT_SECRET_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub oidc_client_secret_file: Option<PathBuf>,

    /// Whom the JWTs of scripts are for (aud), where that is not the client id.
    #[arg(long, env = "WAYBILL_OIDC_AUDIENCE", value_name = "NAME")]
    pub oidc_audience: Option<String>,

    /// The claim that holds a person's roles: a name, or a path as in realm_access.roles.
    #[arg(
        long,
        env = "WAYBILL_OIDC_ROLES_CLAIM",
        value_name = "PATH",
        default_value = "roles"
    )]
    pub oidc_roles_claim: String,

    /// What is asked for when somebody signs in to the page. Some issuers tell roles only if asked, as in "openid groups".
    #[arg(
        long,
        env = "WAYBILL_OIDC_SCOPE",
        value_name = "NAMES",
        default_value = "openid profile email"
    )]
    pub oidc_scope: String,

    /// The certificates to trust the issuer by, where they are not the system's.
    #[arg(long, env = "WAYBILL_OIDC_CA_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub oidc_ca_file: Option<PathBuf>,
}

impl OidcArgs {
    /// None if no issuer is named.
    pub fn settings(&self) -> Result<Option<Settings>, Wrong> {
        let (issuer, client_id) = match (&self.oidc_issuer, &self.oidc_client_id) {
            (Some(issuer), Some(client_id)) => (issuer.clone(), client_id.clone()),
            (Some(_), None) => {
                return Err(wrong(
                    "--oidc-issuer is set, and --oidc-client-id is not: as what is the service known there?",
                ));
            }
            (None, Some(_)) => {
                return Err(wrong(
                    "--oidc-client-id is set, and --oidc-issuer is not: at whom?",
                ));
            }
            (None, None) => return Ok(None),
        };
        if !self.oidc_scope.split(' ').any(|scope| scope == "openid") {
            return Err(wrong(format!(
                "--oidc-scope {:?} lacks openid, without which an issuer says not who somebody is",
                self.oidc_scope
            )));
        }
        Ok(Some(Settings {
            issuer,
            client_id,
            client_secret: secret(
                None,
                self.oidc_client_secret_file.as_deref(),
                "--oidc-client-secret-file",
            )?,
            audience: self.oidc_audience.clone(),
            roles_claim: self.oidc_roles_claim.clone(),
            scope: self.oidc_scope.clone(),
            ca_file: self.oidc_ca_file.clone(),
        }))
    }
}

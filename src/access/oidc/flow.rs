//! Signing in to the page: to the issuer's own page and back with a code, which is exchanged for an ID token (the
//! authorization code flow, with PKCE: RFC 7636). Called by the two routes below /sign-in.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::claims::NotProven;
use super::issuer::{Unusable, read};
use super::{Oidc, SignedIn};
use crate::access::roles::Roles;

/// What the browser keeps between its leaving and its coming back, and nobody else learns: `state` says that it is the same
/// browser, `nonce` that the token was made for this sign-in, and without `verifier` a code that was seen is worth nothing.
pub struct Secrets {
    pub state: String,
    pub nonce: String,
    pub verifier: String,
}

impl Secrets {
    pub fn new() -> Result<Self, getrandom::Error> {
        Ok(Self {
            state: chance()?,
            nonce: chance()?,
            verifier: chance()?,
        })
    }
}

/// 256 bits, as 43 letters and digits, `-` and `_`.
fn chance() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Why signing in did not end well.
#[derive(Debug, thiserror::Error)]
pub enum NotSignedIn {
    #[error(transparent)]
    Issuer(#[from] Unusable),
    #[error(transparent)]
    NotProven(#[from] NotProven),
}

impl Oidc {
    /// Where the browser goes.
    pub async fn authorization(
        &self,
        secrets: &Secrets,
        redirect_uri: &str,
    ) -> Result<String, Unusable> {
        let known = self.heard().await?;
        let endpoint = known.discovery.authorization_endpoint.as_deref();
        let endpoint = endpoint.ok_or(Unusable::NoEndpoint("authorization_endpoint"))?;
        let mut url = Url::parse(endpoint).map_err(|error| Unusable::Unreadable {
            url: endpoint.to_owned(),
            problem: error.to_string(),
        })?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&secrets.verifier));
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", &self.settings.client_id),
            ("redirect_uri", redirect_uri),
            ("scope", &self.settings.scope),
            ("state", &secrets.state),
            ("nonce", &secrets.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        Ok(url.into())
    }

    /// Who has come back with a code.
    pub async fn signed_in(
        &self,
        code: &str,
        secrets: &Secrets,
        redirect_uri: &str,
        roles: &Roles,
    ) -> Result<SignedIn, NotSignedIn> {
        #[derive(Deserialize)]
        struct Tokens {
            id_token: String,
        }
        let known = self.heard().await?;
        let endpoint = known.discovery.token_endpoint.as_deref();
        let endpoint = endpoint.ok_or(Unusable::NoEndpoint("token_endpoint"))?;
        let client = &self.settings.client_id;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", &secrets.verifier),
        ];
        let mut request = self.issuer.post(endpoint);
        match &self.settings.client_secret {
            None => form.push(("client_id", client)),
            Some(secret) if known.discovery.secret_in_body() => {
                form.extend([("client_id", client.as_str()), ("client_secret", secret)]);
            }
            // As RFC 6749, 2.3.1, has it: each encoded before they are joined.
            Some(secret) => {
                let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
                request = request.basic_auth(encoded(client), Some(encoded(secret)));
            }
        }
        let text = self.issuer.ask(request.form(&form), endpoint).await?;
        let tokens: Tokens = read(&text, endpoint)?;
        Ok(self
            .of_sign_in(tokens.id_token, &secrets.nonce, roles)
            .await?)
    }
}

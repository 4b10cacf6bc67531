//! OpenID Connect at the gate: the issuer is asked for its keys in the background, and whoever comes back from its page is let
//! in, or told why not.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use poem::http::header::{HeaderMap, RETRY_AFTER};
use poem::http::{HeaderValue, StatusCode, Uri};

use super::{Gate, Refused, cookie};
use crate::access::Proof;
use crate::access::oidc::{self, NotProven, NotSignedIn, Oidc, Secrets, SignedIn};
use crate::audit::{Entry, What};
use crate::telemetry::Metrics;

/// While the issuer does not answer.
const AGAIN: Duration = Duration::from_secs(15);

/// For ever.
pub async fn watch(oidc: Arc<Oidc>, metrics: Arc<Metrics>) {
    let mut told = None;
    loop {
        let asked = oidc.refresh().await;
        metrics.issuer_well.set(asked.is_ok().into());
        match &asked {
            Ok(None) => {}
            Ok(Some(count)) => {
                tracing::info!(
                    count,
                    "the issuer {} has {count} keys that sign",
                    oidc.host()
                );
            }
            Err(why) if told.as_ref() == Some(why) => {}
            Err(why) => tracing::error!(
                %why,
                "the issuer {} (--oidc-issuer) is of no use: {why}. Its keys of before count for some hours yet; nobody \
                 can sign in there",
                oidc.host()
            ),
        }
        if asked.is_ok() && told.is_some() {
            tracing::info!("the issuer {} answers again", oidc.host());
        }
        let pause = match asked {
            Ok(_) => oidc::EVERY,
            Err(_) => AGAIN,
        };
        told = asked.err();
        tokio::time::sleep(pause).await;
    }
}

/// Not the fault of the one who asks.
pub fn away(why: &str) -> Refused {
    let mut refused = Refused::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "unavailable",
        format!("The issuer's keys are not known at the moment: {why}. Try again in a moment."),
    );
    refused
        .headers
        .push((RETRY_AFTER, HeaderValue::from_static("10")));
    refused
}

impl Gate {
    /// None if there is no issuer to sign in at.
    pub fn oidc(&self) -> Option<&Arc<Oidc>> {
        self.who.oidc()
    }

    /// Whether anybody can sign in by a token.
    pub fn has_tokens(&self) -> bool {
        self.who.tokens().is_some_and(|tokens| tokens.has_tokens())
    }

    /// Where the browser that asks reaches us.
    pub fn own_origin(&self, target: &Uri, headers: &HeaderMap) -> Option<String> {
        self.names.origin(target, headers)
    }

    /// For a browser to keep while somebody is at the issuer's page.
    pub fn begun(&self, headers: &HeaderMap, secrets: &str, path: &str) -> Option<HeaderValue> {
        cookie::set_begun(secrets, path, self.names.is_over_tls(headers))
    }

    /// Who has come back from there with this code.
    pub async fn came_back(
        &self,
        code: &str,
        secrets: &Secrets,
        redirect_uri: &str,
        from: Option<SocketAddr>,
    ) -> Result<SignedIn, NotSignedIn> {
        let (Some(oidc), Some(tokens)) = (self.who.oidc(), self.who.tokens()) else {
            return Err(NotProven::NoJwt.into());
        };
        let address = from.map_or(IpAddr::from([0, 0, 0, 0]), |from| from.ip());
        let signed_in = oidc
            .signed_in(code, secrets, redirect_uri, &tokens.roles())
            .await;
        let counted = |result| self.metrics.sign_ins.with_label_values(&[result]).inc();
        let noted = |what, who: &str, proof: Proof, detail: &str| {
            let address = address.to_canonical().to_string();
            let entry = Entry::new(what, who, proof.as_str(), &address, detail);
            self.audit.note(entry);
        };
        match &signed_in {
            Ok(who) => {
                counted("done");
                let detail = format!("sub {}", who.subject);
                noted(What::SignedIn, who.principal.name(), Proof::Oidc, &detail);
                let (name, subject) = (who.principal.name(), &who.subject);
                tracing::info!(
                    name, subject, %address,
                    "{name:?} (sub {subject:?}) signed in at {}, from {address}",
                    oidc.host()
                );
            }
            Err(why) => {
                counted("failed");
                noted(What::SignInFailed, "", Proof::Nobody, &why.to_string());
                if self.attempts.failed(address, None).is_ok() {
                    tracing::warn!(%address, "from {address}, signing in at {}: {why}", oidc.host());
                }
            }
        }
        signed_in
    }
}

//! Who asks.

use std::sync::Arc;

use hyper::Request;
use poem::http::header::AUTHORIZATION;

use super::cors::Cors;
use super::host::Names;
use super::{Refused, cookie, site};
use crate::access::oidc::{NotProven, Oidc};
use crate::access::{Certificate, NotKnown, Principal, Proof, Token, TokenFile};

/// Why what was shown proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    #[error(transparent)]
    Token(#[from] NotKnown),
    #[error(transparent)]
    Jwt(#[from] NotProven),
}

/// A principal; and if something was shown that proves nothing, why not.
pub struct Asks {
    pub principal: Principal,
    pub not_known: Option<Why>,
}

pub struct Who {
    /// Where nobody is asked for proof, who everybody is; else who shows none.
    otherwise: Principal,
    tokens: Option<Arc<TokenFile>>,
    /// Whose JWTs count beside the tokens; what they let one do is in the same file.
    oidc: Option<Arc<Oidc>>,
}

impl Who {
    pub fn new(on_loopback: bool, tokens: Option<Arc<TokenFile>>, oidc: Option<Arc<Oidc>>) -> Self {
        Self {
            otherwise: match (&tokens, on_loopback) {
                (Some(_), _) => Principal::nobody(),
                (None, true) => Principal::everybody(Proof::Local),
                (None, false) => Principal::everybody(Proof::Open),
            },
            tokens,
            oidc,
        }
    }

    pub fn oidc(&self) -> Option<&Arc<Oidc>> {
        self.oidc.as_ref()
    }

    pub fn tokens(&self) -> Option<&Arc<TokenFile>> {
        self.tokens.as_ref()
    }

    pub async fn find<B>(
        &self,
        request: &Request<B>,
        names: &Names,
        cors: &Cors,
        certificate: Option<&Certificate>,
    ) -> Result<Asks, Refused> {
        // Of a page of another origin a browser sends no such header by itself, and none at all before it has asked.
        if let Some(tokens) = &self.tokens
            && let Some(token) = bearer(request)
        {
            return Ok(self.shown(self.token(tokens, token).await));
        }
        // All else counts only if a page of ours asks for it; of one that was named, not even our cookie.
        let named = cors.named(request).is_some();
        if !named {
            site::check(request, names)?;
        }
        if !named
            && let Some(tokens) = &self.tokens
            && let Some(token) = cookie::token(request.headers())
        {
            return Ok(self.shown(self.token(tokens, token).await));
        }
        // A browser shows it by itself, as it does with cookies.
        if !named
            && let Some(tokens) = &self.tokens
            && let Some(certificate) = certificate
        {
            return Ok(self.shown(tokens.find_certificate(certificate).map_err(Why::from)));
        }
        Ok(Asks {
            principal: self.otherwise.clone(),
            not_known: None,
        })
    }

    /// Whether nobody can be known without one.
    pub fn needs_certificates(&self) -> bool {
        let tokens = self.tokens.as_ref();
        tokens.is_some_and(|tokens| tokens.is_of_certificates_alone())
    }

    pub fn otherwise(&self) -> &Principal {
        &self.otherwise
    }

    /// Of what is shown as a token; an issuer's JWT looks otherwise.
    async fn token(&self, tokens: &TokenFile, token: &str) -> Result<Principal, Why> {
        match &self.oidc {
            Some(oidc) if !Token::is_like(token) => Ok(oidc.find(token, &tokens.roles()).await?),
            _ => Ok(tokens.find(token)?),
        }
    }

    fn shown(&self, found: Result<Principal, Why>) -> Asks {
        match found {
            Ok(principal) => Asks {
                principal,
                not_known: None,
            },
            Err(why) => Asks {
                principal: self.otherwise.clone(),
                not_known: Some(why),
            },
        }
    }
}

fn bearer<B>(request: &Request<B>) -> Option<&str> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim_matches(' '))
}

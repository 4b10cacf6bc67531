//! What a JWT says, once it is clear that the issuer has signed it for this service and that its time is now.

use jiff::Timestamp;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Header, Validation, decode};
use serde_json::{Map, Value};

use super::keys::Key;
use crate::access::principal::check_name;

/// How far the issuer's clock and ours may be apart, in seconds: what RFC 7519 calls "no more than a few minutes".
pub const SKEW: u64 = 60;

/// Why a JWT proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotProven {
    #[error(
        "what was shown is no JWT, or one by an algorithm that is not taken (RS256, PS256, ES256, ES384 and EdDSA are)"
    )]
    NoJwt,
    #[error("a JWT of the type {0:?} is no token to show to a service")]
    OtherType(String),
    #[error(
        "the JWT is signed by no key of the issuer's: perhaps another issuer's, or one of long ago"
    )]
    UnknownKey,
    #[error("the JWT's signature is wrong")]
    Signature,
    #[error("the JWT has expired, at {0}")]
    Expired(Timestamp),
    #[error("the JWT does not count yet: by its iat or nbf it is of the future")]
    NotYet,
    #[error("the JWT is of another issuer")]
    OtherIssuer,
    #[error(
        "the JWT is for somebody else: its aud names neither --oidc-audience nor --oidc-client-id"
    )]
    OtherAudience,
    #[error("the JWT is of another sign-in (nonce)")]
    OtherSignIn,
    #[error("the JWT has no {0} that can be used")]
    Claim(&'static str),
    #[error(
        "{name} is known to the issuer and has no role here: no value of the claim {claim} is in the tokens file"
    )]
    NoRole { name: String, claim: String },
    /// Nothing is wrong with the JWT, as far as is known.
    #[error("the issuer's keys are not known at the moment: {0}")]
    Away(String),
}

pub struct Claims(Map<String, Value>);

/// Signature, issuer, audience and times.
pub fn verified(
    token: &str,
    header: &Header,
    key: &Key,
    issuer: &str,
    audiences: &[&str],
) -> Result<Claims, NotProven> {
    let mut wanted = Validation::new(header.alg);
    wanted.leeway = SKEW;
    wanted.validate_nbf = true;
    wanted.set_issuer(&[issuer]);
    wanted.set_audience(audiences);
    wanted.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let claims = match decode::<Map<String, Value>>(token, &key.key, &wanted) {
        Ok(token) => Claims(token.claims),
        Err(error) => return Err(why(&error, token)),
    };
    // The crate would take a list of issuers.
    if claims.text("iss") != Some(issuer) {
        return Err(NotProven::OtherIssuer);
    }
    let latest = Timestamp::now().as_second().saturating_add(SKEW as i64);
    match claims.0.get("iat") {
        None => Ok(claims),
        Some(_) if claims.seconds("iat").is_none() => Err(NotProven::Claim("iat")),
        Some(_) if claims.seconds("iat") > Some(latest) => Err(NotProven::NotYet),
        Some(_) => Ok(claims),
    }
}

fn why(error: &Error, token: &str) -> NotProven {
    match error.kind() {
        ErrorKind::InvalidSignature => NotProven::Signature,
        // It is signed, so what it says of its end can be told.
        ErrorKind::ExpiredSignature => {
            let claims = jsonwebtoken::dangerous::insecure_decode_claims(token).map(Claims);
            let at = claims.ok().and_then(|claims| claims.seconds("exp"));
            at.and_then(|at| Timestamp::from_second(at).ok())
                .map_or(NotProven::Claim("exp"), NotProven::Expired)
        }
        ErrorKind::ImmatureSignature => NotProven::NotYet,
        ErrorKind::InvalidIssuer => NotProven::OtherIssuer,
        ErrorKind::InvalidAudience => NotProven::OtherAudience,
        ErrorKind::MissingRequiredClaim(name) | ErrorKind::InvalidClaimFormat(name) => {
            let known = ["exp", "nbf", "iss", "aud", "sub"];
            let name = known.into_iter().find(|known| known == name);
            NotProven::Claim(name.unwrap_or("claims"))
        }
        _ => NotProven::NoJwt,
    }
}

impl Claims {
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    fn seconds(&self, name: &str) -> Option<i64> {
        let value = self.0.get(name)?;
        // Numbers here may have a fraction (RFC 7519, NumericDate).
        value
            .as_i64()
            .or_else(|| value.as_f64().map(|at| at as i64))
    }

    /// Until when it counts: as long as it is taken, so with what the clocks may differ.
    pub fn expires(&self) -> Result<Timestamp, NotProven> {
        let at = self
            .seconds("exp")
            .and_then(|at| at.checked_add(SKEW as i64));
        at.and_then(|at| Timestamp::from_second(at).ok())
            .ok_or(NotProven::Claim("exp"))
    }

    /// For people, to stand beside decisions: the first of these that is a name. Only `sub` is sure to be one person's for
    /// ever, and nobody can read it; the others are as good as the issuer's care for them. Not `client_id`: a person's token
    /// has that of the program, too, and a program's own has it as `sub`.
    pub fn name(&self) -> Result<&str, NotProven> {
        let unverified = self.0.get("email_verified") == Some(&Value::Bool(false));
        let names = ["preferred_username", "email", "sub"];
        names
            .into_iter()
            .filter(|name| !(unverified && *name == "email"))
            .filter_map(|name| self.text(name))
            .find(|name| is_name(name))
            .ok_or(NotProven::Claim("name"))
    }

    /// What the claim at this path says: a text, or a list of texts. A claim's own name may have dots, so the whole path is
    /// looked for first.
    pub fn values(&self, path: &str) -> Vec<&str> {
        let whole = self.0.get(path);
        let found = whole.or_else(|| {
            let mut steps = path.split('.');
            let first = self.0.get(steps.next()?)?;
            steps.try_fold(first, |value, step| value.get(step))
        });
        match found {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

/// As a name in the tokens file; and nothing that makes it look like another's.
fn is_name(name: &str) -> bool {
    let unseen = |c: char| matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    check_name(name).is_ok() && name.trim() == name && !name.contains(unseen)
}

//! Who asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use super::grant::{Collections, Grant};
use super::right::{Right, Rights};

/// Names that decisions have from elsewhere: who has one of them would be taken for the service itself, or for nobody.
const RESERVED: [&str; 5] = ["waybill", "local", "open", "nobody", "unknown"];

/// A name stands beside decisions for ever, in tables and in the tokens file, between quotes.
pub fn check_name(name: &str) -> Result<(), String> {
    let wrong = |c: char| c.is_control() || c == '"' || c == '\\';
    if name.trim().is_empty() || name.len() > 100 || name.contains(wrong) {
        return Err(format!(
            "the name {name:?} is not 1 to 100 bytes without control characters, quotes and backslashes"
        ));
    }
    match RESERVED.contains(&name) {
        true => Err(format!("the name {name:?} is taken by the service itself")),
        false => Ok(()),
    }
}

/// How it is known who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It is not: nothing was shown.
    Nobody,
    /// It came over loopback, to a service that asks for no proof.
    Local,
    /// Whoever reaches the port: --insecure-listen.
    Open,
    Token,
    /// Shown in the handshake of TLS.
    Certificate,
    /// The issuer's signature, over OpenID Connect.
    Oidc,
}

impl Proof {
    pub fn as_str(self) -> &'static str {
        match self {
            Proof::Nobody => "nobody",
            Proof::Local => "local",
            Proof::Open => "open",
            Proof::Token => "token",
            Proof::Certificate => "certificate",
            Proof::Oidc => "oidc",
        }
    }

    /// Whether the name is more than what the client says. Decisions keep what is proven, and how.
    pub fn is_proven(self) -> bool {
        match self {
            Proof::Nobody | Proof::Local | Proof::Open => false,
            Proof::Token | Proof::Certificate | Proof::Oidc => true,
        }
    }
}

/// What principals stand on: an entry of the tokens file. When it is taken away, all that stand on it are over.
#[derive(Clone, Debug, Default)]
pub struct Basis(Arc<AtomicBool>);

impl Basis {
    pub fn take_away(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_gone(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Cheap to copy: each request has one.
#[derive(Clone, Debug)]
pub struct Principal(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    name: String,
    grant: Grant,
    proof: Proof,
    expires: Option<Timestamp>,
    basis: Basis,
}

impl Principal {
    pub fn new(name: &str, grant: Grant, proof: Proof, expires: Option<Timestamp>) -> Self {
        Self::on(Basis::default(), name, grant, proof, expires)
    }

    /// With others on the same basis.
    pub fn on(
        basis: Basis,
        name: &str,
        grant: Grant,
        proof: Proof,
        expires: Option<Timestamp>,
    ) -> Self {
        Self(Arc::new(Facts {
            name: name.to_owned(),
            grant,
            proof,
            expires,
            basis,
        }))
    }

    /// Who showed nothing: may see what anybody may.
    pub fn nobody() -> Self {
        Self::new("nobody", Grant::nothing(), Proof::Nobody, None)
    }

    /// Where nobody is asked for proof: all rights.
    pub fn everybody(proof: Proof) -> Self {
        Self::new(proof.as_str(), Grant::everything(), proof, None)
    }

    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub fn rights(&self) -> Rights {
        self.0.grant.rights
    }

    pub fn may(&self, right: Right) -> bool {
        self.0.grant.rights.has(right)
    }

    pub fn collections(&self) -> &Collections {
        &self.0.grant.collections
    }

    pub fn sees(&self, collection: &str) -> bool {
        self.0.grant.collections.has(collection)
    }

    pub fn proof(&self) -> Proof {
        self.0.proof
    }

    pub fn expires(&self) -> Option<Timestamp> {
        self.0.expires
    }

    /// What proved it was taken away. Whoever is in the middle of a stream as this principal sees it by `is_over`.
    pub fn end(&self) {
        self.0.basis.take_away();
    }

    pub fn is_over(&self) -> bool {
        let expired = |at| at <= Timestamp::now();
        self.0.basis.is_gone() || self.0.expires.is_some_and(expired)
    }

    /// So long yet, `most` at most.
    pub fn lives_for(&self, most: Duration) -> Duration {
        let left = |at: Timestamp| {
            let left = at.duration_since(Timestamp::now());
            Duration::try_from(left).unwrap_or(Duration::ZERO)
        };
        self.0.expires.map_or(most, |at| left(at).min(most))
    }

    /// The same one, with the same rights.
    pub fn is_as(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.0, &other.0);
        ours.name == theirs.name
            && ours.grant == theirs.grant
            && ours.proof == theirs.proof
            && ours.expires == theirs.expires
    }

    pub fn is_somebody(&self) -> bool {
        self.0.proof != Proof::Nobody
    }
}

#[cfg(test)]
mod tests {
    use super::super::grant::ORDERS;
    use super::*;

    #[test]
    fn nobody_may_and_sees_nothing() {
        let nobody = Principal::nobody();
        assert_eq!(nobody.rights(), Rights::NONE);
        assert!(!nobody.sees(ORDERS) && !nobody.is_somebody());
        let local = Principal::everybody(Proof::Local);
        assert!(local.sees("anything") && local.may(Right::Admin));
        assert!(!local.proof().is_proven(), "its name is what it says");
    }
}

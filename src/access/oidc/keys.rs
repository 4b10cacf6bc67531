//! The issuer's keys: which of them sign, and by which algorithm each may.
//!
//! Its invariant: a key fixes its algorithms, never the token. So no token is checked as an HMAC over a public key, and none
//! goes without a signature.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey, Header};
use serde::Deserialize;
use serde_json::Value;

/// Issuers have two or three; those of many tenants, some dozens.
const MOST: usize = 200;

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

pub struct Key {
    id: Option<String>,
    algorithms: &'static [Algorithm],
    pub key: DecodingKey,
}

/// Those that count; what else the issuer has (for encryption, of kinds that nobody here can check) is passed over.
pub struct Keys(Vec<Key>);

impl Keys {
    pub fn read(text: &[u8]) -> Result<Self, serde_json::Error> {
        let set: Set = serde_json::from_slice(text)?;
        let keys = set.keys.into_iter().take(MOST);
        Ok(Self(keys.filter_map(usable).collect()))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The key that the header names. One that names none can mean only an issuer that has a single key of its kind.
    pub fn find(&self, header: &Header) -> Option<&Key> {
        let fits = |key: &&Key| key.algorithms.contains(&header.alg);
        let mut fitting = self.0.iter().filter(fits);
        match &header.kid {
            Some(id) => fitting.find(|key| key.id.as_ref() == Some(id)),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        }
    }
}

fn usable(key: Value) -> Option<Key> {
    let key: Jwk = serde_json::from_value(key).ok()?;
    let common = &key.common;
    let signs = match (&common.public_key_use, &common.key_operations) {
        (Some(purpose), _) => *purpose == PublicKeyUse::Signature,
        (None, Some(operations)) => operations.contains(&KeyOperations::Verify),
        (None, None) => true,
    };
    let algorithms = algorithms(&key).filter(|_| signs)?;
    let decoding = match &key.algorithm {
        // ring takes no modulus with zeros before it, which some issuers write.
        AlgorithmParameters::RSA(rsa) => {
            let n = URL_SAFE_NO_PAD.decode(&rsa.n).ok()?;
            let e = URL_SAFE_NO_PAD.decode(&rsa.e).ok()?;
            let zeros = n.iter().take_while(|byte| **byte == 0).count();
            DecodingKey::from_rsa_raw_components(&n[zeros..], &e)
        }
        _ => DecodingKey::from_jwk(&key).ok()?,
    };
    Some(Key {
        id: key.common.key_id,
        algorithms,
        key: decoding,
    })
}

/// What a key of this kind may sign by; if the key itself names an algorithm, that one alone.
fn algorithms(key: &Jwk) -> Option<&'static [Algorithm]> {
    let named = key.common.key_algorithm;
    match &key.algorithm {
        AlgorithmParameters::RSA(_) => match named {
            None => Some(&[Algorithm::RS256, Algorithm::PS256]),
            Some(KeyAlgorithm::RS256) => Some(&[Algorithm::RS256]),
            Some(KeyAlgorithm::PS256) => Some(&[Algorithm::PS256]),
            Some(_) => None,
        },
        AlgorithmParameters::EllipticCurve(ec) => match (&ec.curve, named) {
            (EllipticCurve::P256, None | Some(KeyAlgorithm::ES256)) => Some(&[Algorithm::ES256]),
            (EllipticCurve::P384, None | Some(KeyAlgorithm::ES384)) => Some(&[Algorithm::ES384]),
            _ => None,
        },
        AlgorithmParameters::OctetKeyPair(pair) => match (&pair.curve, named) {
            (EllipticCurve::Ed25519, None | Some(KeyAlgorithm::EdDSA)) => Some(&[Algorithm::EdDSA]),
            _ => None,
        },
        _ => None,
    }
}

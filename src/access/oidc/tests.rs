//! JWTs as issuers sign them, and as others would. What a real issuer does is in tests/it/oidc.rs.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::claims::SKEW;
use super::*;
use crate::access::grant::Grant;
use crate::access::right::Role;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const ISSUER: &str = "http://127.0.0.1:1/shop";

/// Whoever makes an HTTP client needs one.
pub fn provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

struct Signer(Ed25519KeyPair);

impl Signer {
    fn new() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    fn jwk(&self, id: &str) -> Value {
        let x = encoded(self.0.public_key());
        json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": id})
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!(
            "{}.{}",
            encoded(header.to_string()),
            encoded(claims.to_string())
        );
        let signature = encoded(self.0.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

fn settings() -> Settings {
    Settings {
        issuer: ISSUER.to_owned(),
        client_id: "waybill".to_owned(),
        client_secret: None,
        audience: Some("waybill-api".to_owned()),
        roles_claim: "realm_access.roles".to_owned(),
        scope: "openid".to_owned(),
        ca_file: None,
    }
}

/// Nobody listens at the issuer's address; these are the keys that it had.
fn heard(keys: &[Value]) -> Oidc {
    provider();
    let oidc = Oidc::new(settings()).unwrap();
    hear(&oidc, 1, keys);
    oidc
}

fn hear(oidc: &Oidc, generation: u64, keys: &[Value]) {
    let text = json!({ "keys": keys }).to_string().into_bytes();
    *oidc.known.write().unwrap() = Some(Arc::new(Known {
        generation,
        keys: Arc::new(Keys::read(&text).unwrap()),
        text,
        discovery: serde_json::from_value(json!({"issuer": ISSUER, "jwks_uri": ISSUER})).unwrap(),
        heard: Instant::now(),
    }));
}

fn roles() -> Roles {
    let mut roles = Roles::default();
    let grant = Grant::written(Some(Role::Support), None, None).unwrap();
    roles.add("support-team".to_owned(), grant).unwrap();
    roles
}

fn header() -> Value {
    json!({"alg": "EdDSA", "kid": "one", "typ": "JWT"})
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "4711", "aud": "waybill", "exp": now() + 300, "iat": now(),
        "preferred_username": "ada", "realm_access": {"roles": ["guests", "support-team"]},
    })
}

/// The claims with these others; null takes one out.
fn with(more: Value) -> Value {
    let mut claims = claims();
    let fields = claims.as_object_mut().unwrap();
    for (name, value) in more.as_object().unwrap() {
        fields.insert(name.clone(), value.clone());
    }
    fields.retain(|_, value| !value.is_null());
    claims
}

#[tokio::test]
async fn a_jwt_proves_who_the_issuer_says_that_it_is() {
    let signer = Signer::new();
    let oidc = heard(&[signer.jwk("one")]);
    let roles = roles();
    for (more, name) in [
        (json!({}), "ada"),
        (json!({"aud": ["other", "waybill-api"]}), "ada"),
        (
            json!({"exp": now() as f64 + 100.5, "nbf": now() + 50, "iat": now() + 50}),
            "ada",
        ),
        (json!({"exp": now() - SKEW as i64 + 10}), "ada"),
        (json!({"iat": null}), "ada"),
        (
            json!({"preferred_username": null, "email": "ada@example.com"}),
            "ada@example.com",
        ),
        (
            json!({"preferred_username": null, "email": "x@example.com", "email_verified": false}),
            "4711",
        ),
        (
            json!({"preferred_username": null, "client_id": "shop"}),
            "4711",
        ),
        // Names that would be taken for another's.
        (json!({"preferred_username": "waybill"}), "4711"),
        (json!({"preferred_username": "eve\u{202e}"}), "4711"),
        (json!({"preferred_username": " eve"}), "4711"),
        (
            json!({"realm_access": null, "realm_access.roles": "support-team"}),
            "ada",
        ),
    ] {
        let claims = with(more.clone());
        let token = signer.sign(&header(), &claims);
        let found = oidc
            .find(&token, &roles)
            .await
            .unwrap_or_else(|why| panic!("{more}: {why}"));
        assert_eq!(found.name(), name, "{more}");
        assert_eq!(found.rights(), Role::Support.rights());
        let until = claims["exp"].as_f64().unwrap() as i64 + SKEW as i64;
        assert_eq!(found.expires().unwrap().as_second(), until);
    }
}

#[tokio::test]
async fn what_else_is_shown_proves_nothing() {
    let (signer, stranger) = (Signer::new(), Signer::new());
    let oidc = heard(&[signer.jwk("one")]);
    let roles = roles();
    let why = async |token: &str| match oidc.find(token, &roles).await {
        Ok(found) => panic!("{} is let in by {token}", found.name()),
        Err(why) => why,
    };
    let old = now() - SKEW as i64 - 5;
    let soon = now() + SKEW as i64 + 30;
    for (more, wanted) in [
        (
            json!({"exp": old}),
            NotProven::Expired(jiff::Timestamp::from_second(old).unwrap()),
        ),
        (json!({"exp": null}), NotProven::Claim("exp")),
        (json!({"exp": "never"}), NotProven::Claim("exp")),
        (json!({"exp": 1e18}), NotProven::Claim("exp")),
        (json!({"nbf": soon}), NotProven::NotYet),
        (json!({"nbf": "now"}), NotProven::Claim("nbf")),
        (json!({"iat": soon}), NotProven::NotYet),
        (json!({"iat": "now"}), NotProven::Claim("iat")),
        (
            json!({"iss": "http://127.0.0.1:1/other"}),
            NotProven::OtherIssuer,
        ),
        (json!({"iss": [ISSUER]}), NotProven::OtherIssuer),
        (json!({"iss": null}), NotProven::Claim("iss")),
        (json!({"aud": "other"}), NotProven::OtherAudience),
        (json!({"aud": []}), NotProven::OtherAudience),
        (json!({"aud": null}), NotProven::Claim("aud")),
        (json!({"sub": null}), NotProven::Claim("sub")),
    ] {
        assert_eq!(
            why(&signer.sign(&header(), &with(more.clone()))).await,
            wanted,
            "{more}"
        );
    }
    for roles in [
        json!(null),
        json!([]),
        json!(["guests"]),
        json!({"support-team": true}),
        json!(7),
    ] {
        let token = signer.sign(&header(), &with(json!({"realm_access": {"roles": roles}})));
        let (name, claim) = ("ada".to_owned(), "realm_access.roles".to_owned());
        assert_eq!(why(&token).await, NotProven::NoRole { name, claim });
    }
    // By a key that is not the issuer's, under the name of one that is.
    let forged = stranger.sign(&header(), &claims());
    assert_eq!(why(&forged).await, NotProven::Signature);
    let good = signer.sign(&header(), &claims());
    let other = signer.sign(&header(), &with(json!({"preferred_username": "eve"})));
    let parts: Vec<&str> = good.split('.').collect();
    let others: Vec<&str> = other.split('.').collect();
    let mixed = [parts[0], others[1], parts[2]].join(".");
    assert_eq!(why(&mixed).await, NotProven::Signature);
    for broken in [
        "",
        "hunter2",
        "a.b.c",
        &format!(
            "{}.{}.",
            encoded(json!({"alg": "none"}).to_string()),
            parts[1]
        ),
        &format!(
            "{}.{}.",
            encoded(json!({"alg": "none", "kid": "one"}).to_string()),
            parts[1]
        ),
        &signer.sign(
            &json!({"alg": "EdDSA", "kid": "one", "crit": ["x"], "x": 1}),
            &claims(),
        ),
        &format!("{good}.{good}"),
        &"x".repeat(MAX_BYTES + 1),
    ] {
        assert_eq!(why(broken).await, NotProven::NoJwt, "{broken}");
    }
    let logout = signer.sign(
        &json!({"alg": "EdDSA", "kid": "one", "typ": "logout+jwt"}),
        &claims(),
    );
    assert_eq!(
        why(&logout).await,
        NotProven::OtherType("logout+jwt".to_owned())
    );
}

/// The header names an algorithm; which key may be used with it is the key's to say.
#[tokio::test]
async fn a_key_signs_by_its_own_algorithm_alone() {
    let signer = Signer::new();
    let oidc = heard(&[signer.jwk("one")]);
    let roles = roles();
    for algorithm in ["HS256", "ES256", "RS256", "PS256"] {
        let header = json!({"alg": algorithm, "kid": "one"});
        // HS256 over the public key, which everybody knows.
        let message = format!(
            "{}.{}",
            encoded(header.to_string()),
            encoded(claims().to_string())
        );
        let public = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, signer.0.public_key().as_ref());
        let tag = ring::hmac::sign(&public, message.as_bytes());
        let token = format!("{message}.{}", encoded(tag));
        let why = oidc.find(&token, &roles).await.unwrap_err();
        assert!(matches!(why, NotProven::Away(_)), "{algorithm}: {why}");
    }
}

#[test]
fn only_keys_that_sign_count() {
    let random = SystemRandom::new();
    let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref(), &random);
    let point = ec.unwrap().public_key().as_ref().to_vec();
    let (x, y) = (encoded(&point[1..33]), encoded(&point[33..]));
    let n = encoded([&[0][..], &[0xc1; 256]].concat());
    let rsa = json!({"kty": "RSA", "n": n, "e": "AQAB", "kid": "k"});
    let ec = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "k"});
    let taken = |base: &Value, more: Value| {
        let mut key = base.clone();
        let fields = key.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        let keys = Keys::read(json!({ "keys": [key] }).to_string().as_bytes()).unwrap();
        let by = |alg: &str| {
            let header = json!({"alg": alg, "kid": "k"});
            keys.find(&serde_json::from_value(header).unwrap())
                .is_some()
        };
        let all = [
            "RS256", "RS384", "PS256", "ES256", "ES384", "EdDSA", "HS256", "HS512",
        ];
        all.into_iter()
            .filter(|alg| by(alg))
            .collect::<Vec<_>>()
            .join(" ")
    };
    for (base, more, algorithms) in [
        (&rsa, json!({}), "RS256 PS256"),
        (&rsa, json!({"use": "sig", "alg": "RS256"}), "RS256"),
        (&rsa, json!({"alg": "PS256"}), "PS256"),
        (&rsa, json!({"key_ops": ["verify"]}), "RS256 PS256"),
        (&rsa, json!({"use": "enc"}), ""),
        (&rsa, json!({"key_ops": ["encrypt"]}), ""),
        (&rsa, json!({"alg": "RSA-OAEP"}), ""),
        (&rsa, json!({"alg": "RS512"}), ""),
        (&rsa, json!({"alg": "HS256"}), ""),
        (&ec, json!({}), "ES256"),
        (&ec, json!({"alg": "ES384"}), ""),
        (&ec, json!({"crv": "P-384"}), "ES384"),
        (&ec, json!({"crv": "P-521"}), ""),
        (&ec, json!({"crv": "secp256k1"}), ""),
        (
            &json!({"kty": "oct", "k": "c2VjcmV0", "kid": "k"}),
            json!({}),
            "",
        ),
        (&json!({"kty": "AKP", "kid": "k"}), json!({}), ""),
    ] {
        assert_eq!(taken(base, more.clone()), algorithms, "{base} {more}");
    }
    // Without a name only a key that is the only one of its kind can be meant.
    let one = Keys::read(json!({"keys": [rsa, ec]}).to_string().as_bytes()).unwrap();
    let two = Keys::read(json!({"keys": [rsa, rsa]}).to_string().as_bytes()).unwrap();
    let nameless: Header = serde_json::from_value(json!({"alg": "RS256"})).unwrap();
    assert!(one.find(&nameless).is_some() && two.find(&nameless).is_none());
}

/// While the issuer is away its keys go on, for a bounded time.
#[tokio::test]
async fn keys_count_for_twelve_hours_after_the_issuer_was_heard() {
    let signer = Signer::new();
    let oidc = heard(&[signer.jwk("one")]);
    let known = oidc.known().unwrap();
    assert!(known.counts(known.heard + Duration::from_secs(12 * 3600 - 1)));
    assert!(!known.counts(known.heard + Duration::from_secs(12 * 3600)));
    let token = signer.sign(&header(), &claims());
    assert!(oidc.find(&token, &roles()).await.is_ok());
    let long_ago = Known {
        generation: 1,
        text: known.text.clone(),
        keys: known.keys.clone(),
        discovery: known.discovery.clone(),
        heard: Instant::now().checked_sub(COUNT_FOR).unwrap(),
    };
    *oidc.known.write().unwrap() = Some(Arc::new(long_ago));
    let why = oidc.find(&token, &roles()).await.unwrap_err();
    assert!(
        matches!(why, NotProven::Away(_)),
        "though it is remembered: {why}"
    );
}

/// What is remembered of a JWT counts no longer than what it stands on.
#[tokio::test]
async fn what_was_checked_before_is_forgotten_with_its_key_and_with_its_role() {
    let (signer, next) = (Signer::new(), Signer::new());
    let oidc = heard(&[signer.jwk("one")]);
    let token = signer.sign(&header(), &claims());
    let before = roles();
    let first = oidc.find(&token, &before).await.unwrap();
    let again = oidc.find(&token, &before).await.unwrap();
    assert!(first.is_as(&again));

    before.end();
    assert!(first.is_over());
    let none = Roles::default();
    let why = oidc.find(&token, &none).await.unwrap_err();
    assert!(matches!(why, NotProven::NoRole { .. }), "{why}");

    let now = roles();
    assert!(oidc.find(&token, &now).await.is_ok());
    hear(&oidc, 2, &[next.jwk("two")]);
    let why = oidc.find(&token, &now).await.unwrap_err();
    assert!(
        matches!(why, NotProven::Away(_)),
        "the issuer is asked: {why}"
    );
    let token = next.sign(&json!({"alg": "EdDSA", "kid": "two"}), &claims());
    assert!(oidc.find(&token, &now).await.is_ok());
}

/// An ID token of another sign-in, or one that was made for another client, is nobody's here.
#[tokio::test]
async fn an_id_token_counts_for_the_sign_in_that_it_was_made_for() {
    let signer = Signer::new();
    let oidc = heard(&[signer.jwk("one")]);
    let roles = roles();
    let tried = async |more: Value| {
        let token = signer.sign(&header(), &with(more));
        let found = oidc.of_sign_in(token, "this one", &roles).await;
        found.map(|found| found.subject)
    };
    let good = "4711".to_owned();
    for (more, wanted) in [
        (json!({"nonce": "this one"}), Ok(good.clone())),
        (json!({"nonce": "this one", "azp": "waybill"}), Ok(good)),
        (json!({"nonce": "another"}), Err(NotProven::OtherSignIn)),
        (json!({}), Err(NotProven::OtherSignIn)),
        (
            json!({"nonce": "this one", "azp": "other"}),
            Err(NotProven::OtherAudience),
        ),
        // For scripts, and not for the page.
        (
            json!({"nonce": "this one", "aud": "waybill-api"}),
            Err(NotProven::OtherAudience),
        ),
    ] {
        assert_eq!(tried(more.clone()).await, wanted, "{more}");
    }
}

/// However many come with keys that are not known, the issuer is asked once.
#[tokio::test]
async fn the_issuer_is_asked_once_in_ten_seconds_for_what_is_not_known() {
    provider();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counting = asked.clone();
    tokio::spawn(async move {
        loop {
            // Whoever asks hears that the connection is gone.
            drop(listener.accept().await.unwrap());
            counting.fetch_add(1, Ordering::Relaxed);
        }
    });
    let oidc = Oidc::new(Settings {
        issuer: issuer.clone(),
        ..settings()
    });
    let oidc = Arc::new(oidc.unwrap());
    let signer = Signer::new();
    let mut all = Vec::new();
    for n in 0..50 {
        let header = json!({"alg": "EdDSA", "kid": format!("key-{n}")});
        let token = signer.sign(&header, &claims());
        let oidc = oidc.clone();
        all.push(tokio::spawn(
            async move { oidc.find(&token, &roles()).await },
        ));
    }
    for one in all {
        let why = one.await.unwrap().unwrap_err();
        assert!(matches!(why, NotProven::Away(_)), "{why}");
    }
    // The client may try a lost connection a second time.
    let asked = asked.load(Ordering::Relaxed);
    assert!((1..=2).contains(&asked), "{asked}");
    assert!(!oidc.is_well());
}

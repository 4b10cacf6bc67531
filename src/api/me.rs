//! `GET /me`: who asks, as the service knows it, and what that one may. The page asks, so that no button promises what will
//! be refused.

use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use crate::access::{Collections, Principal};

pub struct MeApi;

/// Who asks.
#[derive(Object)]
#[oai(example)]
pub struct Me {
    /// As decisions name it, where it is proven.
    name: String,
    /// How it is known who asks: token, certificate, oidc (an issuer's JWT); or not at all: local (over loopback, to a service
    /// that asks for no proof), open
    /// (--insecure-listen).
    proof: String,
    /// False where the name is what the client says: then decisions are told who decides.
    proven: bool,
    /// read, letters, publish, decide, define, operate, admin
    rights: Vec<String>,
    /// The collections that are seen; null for all.
    collections: Option<Vec<String>>,
    /// When what proves it ends; null for never.
    expires: Option<String>,
}

impl From<&Principal> for Me {
    fn from(principal: &Principal) -> Self {
        let rights = principal.rights().iter();
        Self {
            name: principal.name().to_owned(),
            proof: principal.proof().as_str().to_owned(),
            proven: principal.proof().is_proven(),
            rights: rights.map(|right| right.as_str().to_owned()).collect(),
            collections: match principal.collections() {
                Collections::All => None,
                Collections::Named(names) => Some(names.iter().cloned().collect()),
            },
            expires: principal.expires().map(|at| at.to_string()),
        }
    }
}

#[OpenApi]
impl MeApi {
    /// Who asks, and what may that one do
    #[oai(path = "/me", method = "get", operation_id = "getMe")]
    async fn me(&self, principal: Principal) -> Json<Me> {
        Json(Me::from(&principal))
    }
}

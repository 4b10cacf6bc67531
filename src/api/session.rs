//! Signing in and out of the page: a token is checked, and kept in a cookie that the page's code cannot read.

use std::sync::Arc;

use poem::http::header::{CONTENT_TYPE, SET_COOKIE};
use poem::http::{HeaderValue, StatusCode};
use poem::{IntoResponse, Request, Response};
use poem_openapi::payload::Json;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::{ToJSON, Type};
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Deserialize;

use super::body::Strict;
use super::gate::Gate;
use super::me::Me;
use crate::access::Principal;

pub struct Sessions(pub Arc<Gate>);

/// A name, and the token that proves it.
#[derive(Object, Deserialize)]
#[oai(deny_unknown_fields, example)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// As the tokens file has it.
    name: String,
    token: String,
}

/// How one signs in to the page here.
#[derive(Object)]
#[oai(example)]
pub struct Ways {
    /// By a name and a token: `POST /session`.
    token: bool,
    /// At an issuer's page (OpenID Connect), by /sign-in/oidc: its host; null if there is none.
    oidc: Option<String>,
}

/// With a cookie to keep, or to forget.
pub struct Kept {
    status: StatusCode,
    body: Option<String>,
    cookie: Option<HeaderValue>,
}

impl IntoResponse for Kept {
    fn into_response(self) -> Response {
        let mut response = match self.body {
            Some(body) => Response::builder()
                .status(self.status)
                .header(CONTENT_TYPE, "application/json")
                .body(body),
            None => Response::builder().status(self.status).finish(),
        };
        let cookie = self.cookie.map(|cookie| (SET_COOKIE, cookie));
        response.headers_mut().extend(cookie);
        response
    }
}

impl ApiResponse for Kept {
    fn meta() -> MetaResponses {
        let answer = |status, description, content| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content,
            headers: vec![],
        };
        let me = MetaMediaType {
            content_type: "application/json",
            schema: Me::schema_ref(),
        };
        MetaResponses {
            responses: vec![
                answer(200, "Signed in: the token is in a cookie", vec![me]),
                answer(204, "Signed out: the cookie is forgotten", vec![]),
            ],
        }
    }

    fn register(registry: &mut Registry) {
        Me::register(registry);
    }
}

#[OpenApi]
impl Sessions {
    /// How one signs in
    #[oai(path = "/session", method = "get", operation_id = "waysToSignIn")]
    async fn ways(&self) -> Json<Ways> {
        Json(Ways {
            token: self.0.has_tokens(),
            oidc: self.0.oidc().map(|oidc| oidc.host().to_owned()),
        })
    }

    /// Sign in to the page
    ///
    /// For browsers: the token is kept in a cookie, HttpOnly and SameSite=Strict, for 12 hours at most. Scripts send the token
    /// itself. Failures are slowed by address and by name; a token that is right is always taken.
    #[oai(path = "/session", method = "post", operation_id = "signIn")]
    async fn sign_in(&self, request: &Request, body: Strict<SignIn>) -> poem::Result<Kept> {
        let SignIn { name, token } = body.0;
        let remote = request.remote_addr().as_socket_addr().copied();
        let signed = self.0.sign_in(name.trim(), token.trim(), remote);
        let principal =
            signed.map_err(|refused| poem::Error::from_response(refused.into_response()))?;
        Ok(Kept {
            status: StatusCode::OK,
            body: Some(Me::from(&principal).to_json_string()),
            cookie: self
                .0
                .cookie(request.headers(), token.trim(), Some(&principal)),
        })
    }

    /// Sign out
    #[oai(path = "/session", method = "delete", operation_id = "signOut")]
    async fn sign_out(&self, principal: Principal, request: &Request) -> Kept {
        let remote = request.remote_addr().as_socket_addr().copied();
        self.0.signed_out(&principal, remote);
        Kept {
            status: StatusCode::NO_CONTENT,
            body: None,
            cookie: self.0.cookie(request.headers(), "", None),
        }
    }
}

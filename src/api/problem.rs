//! The one mapping from what went wrong to problem+json (RFC 9457).

use poem::http::StatusCode;
use poem::http::header::{CONTENT_TYPE, RETRY_AFTER};
use poem::{IntoResponse, Response};
use poem_openapi::error::{ParseParamError, ParsePathError};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Object};
use serde::{Deserialize, Serialize};

use crate::inbox::Unavailable;
use crate::postgres;

pub const MEDIA_TYPE: &str = "application/problem+json";

/// Somewhere to go from here.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Link {
    /// What it is, as in `dead_letter` or `decided_by`.
    pub rel: String,
    pub href: String,
}

/// An error, as RFC 9457 has it.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
#[oai(example)]
pub struct Problem {
    /// A stable name of the kind of problem.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// What failed, on what, and what to try.
    pub detail: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[oai(skip_serializing_if = "Vec::is_empty", default)]
    pub links: Vec<Link>,
    /// Of a rules file: each mistake, with its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[oai(skip_serializing_if = "Vec::is_empty", default)]
    pub mistakes: Vec<Mistake>,
}

/// A mistake in a rules file.
#[derive(Clone, Debug, Serialize, Deserialize, Object)]
pub struct Mistake {
    pub line: u64,
    pub column: u64,
    pub message: String,
}

impl Problem {
    pub fn new(status: StatusCode, name: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:waybill:problem:{name}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            links: Vec::new(),
            mistakes: Vec::new(),
        }
    }

    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }

    #[must_use]
    pub fn link(mut self, rel: &str, href: String) -> Self {
        self.links.push(Link {
            rel: rel.to_owned(),
            href,
        });
        self
    }
}

impl From<postgres::Error> for Problem {
    fn from(error: postgres::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&postgres::Error> for Problem {
    /// The outside learns that Postgres is away, not what it said.
    fn from(error: &postgres::Error) -> Self {
        if let postgres::Error::Server(server) = error
            && let Some(db) = server.as_db_error()
            && !db.code().code().starts_with("57")
            && !db.code().code().starts_with("08")
        {
            tracing::error!(%error, "a query failed: {error}");
            return Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Something went wrong inside; it is in the service's log.",
            );
        }
        tracing::debug!(%error, "Postgres is away: {error}");
        Self::unavailable(
            "Postgres is away; orders in the cache still answer. Try again in a moment.",
        )
    }
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Self {
        Self::unavailable(format!("{error}."))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let response = Response::builder()
            .status(status)
            .header(CONTENT_TYPE, MEDIA_TYPE);
        let response = match status {
            StatusCode::SERVICE_UNAVAILABLE => response.header(RETRY_AFTER, "2"),
            _ => response,
        };
        response.body(body)
    }
}

impl From<Problem> for poem::Error {
    fn from(problem: Problem) -> Self {
        poem::Error::from_response(problem.into_response())
    }
}

impl Payload for Problem {
    const CONTENT_TYPE: &'static str = MEDIA_TYPE;

    fn schema_ref() -> MetaSchemaRef {
        <Self as Type>::schema_ref()
    }
}

/// In the spec: the default answer, of every operation.
impl ApiResponse for Problem {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "What went wrong, as problem+json",
                status: None,
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: MEDIA_TYPE,
                    schema: <Self as Type>::schema_ref(),
                }],
                headers: vec![],
            }],
        }
    }

    fn register(registry: &mut Registry) {
        <Self as Type>::register(registry);
    }
}

/// Whatever the framework refuses: unknown paths, wrong methods, parameters and bodies it cannot read.
pub async fn answer(error: poem::Error) -> Response {
    if error.is_from_response() {
        return error.into_response();
    }
    let status = error.status();
    let detail = match status {
        StatusCode::NOT_FOUND => {
            "There is nothing at this path; /docs lists what there is.".to_owned()
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            "This path does not take this method; /docs lists what there is.".to_owned()
        }
        StatusCode::INTERNAL_SERVER_ERROR => {
            tracing::error!(%error, "a request failed: {error}");
            "Something went wrong inside; it is in the service's log.".to_owned()
        }
        _ => unreadable(&error).unwrap_or_else(|| format!("{error}")),
    };
    let name = match status {
        StatusCode::NOT_FOUND => "not-found",
        StatusCode::METHOD_NOT_ALLOWED => "method-not-allowed",
        StatusCode::PAYLOAD_TOO_LARGE => "too-large",
        StatusCode::INTERNAL_SERVER_ERROR => "internal",
        _ => "bad-request",
    };
    Problem::new(status, name, detail).into_response()
}

/// A parameter that is not what is asked for, in words; the framework speaks of types and of `param0`.
fn unreadable(error: &poem::Error) -> Option<String> {
    let wanted = |reason: &str| {
        if reason.contains("integer") {
            "a whole number is to stand there"
        } else if reason.contains("boolean") {
            "true or false is to stand there"
        } else {
            "it is none of those that it may be"
        }
    };
    if let Some(path) = error.downcast_ref::<ParsePathError>() {
        let wanted = wanted(&path.reason);
        return Some(format!("A part of the path cannot be read: {wanted}."));
    }
    let parameter = error.downcast_ref::<ParseParamError>()?;
    let wanted = wanted(&parameter.reason);
    Some(format!("{} cannot be read: {wanted}.", parameter.name))
}

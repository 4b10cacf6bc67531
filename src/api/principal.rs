//! The principal, as handlers take it from the gate; and what of a set it sees.

use poem::http::StatusCode;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::problem::Problem;
use crate::access::{Collections, Principal};
use crate::collection::Id;
use crate::dead_letter::{Filter, Within};
use crate::projection::InForce;

const SCHEME: &str = "token";

impl<'a> ApiExtractor<'a> for Principal {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let scheme = MetaSecurityScheme {
            ty: "http",
            description: Some(
                "A token as `waybill token new` makes them. On loopback a service may ask for none.",
            ),
            name: None,
            key_in: None,
            scheme: Some("bearer"),
            bearer_format: None,
            flows: None,
            openid_connect_url: None,
        };
        registry.create_security_scheme(SCHEME, scheme);
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    /// A service may ask nobody.
    fn has_security_fallback() -> bool {
        true
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(principal(request)?.clone())
    }
}

/// For what is no generated handler.
pub fn principal(request: &Request) -> Result<&Principal, Problem> {
    request.data::<Principal>().ok_or_else(|| {
        tracing::error!(
            "{} was reached without the gate: this is a bug",
            request.uri().path()
        );
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong inside; it is in the service's log.",
        )
    })
}

/// Of all that is in force, what a principal sees; and for each letter of no collection the name that it was sent to.
pub fn within(principal: &Principal, in_force: &InForce) -> Within {
    let seen = in_force
        .iter()
        .filter(|defined| principal.sees(&defined.name));
    let ids = seen.map(|defined| defined.id.0).chain([Id::NONE.0]);
    let names = match principal.collections() {
        Collections::All => None,
        Collections::Named(names) => Some(names.iter().cloned().collect()),
    };
    Within {
        ids: ids.collect(),
        names,
    }
}

/// The collections whose groups a principal sees. A group of letters that belong to none may be of any name.
pub fn seen(principal: &Principal, in_force: &InForce) -> Vec<i64> {
    let mut within = within(principal, in_force);
    if within.names.is_some() {
        within.ids.retain(|id| *id != Id::NONE.0);
    }
    within.ids
}

/// Of the letters that a filter finds, those that a principal sees: none of what was dropped.
pub fn narrowed(filter: Filter, principal: &Principal, in_force: &InForce) -> Filter {
    Filter {
        within: Some(within(principal, in_force)),
        ..filter
    }
}

/// What counts, or is about, all collections.
pub fn sees_all(principal: &Principal, in_force: &InForce) -> bool {
    in_force.iter().all(|defined| principal.sees(&defined.name))
}

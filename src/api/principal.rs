//! The principal, as handlers take it from the gate; and what of a set it sees.

use poem::http::StatusCode;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::problem::Problem;
use crate::access::{ORDERS, Principal};
use crate::dead_letter::Filter;

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

/// What is about orders is nowhere for a principal that does not see them.
pub fn sees_orders(principal: &Principal) -> Result<(), Problem> {
    match principal.sees(ORDERS) {
        true => Ok(()),
        false => Err(Problem::not_found(format!(
            "{} sees no collection `{ORDERS}`: the token is narrowed to others.",
            principal.name()
        ))),
    }
}

/// Of the letters that a filter finds, those that a principal sees.
pub fn narrowed(filter: Filter, principal: &Principal) -> Filter {
    match principal.sees(ORDERS) {
        true => filter,
        false => Filter {
            ids: Some(Vec::new()),
            ..filter
        },
    }
}

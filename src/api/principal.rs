//! The principal, as handlers take it from the gate; and what of a set it sees.

use poem::http::StatusCode;
use poem::{FromRequest, Request, RequestBody};

use super::problem::Problem;
use crate::access::{ORDERS, Principal};
use crate::dead_letter::Filter;

impl<'a> FromRequest<'a> for Principal {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
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

//! A JSON body that was rendered already, with the schema of a type: orders are answered byte for byte as the live path has
//! them, so nothing may parse and write them again.

use std::marker::PhantomData;

use bytes::Bytes;
use poem::http::StatusCode;
use poem::http::header::CONTENT_TYPE;
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;

pub struct Rendered<T> {
    pub status: StatusCode,
    pub body: Bytes,
    schema: PhantomData<fn() -> T>,
}

impl<T> Rendered<T> {
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            body: body.into(),
            schema: PhantomData,
        }
    }
}

impl<T> IntoResponse for Rendered<T> {
    fn into_response(self) -> Response {
        Response::builder()
            .status(self.status)
            .header(CONTENT_TYPE, "application/json")
            .body(self.body)
    }
}

impl<T: Type> ApiResponse for Rendered<T> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: "application/json",
                    schema: T::schema_ref(),
                }],
                headers: vec![],
            }],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

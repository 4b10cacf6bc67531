//! What is served as it is: the front page, Swagger UI, the specification.

use bytes::Bytes;
use poem::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use poem::{Endpoint, Request, Response, handler};

#[handler]
pub fn index() -> Response {
    Response::builder()
        .header(CONTENT_TYPE, "text/html; charset=utf-8")
        .header(CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'self'")
        .body("<!doctype html><html lang=en><title>Waybill</title><h1>Waybill</h1><p><a href=/docs>The API, to try</a> · <a href=/openapi.json>Its specification</a> · <a href=/healthz/ready>Health</a> · <a href=/metrics>Metrics</a></html>")
}

pub struct Docs(Bytes);

impl Docs {
    pub fn new(html: &str) -> Self {
        Self(Bytes::from(html.to_owned()))
    }
}

impl Endpoint for Docs {
    type Output = Response;

    async fn call(&self, _: Request) -> poem::Result<Response> {
        Ok(Response::builder()
            .header(CONTENT_TYPE, "text/html; charset=utf-8")
            .body(self.0.clone()))
    }
}

pub struct Json(Bytes);

impl Json {
    pub fn new(text: String) -> Self {
        Self(Bytes::from(text))
    }
}

impl Endpoint for Json {
    type Output = Response;

    async fn call(&self, _: Request) -> poem::Result<Response> {
        Ok(Response::builder()
            .header(CONTENT_TYPE, "application/json")
            .body(self.0.clone()))
    }
}

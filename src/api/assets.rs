//! What is served as it is: the page and its modules out of `src/ui/`, Swagger UI, the specification.
//!
//! Every path of the page answers with the same index.html, and the page's own router reads the address: so each view can
//! be shared. Files have no version in their names: a browser asks again each time and gets 304, which costs nothing here.

use std::sync::Arc;

use bytes::Bytes;
use poem::error::NotFoundError;
use poem::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY,
};
use poem::http::{HeaderMap, Method, StatusCode};
use poem::{Endpoint, Request, Response};
use sha2::{Digest, Sha256};

use super::problem::Problem;
use crate::ui::{self, File};

/// Nothing inline, nothing from elsewhere, nothing in a frame: what an order or junk says can never become code.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Swagger UI stands in one file with all of its code. It shows our own specification, and nothing that was sent to us.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The paths of the page, which reads what stands for `:uid` and the like itself.
pub const PAGES: [&str; 16] = [
    "/",
    "/orders/:uid",
    "/c/:name",
    "/c/:name/:key",
    "/sums/:name",
    "/sums/:name/:account",
    "/live",
    "/groups",
    "/letters",
    "/letters/:id",
    "/collections",
    "/collections/:name",
    "/operations",
    "/operations/:id",
    "/account",
    "/audit",
];

/// On every page of a service that anybody may use who reaches it. Written here and not by the page's own code, so that no
/// mistake there can hide it.
const OPEN: &str = "<p class=\"notice\" role=\"note\">This service is open (--insecure-listen): whoever reaches it can read and \
                    decide everything.</p>";

/// The page's text, with `OPEN` right after the beginning of its body.
fn opened(html: &str) -> String {
    match html.find("<body>") {
        Some(at) => {
            let (head, rest) = html.split_at(at + "<body>".len());
            format!("{head}{OPEN}{rest}")
        }
        None => html.to_owned(),
    }
}

struct Asset {
    path: &'static str,
    content_type: &'static str,
    bytes: Bytes,
    etag: String,
}

impl Asset {
    fn new(file: File) -> Self {
        Self::with(file, Bytes::from_static(file.bytes))
    }

    fn with(file: File, bytes: Bytes) -> Self {
        let digest = Sha256::digest(&bytes);
        let etag = digest[..8].iter().map(|byte| format!("{byte:02x}"));
        Self {
            path: file.path,
            content_type: file.content_type(),
            bytes,
            etag: format!("\"{}\"", etag.collect::<String>()),
        }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let response = Response::builder()
            .header(ETAG, &self.etag)
            .header(CACHE_CONTROL, "no-cache")
            .header(CONTENT_SECURITY_POLICY, POLICY)
            .header(REFERRER_POLICY, "no-referrer");
        let known = headers
            .get(IF_NONE_MATCH)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|tags| {
                tags.split(',')
                    .any(|tag| tag.trim().trim_start_matches("W/") == self.etag)
            });
        if known {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        response
            .header(CONTENT_TYPE, self.content_type)
            .body(self.bytes.clone())
    }
}

/// One file under every path that it is routed at.
#[derive(Clone)]
pub struct Page(Arc<Asset>);

impl Page {
    /// `open`: whoever reaches the service may do everything.
    pub fn new(open: bool) -> Self {
        let html = String::from_utf8_lossy(ui::INDEX.bytes);
        Self(Arc::new(match open {
            true => Asset::with(ui::INDEX, opened(&html).into()),
            false => Asset::new(ui::INDEX),
        }))
    }

    pub fn icon() -> Self {
        Self(Arc::new(Asset::new(ui::ICON)))
    }
}

impl Endpoint for Page {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        Ok(self.0.answer(request.headers()))
    }
}

/// At a path that leads nowhere: the page tells a person, problem+json a program.
pub async fn or_page<E: Endpoint<Output = Response>>(
    endpoint: Arc<E>,
    request: Request,
    page: Page,
) -> poem::Result<Response> {
    let person = request.method() == Method::GET
        && !request.uri().path().starts_with("/api/")
        && request
            .header(ACCEPT)
            .is_some_and(|accept| accept.contains("text/html"));
    match endpoint.call(request).await {
        Err(error) if person && error.is::<NotFoundError>() => {
            let mut response = page.0.answer(&HeaderMap::new());
            response.set_status(StatusCode::NOT_FOUND);
            Ok(response)
        }
        other => other,
    }
}

/// `/ui/*path`
pub struct Assets(Vec<Asset>);

impl Assets {
    pub fn new() -> Self {
        Self(ui::FILES.iter().copied().map(Asset::new).collect())
    }
}

impl Endpoint for Assets {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let path = request.raw_path_param("path").unwrap_or_default();
        match self.0.iter().find(|asset| asset.path == path) {
            Some(asset) => Ok(asset.answer(request.headers())),
            None => Err(Problem::not_found("The page has no such file.").into()),
        }
    }
}

pub struct Docs(Bytes);

impl Docs {
    pub fn new(html: &str, open: bool) -> Self {
        Self(Bytes::from(match open {
            true => opened(html),
            false => html.to_owned(),
        }))
    }
}

impl Endpoint for Docs {
    type Output = Response;

    async fn call(&self, _: Request) -> poem::Result<Response> {
        Ok(Response::builder()
            .header(CONTENT_TYPE, "text/html; charset=utf-8")
            .header(CONTENT_SECURITY_POLICY, DOCS_POLICY)
            .header(REFERRER_POLICY, "no-referrer")
            .body(self.0.clone()))
    }
}

//! One client's connection: its requests, one after the other, each by the gate; and how long it may keep us waiting.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Either, Full};
use hyper::Method;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use poem::endpoint::BoxEndpoint;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, IntoResponse, Request, Response};
use prometheus::IntCounter;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::api::audit;
use crate::api::gate::{Gate, Refused};
use crate::api::orders::HotRead;
use crate::audit::{Audit, What};

/// A client has this long (at most twice this) to send a request's headers; an idle connection is closed after it.
const HEADER_TIME: Duration = Duration::from_secs(30);
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// What is read of a refused request's body, at most, and for how long.
const REFUSED_BYTES: usize = 1 << 20;
const REFUSED_TIME: Duration = Duration::from_secs(2);

pub struct Connection {
    pub routes: Arc<BoxEndpoint<'static>>,
    pub hot: HotRead,
    pub gate: Arc<Gate>,
    pub audit: Audit,
    pub classes: Arc<[IntCounter; 5]>,
    pub local: Option<SocketAddr>,
    pub remote: SocketAddr,
}

/// What the watchdog looks at: a timer for each request would cost more than the request.
#[derive(Default)]
struct Life {
    begun: AtomicU64,
    under_way: AtomicU64,
}

/// A request, until the last byte of its answer is on its way: an export may take minutes.
struct UnderWay(Arc<Life>);

impl UnderWay {
    fn begin(life: &Arc<Life>) -> Self {
        life.begun.fetch_add(1, Ordering::Relaxed);
        life.under_way.fetch_add(1, Ordering::Relaxed);
        Self(life.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

type Body = Either<Full<Bytes>, BoxBody<Bytes, std::io::Error>>;

impl Connection {
    pub async fn run(self, stream: TcpStream, stop: CancellationToken) {
        let _ = stream.set_nodelay(true);
        let life = Arc::new(Life::default());
        let watched = life.clone();
        let connection = Arc::new(self);
        let service = service_fn(move |request| {
            let (connection, life) = (connection.clone(), life.clone());
            async move {
                let response = connection.answer(request, UnderWay::begin(&life)).await;
                let class = usize::from(response.status().as_u16() / 100 - 1).min(4);
                connection.classes[class].inc();
                Ok::<hyper::Response<Body>, Infallible>(response)
            }
        });
        let served = http1::Builder::new()
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEADER_BYTES)
            // One write for head and body. Not by pipeline_flush, which lets a stream run ahead of a slow client without
            // any bound.
            .writev(false)
            .serve_connection(TokioIo::new(stream), service);
        let mut served = std::pin::pin!(served);
        let mut tick = tokio::time::interval(HEADER_TIME);
        tick.tick().await;
        let (mut begun, mut stopping) = (0, false);
        loop {
            tokio::select! {
                biased;
                // An error here is the client's: it went away, or spoke no HTTP.
                _ = served.as_mut() => return,
                _ = tick.tick() => {
                    let now = watched.begun.load(Ordering::Relaxed);
                    if now == begun && watched.under_way.load(Ordering::Relaxed) == 0 {
                        return;
                    }
                    begun = now;
                }
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    served.as_mut().graceful_shutdown();
                }
            }
        }
    }

    async fn answer(
        &self,
        request: hyper::Request<Incoming>,
        under_way: UnderWay,
    ) -> hyper::Response<Body> {
        let origin = self.gate.origin(&request);
        let over_tls = self.gate.is_over_tls(request.headers());
        let mut response = self.admit(request, under_way).await;
        self.gate.guard(response.headers_mut(), origin, over_tls);
        response
    }

    async fn admit(
        &self,
        request: hyper::Request<Incoming>,
        under_way: UnderWay,
    ) -> hyper::Response<Body> {
        if request.method() == Method::OPTIONS {
            return match self.gate.options(&request) {
                Ok(response) => sent(response, under_way),
                Err(refused) => self.refuse(request, refused, under_way).await,
            };
        }
        // First of all: whatever answers, answers behind it.
        let principal = match self.gate.admit(&request, self.remote) {
            Ok(principal) => principal,
            Err(refused) => return self.refuse(request, refused, under_way).await,
        };
        if let Some(response) = self.hot.hit(&request, &principal) {
            return response.map(Either::Left);
        }
        let on_record = audit::on_record(&request);
        let mut request = request;
        request.extensions_mut().insert(principal.clone());
        name_content(&mut request);
        let local = LocalAddr(Addr::SocketAddr(self.local.unwrap_or(self.remote)));
        let remote = RemoteAddr(Addr::SocketAddr(self.remote));
        let request = Request::from((request, local, remote, Scheme::HTTP));
        let mut response = self.routes.get_response(request).await;
        if let Some((what, asked)) = on_record
            && response.status().is_success()
        {
            let address = self.remote.ip().to_canonical().to_string();
            let entry = audit::entry(what, &principal, &address, &asked);
            let stored = self.audit.record(entry).await;
            // Work that was begun goes on; no data leaves that nobody could ask after.
            if !stored && what == What::Exported {
                response = audit::not_on_record().into_response();
            }
        }
        sent(response, under_way)
    }

    async fn refuse(
        &self,
        request: hyper::Request<Incoming>,
        refused: Refused,
        under_way: UnderWay,
    ) -> hyper::Response<Body> {
        self.gate.refused(&request, &refused, self.remote);
        // Who waits to be asked for the body (Expect) is not.
        if !request.headers().contains_key(EXPECT) {
            let read = read_on(request.into_body());
            let _ = tokio::time::timeout(REFUSED_TIME, read).await;
        }
        sent(refused.into_response(), under_way)
    }
}

/// A client that is still sending would hear of a broken connection, and not why it was refused.
async fn read_on(mut body: Incoming) {
    let mut read = 0;
    while read < REFUSED_BYTES
        && let Some(Ok(frame)) = body.frame().await
    {
        read += frame.data_ref().map_or(0, Bytes::len);
    }
}

fn sent(response: Response, under_way: UnderWay) -> hyper::Response<Body> {
    let mut response = hyper::Response::from(response);
    // `map_frame` forgets the length, and every answer would come in chunks.
    if let Some(length) = response.body().size_hint().exact().filter(|n| *n > 0) {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    response.map(|body| {
        let streamed = body.map_frame(move |frame| {
            let _ = &under_way;
            frame
        });
        Either::Right(BoxBody::new(streamed))
    })
}

/// A client that names no content type means what the path takes: raw bytes for messages and rules, JSON for all else.
fn name_content(request: &mut hyper::Request<Incoming>) {
    const RAW: [&str; 5] = ["/inbox", "/validate", "/resubmit", "/rules", "/rules/check"];
    let named = request.headers().contains_key(CONTENT_TYPE);
    if named || !matches!(*request.method(), Method::POST | Method::PUT) {
        return;
    }
    let raw = RAW.iter().any(|path| request.uri().path().ends_with(path));
    let kind = if raw {
        "application/octet-stream"
    } else {
        "application/json"
    };
    request
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
}

//! One client's connection: HTTP/1.1, or what was agreed on over TLS. Each request passes the gate first; and a client may
//! keep us waiting for a bounded time.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Either, Full};
use hyper::Method;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use poem::endpoint::BoxEndpoint;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, IntoResponse, Request, Response};
use prometheus::IntCounter;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{Certificate, Principal};
use crate::api::audit;
use crate::api::documents::Documents;
use crate::api::gate::{Gate, Peer, Refused};
use crate::api::path;
use crate::api::tls::{HTTP2, Tls};
use crate::audit::{Audit, What};

/// A client has this long (at most twice this) to send a request's headers; an idle connection is closed after it.
const HEADER_TIME: Duration = Duration::from_secs(30);
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// Requests that one HTTP/2 connection may have under way: what RFC 9113 recommends at least, and browsers use at most.
const MAX_STREAMS: u32 = 100;
/// What may be on its way for one request, in either direction, and for a connection with all its requests.
const STREAM_BYTES: usize = 64 * 1024;
const CONNECTION_BYTES: u32 = 1 << 20;
/// For the answer to an HTTP/2 ping.
const PING_TIME: Duration = Duration::from_secs(10);
/// What is read of a refused request's body, at most, and for how long.
const REFUSED_BYTES: usize = 1 << 20;
const REFUSED_TIME: Duration = Duration::from_secs(2);

pub struct Connection {
    pub routes: Arc<BoxEndpoint<'static>>,
    pub hot: Documents,
    pub gate: Arc<Gate>,
    pub audit: Audit,
    pub classes: Arc<[IntCounter; 5]>,
    pub local: Option<SocketAddr>,
    pub peer: Peer,
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

/// How what is under way ends. HTTP/2 answers each request in a task of its own, which is waited for as connections are.
#[derive(Clone)]
pub struct Stop {
    /// Nothing new is begun.
    pub asked: CancellationToken,
    /// What is still under way is given up.
    pub cut: CancellationToken,
    pub tasks: TaskTracker,
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Stop {
    fn execute(&self, answering: F) {
        let cut = self.cut.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = answering => {}
                () = cut.cancelled() => {}
            }
        });
    }
}

type Body = Either<Full<Bytes>, BoxBody<Bytes, std::io::Error>>;

impl Connection {
    pub async fn run(self, stream: TcpStream, stop: Stop) {
        let _ = stream.set_nodelay(true);
        match self.gate.tls().cloned() {
            None => self.http1(stream, stop).await,
            // On the heap, so that a connection without TLS has no room for one with it.
            Some(tls) => Box::pin(self.over_tls(stream, &tls, stop)).await,
        }
    }

    async fn over_tls(mut self, stream: TcpStream, tls: &Tls, stop: Stop) {
        let accepted = tokio::select! {
            accepted = tls.accept(stream, self.gate.needs_certificates()) => accepted,
            () = stop.asked.cancelled() => return,
        };
        if let Ok(stream) = &accepted {
            let shown = stream.get_ref().1.peer_certificates();
            let own = shown.and_then(|chain| chain.first());
            self.peer.certificate = own.map(|certificate| Certificate::read(certificate));
        }
        match accepted {
            Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(HTTP2) => {
                self.http2(stream, stop).await;
            }
            Ok(stream) => self.http1(stream, stop).await,
            Err(error) => {
                self.gate.no_handshake();
                let remote = self.peer.address;
                tracing::debug!(%error, %remote, "no TLS with {remote}: {error}");
            }
        }
    }

    async fn http1<S>(self, stream: S, stop: Stop)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (connection, life) = (Arc::new(self), Arc::new(Life::default()));
        let watched = life.clone();
        let service = service_fn(move |request| connection.clone().counted(request, life.clone()));
        let served = http1::Builder::new()
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEADER_BYTES)
            // One write for head and body. Not by pipeline_flush, which lets a stream run ahead of a slow client without
            // any bound.
            .writev(false)
            .serve_connection(TokioIo::new(stream), service);
        watch(served, &watched, stop, http1::Connection::graceful_shutdown).await;
    }

    async fn http2<S>(self, stream: S, stop: Stop)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (connection, life) = (Arc::new(self), Arc::new(Life::default()));
        let watched = life.clone();
        let service = service_fn(move |request| connection.clone().counted(request, life.clone()));
        let served = http2::Builder::new(stop.clone())
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEADER_BYTES as u32)
            .max_send_buf_size(STREAM_BYTES)
            .initial_stream_window_size(STREAM_BYTES as u32)
            .initial_connection_window_size(CONNECTION_BYTES)
            // An answer that takes minutes, a stream say, must not keep a connection whose other end is gone.
            .keep_alive_interval(HEADER_TIME)
            .keep_alive_timeout(PING_TIME)
            .serve_connection(TokioIo::new(stream), service);
        watch(served, &watched, stop, http2::Connection::graceful_shutdown).await;
    }

    async fn counted(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
        life: Arc<Life>,
    ) -> Result<hyper::Response<Body>, Infallible> {
        let response = self.answer(request, UnderWay::begin(&life)).await;
        let class = usize::from(response.status().as_u16() / 100 - 1).min(4);
        self.classes[class].inc();
        Ok(response)
    }

    async fn answer(
        &self,
        mut request: hyper::Request<Incoming>,
        under_way: UnderWay,
    ) -> hyper::Response<Body> {
        let from = self.gate.client(&mut request, &self.peer);
        let origin = self.gate.origin(&request);
        let over_tls = self.gate.is_over_tls(request.headers());
        // First of all: whatever answers, answers behind it.
        let admitted = match *request.method() {
            Method::OPTIONS => Err(self.gate.options(&request)),
            _ => self
                .gate
                .admit(&request, &self.peer, from)
                .await
                .map_err(Err),
        };
        let hit = |principal: &Principal| self.hot.hit(&request, principal);
        let mut response = match admitted {
            Ok((principal, heavy)) => match hit(&principal) {
                Some(response) => response.map(Either::Left),
                // On the heap, and only if it is needed: each request's future is moved, and this one is large.
                None => {
                    let held = (under_way, heavy);
                    Box::pin(self.route(request, from, principal, held)).await
                }
            },
            Err(Ok(options)) => sent(options, under_way),
            Err(Err(refused)) => Box::pin(self.refuse(request, from, refused, under_way)).await,
        };
        self.gate.guard(response.headers_mut(), origin, over_tls);
        response
    }

    async fn route(
        &self,
        mut request: hyper::Request<Incoming>,
        from: IpAddr,
        principal: Principal,
        held: impl Send + Sync + 'static,
    ) -> hyper::Response<Body> {
        let on_record = audit::on_record(&request);
        request.extensions_mut().insert(principal.clone());
        name_content(&mut request);
        let local = LocalAddr(Addr::SocketAddr(self.local.unwrap_or(self.peer.address)));
        let remote = RemoteAddr(Addr::SocketAddr(SocketAddr::new(
            from,
            self.peer.address.port(),
        )));
        let scheme = match self.gate.tls() {
            None => Scheme::HTTP,
            Some(_) => Scheme::HTTPS,
        };
        let request = Request::from((request, local, remote, scheme));
        let mut response = self.routes.get_response(request).await;
        if let Some((what, asked)) = on_record
            && response.status().is_success()
        {
            let address = from.to_canonical().to_string();
            let entry = audit::entry(what, &principal, &address, &asked);
            let stored = self.audit.record(entry).await;
            // Work that was begun goes on; no data leaves that nobody could ask after.
            if !stored && what == What::Exported {
                response = audit::not_on_record().into_response();
            }
        }
        sent(response, held)
    }

    async fn refuse(
        &self,
        request: hyper::Request<Incoming>,
        from: IpAddr,
        refused: Refused,
        under_way: UnderWay,
    ) -> hyper::Response<Body> {
        self.gate.refused(&request, &refused, from);
        // Who waits to be asked for the body (Expect) is not.
        if !request.headers().contains_key(EXPECT) {
            let read = read_on(request.into_body());
            let _ = tokio::time::timeout(REFUSED_TIME, read).await;
        }
        sent(refused.into_response(), under_way)
    }
}

/// Serves until the client goes, says nothing for too long, or a stop was asked for and all is answered.
async fn watch<C: Future>(served: C, life: &Life, stop: Stop, shut_down: impl Fn(Pin<&mut C>)) {
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
                let now = life.begun.load(Ordering::Relaxed);
                if now == begun && life.under_way.load(Ordering::Relaxed) == 0 {
                    return;
                }
                begun = now;
            }
            () = stop.asked.cancelled(), if !stopping => {
                stopping = true;
                shut_down(served.as_mut());
            }
        }
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

/// `held` is let go with the last byte.
fn sent(response: Response, held: impl Send + Sync + 'static) -> hyper::Response<Body> {
    let mut response = hyper::Response::from(response);
    // `map_frame` forgets the length, and every answer would come in chunks.
    if let Some(length) = response.body().size_hint().exact().filter(|n| *n > 0) {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    response.map(|body| {
        let streamed = body.map_frame(move |frame| {
            let _ = &held;
            frame
        });
        Either::Right(BoxBody::new(streamed))
    })
}

/// A client that names no content type means what the path takes: raw bytes for messages and definitions, JSON for all else.
fn name_content(request: &mut hyper::Request<Incoming>) {
    const RAW: [&str; 3] = ["/validate", "/resubmit", "/plans"];
    let named = request.headers().contains_key(CONTENT_TYPE);
    if named || !matches!(*request.method(), Method::POST | Method::PUT) {
        return;
    }
    let asked = request.uri().path();
    let raw = RAW.iter().any(|path| asked.ends_with(path))
        || path::collection(asked).is_some()
        || *request.method() == Method::PUT;
    let kind = if raw {
        "application/octet-stream"
    } else {
        "application/json"
    };
    request
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
}

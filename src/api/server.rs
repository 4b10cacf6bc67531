//! The listener. poem's own server knows no limit on how long a header may take, so the accept loop is ours: HTTP/1.1, bounded
//! headers, bounded time for them, and a stop that waits for what is under way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use poem::endpoint::BoxEndpoint;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Request};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::telemetry::Metrics;

/// A client has this long to send a request's headers; an idle connection is closed after it.
const HEADER_TIME: Duration = Duration::from_secs(30);
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// Each costs a few kB; more than this, and new ones wait for one to end.
const MAX_CONNECTIONS: usize = 16_384;
/// After a stop was asked for, requests under way have this long.
const DRAIN: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}{hint}")]
pub struct CannotListen {
    address: SocketAddr,
    source: std::io::Error,
    hint: &'static str,
}

pub async fn listen(address: SocketAddr) -> Result<TcpListener, CannotListen> {
    TcpListener::bind(address)
        .await
        .map_err(|source| CannotListen {
            address,
            hint: match source.kind() {
                std::io::ErrorKind::AddrInUse => {
                    "; choose another port with --listen, or 0 for a free one"
                }
                std::io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
                _ => "",
            },
            source,
        })
}

/// Serves until `stop`, then until what is under way is answered, at most for a few seconds.
pub async fn serve(
    listener: TcpListener,
    routes: BoxEndpoint<'static>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let routes: Arc<BoxEndpoint<'static>> = Arc::new(routes);
    let local = listener.local_addr().ok();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            break;
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: existing connections go on.
                tracing::warn!(%error, "a connection was not accepted: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let connection = Connection {
            routes: routes.clone(),
            metrics: metrics.clone(),
            local,
            remote,
        };
        let (stop, cut) = (stop.clone(), cut.clone());
        connections.spawn(async move {
            tokio::select! {
                () = connection.run(stream, stop) => {}
                () = cut.cancelled() => {}
            }
            drop(permit);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(DRAIN, connections.wait())
        .await
        .is_err()
    {
        cut.cancel();
        connections.wait().await;
    }
}

struct Connection {
    routes: Arc<BoxEndpoint<'static>>,
    metrics: Arc<Metrics>,
    local: Option<SocketAddr>,
    remote: SocketAddr,
}

impl Connection {
    async fn run(self, stream: TcpStream, stop: CancellationToken) {
        let _ = stream.set_nodelay(true);
        let local = LocalAddr(Addr::SocketAddr(self.local.unwrap_or(self.remote)));
        let remote = RemoteAddr(Addr::SocketAddr(self.remote));
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"]
            .map(|class| self.metrics.http_requests.with_label_values(&[class]));
        let routes = self.routes;
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let routes = routes.clone();
            let request = Request::from((request, local.clone(), remote.clone(), Scheme::HTTP));
            let classes = classes.clone();
            async move {
                let response = routes.get_response(request).await;
                let class = usize::from(response.status().as_u16() / 100 - 1).min(4);
                classes[class].inc();
                Ok::<_, std::convert::Infallible>(hyper::Response::from(response))
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEADER_BYTES)
            .pipeline_flush(true)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        // An error here is the client's: it went away, or spoke no HTTP.
        tokio::select! {
            _ = connection.as_mut() => return,
            () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }
}

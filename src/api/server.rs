//! The listener. poem's own server knows no limit on how long a header may take, so the accept loop is ours: HTTP/1.1 and, over
//! TLS, HTTP/2, bounded headers, bounded time for them, and a stop that waits for what is under way. Each request passes the gate first. Then an
//! order in the cache is answered here, before anything of the framework is built: measured, a plain poem endpoint reaches
//! 0.7 of bare hyper, this 0.9.

mod connection;
mod crowd;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use poem::endpoint::BoxEndpoint;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::documents::Documents;
use super::gate::{Gate, Peer};
use crate::audit::Audit;
use crate::telemetry::Metrics;
use connection::{Connection, Stop};
use crowd::Crowd;

/// An idle one costs 12 kB; more than this, and new ones wait for one to end.
const MAX_CONNECTIONS: usize = 16_384;
/// Newcomers who may wait to be let in. Where there is no room for one, its next try is a second later.
const BACKLOG: u32 = 4096;
/// File descriptors that are not for clients: the lines to Postgres and the broker must come back in any crowd.
const OWN_DESCRIPTORS: u64 = 128;
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
    bind(address).map_err(|source| CannotListen {
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

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // As tokio's own bind does: a restart need not wait for the connections of the life before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// How many clients there can be at a time. A shell or systemd grants 1,024 file descriptors, and more to who asks.
fn room() -> usize {
    let granted = getrlimit(Resource::Nofile);
    // macOS says "unlimited", and refuses that.
    let wanted = granted.maximum.unwrap_or(u64::MAX).min(1 << 16);
    let lifted = Rlimit {
        current: Some(wanted.max(granted.current.unwrap_or(wanted))),
        maximum: granted.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, lifted) {
        tracing::debug!(%error, "the limit of open files stays as it is: {error}");
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = usize::try_from(limit.saturating_sub(OWN_DESCRIPTORS)).unwrap_or(MAX_CONNECTIONS);
    room.clamp(16, MAX_CONNECTIONS)
}

/// Serves until `stop`, then until what is under way is answered, at most for a few seconds.
pub async fn serve(
    listener: TcpListener,
    routes: BoxEndpoint<'static>,
    hot: Documents,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
    audit: Audit,
    stop: CancellationToken,
) {
    let classes = Arc::new(
        ["1xx", "2xx", "3xx", "4xx", "5xx"]
            .map(|class| metrics.http_requests.with_label_values(&[class])),
    );
    let routes: Arc<BoxEndpoint<'static>> = Arc::new(routes);
    let _watching = gate.watch();
    let local = listener.local_addr().ok();
    let room = room();
    let crowd = Crowd::new(room);
    let room = Arc::new(Semaphore::new(room));
    let how_to_stop = Stop {
        asked: stop.clone(),
        cut: CancellationToken::new(),
        tasks: TaskTracker::new(),
    };
    let (connections, cut) = (&how_to_stop.tasks, &how_to_stop.cut);
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
        let address = remote.ip().to_canonical();
        let seat = match address.is_loopback() || gate.trusts(address) {
            true => None,
            false => match crowd.enter(address) {
                Some(seat) => Some(seat),
                None => {
                    metrics.refused.with_label_values(&["crowded"]).inc();
                    continue;
                }
            },
        };
        let connection = Connection {
            routes: routes.clone(),
            hot: hot.clone(),
            gate: gate.clone(),
            audit: audit.clone(),
            classes: classes.clone(),
            local,
            peer: Peer {
                address: remote,
                certificate: None,
            },
        };
        let (stop, cut) = (how_to_stop.clone(), cut.clone());
        connections.spawn(async move {
            tokio::select! {
                () = connection.run(stream, stop) => {}
                () = cut.cancelled() => {}
            }
            drop((permit, seat));
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

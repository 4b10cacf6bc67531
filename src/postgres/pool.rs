//! The readers' connections.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool::managed::{self, Manager, Metrics, QueueMode, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;

use super::Error;
use super::connect::{BOUND, Connector};
use super::query::within;

pub type Pool = managed::Pool<Readers>;
/// Goes back into the pool when it is dropped.
pub type Reader = managed::Object<Readers>;

/// A connection that was not used for this long is asked for a sign of life, and has as long to give it: on a line that is
/// dead without saying so, it would hold up one request after another.
const RESTED: Duration = Duration::from_millis(500);

/// What the pool takes on top of connecting: a sign of life that does not come, and as long again for who comes before us.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Bounded on the server, too: a slow list must not hold a connection for ever. Not by the options of the start, which poolers
/// refuse or drop.
const SETUP: &str = "
    set search_path = live, public; set statement_timeout = '10s'; set idle_in_transaction_session_timeout = '5s'; set jit = off";

pub fn new(connector: Arc<Connector>, size: usize) -> Result<Pool, Error> {
    let readers = Readers {
        connector,
        silent: Mutex::default(),
    };
    Pool::builder(readers)
        .max_size(size)
        // The one that was used last is the quickest: its process is still in the processor's caches.
        .queue_mode(QueueMode::Lifo)
        .build()
        .map_err(|e| Error::Settings(e.to_string()))
}

pub struct Readers {
    connector: Arc<Connector>,
    /// When a connection last gave no sign of life.
    silent: Mutex<Option<Instant>>,
}

impl Manager for Readers {
    type Type = ClientWrapper;
    type Error = Error;

    async fn create(&self) -> Result<ClientWrapper, Error> {
        let config = self.connector.settings().stage_config("reader");
        let (client, connection) = self.connector.connect(config).await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a reader's connection ended: {error}");
            }
        });
        // Dropping it ends the driver, and with it the connection.
        let client = ClientWrapper::new(client, driver);
        within(BOUND, async { Ok(client.batch_execute(SETUP).await?) }).await?;
        Ok(client)
    }

    /// Asked only if it is due: a round trip more for each request would be a third of a short one's time.
    async fn recycle(&self, client: &mut ClientWrapper, metrics: &Metrics) -> RecycleResult<Error> {
        let used = metrics.recycled.unwrap_or(metrics.created);
        let silent = *self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        if client.is_closed() || silent.is_some_and(|silent| used < silent) {
            // If one is dead, so are those of its age: to ask each would take RESTED each.
            return Err(RecycleError::message("the connection is lost"));
        }
        if used.elapsed() < RESTED {
            return Ok(());
        }
        match tokio::time::timeout(RESTED, client.simple_query("")).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Error::Server(error).into()),
            Err(_) => {
                *self.silent.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                Err(RecycleError::message("it gives no sign of life"))
            }
        }
    }
}

//! The way to Postgres: settings and TLS, sessions for the stages, a pool for the readers, migrations, and what an
//! error means. Called by every room that speaks SQL. Its invariant: a caller can always tell "the server is in
//! trouble" from "this row is at fault". Absent on purpose: any SQL about our tables, and cancel requests (a connection
//! that hangs is dropped).

mod apart;
mod copy;
mod error;
mod grant;
mod migrate;
mod query;
mod session;
mod settings;
mod snapshots;
mod tls;
mod write;

pub use copy::{CopyRows, begin_copy, copy};
pub use error::{Error, is_row_fault, is_taken};
pub use migrate::migrate;
pub use query::{execute, query, query_once, query_one, query_opt};
pub use session::{Identity, Session};
pub use settings::Settings;
pub use write::{Write, send};

use std::sync::Arc;
use std::time::Duration;

use snapshots::Snapshots;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Metrics, Pool, QueueMode, RecyclingMethod, Timeouts,
};

/// No statement of ours may wait longer than this for an answer before its connection is given up.
pub const HARD_DEADLINE: Duration = Duration::from_secs(15);

/// A reader's connection that was not used for this long is asked for a sign of life, and has as long to give it: on a line
/// that is dead without saying so, it would hold up one request after another.
const RESTED: Duration = Duration::from_millis(500);

/// A connection with its prepared statements; what the stores' functions take, inside a transaction or not.
pub type Client = deadpool_postgres::ClientWrapper;

/// Where the database is and how to reach it. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    settings: Settings,
    pool: Pool,
    snapshots: Arc<Snapshots>,
}

impl Database {
    /// Connects to nothing yet.
    pub fn new(settings: Settings, readers: usize) -> Result<Self, Error> {
        let manager = Manager::from_config(
            settings.reader_config(),
            settings.tls(),
            ManagerConfig {
                // `sign_of_life` looks where it is due: an exchange more for each request would be a third of a short one's time.
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager)
            .max_size(readers)
            // The one that was used last is the quickest: its process is still in the processor's caches.
            .queue_mode(QueueMode::Lifo)
            .timeouts(Timeouts {
                wait: Some(Duration::from_secs(3)),
                create: Some(Duration::from_secs(3)),
                recycle: Some(Duration::from_secs(3)),
            })
            .runtime(deadpool_postgres::Runtime::Tokio1)
            .pre_recycle(Hook::async_fn(|client, metrics| {
                Box::pin(sign_of_life(client, metrics))
            }))
            .build()
            .map_err(|e| Error::Settings(e.to_string()))?;
        Ok(Self {
            settings,
            pool,
            snapshots: Arc::default(),
        })
    }

    /// A connection of its own for a stage that writes.
    pub async fn session(&self, name: &str) -> Result<Session, Error> {
        Session::connect(&self.settings, name).await
    }

    /// A reader's connection out of the pool.
    pub async fn reader(&self) -> Result<deadpool_postgres::Client, Error> {
        self.pool.get().await.map_err(Error::from)
    }

    /// In seconds; 0 where none is open.
    pub async fn oldest_snapshot(&self, client: &Client) -> Result<f64, Error> {
        self.snapshots.oldest(client).await
    }

    /// Raises the alarm about one that stays open, until it is dropped.
    pub async fn watch_snapshots(self) {
        loop {
            tokio::time::sleep(snapshots::EVERY).await;
            let look = async { self.oldest_snapshot(&*self.reader().await?).await };
            if let Err(error) = look.await {
                tracing::debug!(%error, "the open snapshots cannot be read: {error}");
            }
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn close(&self) {
        self.pool.close();
    }
}

async fn sign_of_life(client: &Client, metrics: &Metrics) -> Result<(), HookError> {
    if metrics.last_used() < RESTED {
        return Ok(());
    }
    match tokio::time::timeout(RESTED, client.simple_query("")).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(HookError::Backend(error)),
        Err(_) => Err(HookError::message("it gives no sign of life")),
    }
}

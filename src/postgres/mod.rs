//! The way to Postgres: settings and TLS, sessions for the stages, a pool for the readers, migrations, and what an
//! error means. Called by every room that speaks SQL. Its invariant: a caller can always tell "the server is in
//! trouble" from "this row is at fault". Absent on purpose: any SQL about our tables, and cancel requests (a connection
//! that hangs is dropped).

mod apart;
mod connect;
mod copy;
mod error;
mod grant;
mod migrate;
mod pool;
mod query;
mod session;
mod settings;
mod snapshots;
mod sql;
mod tls;
mod write;

pub use copy::{CopyRows, begin_copy, copy};
pub use error::{Error, is_row_fault, is_taken};
pub use migrate::migrate;
pub use pool::Reader;
pub use query::{execute, query, query_one, query_opt, within};
pub use session::{Identity, Session};
pub use settings::Settings;
pub use sql::Sql;
pub use write::{Write, send};

use std::sync::Arc;
use std::time::Duration;

use connect::Connector;
use snapshots::Snapshots;

/// No statement of ours may wait longer than this for an answer before its connection is given up.
pub const HARD_DEADLINE: Duration = Duration::from_secs(15);

/// A connection with its prepared statements; what the stores' functions take, inside a transaction or not.
pub type Client = deadpool_postgres::ClientWrapper;

/// Where the database is and how to reach it. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    connector: Arc<Connector>,
    pool: pool::Pool,
    snapshots: Arc<Snapshots>,
}

impl Database {
    /// Connects to nothing yet.
    pub fn new(settings: Settings, readers: usize) -> Result<Self, Error> {
        let connector = Arc::new(Connector::new(settings));
        Ok(Self {
            pool: pool::new(connector.clone(), readers)?,
            connector,
            snapshots: Arc::default(),
        })
    }

    /// A connection of its own for a stage that writes.
    pub async fn session(&self, name: &str) -> Result<Session, Error> {
        Session::connect(&self.connector, name).await
    }

    /// A reader's connection out of the pool.
    pub async fn reader(&self) -> Result<Reader, Error> {
        within(self.patience(), async { Ok(self.pool.get().await?) }).await
    }

    /// How long it may take to have a reader's connection: whoever waits for less may give up although a host is there.
    pub fn patience(&self) -> Duration {
        self.connector.patience() + pool::PATIENCE
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

    pub fn close(&self) {
        self.pool.close();
    }
}

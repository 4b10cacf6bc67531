//! A connection of its own for a stage that writes. It hears the server's warnings, it is stronger than the settings of
//! the day (synchronous_commit), and it is dropped, never cancelled, when it hangs.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Instant;

use futures_util::try_join;
use jiff::Timestamp;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Statement};

use super::connect::{BOUND, Connected, Connector};
use super::query::{query_one, within};
use super::{Client, Error, HARD_DEADLINE, Settings};

/// Which life of which database we are connected to: it changes when a standby was promoted or a dump restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub system: String,
    pub timeline: String,
}

/// Which server process answers. A pid alone may come again, after a restart in a container even soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: i32,
    server_started: Timestamp,
}

pub struct Session {
    client: Client,
    warning: Arc<Mutex<Option<String>>>,
    server: Identity,
    since: Instant,
    process: Process,
}

/// Bounded on the server too, so that a session of ours that was forgotten there holds no lock for long.
const SETUP: &str = "
    select set_config('synchronous_commit', case current_setting('synchronous_commit')
               when 'remote_apply' then 'remote_apply' else 'on' end, false),
           set_config('lock_timeout', '2s', false),
           set_config('statement_timeout', '12s', false),
           set_config('idle_in_transaction_session_timeout', '5s', false),
           set_config('jit', 'off', false),
           set_config('search_path', 'live,public', false),
           current_setting('fsync'),
           current_setting('server_version_num')::int,
           current_setting('server_version'),
           (select system_identifier::text from pg_control_system()),
           substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
           pg_backend_pid(), pg_postmaster_start_time()";

/// A message that nobody reads, but that the WAL holds: a transaction that writes nothing, or has no id (hence `true`, part of
/// the transaction), is committed without waiting for anything.
const FLUSH: &str = "
    select pg_backend_pid(), pg_postmaster_start_time(), current_setting('synchronous_commit')
    from pg_logical_emit_message(true, 'waybill', '')";

impl Session {
    pub(super) async fn connect(connector: &Arc<Connector>, name: &str) -> Result<Self, Error> {
        let config = connector.settings().stage_config(name);
        let connected = connector.connect(config).await?;
        within(BOUND, Self::set_up(connected, connector.settings())).await
    }

    async fn set_up(connected: Connected, settings: &Settings) -> Result<Self, Error> {
        let (client, mut connection) = connected;
        let warning = Arc::new(Mutex::new(None));
        let heard = warning.clone();
        let driver = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notice(notice) = message
                    && notice.severity() == "WARNING"
                {
                    *heard.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(notice.message().to_owned());
                }
            }
        });
        // Dropping it ends the driver, and with it the connection.
        let client = Client::new(client, driver);
        let row = client.query_one(SETUP, &[]).await?;
        let version: i32 = row.get(7);
        if version < 140_000 {
            return Err(Error::TooOld(row.get(8)));
        }
        if row.get::<_, &str>(6) == "off" && !settings.allow_fsync_off {
            return Err(Error::FsyncOff);
        }
        let server = Identity {
            system: row.get(9),
            timeline: row.get(10),
        };
        Ok(Self {
            client,
            warning,
            server,
            since: Instant::now(),
            process: Process {
                pid: row.get(11),
                server_started: row.get(12),
            },
        })
    }

    pub fn identity(&self) -> &Identity {
        &self.server
    }

    /// When it was first answered: its server process has been there since.
    pub fn since(&self) -> Instant {
        self.since
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    pub async fn begin(&self) -> Result<(), Error> {
        self.forget_warning();
        self.client.batch_execute("begin").await?;
        Ok(())
    }

    /// With a lock that is to come before all others of the transaction; one exchange with the server.
    pub async fn begin_locking(&self, lock: &'static str) -> Result<(), Error> {
        self.forget_warning();
        self.client.batch_execute(&format!("begin; {lock}")).await?;
        Ok(())
    }

    /// Begins a transaction whose commit is answered before it is on the disk: for those who answer for nothing before a
    /// `flush`. For this transaction alone: set for the session, it would stay with a pooler's server process, and hold for
    /// whoever is given that next.
    pub async fn begin_unflushed(&self) -> Result<(), Error> {
        self.forget_warning();
        self.client
            .batch_execute("begin; set local synchronous_commit = off")
            .await?;
        Ok(())
    }

    /// All that was committed on whatever session before this began is on the disk (and on the standby that commits wait for)
    /// when it is answered: the WAL is written in order. It says itself whether it waited, and on which server process: behind
    /// a pooler the connection's life says nothing of the server's.
    pub async fn flush(&self) -> Result<(), Error> {
        self.forget_warning();
        let flushed = query_one(&self.client, FLUSH, &[]).await?;
        let process = Process {
            pid: flushed.get(0),
            server_started: flushed.get(1),
        };
        if process != self.process {
            return Err(Error::Pooled(format!(
                "server process {} answers in the place of {}",
                process.pid, self.process.pid
            )));
        }
        match flushed.get(2) {
            "on" | "remote_apply" => self.heard_no_warning(),
            other => Err(Error::Pooled(format!(
                "another session has set our server process to synchronous_commit = {other}"
            ))),
        }
    }

    pub async fn rollback(&self) -> Result<(), Error> {
        self.client.batch_execute("rollback").await?;
        Ok(())
    }

    /// The end of what was begun, the last statement and the commit, sent together: the round trips of a small batch are most
    /// of its time. After an error the server makes a rollback of the commit.
    pub async fn commit_after(
        &self,
        end: impl Future<Output = Result<(), Error>>,
        // Prepared, or it would wait for what is being copied, and the commit overtake it.
        last: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<(), Error> {
        let last = async { Ok(self.client.execute(last, parameters).await?) };
        try_join!(end, last, self.commit())?;
        Ok(())
    }

    /// Only a COMMIT that answered, and without a warning, is one.
    pub async fn commit(&self) -> Result<(), Error> {
        self.client.batch_execute("commit").await?;
        self.heard_no_warning()
    }

    pub(super) fn forget_warning(&self) {
        self.warning
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    pub(super) fn heard_no_warning(&self) -> Result<(), Error> {
        let mut warning = self.warning.lock().unwrap_or_else(PoisonError::into_inner);
        match warning.take() {
            None => Ok(()),
            Some(warning) => Err(Error::UnknownOutcome(warning)),
        }
    }
}

impl Session {
    /// A whole transaction's exchange with the server, bounded. After an error the session is to be dropped.
    pub async fn bounded<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        within(HARD_DEADLINE, work).await
    }
}

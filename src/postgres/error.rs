use std::time::Duration;

use deadpool::managed::PoolError;
use tokio_postgres::error::SqlState;

/// A session that is not alone with its server process can rely on nothing that it has set or prepared.
const POOLER: &str = "a pooler stands between, which gives each transaction a server process of its own; let it give one to each session (in PgBouncer pool_mode = session), or connect to Postgres itself";

/// What Postgres says if statements are prepared on one process and executed on another: there is none of that name, or there
/// is one already.
const POOLED: [SqlState; 2] = [
    SqlState::INVALID_SQL_STATEMENT_NAME,
    SqlState::DUPLICATE_PSTATEMENT,
];

/// Where, and what came of it.
pub type Failure = (String, Error);

/// Why Postgres did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Settings(String),
    /// The server answered and will not have us: waiting does not help.
    #[error("Postgres refuses the connection: {0}")]
    Refused(String),
    /// Not the server that is meant, as far as certificates tell.
    #[error(
        "Postgres' certificate is not trusted: {0}; name the certificate of who signed it by sslrootcert=FILE, and the host as the certificate has it"
    )]
    Untrusted(String),
    #[error(
        "Postgres runs with fsync = off: an acknowledged message could be lost. Turn it on, or say --allow-fsync-off"
    )]
    FsyncOff,
    #[error("Postgres {0} is too old: version 14 or later is needed")]
    TooOld(String),
    /// And this role may not migrate it.
    #[error(
        "the database is at version {found}, this service needs {needed}, and its role may not change the tables: run `waybill migrate` as the role that owns them"
    )]
    NotMigrated { found: i32, needed: i32 },
    #[error(
        "the role {0} may not use the tables: run `waybill migrate --grant {0}` as the role that owns them"
    )]
    NotGranted(String),
    #[error("{}", describe(.0))]
    Server(#[from] tokio_postgres::Error),
    #[error("the host's name cannot be looked up: {0}")]
    NoAddress(String),
    /// There are several, and each failed for a reason of its own.
    #[error("no host is Postgres and takes writes: {}", describe_all(.0))]
    NoHost(Vec<Failure>),
    #[error("Postgres did not answer within {0:?}")]
    TimedOut(Duration),
    /// A COMMIT that answered with a warning: it may or may not hold (a synchronous standby's wait was cancelled).
    #[error("the commit's outcome is unknown: {0}")]
    UnknownOutcome(String),
    /// Other sessions are given our server process, or we theirs.
    #[error("the commit's outcome is unknown: {0}: {POOLER}")]
    Pooled(String),
    #[error("no connection to Postgres: {0}")]
    Pool(String),
    #[error("migration failed: {0}")]
    Migration(#[from] refinery::Error),
}

impl Error {
    /// True where waiting cannot help: a person has to change a setting.
    pub fn is_fatal_at_start(&self) -> bool {
        match self {
            Error::Settings(_)
            | Error::Refused(_)
            | Error::Untrusted(_)
            | Error::FsyncOff
            | Error::TooOld(_)
            | Error::NotMigrated { .. }
            | Error::NotGranted(_) => true,
            // A host that is away may come back and take us.
            Error::NoHost(failures) => failures.iter().all(|(_, error)| error.is_fatal_at_start()),
            _ => false,
        }
    }
}

impl From<PoolError<Error>> for Error {
    fn from(error: PoolError<Error>) -> Self {
        match error {
            PoolError::Backend(error) => error,
            other => Error::Pool(other.to_string()),
        }
    }
}

pub fn describe_all(failures: &[Failure]) -> String {
    let each = failures.iter().map(|(at, error)| format!("{at}: {error}"));
    each.collect::<Vec<_>>().join("; ")
}

/// tokio-postgres' own Display says only "db error": say what the server said.
fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) if POOLED.contains(db.code()) => {
            format!("{} (SQLSTATE {}): {POOLER}", db.message(), db.code().code())
        }
        Some(db) => format!("{} (SQLSTATE {})", db.message(), db.code().code()),
        None => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            text
        }
    }
}

/// The only errors that can be a row's own fault, and only when it fails alone. All others are infrastructure.
const ROW_FAULTS: [&str; 6] = ["22021", "22P02", "22P05", "22003", "54000", "54001"];

/// Whether a key is taken, by a row that was there before.
pub fn is_taken(error: &Error) -> bool {
    matches!(error, Error::Server(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION))
}

pub fn is_row_fault(error: &Error) -> Option<String> {
    let Error::Server(error) = error else {
        return None;
    };
    let state = error.code()?.code();
    ROW_FAULTS.contains(&state).then(|| state.to_owned())
}

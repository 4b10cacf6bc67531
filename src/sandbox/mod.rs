//! Private servers: a Postgres cluster and a nats-streaming-server of our own, found on the machine and
//! started on free ports. Called by `waybill dev` and by the tests; nothing that serves in production knows of it.
//!
//! Its invariant: what was started here dies with us, however we die (see [`process`]), and a second start on
//! the same directory finds what the first one stored.
//!
//! Deliberately absent: downloads (that is `make tools`), containers, and the use of a system's own cluster.

pub mod broker;
mod place;
pub mod postgres;
pub mod process;
mod program;

use std::io;
use std::path::{Path, PathBuf};

pub use program::find_program;

/// Why a private server did not start. Each says what to do, for a newcomer reads it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{program} was not found on the PATH, nor in .tools/bin: {install}")]
    NotFound {
        program: &'static str,
        install: &'static str,
    },
    #[error(
        "{path} is PostgreSQL {found}, which is too old: install {oldest} or newer",
        path = .path.display()
    )]
    TooOld {
        path: PathBuf,
        found: u32,
        oldest: u32,
    },
    #[error(
        "the data in {dir} was written by PostgreSQL {wrote}, and this machine has only {found}: install \
         PostgreSQL {wrote}, or begin afresh without that data",
        dir = .dir.display()
    )]
    OtherVersion {
        dir: PathBuf,
        wrote: u32,
        found: u32,
    },
    #[error(
        "another process is at work in {dir}: stop it first (another `waybill dev`, perhaps), or choose \
         another directory",
        dir = .dir.display()
    )]
    InUse { dir: PathBuf },
    #[error("{name} {what}; the end of {log} says:\n{tail}", log = .log.display())]
    Failed {
        name: &'static str,
        what: String,
        log: PathBuf,
        tail: String,
    },
    #[error(
        "PostgreSQL refuses to run as root, and no unprivileged user was found to run it as: create one \
         named `postgres`, or run this as another user than root"
    )]
    NoUser,
    #[error(
        "PostgreSQL, which runs as {user} here, cannot enter {dir}: make its parent directories passable \
         (chmod o+x), or choose another place",
        dir = .dir.display()
    )]
    Unreachable { dir: PathBuf, user: String },
    #[error(
        "{dir} cannot hold a Unix socket ({why}): choose a short directory that is your own",
        dir = .dir.display()
    )]
    SocketDir { dir: PathBuf, why: &'static str },
    #[error("cannot {doing} {path}: {source}", path = .path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot set up the private database")]
    SetUp(#[from] tokio_postgres::Error),
}

/// Turns an `io::Error` into ours, with what was being done, and to what.
fn io_error<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

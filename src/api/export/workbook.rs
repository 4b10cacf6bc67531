//! An export as XLSX. Its rows go into a temporary file first; only then can the archive begin, since its parts say how large
//! they are and which formats there are. So what can fail has failed before anything is answered, and says why; from there on
//! the archive is streamed, as the client takes it.
//!
//! If the client goes away, the handler or the body is dropped: then the work ends with the page or the chunk that it is at,
//! and the file is gone with it.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use poem::Body;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::super::problem::Problem;
use super::super::xlsx::{Sheet, Unmade};
use super::cut;
use super::pages::{Pages, Table};
use crate::access::Principal;

/// Workbooks that are made at a time, by all clients together: each may have 4 GiB on the disk, and a thread.
const WORKBOOKS: usize = 2;
/// Chunks of 64 KiB that wait for the client.
const CHUNKS: usize = 4;
/// A client that does not take a chunk for so long is cut off, since another waits for its place.
const STANDSTILL: Duration = Duration::from_secs(60);

/// The places for those that are made at a time.
pub fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(WORKBOOKS))
}

pub async fn into_body(
    mut pages: Pages,
    table: Table,
    title: String,
    principal: Principal,
    places: Arc<Semaphore>,
) -> Result<Body, Problem> {
    let place = places.try_acquire_owned().map_err(|_| {
        Problem::unavailable(format!(
            "{WORKBOOKS} workbooks are being made, and that is the most at a time. Try again when one has ended, or take CSV."
        ))
    })?;
    let mut page = pages.next().await?;
    let names = table.names();
    let mut made = apart(move || {
        let sheet = Sheet::new(&title, names.iter().map(String::as_str))?;
        Ok((sheet, table, place))
    })
    .await?;
    while let Some(read) = page {
        if principal.is_over() {
            return Err(Problem::unavailable(
                "The token that asked for it has ended before the workbook was made. Ask again with another.",
            ));
        }
        made = apart(move || {
            let mut outcome = Ok(());
            let (sheet, table, _) = &mut made;
            table.lines(&read, |cells| {
                if outcome.is_ok() {
                    outcome = sheet.line(cells.iter().copied());
                }
            });
            outcome.map(|()| made)
        })
        .await?;
        page = pages.next_patiently().await?;
    }
    let (sheet, _, place) = made;
    Ok(streamed(sheet, place, principal))
}

/// Works on a thread that may wait for the disk. It goes on to its end if nobody waits for it any longer.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Unmade> + Send + 'static,
) -> Result<T, Problem> {
    let error = match spawn_blocking(work).await {
        Ok(Ok(made)) => return Ok(made),
        Ok(Err(error @ (Unmade::TooManyLines | Unmade::TooLarge))) => {
            return Err(Problem::bad_request(format!(
                "{error}, and this is more: narrow it down, by from and to for example, or take CSV or NDJSON, which have no bound."
            )));
        }
        Ok(Err(error)) => error.to_string(),
        // What writes the rows panics if the disk is full.
        Err(panicked) => panicked.to_string(),
    };
    tracing::error!(%error, "a workbook cannot be made, is the directory for temporary files full? {error}");
    Err(Problem::unavailable(
        "The workbook cannot be made: the service's directory for temporary files takes no more. CSV needs none.",
    ))
}

fn streamed(sheet: Sheet, place: OwnedSemaphorePermit, principal: Principal) -> Body {
    let (chunks, taken) = mpsc::channel(CHUNKS);
    let runtime = Handle::current();
    let saved = spawn_blocking(move || {
        let _place = place;
        sheet.save(Pipe {
            chunks,
            runtime,
            is_broken: false,
        })
    });
    let body = stream::try_unfold(
        (taken, saved, principal),
        |(mut taken, saved, principal)| async move {
            if principal.is_over() {
                return Err(cut("the token that asked for it has ended"));
            }
            if let Some(chunk) = taken.recv().await {
                return Ok(Some((chunk, (taken, saved, principal))));
            }
            // Only now is it known whether that was all.
            saved.await.map_err(cut)?.map_err(cut)?;
            Ok(None)
        },
    );
    Body::from_bytes_stream(body)
}

/// Where the thread that makes the archive writes it to.
struct Pipe {
    chunks: mpsc::Sender<Bytes>,
    runtime: Handle,
    /// What comes after the first failure is thrown away: a destructor closes the archive, and would complain on stderr, beside
    /// the log.
    is_broken: bool,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_broken {
            return Ok(bytes.len());
        }
        let sending = self.chunks.send(Bytes::copy_from_slice(bytes));
        let error = match self.runtime.block_on(timeout(STANDSTILL, sending)) {
            Ok(Ok(())) => return Ok(bytes.len()),
            Ok(Err(_)) => "the client has gone away",
            Err(_) => "the client has taken nothing for a minute",
        };
        self.is_broken = true;
        Err(io::Error::other(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

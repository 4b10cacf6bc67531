//! Letters that Postgres refused are asked about again by the clock. The holder of the lease appends a `retry` to the log
//! like anyone else; its key (letter, attempt) makes a second asking harmless.

use std::time::Duration;

use futures_util::future::join_all;

use crate::inbox::{Action, Decision, Inbox, SourceId};
use crate::postgres::{Database, Error, query};

/// By dead_letters_due.
const DUE: &str = "
    select id, attempts from dead_letters
    where next_attempt_at is not null and next_attempt_at <= now() and state = 'open'
    order by next_attempt_at limit 200";

/// For as long as this process leads.
pub async fn run(database: Database, inbox: Inbox, operator: SourceId) {
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if let Err(error) = ask(&database, &inbox, operator).await {
            tracing::debug!(%error, "due retries cannot be read: {error}");
        }
    }
}

async fn ask(database: &Database, inbox: &Inbox, operator: SourceId) -> Result<(), Error> {
    let reader = database.reader().await?;
    let due = query(&reader, DUE, &[]).await?;
    drop(reader);
    let asked = due.iter().map(|row| {
        let (letter, attempts): (i64, i32) = (row.get(0), row.get(1));
        let why = "Postgres refused it; tried again by the clock";
        let decision = Decision::about(letter, Action::Retry, "waybill", why);
        let key = format!("retry:{letter}:{attempts}");
        async move {
            inbox
                .submit(operator, Some(key), None, Some(&decision))
                .await
        }
    });
    // What could not be appended is due again at the next look.
    for outcome in join_all(asked).await {
        if let Err(error) = outcome {
            tracing::debug!(%error, "a due retry could not be asked for: {error}");
        }
    }
    Ok(())
}

//! Writes that are sent together and done one after the other: the exchanges of a small transaction are most of its time.

use futures_util::future::try_join_all;
use futures_util::try_join;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use super::{Client, Error, Session};

/// So many on their way at once; `try_join_all` keeps the order of up to thirty.
const TOGETHER: usize = 16;

/// A statement whose answer says nothing but that it was done.
pub struct Write<'a> {
    statement: &'static str,
    parameters: Vec<Box<dyn ToSql + Sync + Send + 'a>>,
}

impl<'a> Write<'a> {
    pub fn new(statement: &'static str) -> Self {
        Self {
            statement,
            parameters: Vec::new(),
        }
    }

    pub fn with(mut self, parameter: impl ToSql + Sync + Send + 'a) -> Self {
        self.parameters.push(Box::new(parameter));
        self
    }
}

pub async fn send(client: &Client, writes: &[Write<'_>]) -> Result<(), Error> {
    for together in writes.chunks(TOGETHER) {
        send_prepared(client, &prepare(client, together).await?, together).await?;
    }
    Ok(())
}

impl Session {
    /// The last writes of a transaction and its commit. After an error the server makes a rollback of the commit.
    pub async fn commit_with(&self, writes: &[Write<'_>]) -> Result<(), Error> {
        let (before, last) = writes.split_at(writes.len().saturating_sub(TOGETHER));
        send(self.client(), before).await?;
        // All prepared before the first is sent: one that had to be prepared in between would be overtaken by the commit.
        let prepared = prepare(self.client(), last).await?;
        try_join!(send_prepared(self.client(), &prepared, last), self.commit())?;
        Ok(())
    }
}

async fn prepare(client: &Client, writes: &[Write<'_>]) -> Result<Vec<Statement>, Error> {
    let mut prepared = Vec::with_capacity(writes.len());
    for write in writes {
        prepared.push(client.prepare_cached(write.statement).await?);
    }
    Ok(prepared)
}

async fn send_prepared(
    client: &Client,
    prepared: &[Statement],
    writes: &[Write<'_>],
) -> Result<(), Error> {
    let sent = prepared.iter().zip(writes).map(async |(prepared, write)| {
        let parameters = write.parameters.iter();
        client
            .execute_raw(
                prepared,
                parameters.map(|one| &**one as &(dyn ToSql + Sync)),
            )
            .await
    });
    try_join_all(sent).await?;
    Ok(())
}

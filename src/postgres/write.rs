//! Writes that are one statement: of a small transaction the exchanges are most of its time, and the statements most of the
//! rest.

use std::borrow::Cow;

use futures_util::try_join;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use super::{Client, Error, Session};

/// A part of it: it changes rows, and has no `with` of its own.
pub struct Write<'a> {
    statement: Cow<'static, str>,
    parameters: Vec<Box<dyn ToSql + Sync + Send + 'a>>,
}

impl<'a> Write<'a> {
    pub fn new(statement: impl Into<Cow<'static, str>>) -> Self {
        Self {
            statement: statement.into(),
            parameters: Vec::new(),
        }
    }

    pub fn with(mut self, parameter: impl ToSql + Sync + Send + 'a) -> Self {
        self.parameters.push(Box::new(parameter));
        self
    }
}

/// The last one is to return the rows that it changes: where there are none, all fail by a division by zero.
pub async fn send(client: &Client, writes: &[Write<'_>]) -> Result<(), Error> {
    let statement = prepare(client, writes).await?;
    send_prepared(client, &statement, writes).await
}

impl Session {
    /// As a transaction of its own.
    pub async fn write(&self, writes: &[Write<'_>]) -> Result<(), Error> {
        self.forget_warning();
        send(self.client(), writes).await?;
        self.heard_no_warning()
    }

    /// The last writes of a transaction and its commit. After an error the server makes a rollback of the commit.
    pub async fn commit_with(&self, writes: &[Write<'_>]) -> Result<(), Error> {
        // Before the first is sent: the commit would overtake what had to be prepared.
        let statement = prepare(self.client(), writes).await?;
        let sent = send_prepared(self.client(), &statement, writes);
        try_join!(sent, self.commit())?;
        Ok(())
    }
}

/// One for each combination of writes, of which there are few.
async fn prepare(client: &Client, writes: &[Write<'_>]) -> Result<Statement, Error> {
    Ok(client.prepare_cached(&together(writes)).await?)
}

async fn send_prepared(
    client: &Client,
    statement: &Statement,
    writes: &[Write<'_>],
) -> Result<(), Error> {
    let parameters = writes.iter().flat_map(|write| &write.parameters);
    client
        .execute_raw(
            statement,
            parameters
                .map(|one| &**one as &(dyn ToSql + Sync))
                .collect::<Vec<_>>(),
        )
        .await?;
    Ok(())
}

const LAST: &str = " select 1 / count(*) from last";

fn together(writes: &[Write<'_>]) -> String {
    let mut statement = String::from("with ");
    let mut before = 0;
    let last = writes.len().saturating_sub(1);
    for (index, write) in writes.iter().enumerate() {
        if index < last {
            statement.push_str(&format!("write{index} as ("));
        } else {
            statement.push_str("last as (");
        }
        renumber(&write.statement, before, &mut statement);
        statement.push_str(if index < last { "), " } else { ")" });
        before += write.parameters.len();
    }
    statement.push_str(LAST);
    statement
}

/// `$` is nothing but a parameter's sign in them.
fn renumber(statement: &str, before: usize, into: &mut String) {
    let mut parts = statement.split('$');
    into.extend(parts.next());
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let number: usize = part[..digits].parse().unwrap_or(0);
        into.push_str(&format!("${}{}", number + before, &part[digits..]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_become_one_statement_whose_parameters_are_counted_through() {
        let insert = Write::new("insert into a values ($1, $2)").with(1).with(2);
        let update = Write::new("update b set c = $2 where d = $1 returning 1")
            .with(3)
            .with(4);
        assert_eq!(
            together(&[insert, update]),
            "with write0 as (insert into a values ($1, $2)), last as (update b set c = $4 where d = $3 returning 1) \
             select 1 / count(*) from last"
        );
    }
}

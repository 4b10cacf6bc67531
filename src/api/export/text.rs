//! An export as NDJSON or CSV: a stream that is made page by page, as the client takes it.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use poem::Body;
use serde_json::Value;

use super::super::csv;
use super::super::dead_letters::hex;
use super::cut;
use super::pages::{Letter, Page, Pages, Table};
use crate::access::Principal;
use crate::postgres::Error;

pub struct Text {
    pages: Pages,
    /// Of CSV; NDJSON has none.
    table: Option<Table>,
    head_sent: bool,
}

impl Text {
    pub fn new(pages: Pages, table: Option<Table>) -> Self {
        Self {
            pages,
            table,
            head_sent: false,
        }
    }

    /// The first page is read before anything is answered: what fails at once is a problem, not a cut. It is cut, too, when
    /// the principal's token ends.
    pub async fn into_body(mut self, principal: Principal) -> Result<Body, Error> {
        let page = self.pages.next().await?;
        let first = self.chunk(page);
        let ended = first.is_none();
        let rest = stream::try_unfold(
            (self, principal, ended),
            |(mut text, principal, ended)| async move {
                if ended {
                    return Ok(None);
                }
                if principal.is_over() {
                    return Err(cut("the token that asked for it has ended"));
                }
                let page = text.pages.next_patiently().await.map_err(cut)?;
                let chunk = text.chunk(page);
                Ok(chunk.map(|chunk| (chunk, (text, principal, false))))
            },
        );
        let body = stream::iter(first.map(Ok)).chain(rest);
        Ok(Body::from_bytes_stream(body))
    }

    /// None at the end.
    fn chunk(&mut self, page: Option<Page>) -> Option<Bytes> {
        let mut chunk = Vec::new();
        if let Some(table) = &self.table
            && !self.head_sent
        {
            csv::head(&mut chunk, table.names().iter().map(String::as_str));
        }
        self.head_sent = true;
        match (&page, &self.table) {
            (None, _) => {}
            (Some(page), Some(table)) => table.lines(page, |cells| {
                csv::record(&mut chunk, cells.iter().copied());
            }),
            (Some(page), None) => write_json(&mut chunk, page),
        }
        (page.is_some() || !chunk.is_empty()).then(|| Bytes::from(chunk))
    }
}

fn write_json(chunk: &mut Vec<u8>, page: &Page) {
    match page {
        Page::Letters(letters) => {
            for letter in letters {
                write_letter(chunk, letter);
            }
        }
        Page::Documents(orders) => {
            for json in orders {
                chunk.extend_from_slice(json);
                chunk.push(b'\n');
            }
        }
    }
}

/// The list's fields, and the payload: text where it is text, else hexadecimal.
fn write_letter(chunk: &mut Vec<u8>, Letter { listed, payload }: &Letter) {
    let mut letter = listed.clone();
    letter["payload_bytes"] = Value::from(payload.len());
    match std::str::from_utf8(payload) {
        Ok(text) => letter["text"] = Value::from(text),
        Err(_) => letter["hex"] = Value::from(hex(payload)),
    }
    chunk.extend_from_slice(letter.to_string().as_bytes());
    chunk.push(b'\n');
}

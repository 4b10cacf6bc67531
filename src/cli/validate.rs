//! `waybill validate`: what the checks say of a message. Judged in this process, since the checks are pure; with
//! `--service` by a running service, which also knows the definitions that are in force.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::collections;
use super::connection::Connection;
use super::screen::{self, Output, Paint};
use super::usage;
use crate::collection;

#[derive(clap::Args)]
#[command(after_help = "\
Each file is one message, unless --lines is given. Nothing is stored. Without a service it is judged by the orders' definition \
that a database begins with. What is wrong is told as FILE:LINE:COLUMN, all of it \
that one layer of the checks finds: encoding, then JSON and fields.

Examples:
  waybill validate order.json
  waybill validate --lines orders.ndjson
  waybill validate --collection purchases purchase.json
  curl -s https://shop.example/order/1 | waybill validate -

Exit codes: 0 all valid; 1 at least one is not; 2 a wrong argument, or a file that cannot be read.")]
pub struct Args {
    /// Files to judge, - for stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Each line is a message of its own
    #[arg(long)]
    lines: bool,

    /// Ask a service, which judges by the definition in force there
    #[arg(long)]
    service: bool,

    /// Of which collection they are to be a document; asks a service [default: orders]
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,

    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,

    #[command(flatten)]
    connection: Connection,
}

/// As the service answers it.
#[derive(Serialize, Deserialize)]
struct Judgement {
    valid: bool,
    reason: Option<String>,
    key: Option<String>,
    violations: Vec<Violation>,
}

#[derive(Serialize, Deserialize)]
struct Violation {
    code: String,
    message: String,
    pointer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    column: Option<u64>,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    // All of them are read first: a missing one is told before anything is judged.
    let mut files = Vec::new();
    for path in &args.files {
        files.push((path, read(path)?));
    }
    let client = match args.service || args.collection.is_some() {
        true => Some(args.connection.client()?),
        false => None,
    };
    let collection = args.collection.as_deref().unwrap_or("orders");
    let mut valid = 0_u64;
    let mut invalid = 0_u64;
    for (path, bytes) in &files {
        let name = match path.as_os_str() == "-" {
            true => "stdin".to_owned(),
            false => path.display().to_string(),
        };
        for (first_line, message) in messages(bytes, args.lines) {
            let judgement = match &client {
                Some(client) => ask(client, collection, message).await?,
                None => judge(message),
            };
            match judgement.valid {
                true => valid += 1,
                false => invalid += 1,
            }
            let place = match args.lines {
                true => format!("{name}:{first_line}"),
                false => name.clone(),
            };
            screen::print(match args.output {
                Output::Table => told(&name, &place, first_line, &judgement),
                Output::Json => {
                    let mut object = serde_json::json!({ "file": place });
                    if let (Some(object), serde_json::Value::Object(fields)) =
                        (object.as_object_mut(), serde_json::to_value(&judgement)?)
                    {
                        object.extend(fields);
                    }
                    object.to_string()
                }
            })?;
        }
    }
    if args.output == Output::Table && valid + invalid != 1 {
        screen::print(format!("{valid} valid, {invalid} not"))?;
    }
    Ok(ExitCode::from(u8::from(invalid > 0)))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let outcome = match path.as_os_str() == "-" {
        true => std::io::stdin().read_to_end(&mut bytes).map(|_| ()),
        false => std::fs::read(path).map(|content| bytes = content),
    };
    outcome
        .map(|()| bytes)
        .map_err(|error| usage(format!("{} cannot be read: {error}", path.display())))
}

/// Each with the number of its first line. Empty lines are no messages.
fn messages(bytes: &[u8], lines: bool) -> Vec<(u64, &[u8])> {
    if !lines {
        return vec![(1, bytes)];
    }
    (1..)
        .zip(bytes.split(|byte| *byte == b'\n'))
        .map(|(number, line)| (number, line.strip_suffix(b"\r").unwrap_or(line)))
        .filter(|(_, line)| !line.is_empty())
        .collect()
}

fn judge(message: &[u8]) -> Judgement {
    let model = &collection::orders().model;
    match model.parse(message) {
        Ok(order) => Judgement {
            valid: true,
            reason: None,
            key: Some(model.key(&order).into_owned()),
            violations: Vec::new(),
        },
        Err(rejection) => Judgement {
            valid: false,
            reason: Some(rejection.reason().to_string()),
            key: rejection.key().map(str::to_owned),
            violations: rejection
                .violations()
                .iter()
                .map(|violation| Violation {
                    code: violation.code.as_str().to_owned(),
                    message: violation.message.clone(),
                    pointer: violation.pointer.clone(),
                    line: violation.line,
                    column: violation.column,
                })
                .collect(),
        },
    }
}

async fn ask(client: &Client, collection: &str, message: &[u8]) -> anyhow::Result<Judgement> {
    let path = format!("{}/validate", collections::path(collection)?);
    let request = client
        .request(Method::POST, &path)
        .header(CONTENT_TYPE, "application/octet-stream")
        .body(message.to_vec());
    Ok(client.send(request).await?.read()?)
}

fn told(name: &str, place: &str, first_line: u64, judgement: &Judgement) -> String {
    let paint = Paint::stdout();
    if judgement.valid {
        let key = match judgement.key.as_deref() {
            Some(key) => format!(", key {}", screen::plain(key)),
            None => String::new(),
        };
        return format!("{place}: {}{key}", paint.green("valid"));
    }
    let mut text = String::new();
    for violation in &judgement.violations {
        let at = match (violation.line, violation.column) {
            (Some(line), Some(column)) => format!("{name}:{}:{column}", line + first_line - 1),
            _ => place.to_owned(),
        };
        let pointer = match violation.pointer.as_str() {
            "" => String::new(),
            pointer => format!(" at {}", screen::plain(pointer)),
        };
        text.push_str(&format!(
            "{at}: {}{pointer}: {}\n",
            paint.red(&screen::plain(&violation.code)),
            screen::plain(&violation.message)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_of_their_own_and_keep_their_numbers() {
        let bytes = b"one\r\n\ntwo";
        assert_eq!(messages(bytes, false), [(1, &bytes[..])]);
        assert_eq!(messages(bytes, true), [(1, &b"one"[..]), (3, &b"two"[..])]);
    }

    #[test]
    fn a_violation_is_told_where_it_is_in_the_file() {
        let judgement = judge(b"{\"order_uid\": 1}");
        assert!(!judgement.valid);
        let text = told("f", "f:7", 7, &judgement);
        assert!(
            text.contains("f:7:15: wrong_type at /order_uid: "),
            "{text}"
        );
        assert!(judge(crate::collection::EXAMPLE.as_bytes()).valid);
    }
}

//! What a definition would make of history: which of today's documents it would refuse, which open letters would come home, what
//! there is to be done after it.

use std::path::PathBuf;
use std::process::ExitCode;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use super::super::connection::Connection;
use super::super::credentials::decider;
use super::super::follow::{self, Followed, Operation};
use super::super::screen::{self, ListOutput, Output, Paint, Sheet};
use super::{read, tell, tell_mistakes};
use crate::collection::Collection;

#[derive(clap::Args)]
#[command(after_help = "\
Exit codes: 0 it refuses none of today's documents; 1 it failed, or the service is not there; 2 it would refuse some, or would \
be refused itself, a wrong argument, or the file has mistakes; 130 this command was interrupted, and the operation goes on.")]
pub struct Args {
    /// The definition, in YAML; - for stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The lowest position of the messages to look at
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(1..))]
    from: Option<i64>,

    /// The highest
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(1..))]
    to: Option<i64>,

    /// End with 0 though documents of today would be refused: they stay what they are
    #[arg(long)]
    allow_refused: bool,

    /// Ask for it, and do not wait for its end
    #[arg(long)]
    detach: bool,

    /// Who asks [default: the user's name at the system]
    #[arg(long = "as", value_name = "NAME")]
    who: Option<String>,

    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,

    #[command(flatten)]
    service: Connection,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let text = read(&args.file)?;
    if let Err(mistakes) = Collection::compile(&text) {
        return Ok(tell(&args.file, &mistakes));
    }
    let client = args.service.client()?;
    let mut query = Vec::new();
    let who = decider(&client, args.who.as_deref()).await?;
    query.extend(who.map(|who| ("as", who)));
    query.extend(args.from.map(|from| ("from", from.to_string())));
    query.extend(args.to.map(|to| ("to", to.to_string())));
    let request = client
        .request(Method::POST, "/api/v1/plans")
        .query(&query)
        .header(CONTENT_TYPE, "application/octet-stream")
        .body(text);
    let answer = match client.ask(request).await {
        Ok(answer) => answer,
        Err(error) => {
            return tell_mistakes(&args.file, &error).map_or_else(|| Err(error.into()), Ok);
        }
    };
    let operation: Operation = answer.read()?;
    if args.detach {
        let output = match args.output {
            Output::Table => ListOutput::Table,
            Output::Json => ListOutput::Json,
        };
        return follow::detached(&operation, &answer, output);
    }
    match follow::follow(&client, operation).await? {
        Followed::Over(operation, answer) => {
            screen::print(match args.output {
                Output::Json => answer.text(),
                Output::Table => told(&operation),
            })?;
            Ok(match refuses(&operation.outcome, args.allow_refused) {
                true => ExitCode::from(2),
                false => operation.exit_code(),
            })
        }
        Followed::Left => Ok(ExitCode::from(130)),
    }
}

/// What is fixed stays refused, whatever is allowed.
fn refuses(outcome: &Value, allow_refused: bool) -> bool {
    let refused = outcome["documents_refused"].as_i64().unwrap_or(0);
    outcome["fixed"] == true || (refused > 0 && !allow_refused)
}

/// What a plan found, so far or in the end.
pub fn told(operation: &Operation) -> String {
    let found = match &operation.outcome {
        Value::Null => &operation.progress,
        outcome => outcome,
    };
    let count = |name: &str| found[name].as_i64().unwrap_or(0);
    let mut text = String::new();
    if operation.state != "done" {
        let (id, state) = (operation.id, &operation.state);
        text.push_str(&format!("operation {id}, plan: {state}. So far:\n\n"));
    }
    for sentence in compared(found) {
        text.push_str(&format!("{sentence}\n"));
    }
    let messages = screen::count(count("messages_checked"), "message", "messages");
    let taken = screen::number(count("messages_taken"));
    text.push_str(&format!("Of {messages} it takes {taken}.\n"));
    text.push_str(&format!(
        "Of {} of today {} would be refused (a document stays a document).\n",
        screen::count(count("documents_checked"), "document", "documents"),
        screen::number(count("documents_refused"))
    ));
    let header = [
        "documents",
        "rule, or code and field",
        "as in",
        "what they would be told",
    ];
    text.push_str(&table(&header, &found["refused_by"], 2));
    text.push_str(&format!(
        "Of {} {} would come home.\n",
        screen::count(
            count("letters_checked"),
            "open dead letter",
            "open dead letters"
        ),
        screen::number(count("letters_passing"))
    ));
    let header = ["letters", "fingerprint", "as in", "what they fail for now"];
    text.push_str(&table(&header, &found["passing_by"], 3));
    text
}

/// What is said of the definition itself.
fn compared(found: &Value) -> Vec<String> {
    let is = |name: &str| found[name] == true;
    let name = screen::plain(found["collection"].as_str().unwrap_or_default()).into_owned();
    let mut sentences = Vec::new();
    if is("new") {
        sentences.push(format!("{name} would be a new collection."));
    }
    if is("same") {
        sentences.push(format!(
            "It means what {name} means already: nothing would be judged anew."
        ));
    }
    if is("fixed") {
        let fixed = format!(
            "It would be refused: key, keep, version, what one is called, and whether and by whom there is a sum are fixed for \
             the life of {name}. Drop it first, or take another name."
        );
        sentences.push(Paint::stdout().red(&fixed));
    }
    if is("looks_otherwise") {
        sentences.push(
            "Documents would look otherwise: a refresh writes them anew after it.".to_owned(),
        );
    }
    let lookups = found["lookups"].as_array().map_or(&[][..], Vec::as_slice);
    let lookups: Vec<&str> = lookups.iter().filter_map(Value::as_str).collect();
    if !lookups.is_empty() {
        let lookups = lookups.join(", ");
        sentences.push(format!(
            "Indexes would be built on {}.",
            screen::plain(&lookups)
        ));
    }
    sentences
}

/// The most frequent first.
fn table(header: &[&str], counted: &Value, samples: usize) -> String {
    let none = serde_json::Map::new();
    let mut rows: Vec<(&String, &Value)> = counted.as_object().unwrap_or(&none).iter().collect();
    if rows.is_empty() {
        return String::new();
    }
    let of = |counted: &Value| counted["count"].as_i64().unwrap_or(0);
    rows.sort_by_key(|(_, counted)| -of(counted));
    let mut sheet = Sheet::new(header);
    for (by, counted) in rows {
        let all = counted["samples"].as_array().map_or(&[][..], Vec::as_slice);
        let some: Vec<&str> = all.iter().filter_map(Value::as_str).take(samples).collect();
        sheet.row([
            screen::number(of(counted)),
            by.clone(),
            some.join(" "),
            counted["message"].as_str().unwrap_or_default().to_owned(),
        ]);
    }
    sheet.right(&[0]);
    sheet.cut(3);
    format!("\n{}\n\n", sheet.text())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_fixed_is_refused_whatever_is_allowed() {
        for (outcome, allowed, wanted) in [
            (
                json!({"documents_refused": 0, "fixed": false}),
                false,
                false,
            ),
            (json!({"documents_refused": 3, "fixed": false}), false, true),
            (json!({"documents_refused": 3, "fixed": false}), true, false),
            (json!({"documents_refused": 0, "fixed": true}), true, true),
        ] {
            assert_eq!(refuses(&outcome, allowed), wanted, "{outcome} {allowed}");
        }
    }
}

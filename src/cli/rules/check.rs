//! What rules would make of history: which orders they would have rejected, which open letters would pass.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use super::super::connection::Connection;
use super::super::credentials::decider;
use super::super::follow::{self, Followed, Operation};
use super::super::screen::{self, ListOutput, Output, Sheet};
use super::super::usage;
use super::{Mistake, ids, read, tell, tell_mistakes};
use crate::expression::Rules;
use crate::order;

#[derive(clap::Args)]
pub struct Args {
    /// The rules, - for stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The lowest position of the orders to look at
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(1..))]
    from: Option<i64>,

    /// The highest
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(1..))]
    to: Option<i64>,

    /// Only look for mistakes in the file; needs no service
    #[arg(long, conflicts_with_all = ["from", "to", "detach"])]
    compile_only: bool,

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
    if args.compile_only {
        return compile_only(&args.file, &text);
    }
    let client = args.service.client()?;
    let mut query = Vec::new();
    query.extend(
        decider(&client, args.who.as_deref())
            .await?
            .map(|who| ("as", who)),
    );
    query.extend(args.from.map(|from| ("from", from.to_string())));
    query.extend(args.to.map(|to| ("to", to.to_string())));
    let request = client
        .request(Method::POST, "/api/v1/rules/check")
        .query(&query)
        .header(CONTENT_TYPE, "application/octet-stream")
        .body(text.clone());
    let answer = match client.ask(request).await {
        Ok(answer) => answer,
        Err(error) => {
            return tell_mistakes(&args.file, &error).map_or_else(|| Err(error.into()), Ok);
        }
    };
    let operation: Operation = answer.read()?;
    let output = match args.output {
        Output::Table => ListOutput::Table,
        Output::Json => ListOutput::Json,
    };
    if args.detach {
        return follow::detached(&operation, &answer, output);
    }
    match follow::follow(&client, operation).await? {
        Followed::Over(operation, answer) => {
            match args.output {
                Output::Json => screen::print(answer.text())?,
                Output::Table => screen::print(told(&operation, &ids(&text)))?,
            }
            Ok(operation.exit_code())
        }
        Followed::Left => Ok(ExitCode::from(130)),
    }
}

fn compile_only(file: &Path, text: &[u8]) -> anyhow::Result<ExitCode> {
    let text = std::str::from_utf8(text)
        .map_err(|error| usage(format!("{}: it is not UTF-8 ({error})", file.display())))?;
    match Rules::compile(text, order::model()) {
        Ok(rules) => {
            let count = screen::count(rules.len() as i64, "rule", "rules");
            screen::print(format!("{}: {count}, no mistake", file.display()))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            let mistakes: Vec<Mistake> = error
                .mistakes
                .into_iter()
                .map(|mistake| Mistake {
                    line: mistake.line,
                    column: mistake.column,
                    message: mistake.message,
                })
                .collect();
            Ok(tell(file, &mistakes).unwrap_or(ExitCode::from(2)))
        }
    }
}

/// What a check found, so far or in the end: by rule and by group. `ids` names rules that rejected nothing, too.
pub fn told(operation: &Operation, ids: &[String]) -> String {
    let found = match &operation.outcome {
        Value::Null => &operation.progress,
        outcome => outcome,
    };
    let count = |name: &str| found[name].as_i64().unwrap_or(0);
    let mut text = String::new();
    if operation.state != "done" {
        text.push_str(&format!(
            "operation {}, rules check: {}. So far:\n\n",
            operation.id, operation.state
        ));
    }
    text.push_str(&format!(
        "Of {}, {} would have been rejected (an order stays an order).\n",
        screen::count(count("orders_checked"), "order", "orders"),
        screen::number(count("orders_rejected"))
    ));
    let none = serde_json::Map::new();
    let rejected = found["rejected_by"].as_object().unwrap_or(&none);
    let mut names: Vec<&str> = ids.iter().map(String::as_str).collect();
    names.extend(
        rejected
            .keys()
            .map(String::as_str)
            .filter(|id| !ids.iter().any(|known| known == id)),
    );
    if !names.is_empty() {
        let mut sheet = Sheet::new(&["orders", "rule", "as in", "what they would be told"]);
        for id in names {
            let counted = &rejected.get(id).cloned().unwrap_or_default();
            sheet.row([
                screen::number(counted["count"].as_i64().unwrap_or(0)),
                id.to_owned(),
                samples(counted, 2),
                counted["message"].as_str().unwrap_or_default().to_owned(),
            ]);
        }
        sheet.right(&[0]);
        sheet.cut(3);
        text.push_str(&format!("\n{}\n\n", sheet.text()));
    }
    text.push_str(&format!(
        "Of {}, {} would pass.\n",
        screen::count(
            count("letters_checked"),
            "open dead letter",
            "open dead letters"
        ),
        screen::number(count("letters_passing"))
    ));
    let passing = found["passing_by"].as_object().unwrap_or(&none);
    if !passing.is_empty() {
        let mut sheet = Sheet::new(&["letters", "fingerprint", "as in", "what they fail for now"]);
        for (fingerprint, counted) in passing {
            sheet.row([
                screen::number(counted["count"].as_i64().unwrap_or(0)),
                fingerprint.clone(),
                samples(counted, 3),
                counted["message"].as_str().unwrap_or_default().to_owned(),
            ]);
        }
        sheet.right(&[0]);
        sheet.cut(3);
        text.push_str(&format!("\n{}\n", sheet.text()));
    }
    text
}

fn samples(counted: &Value, most: usize) -> String {
    let all = counted["samples"].as_array().map_or(&[][..], Vec::as_slice);
    let some: Vec<&str> = all.iter().filter_map(Value::as_str).take(most).collect();
    some.join(" ")
}

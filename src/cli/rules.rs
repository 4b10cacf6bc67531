//! `waybill rules`: try rules on what is there, apply them, see those in force.
//!
//! Its invariant: whatever is wrong with a file is told as file:line:column, and then nothing has changed.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::Value;

use super::client::{Client, Connection, Decision, Error};
use super::dead_letters::decider;
use super::follow::{self, Followed, Operation};
use super::screen::{self, ListOutput, Output, Paint, Sheet};
use super::usage;
use crate::order::Rules;

#[derive(clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
A rules file is a YAML list; each rule has an id, a message, the field it speaks of, and a CEL expression that is true of a \
good order. docs/rules.md describes the language, docs/strict-rules.yaml is an example.

Examples:
  waybill rules check strict.yaml                what would they make of history?
  waybill rules apply strict.yaml --reason 'the shops agreed'
  waybill rules show --output text > now.yaml    those in force

Exit codes: 0 well; 1 refused (others were applied meanwhile), failed, or the service is not there; 2 a wrong argument, or \
the file has mistakes."
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// See what rules would make of history; changes nothing
    Check(CheckArgs),
    /// Put rules in force, from the next position of the log on
    Apply(ApplyArgs),
    /// Those in force
    Show(ShowArgs),
}

#[derive(clap::Args)]
struct CheckArgs {
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

#[derive(clap::Args)]
struct ApplyArgs {
    /// The rules, - for stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Why, for those who ask later
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,

    /// The hash of the rules that these replace, where others in force are to be refused [default: those in force now]
    #[arg(long, value_name = "HASH")]
    replaces: Option<String>,

    /// Who decides [default: the user's name at the system]
    #[arg(long = "as", value_name = "NAME")]
    who: Option<String>,

    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,

    #[command(flatten)]
    service: Connection,
}

#[derive(clap::Args)]
struct ShowArgs {
    /// All that were ever applied, newest first
    #[arg(long)]
    history: bool,

    /// text: the YAML alone, as it was applied
    #[arg(long, value_enum, default_value_t = ShowOutput::Table)]
    output: ShowOutput,

    #[command(flatten)]
    service: Connection,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ShowOutput {
    Table,
    Json,
    Text,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Check(args) => check(args).await,
        Command::Apply(args) => apply(args).await,
        Command::Show(args) => show(args).await,
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = match file.to_str() {
        Some("-") => std::io::stdin().read_to_end(&mut text).map(|_| ()),
        _ => std::fs::read(file).map(|bytes| text = bytes),
    };
    read.map_err(|error| usage(format!("{}: {error}", file.display())))?;
    Ok(text)
}

#[derive(Deserialize)]
struct Mistakes {
    #[serde(default)]
    mistakes: Vec<Mistake>,
}

#[derive(Deserialize)]
struct Mistake {
    line: u64,
    column: u64,
    message: String,
}

/// As compilers write them, so that an editor finds the place. None where the refusal is about something else.
fn tell_mistakes(file: &Path, error: &Error) -> Option<ExitCode> {
    let Error::Refused(problem) = error else {
        return None;
    };
    let found: Mistakes = serde_json::from_slice(&problem.body).ok()?;
    tell(file, &found.mistakes)
}

fn tell(file: &Path, mistakes: &[Mistake]) -> Option<ExitCode> {
    for mistake in mistakes {
        eprintln!(
            "{}:{}:{}: {}",
            file.display(),
            mistake.line,
            mistake.column,
            screen::plain(&mistake.message)
        );
    }
    (!mistakes.is_empty()).then_some(ExitCode::from(2))
}

/// The ids in a file, in their order; none where this version cannot compile it.
fn ids(text: &[u8]) -> Vec<String> {
    let compiled = std::str::from_utf8(text)
        .ok()
        .and_then(|text| Rules::compile(text).ok());
    compiled.map_or_else(Vec::new, |rules| rules.ids().map(str::to_owned).collect())
}

async fn check(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let text = read(&args.file)?;
    if args.compile_only {
        return compile_only(&args.file, &text);
    }
    let client = args.service.client()?;
    let mut query = vec![("as", decider(args.who.as_deref())?)];
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
                Output::Table => screen::print(check_told(&operation, &ids(&text)))?,
            }
            Ok(operation.exit_code())
        }
        Followed::Left => Ok(ExitCode::from(130)),
    }
}

fn compile_only(file: &Path, text: &[u8]) -> anyhow::Result<ExitCode> {
    let text = std::str::from_utf8(text)
        .map_err(|error| usage(format!("{}: it is not UTF-8 ({error})", file.display())))?;
    match Rules::compile(text) {
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
pub fn check_told(operation: &Operation, ids: &[String]) -> String {
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

#[derive(Deserialize)]
struct InForce {
    position: i64,
    hash: String,
    text: String,
}

impl InForce {
    async fn now(client: &Client) -> Result<Self, Error> {
        client.get("/api/v1/rules", &[]).await?.read()
    }

    /// As a person knows them.
    fn name(&self) -> String {
        match self.position {
            0 => "no rules".to_owned(),
            position => format!("the rules of position {position} ({})", short(&self.hash)),
        }
    }
}

fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

#[derive(Deserialize)]
struct Outcome {
    position: i64,
    result: String,
}

async fn apply(args: ApplyArgs) -> anyhow::Result<ExitCode> {
    let text = read(&args.file)?;
    let client = args.service.client()?;
    let who = decider(args.who.as_deref())?;
    let before = InForce::now(&client).await?;
    let replaces = args.replaces.as_deref().unwrap_or(&before.hash);
    let query = [
        ("replaces", replaces),
        ("as", &who),
        ("reason", &args.reason),
    ];
    let decision = Decision::Bytes {
        query: &query,
        payload: text.clone().into(),
    };
    let answer = match client
        .decide_by(Method::PUT, "/api/v1/rules", decision)
        .await
    {
        Ok(answer) => answer,
        Err(error) => return refused(&client, &args, error).await,
    };
    if args.output == Output::Json {
        screen::print(answer.text())?;
        return Ok(ExitCode::SUCCESS);
    }
    let outcome: Outcome = answer.read()?;
    let paint = Paint::stdout();
    screen::print(match outcome.result.as_str() {
        "done" => format!(
            "{} They replace {}.{}",
            paint.green(&format!("In force from position {} on.", outcome.position)),
            before.name(),
            changes(&ids(before.text.as_bytes()), &ids(&text))
        ),
        "already_so" => "These rules are in force already; nothing has changed.".to_owned(),
        _ => format!(
            "In the log at position {}, and not yet projected: `waybill rules show --history` says how it ended.",
            outcome.position
        ),
    })?;
    if outcome.result == "done" {
        screen::print(
            "Open dead letters are judged again by themselves: `waybill operations` shows how far it is.",
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Mistakes in the file, or others who applied rules meanwhile.
async fn refused(client: &Client, args: &ApplyArgs, error: Error) -> anyhow::Result<ExitCode> {
    if let Some(code) = tell_mistakes(&args.file, &error) {
        return Ok(code);
    }
    if !matches!(&error, Error::Refused(problem) if problem.status == 409) {
        return Err(error.into());
    }
    let now = InForce::now(client).await?;
    let applied = history(client, 100).await?;
    let by = match applied
        .items
        .iter()
        .find(|entry| entry.position == now.position)
    {
        Some(entry) => format!(", applied by {} {}", entry.who, screen::age(&entry.at)),
        None => String::new(),
    };
    Err(anyhow::anyhow!(
        "nothing has changed: other rules are in force than those to be replaced, {}{}. See them with `waybill rules show`, and \
         apply again if yours are still what you want",
        now.name(),
        screen::plain(&by)
    ))
}

fn changes(before: &[String], after: &[String]) -> String {
    let only = |these: &[String], those: &[String]| {
        let names: Vec<&str> = these
            .iter()
            .filter(|id| !those.contains(id))
            .map(String::as_str)
            .collect();
        names.join(", ")
    };
    let mut text = String::new();
    for (what, names) in [("New", only(after, before)), ("Gone", only(before, after))] {
        if !names.is_empty() {
            text.push_str(&format!(" {what}: {names}."));
        }
    }
    text
}

#[derive(Deserialize)]
struct Entry {
    position: i64,
    hash: String,
    text: String,
    result: String,
    who: String,
    why: String,
    at: String,
}

#[derive(Deserialize)]
struct History {
    items: Vec<Entry>,
}

async fn history(client: &Client, limit: u32) -> Result<History, Error> {
    let query = [("limit", limit.to_string())];
    client.get("/api/v1/rules/history", &query).await?.read()
}

async fn show(args: ShowArgs) -> anyhow::Result<ExitCode> {
    let client = args.service.client()?;
    if args.history {
        return show_history(&client, args.output).await;
    }
    let answer = client.get("/api/v1/rules", &[]).await?;
    let now: InForce = answer.read()?;
    match args.output {
        ShowOutput::Json => screen::print(answer.text())?,
        ShowOutput::Text => screen::print_bytes(now.text.as_bytes())?,
        ShowOutput::Table if now.position == 0 => {
            screen::print("No rules were ever applied: the built-in checks alone decide.")?;
        }
        ShowOutput::Table => {
            let applied = history(&client, 100).await?;
            let entry = applied
                .items
                .iter()
                .find(|entry| entry.position == now.position);
            let mut sheet = Sheet::plain();
            sheet.row(["in force from position", &now.position.to_string()]);
            sheet.row(["hash", &now.hash]);
            if let Some(entry) = entry {
                sheet.row([
                    "applied",
                    &format!("{} by {}", screen::moment(&entry.at), entry.who),
                ]);
                if !entry.why.is_empty() {
                    sheet.row(["why", &entry.why]);
                }
            }
            let yaml: Vec<_> = now.text.lines().map(screen::plain).collect();
            screen::print(format!("{}\n\n{}", sheet.text(), yaml.join("\n")))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn show_history(client: &Client, output: ShowOutput) -> anyhow::Result<ExitCode> {
    let answer = client
        .get("/api/v1/rules/history", &[("limit", "500".to_owned())])
        .await?;
    let history: History = answer.read()?;
    match output {
        ShowOutput::Json => screen::print(answer.text())?,
        ShowOutput::Text => {
            for entry in &history.items {
                screen::print(format!(
                    "# position {}, {}\n{}",
                    entry.position, entry.result, entry.text
                ))?;
            }
        }
        ShowOutput::Table if history.items.is_empty() => {
            screen::print("No rules were ever applied.")?
        }
        ShowOutput::Table => {
            let mut sheet = Sheet::new(&[
                "position", "hash", "rules", "result", "applied", "by", "why",
            ]);
            for entry in &history.items {
                sheet.row([
                    entry.position.to_string(),
                    short(&entry.hash),
                    ids(entry.text.as_bytes()).len().to_string(),
                    entry.result.clone(),
                    screen::age(&entry.at),
                    entry.who.clone(),
                    entry.why.clone(),
                ]);
            }
            sheet.right(&[0, 2]);
            sheet.cut(6);
            screen::print(sheet.text())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

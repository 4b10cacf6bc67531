//! Rules put in force, in the place of those that are named.

use std::path::PathBuf;
use std::process::ExitCode;

use reqwest::Method;
use serde::Deserialize;

use super::super::client::{Client, Decision, Error};
use super::super::connection::Connection;
use super::super::credentials::decider;
use super::super::screen::{self, Output, Paint};
use super::show::{InForce, history};
use super::{ids, read, tell_mistakes};

#[derive(clap::Args)]
pub struct Args {
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

#[derive(Deserialize)]
struct Outcome {
    position: i64,
    result: String,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let text = read(&args.file)?;
    let client = args.service.client()?;
    let who = decider(&client, args.who.as_deref()).await?;
    let before = InForce::now(&client).await?;
    let replaces = args.replaces.as_deref().unwrap_or(&before.hash);
    let mut query = vec![("replaces", replaces), ("reason", &args.reason)];
    query.extend(who.as_deref().map(|who| ("as", who)));
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
async fn refused(client: &Client, args: &Args, error: Error) -> anyhow::Result<ExitCode> {
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

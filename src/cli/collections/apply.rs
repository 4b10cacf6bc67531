//! A definition put in force, in the place of the one that is named.

use std::path::PathBuf;
use std::process::ExitCode;

use reqwest::Method;
use serde_json::json;

use super::super::client::{Client, Error};
use super::super::connection::Connection;
use super::super::credentials::decider;
use super::super::diff;
use super::super::screen::{self, Output, Paint};
use super::{
    About, Defined, Outcome, asked, history, path, pending, read, short, tell, tell_mistakes,
};
use crate::collection::Collection;

#[derive(clap::Args)]
#[command(after_help = "\
Nothing is sent if the file has mistakes, or is in force already. Which documents of today it would refuse says `waybill \
collections plan`.

Exit codes: 0 in force, now or already; 1 another was applied meanwhile, it changes what is fixed for the collection's life, \
nothing was sent, or the service is not there; 2 a wrong argument, or the file has mistakes.")]
pub struct Args {
    /// The definition, in YAML; - for stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Apply without asking
    #[arg(long, short = 'y')]
    yes: bool,

    /// Why, for those who ask later
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,

    /// The position of the definition that it replaces, if another in force is to be refused; 0 for none [default: that of
    /// now]
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(0..))]
    replaces: Option<i64>,

    /// Who decides [default: the user's name at the system]
    #[arg(long = "as", value_name = "NAME")]
    who: Option<String>,

    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,

    #[command(flatten)]
    service: Connection,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let text = read(&args.file)?;
    let collection = match Collection::compile(&text) {
        Ok(collection) => collection,
        Err(mistakes) => return Ok(tell(&args.file, &mistakes)),
    };
    let name = collection.name.as_str();
    let path = path(name)?;
    let client = args.service.client()?;
    let before = Defined::now(&client, &path).await?;
    if let Some(before) = before.as_ref().filter(|now| now.hash == collection.hash) {
        let position = before.position;
        screen::print(match args.output {
            Output::Json => {
                json!({"position": position, "action": "define", "result": "already_so"})
                    .to_string()
            }
            Output::Table => {
                format!("no changes: {name} has this definition, since position {position}")
            }
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.output == Output::Table {
        screen::print(changes(before.as_ref(), &collection))?;
    }
    if !args.yes && !asked("Apply it? [y/N]", &["y", "Y", "yes"])? {
        eprintln!("Nothing was sent.");
        return Ok(ExitCode::FAILURE);
    }
    let stands_at = match &before {
        Some(now) => now.position,
        None => history(&client, &path)
            .await?
            .last_done()
            .map_or(0, |dropped| dropped.position),
    };
    let replaces = args.replaces.unwrap_or(stands_at);
    let who = decider(&client, args.who.as_deref()).await?;
    let decision = About {
        replaces,
        reason: &args.reason,
        who: who.as_deref(),
    };
    let decided = decision.send(&client, Method::PUT, &path, text).await;
    let answer = match decided {
        Ok(answer) => answer,
        Err(error) => return refused(&client, &args, name, &path, error).await,
    };
    screen::print(match args.output {
        Output::Json => answer.text(),
        Output::Table => told(name, &answer.read()?, before.as_ref()),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn changes(before: Option<&Defined>, after: &Collection) -> String {
    let name = &after.name;
    match before {
        None => format!(
            "{name} is a new collection: {}.",
            screen::plain(&after.title)
        ),
        Some(before) => format!(
            "{name}, in the place of the definition of position {} ({}):\n\n{}",
            before.position,
            short(&before.hash),
            diff::difference(&before.text, &after.text, Paint::stdout())
        ),
    }
}

fn told(name: &str, outcome: &Outcome, before: Option<&Defined>) -> String {
    let position = outcome.position;
    match outcome.result.as_str() {
        "done" => {
            let first = format!("{name} is in force from position {position} on.");
            let first = Paint::stdout().green(&first);
            let Some(before) = before else {
                return format!("{first} It is new: POST /api/v1/{name} takes messages.");
            };
            format!(
                "{first} It replaces the definition of position {} ({}).\nOpen dead letters are judged again by themselves, and \
                 documents are written anew if they look otherwise: `waybill operations` shows how far it is.",
                before.position,
                short(&before.hash)
            )
        }
        "already_so" => "no changes: it is in force already".to_owned(),
        _ => pending(name, position),
    }
}

/// Mistakes that the service found, or others who decided meanwhile.
async fn refused(
    client: &Client,
    args: &Args,
    name: &str,
    path: &str,
    error: Error,
) -> anyhow::Result<ExitCode> {
    if let Some(code) = tell_mistakes(&args.file, &error) {
        return Ok(code);
    }
    // Of the refusals with 409 this one alone says what stands instead.
    let is_replaced = |problem: &super::super::client::Problem| {
        problem.status == 409 && problem.links.iter().any(|link| link.rel == "decided_by")
    };
    if !matches!(&error, Error::Refused(problem) if is_replaced(problem)) {
        return Err(error.into());
    }
    let decided = history(client, path).await?;
    let now = match decided.last_done() {
        Some(last) => format!(
            "the {} of position {} ({}), by {} {}",
            match last.action.as_str() {
                "drop" => "drop",
                _ => "definition",
            },
            last.position,
            short(&last.hash),
            last.who,
            screen::age(&last.at)
        ),
        None => "what the database began with".to_owned(),
    };
    Err(anyhow::anyhow!(
        "nothing has changed: what is to be replaced is not what stands, which is {}. See it with `waybill collections show \
         {name}`, and apply again if yours is still what you want",
        screen::plain(&now)
    ))
}

//! A collection taken away. What that means is said, and asked, before.

use std::process::ExitCode;

use reqwest::Method;

use super::super::connection::Connection;
use super::super::credentials::decider;
use super::super::screen::{self, Output, Paint};
use super::{About, Defined, Outcome, asked, path, pending};

#[derive(clap::Args)]
#[command(after_help = "\
Its documents are no longer served, its open dead letters are closed, and its tables are removed. The log keeps its messages; \
defined again it begins with nothing.

Exit codes: 0 dropped, now or already; 1 it was defined otherwise meanwhile, nothing was sent, or the service is not there; 2 \
a wrong argument.")]
pub struct Args {
    /// The collection
    #[arg(value_name = "NAME")]
    name: String,

    /// Drop without asking for the name
    #[arg(long, short = 'y')]
    yes: bool,

    /// Why, for those who ask later
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,

    /// Who decides [default: the user's name at the system]
    #[arg(long = "as", value_name = "NAME")]
    who: Option<String>,

    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,

    #[command(flatten)]
    service: Connection,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = args.service.client()?;
    let name = args.name.as_str();
    let path = path(name)?;
    let now: Defined = client.get(&path, &[]).await?.read()?;
    let question = format!(
        "{name} has {} and {}. They are served no longer once it is dropped.\nType its name to drop it:",
        screen::count(now.counts.documents, "document", "documents"),
        screen::count(now.counts.dead_letters, "dead letter", "dead letters")
    );
    if !args.yes && !asked(&question, &[name])? {
        eprintln!("Nothing was sent.");
        return Ok(ExitCode::FAILURE);
    }
    let who = decider(&client, args.who.as_deref()).await?;
    let decision = About {
        replaces: now.position,
        reason: &args.reason,
        who: who.as_deref(),
    };
    let nothing = String::new();
    let answer = decision
        .send(&client, Method::DELETE, &path, nothing)
        .await?;
    let outcome: Outcome = answer.read()?;
    let position = outcome.position;
    screen::print(match (args.output, outcome.result.as_str()) {
        (Output::Json, _) => answer.text(),
        (_, "done") => {
            let dropped = format!("{name} is dropped, from position {position} on.");
            Paint::stdout().green(&dropped)
        }
        (_, "already_so") => format!("{name} was dropped already."),
        _ => pending(name, position),
    })?;
    Ok(ExitCode::SUCCESS)
}

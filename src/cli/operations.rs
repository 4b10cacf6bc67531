//! `waybill operations`: what runs or ran, its progress and outcome; pause it, go on, end it, watch it.

use std::process::ExitCode;

use clap::Subcommand;
use reqwest::Method;
use serde::Deserialize;

use super::client::Client;
use super::connection::Connection;
use super::follow::{self, Operation};
use super::screen::{self, ListOutput, Sheet};

#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
An operation is the service's: it goes on when this command has ended, and after a restart where it was.

Examples:
  waybill operations                                         the newest
  waybill operations watch 7                                 its progress, then what it came to
  waybill operations letters 7 --result still_failing --output ids

Exit codes: 0 well; 1 it failed, or the service is not there; 2 a wrong argument; of `show` and `watch` also 3: some of its \
letters failed or were left."
)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    list: ListArgs,
}

#[derive(clap::Args)]
struct ListArgs {
    /// How many at most, newest first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=500))]
    limit: u64,

    #[arg(long, value_enum, default_value_t = ListOutput::Table)]
    output: ListOutput,

    #[command(flatten)]
    service: Connection,
}

#[derive(clap::Args)]
struct One {
    /// The operation
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..), allow_negative_numbers = true)]
    id: i64,

    /// ids: of the letters that are as was asked
    #[arg(long, value_enum, default_value_t = ListOutput::Table)]
    output: ListOutput,

    #[command(flatten)]
    service: Connection,
}

#[derive(clap::Args)]
struct LettersArgs {
    #[command(flatten)]
    one: One,

    /// Only those with this result, as still_failing; several separated by commas
    #[arg(long, value_name = "RESULT,…")]
    result: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// List them, newest first
    List(ListArgs),
    /// One, with its progress or outcome
    Show(One),
    /// Follow one to its end
    Watch(One),
    /// The letters of a bulk operation, and what became of each
    Letters(LettersArgs),
    /// Hold it where it is
    Pause(One),
    /// Go on with one that was paused, or stopped by itself
    Resume(One),
    /// End it; what was decided stays decided
    Cancel(One),
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        None => list(args.list).await,
        Some(Command::List(args)) => list(args).await,
        Some(Command::Show(one)) => show(one).await,
        Some(Command::Watch(one)) => watch(one).await,
        Some(Command::Letters(args)) => {
            let client = args.one.service.client()?;
            follow::letters(
                &client,
                args.one.id,
                args.result.as_deref(),
                args.one.output,
            )
            .await?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Pause(one)) => turn("pause", one).await,
        Some(Command::Resume(one)) => turn("resume", one).await,
        Some(Command::Cancel(one)) => turn("cancel", one).await,
    }
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Operation>,
}

async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let client = args.service.client()?;
    let answer = client
        .get("/api/v1/operations", &[("limit", args.limit.to_string())])
        .await?;
    let page: Page = answer.read()?;
    match args.output {
        ListOutput::Json => screen::print(answer.text())?,
        ListOutput::Ids => {
            for operation in &page.items {
                screen::print(operation.id.to_string())?;
            }
        }
        ListOutput::Table if page.items.is_empty() => {
            screen::print("No operation was ever asked for.")?
        }
        ListOutput::Table => {
            let mut sheet = Sheet::new(&[
                "id", "what", "state", "done", "of", "failing", "asked", "by", "why",
            ]);
            for operation in &page.items {
                sheet.row([
                    operation.id.to_string(),
                    operation.work(),
                    operation.state.clone(),
                    screen::number(operation.done),
                    screen::number(operation.total),
                    screen::number(operation.failed),
                    screen::age(&operation.created_at),
                    operation.asked_by.clone(),
                    operation.reason.clone(),
                ]);
            }
            sheet.right(&[0, 3, 4, 5]);
            sheet.cut(8);
            screen::print(sheet.text())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(one: One) -> anyhow::Result<ExitCode> {
    let client = one.service.client()?;
    let answer = client.get(&path(&one), &[]).await?;
    let operation: Operation = answer.read()?;
    match one.output {
        ListOutput::Json => screen::print(answer.text())?,
        ListOutput::Ids => letters_of(&client, &one).await?,
        ListOutput::Table => screen::print(described(&operation))?,
    }
    Ok(match operation.is_over() {
        true => operation.exit_code(),
        false => ExitCode::SUCCESS,
    })
}

async fn letters_of(client: &Client, one: &One) -> anyhow::Result<()> {
    follow::letters(client, one.id, None, ListOutput::Ids).await
}

/// Who asked for what, how it stands, and what it came to.
fn described(operation: &Operation) -> String {
    let mut sheet = Sheet::plain();
    sheet.row(["what", &operation.work()]);
    sheet.row(["state", &operation.state]);
    let failing = match operation.failed {
        0 => String::new(),
        failed => format!(", {} failing", screen::number(failed)),
    };
    let progress = format!(
        "{} of {}{failing}",
        screen::number(operation.done),
        screen::number(operation.total)
    );
    sheet.row(["progress", &progress]);
    let asked = format!(
        "{} by {}",
        screen::moment(&operation.created_at),
        operation.asked_by
    );
    sheet.row(["asked", &asked]);
    if !operation.reason.is_empty() {
        sheet.row(["why", &operation.reason]);
    }
    if operation.request["filter"]
        .as_object()
        .is_some_and(|filter| !filter.is_empty())
    {
        sheet.row(["which", &operation.request["filter"].to_string()]);
    }
    if let Some(finished) = &operation.finished_at {
        let took = format!(
            "{}, after {:.1} s",
            screen::moment(finished),
            operation.seconds()
        );
        sheet.row(["ended", &took]);
    }
    let told = match operation.is_over() {
        true => follow::told(operation),
        false => String::new(),
    };
    format!("{}\n\n{told}", sheet.text()).trim_end().to_owned()
}

async fn watch(one: One) -> anyhow::Result<ExitCode> {
    let client = one.service.client()?;
    let operation: Operation = client.get(&path(&one), &[]).await?.read()?;
    follow::follow_and_tell(&client, operation, one.output).await
}

async fn turn(action: &str, one: One) -> anyhow::Result<ExitCode> {
    let client = one.service.client()?;
    // Harmless when repeated: it says how the operation is to be, not what is to be done.
    let answer = client
        .send(client.request(Method::POST, &format!("{}/{action}", path(&one))))
        .await?;
    let operation: Operation = answer.read()?;
    match one.output {
        ListOutput::Json => screen::print(answer.text())?,
        ListOutput::Ids => screen::print(operation.id.to_string())?,
        ListOutput::Table => screen::print(format!(
            "operation {}, {}: {}, at {} of {}",
            operation.id,
            operation.work(),
            operation.state,
            screen::number(operation.done),
            screen::number(operation.total)
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn path(one: &One) -> String {
    format!("/api/v1/operations/{}", one.id)
}

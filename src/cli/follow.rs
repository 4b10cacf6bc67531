//! An operation, followed to its end: a progress bar while it runs, what it came to when it is over. Called by every
//! command that asks for long-running work, and by `waybill operations`.
//!
//! Its invariant: following changes nothing. An interrupt here leaves the operation running; so does an outage, which is
//! waited out.

mod letters;
mod outcome;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::client::{Answer, Client, Error};
use super::screen::{self, ListOutput};

pub use letters::letters;
pub use outcome::{Operation, told};

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// A service that is away for so long is not waited for any longer; the operation goes on when it is back.
const PATIENCE: Duration = Duration::from_secs(180);
/// Ended by an interrupt, as shells count it.
const INTERRUPTED: u8 = 130;

/// What came of following.
pub enum Followed {
    Over(Box<Operation>, Answer),
    /// By Ctrl-C; the operation goes on.
    Left,
}

pub async fn follow(client: &Client, asked: Operation) -> anyhow::Result<Followed> {
    let bar = Bar::new(&asked);
    let path = format!("/api/v1/operations/{}", asked.id);
    let mut seen = Instant::now();
    let mut leave = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let answer = tokio::select! {
            answer = client.get(&path, &[]) => answer,
            _ = &mut leave => break,
        };
        match answer {
            Ok(answer) => {
                seen = Instant::now();
                let operation: Operation = answer.read()?;
                bar.show(&operation);
                if operation.is_over() {
                    bar.0.finish_and_clear();
                    return Ok(Followed::Over(Box::new(operation), answer));
                }
            }
            Err(error) if is_passing(&error) && seen.elapsed() < PATIENCE => {
                bar.0
                    .set_message("the service does not answer; it is waited for");
            }
            Err(error) => {
                bar.0.abandon();
                return Err(error.into());
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = &mut leave => break,
        }
    }
    bar.0.abandon();
    eprintln!(
        "operation {id} goes on without this command:\n  waybill operations watch {id}\n  waybill operations cancel {id}",
        id = asked.id
    );
    Ok(Followed::Left)
}

fn is_passing(error: &Error) -> bool {
    error.is_absence() || matches!(error, Error::Refused(problem) if problem.status == 503)
}

/// Hidden where stderr is no terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new(operation: &Operation) -> Self {
        let bar = ProgressBar::new(operation.total.unsigned_abs());
        let template =
            "{prefix} {bar:30} {human_pos}/{human_len}  {per_sec:>10}  {eta:>4} left  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(operation.work());
        Self(bar)
    }

    fn show(&self, operation: &Operation) {
        self.0.set_length(operation.total.unsigned_abs());
        self.0.set_position(operation.done.unsigned_abs());
        let id = operation.id;
        let message = match (
            operation.state.as_str(),
            operation.progress["phase"].as_str(),
        ) {
            ("pending", _) => "waits for its turn".to_owned(),
            ("paused", _) => format!("paused: waybill operations resume {id}"),
            (_, Some(phase)) => screen::plain(phase).into_owned(),
            _ if operation.failed > 0 => format!("{} failing", screen::number(operation.failed)),
            _ => String::new(),
        };
        self.0.set_message(message);
    }
}

/// Follows it and tells what it came to, in the form that was asked for.
pub async fn follow_and_tell(
    client: &Client,
    asked: Operation,
    output: ListOutput,
) -> anyhow::Result<ExitCode> {
    match follow(client, asked).await? {
        Followed::Left => Ok(ExitCode::from(INTERRUPTED)),
        Followed::Over(operation, answer) => {
            match output {
                ListOutput::Json => screen::print(answer.text())?,
                ListOutput::Ids => {
                    eprint!("{}", told(&operation));
                    letters(
                        client,
                        operation.id,
                        Some(operation.well_results()),
                        ListOutput::Ids,
                    )
                    .await?;
                }
                ListOutput::Table => screen::print(told(&operation))?,
            }
            Ok(operation.exit_code())
        }
    }
}

/// Asked for and left alone.
pub fn detached(
    operation: &Operation,
    answer: &Answer,
    output: ListOutput,
) -> anyhow::Result<ExitCode> {
    match output {
        ListOutput::Json => screen::print(answer.text())?,
        ListOutput::Ids => screen::print(operation.id.to_string())?,
        ListOutput::Table => screen::print(format!(
            "operation {id}: {work}; follow it with: waybill operations watch {id}",
            id = operation.id,
            work = operation.work()
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}

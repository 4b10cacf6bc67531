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
    let mut bar = Bar::new(&asked);
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
                    bar.bar.finish_and_clear();
                    return Ok(Followed::Over(Box::new(operation), answer));
                }
            }
            Err(error) if is_passing(&error) && seen.elapsed() < PATIENCE => {
                bar.bar
                    .set_message("the service does not answer; it is waited for");
            }
            Err(error) => {
                bar.bar.abandon();
                return Err(error.into());
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = &mut leave => break,
        }
    }
    bar.bar.abandon();
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
struct Bar {
    bar: ProgressBar,
    /// When it was first seen to run, and how far it was then.
    begun: Option<(Instant, i64)>,
}

impl Bar {
    fn new(operation: &Operation) -> Self {
        let bar = ProgressBar::new(operation.total.unsigned_abs().max(1));
        if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:30} {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(operation.work());
        Self { bar, begun: None }
    }

    fn show(&mut self, operation: &Operation) {
        // None is known yet: an empty bar, not a full one.
        self.bar.set_length(operation.total.unsigned_abs().max(1));
        self.bar.set_position(operation.done.unsigned_abs());
        let id = operation.id;
        let mut parts = vec![format!(
            "{} of {}",
            screen::number(operation.done),
            screen::number(operation.total)
        )];
        match operation.state.as_str() {
            "freezing" => parts.push("its letters are being listed".to_owned()),
            "pending" => parts.push("waits for its turn".to_owned()),
            "paused" => parts.push(format!("paused: waybill operations resume {id}")),
            _ => parts.extend(self.pace(operation)),
        }
        if let Some(phase) = operation.progress["phase"].as_str() {
            parts.push(screen::plain(phase).into_owned());
        }
        if operation.failed > 0 {
            parts.push(format!("{} failing", screen::number(operation.failed)));
        }
        self.bar.set_message(parts.join(", "));
    }

    /// Rate and time left: as the service has them, else as seen from here.
    fn pace(&mut self, operation: &Operation) -> Option<String> {
        let (begun, from) = *self.begun.get_or_insert((Instant::now(), operation.done));
        let seen = begun.elapsed().as_secs_f64();
        let progress = &operation.progress;
        let rate = progress["rows_per_second"]
            .as_f64()
            .or_else(|| (seen > 0.5).then(|| (operation.done - from) as f64 / seen))
            .filter(|rate| *rate >= 1.0)?;
        let left = progress["seconds_left"]
            .as_f64()
            .unwrap_or((operation.total - operation.done) as f64 / rate);
        let rate = screen::number(rate.round() as i64);
        Some(format!("{rate}/s, {} left", spell(left)))
    }
}

/// 75.2 → 1m15s
fn spell(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
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

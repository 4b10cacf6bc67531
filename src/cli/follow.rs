//! An operation, followed to its end: a progress bar while it runs, what it came to when it is over. Called by every
//! command that asks for long-running work, and by `waybill operations`.
//!
//! Its invariant: following changes nothing. An interrupt here leaves the operation running; so does an outage, which is
//! waited out.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::Value;

use super::client::{Answer, Client, Error};
use super::screen::{self, ListOutput, Paint, Sheet};

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// A service that is away for so long is not waited for any longer; the operation goes on when it is back.
const PATIENCE: Duration = Duration::from_secs(180);
/// Ended by an interrupt, as shells count it.
const INTERRUPTED: u8 = 130;

/// What the service says of an operation.
#[derive(Deserialize)]
pub struct Operation {
    pub id: i64,
    pub kind: String,
    pub state: String,
    pub asked_by: String,
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub request: Value,
    #[serde(default)]
    pub progress: Value,
    #[serde(default)]
    pub outcome: Value,
    pub total: i64,
    pub done: i64,
    pub failed: i64,
    pub created_at: String,
    pub started_at: Option<String>,
    pub finished_at: Option<String>,
}

impl Operation {
    pub fn is_over(&self) -> bool {
        matches!(
            self.state.as_str(),
            "done" | "failed" | "cancelled" | "stopped"
        )
    }

    /// What it does, as in "retry (dry run)".
    pub fn work(&self) -> String {
        let action = self.request["action"].as_str().unwrap_or_default();
        match self.kind.as_str() {
            "bulk" if self.is_dry_run() => format!("{action} (dry run)"),
            "bulk" if self.request["only_changed"] == true => "heal".to_owned(),
            "bulk" => action.to_owned(),
            "rules_check" => "rules check".to_owned(),
            kind => kind.to_owned(),
        }
    }

    fn is_dry_run(&self) -> bool {
        self.request["dry_run"] == true
    }

    /// By result, how many letters.
    fn results(&self) -> BTreeMap<String, i64> {
        serde_json::from_value(self.outcome["results"].clone()).unwrap_or_default()
    }

    /// Letters that it was about and that are not as was asked.
    fn missed(&self) -> i64 {
        let reopened = self.request["action"] == "reopen";
        let results = self.results();
        let of = |name: &str| results.get(name).copied().unwrap_or(0);
        // A letter that is reopened may well fail still: it is open, as was asked.
        let failing = match reopened {
            true => 0,
            false => of("still_failing") + of("would_fail"),
        };
        failing + of("too_late") + of("would_be_too_late") + of("no_such_letter")
    }

    /// 0 all of it; 3 a part; 1 nothing.
    pub fn exit_code(&self) -> ExitCode {
        let well = self.done - self.missed();
        ExitCode::from(match (self.state.as_str(), self.kind.as_str()) {
            ("done", "bulk") if self.missed() == 0 => 0,
            ("done" | "stopped" | "cancelled", "bulk") if well > 0 => 3,
            ("done", "bulk") => 1,
            ("done", _) => 0,
            _ => 1,
        })
    }

    /// Which letters `--output ids` prints: those that are as was asked, or would be.
    fn well_results(&self) -> &'static str {
        match self.request["action"] == "reopen" {
            true => {
                "done,already_so,still_failing,would_pass,would_be_duplicate,would_fail,would_do"
            }
            false => "done,already_so,would_pass,would_be_duplicate,would_do",
        }
    }
}

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

#[derive(Deserialize)]
struct Letters {
    items: Vec<OneLetter>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct OneLetter {
    letter: i64,
    position: Option<i64>,
    result: Option<String>,
    #[serde(default)]
    failing: Value,
}

/// The letters of a bulk operation, page by page.
pub async fn letters(
    client: &Client,
    id: i64,
    results: Option<&str>,
    output: ListOutput,
) -> anyhow::Result<()> {
    let path = format!("/api/v1/operations/{id}/letters");
    let mut after: Option<String> = None;
    let mut first = true;
    loop {
        let mut query = vec![("limit", "500".to_owned())];
        query.extend(results.map(|results| ("result", results.to_owned())));
        query.extend(after.take().map(|after| ("after", after)));
        let answer = client.get(&path, &query).await?;
        let page: Letters = answer.read()?;
        match output {
            ListOutput::Json => screen::print(answer.text())?,
            ListOutput::Ids if page.items.is_empty() => {}
            ListOutput::Ids => {
                screen::print(page.items.iter().fold(String::new(), |text, item| {
                    format!("{text}{}\n", item.letter)
                }))?
            }
            ListOutput::Table if page.items.is_empty() => screen::print("No letters like that.")?,
            ListOutput::Table => {
                let mut sheet = match first {
                    true => Sheet::new(&["letter", "result", "decision", "code", "what is wrong"]),
                    false => Sheet::plain(),
                };
                for item in &page.items {
                    let failing =
                        |name: &str| item.failing[name].as_str().unwrap_or_default().to_owned();
                    sheet.row([
                        item.letter.to_string(),
                        item.result.clone().unwrap_or_default(),
                        item.position
                            .map(|position| position.to_string())
                            .unwrap_or_default(),
                        failing("code"),
                        failing("message"),
                    ]);
                }
                sheet.right(&[0, 2]);
                sheet.cut(4);
                screen::print(sheet.text())?;
            }
        }
        first = false;
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// What it came to, for people; ends with a line break.
pub fn told(operation: &Operation) -> String {
    let mut text = match operation.kind.as_str() {
        "bulk" => bulk_told(operation),
        "rules_check" => super::rules::check_told(operation, &[]),
        _ => replay_told(operation),
    };
    if let Some(error) = operation.outcome["error"].as_str() {
        text.push_str(&format!(
            "It failed: {}.\n",
            screen::plain(error).trim_end_matches('.')
        ));
    }
    text
}

fn bulk_told(operation: &Operation) -> String {
    let paint = Paint::stdout();
    let id = operation.id;
    let results = operation.results();
    let mut text = String::new();
    if operation.is_over() && operation.total == 0 {
        return format!("operation {id}: no letter is like that; nothing was done.\n");
    }
    let mut parts = Vec::new();
    for (name, words) in words(&operation.request["action"]) {
        if let Some(count) = results.get(*name).filter(|count| **count > 0) {
            let part = format!("{} {words}", screen::number(*count));
            let bad = matches!(
                *name,
                "still_failing"
                    | "would_fail"
                    | "too_late"
                    | "would_be_too_late"
                    | "no_such_letter"
            );
            parts.push(if bad {
                paint.yellow(&part)
            } else {
                paint.green(&part)
            });
        }
    }
    if parts.is_empty() {
        parts.push(format!(
            "{} of {} letters are through, {} of them failing",
            screen::number(operation.done),
            screen::number(operation.total),
            screen::number(operation.failed)
        ));
    }
    text.push_str(&format!(
        "operation {id}, {}: {}",
        operation.work(),
        parts.join(", ")
    ));
    text.push_str(match operation.is_dry_run() {
        true => ". Nothing was decided.\n",
        false => ".\n",
    });
    match operation.state.as_str() {
        "stopped" => text.push_str(&format!(
            "It stopped by itself at {} of {}: too many failed. Go on all the same: waybill operations resume {id}\n",
            screen::number(operation.done),
            screen::number(operation.total)
        )),
        "cancelled" => text.push_str(&format!(
            "It was cancelled at {} of {}; what was decided stays decided.\n",
            screen::number(operation.done),
            screen::number(operation.total)
        )),
        _ => {}
    }
    if let Some(groups) = operation.outcome["failing"]
        .as_array()
        .filter(|groups| !groups.is_empty())
    {
        let mut sheet = Sheet::new(&["failing", "code", "field", "sample", "fingerprint", "as in"]);
        for group in groups {
            let cell = |name: &str| group[name].as_str().unwrap_or_default().to_owned();
            sheet.row([
                screen::number(group["count"].as_i64().unwrap_or(0)),
                cell("code"),
                cell("pointer"),
                group["sample"].to_string(),
                cell("fingerprint"),
                cell("message"),
            ]);
        }
        sheet.right(&[0, 3]);
        sheet.cut(5);
        text.push_str(&format!("\n{}\n", sheet.text()));
    }
    text
}

/// Results in the order in which people want to read them.
fn words(action: &Value) -> &'static [(&'static str, &'static str)] {
    match action.as_str() {
        Some("reopen") => &[
            ("done", "reopened"),
            ("still_failing", "are open again"),
            ("already_so", "were open already"),
            ("too_late", "came too late"),
            ("no_such_letter", "are no dead letters"),
            ("would_pass", "would pass"),
            ("would_be_duplicate", "would be duplicates"),
            ("would_fail", "would be open again"),
            ("would_be_too_late", "are not discarded"),
        ],
        Some("discard") => &[
            ("done", "discarded"),
            ("already_so", "were discarded already"),
            ("too_late", "came too late"),
            ("no_such_letter", "are no dead letters"),
            ("would_do", "would be discarded"),
            ("would_be_too_late", "are no longer open"),
        ],
        Some("note") => &[
            ("done", "noted"),
            ("no_such_letter", "are no dead letters"),
            ("would_do", "would be noted"),
        ],
        _ => &[
            ("done", "are home"),
            ("already_so", "were home already"),
            ("still_failing", "still fail"),
            ("unchanged", "stay as they were"),
            ("too_late", "came too late"),
            ("no_such_letter", "are no dead letters"),
            ("would_pass", "would pass"),
            ("would_be_duplicate", "would be duplicates"),
            ("would_fail", "would still fail"),
            ("would_be_too_late", "are no longer open"),
        ],
    }
}

fn replay_told(operation: &Operation) -> String {
    let id = operation.id;
    match operation.state.as_str() {
        "done" => {
            let seconds = operation.seconds();
            format!(
                "operation {id}, replay: {} rows folded again in {seconds:.1} s ({} a second); the new tables are live.\n",
                screen::number(operation.done),
                screen::number((operation.done as f64 / seconds.max(0.001)).round() as i64)
            )
        }
        "cancelled" => format!("operation {id}, replay: cancelled; nothing has changed.\n"),
        "failed" => format!("operation {id}, replay: failed; nothing has changed.\n"),
        state => {
            let left = operation.progress["seconds_left"].as_f64();
            format!(
                "operation {id}, replay: {state}, {} of {} rows{}.\n",
                screen::number(operation.done),
                screen::number(operation.total),
                left.map_or_else(String::new, |left| format!(", about {left:.0} s left"))
            )
        }
    }
}

impl Operation {
    /// How long it ran.
    pub fn seconds(&self) -> f64 {
        let time = |text: &Option<String>| text.as_ref()?.parse::<jiff::Timestamp>().ok();
        match (time(&self.started_at), time(&self.finished_at)) {
            (Some(start), Some(end)) => end.duration_since(start).as_secs_f64(),
            _ => 0.0,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bulk(action: &str, state: &str, results: Value) -> Operation {
        let done: i64 = results
            .as_object()
            .unwrap()
            .values()
            .map(|count| count.as_i64().unwrap())
            .sum();
        serde_json::from_value(json!({
            "id": 7, "kind": "bulk", "state": state, "asked_by": "me", "request": {"action": action},
            "outcome": {"results": results}, "total": done, "done": done, "failed": 0,
            "created_at": "2026-01-31T12:00:00Z",
        }))
        .unwrap()
    }

    #[test]
    fn the_exit_code_says_all_a_part_or_nothing() {
        for (action, state, results, wanted) in [
            ("retry", "done", json!({"done": 2}), 0),
            ("retry", "done", json!({}), 0),
            ("retry", "done", json!({"done": 2, "still_failing": 1}), 3),
            ("retry", "done", json!({"still_failing": 1}), 1),
            (
                "retry",
                "stopped",
                json!({"done": 2, "still_failing": 20}),
                3,
            ),
            ("retry", "cancelled", json!({}), 1),
            ("retry", "failed", json!({"done": 2}), 1),
            ("reopen", "done", json!({"still_failing": 3}), 0),
            ("discard", "done", json!({"done": 1, "too_late": 1}), 3),
            ("discard", "done", json!({"already_so": 1}), 0),
        ] {
            let code = bulk(action, state, results.clone()).exit_code();
            assert_eq!(
                format!("{code:?}"),
                format!("{:?}", ExitCode::from(wanted)),
                "{action} {state} {results}"
            );
        }
    }

    #[test]
    fn a_bulk_operation_is_told_in_one_sentence() {
        let mut operation = bulk("retry", "done", json!({"would_pass": 412, "would_fail": 9}));
        operation.request["dry_run"] = json!(true);
        assert_eq!(
            told(&operation),
            "operation 7, retry (dry run): 412 would pass, 9 would still fail. Nothing was decided.\n"
        );
    }
}

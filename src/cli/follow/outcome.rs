//! What an operation is, and what it came to, in words and as an exit code.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::Value;

use super::super::collections;
use super::super::screen::{self, Paint, Sheet};

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
        if results.is_empty() {
            // It was ended before it could be summed up.
            return self.failed;
        }
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
    pub fn well_results(&self) -> &'static str {
        match self.request["action"] == "reopen" {
            true => {
                "done,already_so,still_failing,would_pass,would_be_duplicate,would_be_already_so,would_reopen,\
                 would_fail"
            }
            false => "done,already_so,would_pass,would_be_duplicate,would_be_already_so,would_do",
        }
    }
}

/// What it came to, for people; ends with a line break.
pub fn told(operation: &Operation) -> String {
    let mut text = match operation.kind.as_str() {
        "bulk" => bulk_told(operation),
        "plan" => collections::plan_told(operation),
        "replay" => replay_told(operation),
        _ => simply_told(operation),
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
            ("would_reopen", "would be open again"),
            ("would_fail", "would be open again"),
            ("would_be_already_so", "are open already"),
            ("would_be_too_late", "are not discarded"),
        ],
        Some("discard") => &[
            ("done", "discarded"),
            ("already_so", "were discarded already"),
            ("too_late", "came too late"),
            ("no_such_letter", "are no dead letters"),
            ("would_do", "would be discarded"),
            ("would_be_already_so", "are discarded already"),
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
            ("would_be_already_so", "are home already"),
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

/// Of what the service asks itself for, and what older versions did.
fn simply_told(operation: &Operation) -> String {
    let (id, work, state) = (operation.id, operation.work(), &operation.state);
    let changed = match operation.outcome["changed"].as_i64() {
        Some(changed) => format!(", {} written anew", screen::number(changed)),
        None => String::new(),
    };
    format!("operation {id}, {work}: {state}{changed}.\n")
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
            ("discard", "cancelled", json!({"done": 1}), 3),
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

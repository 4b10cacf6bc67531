//! Decisions about a whole set: by filters, by very many ids, or all. One request, frozen when it is asked; the service
//! works it as an operation.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::super::client::Client;
use super::super::follow::{self, Operation};
use super::super::screen::{self, ListOutput};
use super::filter::Filter;

/// Which letters, where no ids name them, and how they are worked.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "As a set")]
pub struct Set {
    /// All letters of the state
    #[arg(long, conflicts_with = "ids")]
    all: bool,

    /// open, replaced, discarded, or all [default: those that the decision is for]
    #[arg(long, value_name = "STATE")]
    state: Option<String>,

    /// Judge again, say what would come of it, and decide nothing
    #[arg(long)]
    dry_run: bool,

    /// Letters a second at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    rate: Option<u32>,

    /// Stop when more than this share fails again, as 20% or 0.2, once 20 letters were judged
    #[arg(long, value_name = "SHARE", value_parser = share, allow_hyphen_values = true)]
    stop_share: Option<f64>,

    /// Ask for it, and do not wait for its end
    #[arg(long)]
    detach: bool,

    #[command(flatten)]
    filter: Filter,
}

impl Set {
    /// True where a set is meant even if ids are named.
    pub fn is_asked(&self) -> bool {
        self.says_which()
            || self.dry_run
            || self.rate.is_some()
            || self.stop_share.is_some()
            || self.detach
    }

    /// True where the letters are known without ids.
    pub fn says_which(&self) -> bool {
        self.all || self.state.is_some() || !self.filter.query().is_empty()
    }

    pub fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    fn filter(&self, action: &str, ids: Option<&[i64]>) -> Map<String, Value> {
        let now = jiff::Timestamp::now();
        let mut filter: Map<String, Value> = self
            .filter
            .query()
            .into_iter()
            .map(|(name, value)| {
                let value = match name {
                    "from" | "to" => value.parse::<i64>().map_or(Value::Null, Value::from),
                    // The same request again must be the same, also a second later.
                    "since" | "until" => Value::from(absolute(&value, now)),
                    _ => Value::from(value),
                };
                (name.to_owned(), value)
            })
            .collect();
        let state = match (self.state.as_deref(), action) {
            (Some(state), _) => Some(state),
            (None, _) if ids.is_some() => None,
            (None, "retry" | "discard") => Some("open"),
            (None, "reopen") => Some("discarded"),
            (None, _) => None,
        };
        if let Some(state) = state.filter(|state| *state != "all") {
            filter.insert("state".to_owned(), state.into());
        }
        if let Some(ids) = ids {
            filter.insert("ids".to_owned(), ids.into());
        }
        filter
    }
}

/// How long ago, as a time: 15m, 2h, 7d. What is none is the service's to judge.
fn absolute(text: &str, now: jiff::Timestamp) -> String {
    let unit = match text.as_bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3_600,
        Some(b'd') => 86_400,
        _ => return text.to_owned(),
    };
    text[..text.len() - 1]
        .parse::<i64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .and_then(|seconds| {
            now.checked_sub(jiff::SignedDuration::from_secs(seconds))
                .ok()
        })
        .map_or_else(|| text.to_owned(), |time| time.to_string())
}

pub async fn run(
    client: &Client,
    action: &'static str,
    ids: Option<&[i64]>,
    set: &Set,
    (who, reason): (Option<&str>, &str),
    output: ListOutput,
) -> anyhow::Result<ExitCode> {
    let body = json!({
        "action": action,
        "filter": set.filter(action, ids),
        "all": set.all || set.state.is_some(),
        "dry_run": set.dry_run,
        "rate": set.rate,
        "stop_share": set.stop_share,
        "as": who,
        "reason": reason,
    });
    let request = client
        .request(Method::POST, "/api/v1/dead-letters/batch")
        .json(&body);
    let answer = client.ask(request).await?;
    let operation: Operation = answer.read()?;
    if let Some(ids) = ids
        && operation.total < ids.len() as i64
    {
        eprintln!(
            "{} of the {} ids are no dead letters, or not among those asked for",
            screen::number(ids.len() as i64 - operation.total),
            screen::number(ids.len() as i64)
        );
    }
    if set.detach {
        return follow::detached(&operation, &answer, output);
    }
    follow::follow_and_tell(client, operation, output).await
}

/// 20% or 0.2
fn share(text: &str) -> Result<f64, String> {
    let (number, whole) = match text.strip_suffix('%') {
        Some(percent) => (percent.trim_end(), 100.0),
        None => (text, 1.0),
    };
    match number.parse::<f64>() {
        Ok(number) if (0.0..=whole).contains(&number) => Ok(number / whole),
        _ => Err("a share between 0% and 100%, as 20% or as 0.2".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_the_state_that_the_decision_is_for() {
        let set = Set {
            all: true,
            ..Set::default()
        };
        for (action, ids, wanted) in [
            ("retry", None, json!({"state": "open"})),
            ("discard", None, json!({"state": "open"})),
            ("reopen", None, json!({"state": "discarded"})),
            ("note", None, json!({})),
            ("retry", Some(&[1, 2][..]), json!({"ids": [1, 2]})),
        ] {
            assert_eq!(Value::from(set.filter(action, ids)), wanted, "{action}");
        }
    }

    #[test]
    fn how_long_ago_is_a_time() {
        let now = "2026-01-31T12:00:00Z".parse().unwrap();
        for (text, wanted) in [
            ("2h", "2026-01-31T10:00:00Z"),
            ("7d", "2026-01-24T12:00:00Z"),
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            ("", ""),
            ("xm", "xm"),
            ("é", "é"),
        ] {
            assert_eq!(absolute(text, now), wanted);
        }
    }
}

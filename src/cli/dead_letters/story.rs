//! One letter's story: what is wrong and where, what was decided, where to go from here.

use std::process::ExitCode;

use serde::Deserialize;

use super::super::client::Link;
use super::super::connection::Connection;
use super::super::screen::{self, Output, Paint, Sheet};
use super::{Letter, layout};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  waybill dead-letters show 4711
  waybill dead-letters show 4711 --output json

Exit codes: 0 shown; 1 there is no such letter, or the service is not there; 2 a wrong argument.")]
pub struct Args {
    /// The letter's id
    #[arg(value_name = "ID", value_parser = super::id, allow_negative_numbers = true)]
    id: i64,

    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,

    #[command(flatten)]
    service: Connection,
}

#[derive(clap::Args)]
#[command(after_help = "\
Example:
  waybill dead-letters payload 4711 > letter.json")]
pub struct PayloadArgs {
    /// The letter's id
    #[arg(value_name = "ID", value_parser = super::id, allow_negative_numbers = true)]
    id: i64,

    #[command(flatten)]
    service: Connection,
}

#[derive(Deserialize)]
struct Story {
    #[serde(flatten)]
    letter: Letter,
    source: String,
    text: Option<String>,
    hex: Option<String>,
    payload_bytes: i64,
    payload_cut: bool,
    violations: Vec<Violation>,
    decisions: Vec<Decision>,
    differences: Vec<Difference>,
    links: Vec<Link>,
}

#[derive(Deserialize)]
pub struct Violation {
    pub code: String,
    pub message: String,
    pub pointer: String,
    pub line: Option<usize>,
    pub column: Option<usize>,
}

#[derive(Deserialize)]
struct Decision {
    action: String,
    result: String,
    who: String,
    #[serde(default)]
    proof: Option<String>,
    why: String,
    at: String,
}

#[derive(Deserialize)]
struct Difference {
    pointer: String,
    document: serde_json::Value,
    letter: serde_json::Value,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = args.service.client()?;
    let path = format!("/api/v1/dead-letters/{}", args.id);
    let answer = client.get(&path, &[]).await?;
    screen::print(match args.output {
        Output::Json => answer.text(),
        Output::Table => tell(&answer.read()?, &client.url(), Paint::stdout()),
    })?;
    Ok(ExitCode::SUCCESS)
}

pub async fn payload(args: PayloadArgs) -> anyhow::Result<ExitCode> {
    let client = args.service.client()?;
    let path = format!("/api/v1/dead-letters/{}/payload", args.id);
    let answer = client.get(&path, &[]).await?;
    // Its very bytes: no line break behind them.
    screen::print_bytes(&answer.body)?;
    Ok(ExitCode::SUCCESS)
}

fn tell(story: &Story, url: &str, paint: Paint) -> String {
    let letter = &story.letter;
    let state = match letter.state.as_str() {
        "open" => paint.red("open"),
        other => paint.green(&screen::plain(other)),
    };
    let mut text = format!(
        "{}, {state}: {}\n\n",
        paint.bold(&format!("Dead letter {}", letter.id)),
        screen::plain(&letter.message)
    );
    text.push_str(&facts(story));
    text.push_str(&format!("\n\n{}\n", paint.bold("What is wrong")));
    text.push_str(&violations(&story.violations, paint));
    text.push_str(&format!(
        "\n{} ({}{})\n",
        paint.bold("Payload"),
        screen::bytes(story.payload_bytes),
        if story.payload_cut { ", cut here" } else { "" }
    ));
    text.push_str(&payload_of(story, paint));
    if !story.differences.is_empty() {
        text.push_str(&format!(
            "\n{}\n",
            paint.bold("Where it differs from the document")
        ));
        let mut sheet = Sheet::new(&["field", "the document has", "this letter has"]);
        for difference in &story.differences {
            sheet.row([
                difference.pointer.clone(),
                difference.document.to_string(),
                difference.letter.to_string(),
            ]);
        }
        text.push_str(&format!("{}\n", sheet.text()));
    }
    text.push_str(&format!("\n{}\n", paint.bold("Decisions")));
    match story.decisions.is_empty() {
        true => text.push_str("none yet\n"),
        false => {
            let mut sheet = Sheet::new(&["when", "who", "what", "result", "why"]);
            for decision in &story.decisions {
                sheet.row([
                    screen::moment(&decision.at),
                    screen::who(&decision.who, decision.proof.as_deref()),
                    decision.action.clone(),
                    decision.result.replace('_', " "),
                    decision.why.clone(),
                ]);
            }
            text.push_str(&format!("{}\n", sheet.text()));
        }
    }
    text.push_str(&format!("\n{}\n", paint.bold("See also")));
    let mut sheet = Sheet::plain();
    for link in &story.links {
        sheet.row([link.rel.replace('_', " "), format!("{url}{}", link.href)]);
    }
    text.push_str(&sheet.text());
    text
}

fn facts(story: &Story) -> String {
    let letter = &story.letter;
    let mut rows = vec![
        ("Reason", format!("{}, {}", letter.reason, letter.code)),
        ("Collection", letter.collection.clone()),
        (
            "Key",
            letter
                .key
                .clone()
                .unwrap_or_else(|| "none that could be read".to_owned()),
        ),
        ("Source", story.source.clone()),
        ("Received", screen::moment(&letter.received_at)),
        (
            "Judged",
            format!(
                "{}, the last time {}",
                screen::count(letter.attempts, "time", "times"),
                screen::moment(&letter.last_failed_at)
            ),
        ),
        ("Group", letter.fingerprint.clone()),
    ];
    if !letter.pointer.is_empty() {
        rows.insert(1, ("Field", letter.pointer.clone()));
    }
    if let Some(at) = &letter.next_attempt_at {
        rows.push((
            "Tried again",
            format!("by itself, at {}", screen::moment(at)),
        ));
    }
    if let Some(by) = letter.replaced_by {
        rows.push(("Replaced by", format!("the row at position {by}")));
    }
    if let Some(origin) = letter.origin {
        rows.push(("Resubmitted from", format!("dead letter {origin}")));
    }
    let mut sheet = Sheet::plain();
    for (name, value) in rows {
        sheet.row([name, &value]);
    }
    sheet.text()
}

/// A line each; also of what an edited message would still be rejected for.
pub fn violations(violations: &[Violation], paint: Paint) -> String {
    let mut text = String::new();
    for violation in violations {
        let place = match (violation.line, violation.column) {
            (Some(line), Some(column)) => format!("line {line}, column {column}, "),
            _ => String::new(),
        };
        let pointer = match violation.pointer.as_str() {
            "" => String::new(),
            pointer => format!(" at {}", screen::plain(pointer)),
        };
        text.push_str(&format!(
            "  {place}{}{pointer}: {}\n",
            paint.red(&screen::plain(&violation.code)),
            screen::plain(&violation.message)
        ));
    }
    text
}

fn payload_of(story: &Story, paint: Paint) -> String {
    if story.payload_bytes == 0 {
        return "nothing at all\n".to_owned();
    }
    if let Some(text) = &story.text {
        let marks: Vec<(usize, usize)> = story
            .violations
            .iter()
            .filter_map(|violation| Some((violation.line?, violation.column?)))
            .collect();
        // Most senders write a message in one line, in which nobody finds anything.
        if text.lines().count() == 1
            && let Some((text, marks)) = layout::indented_with(text, &marks)
        {
            return format!(
                "{}\n{}",
                paint.dim("(one line, laid out here)"),
                layout::marked(&text, &marks, paint)
            );
        }
        return layout::marked(text, &marks, paint);
    }
    let bytes: Vec<u8> = story
        .hex
        .as_deref()
        .unwrap_or_default()
        .as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    layout::dump(&bytes, paint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_tells_what_is_wrong_and_where() {
        let story: Story = serde_json::from_value(serde_json::json!({
            "id": 7, "collection": "orders", "state": "open", "reason": "schema", "code": "wrong_type", "message": "No number.",
            "pointer": "/sm_id", "key": "u\u{1b}[2J", "fingerprint": "ab", "attempts": 1,
            "received_at": "2026-01-31T12:00:00Z", "first_failed_at": "2026-01-31T12:00:00Z",
            "last_failed_at": "2026-01-31T12:00:00Z", "next_attempt_at": null, "replaced_by": null, "origin": null,
            "source": "http:http", "text": "{\"sm_id\": \"x\"}", "hex": null, "payload_bytes": 14, "payload_cut": false,
            "violations": [{"code": "wrong_type", "message": "No number.", "pointer": "/sm_id", "line": 1, "column": 11}],
            "decisions": [], "differences": [], "links": [{"rel": "inbox", "href": "/api/v1/inbox/7"}]
        }))
        .unwrap();
        let text = tell(&story, "http://h", Paint::none());
        for part in [
            "Dead letter 7, open: No number.",
            "line 1, column 11, wrong_type at /sm_id",
            "1 │ {\n2 │   \"sm_id\": \"x\"\n  │            ^\n3 │ }",
            "http://h/api/v1/inbox/7",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains('\u{1b}'));
    }
}

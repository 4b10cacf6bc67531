//! Edited bytes in a letter's place: from a file, or from an editor. What changes, and what the checks say of it, is shown
//! before anything is sent.

use std::fs::OpenOptions;
use std::io::{IsTerminal, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context;
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;

use super::super::client::{Client, Decision, Error};
use super::super::collections;
use super::super::connection::Connection;
use super::super::credentials::decider;
use super::super::diff;
use super::super::screen::{self, Output, Paint};
use super::super::usage;
use super::decide::Outcome;
use super::layout;
use super::story::{Violation, violations};

#[derive(clap::Args)]
#[command(after_help = "\
The letter's own bytes stay as they are; the new ones become a document, a duplicate, or a dead letter of their own, and \
either way the old letter is replaced by them, both linked.

Examples:
  waybill dead-letters resubmit 4711 --edit
  waybill dead-letters payload 4711 | sed 's/\"amount\":-/\"amount\":/' \\
    | waybill dead-letters resubmit 4711 --file - --yes --reason 'the shop confirmed the amount'

Exit codes: 0 the new bytes are a document, or were one already; 1 they are not, or nothing was sent; 2 a wrong argument.")]
#[command(group(clap::ArgGroup::new("how").required(true).args(["file", "edit"])))]
pub struct Args {
    /// The letter's id
    #[arg(value_name = "ID", value_parser = super::id, allow_negative_numbers = true)]
    id: i64,

    /// The new bytes, - for stdin
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Open them in $VISUAL, $EDITOR or vi; JSON is laid out for reading
    #[arg(long)]
    edit: bool,

    /// Send without asking
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

#[derive(Deserialize)]
struct Judgement {
    valid: bool,
    key: Option<String>,
    violations: Vec<Violation>,
}

#[derive(Deserialize)]
struct Letter {
    collection: String,
    state: String,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let asks = !args.yes;
    let from_stdin = args.file.as_deref() == Some(Path::new("-"));
    if asks && (from_stdin || !std::io::stdin().is_terminal()) {
        return Err(usage(
            "nobody can be asked here whether to send it: say --yes",
        ));
    }
    let client = args.service.client()?;
    let who = decider(&client, args.who.as_deref()).await?;
    let path = format!("/api/v1/dead-letters/{}", args.id);
    // An hour in the editor is not to be spent on a letter that is closed already.
    let letter: Letter = client.get(&path, &[]).await?.read()?;
    if letter.state != "open" {
        anyhow::bail!(
            "dead letter {} is {}, no longer open: `waybill dead-letters show {}` says what was decided",
            args.id,
            screen::plain(&letter.state),
            args.id
        );
    }
    let old = client.get(&format!("{path}/payload"), &[]).await?.body;
    let new = match &args.file {
        Some(file) => read(file)?,
        None => edit(args.id, &old)?,
    };
    if new == old {
        anyhow::bail!(
            "nothing changed, so nothing was sent; `waybill dead-letters retry {}` judges the same bytes again",
            args.id
        );
    }
    // stdout is for the result alone where a script reads it.
    let people = args.output == Output::Table;
    if people {
        screen::print(changes(&old, &new, Paint::stdout()))?;
        screen::print(foretold(&client, &letter.collection, &new).await?)?;
    }
    if asks && !confirmed(args.id)? {
        eprintln!("Nothing was sent.");
        return Ok(ExitCode::FAILURE);
    }
    let mut query = vec![("reason", args.reason.as_str())];
    query.extend(who.as_deref().map(|who| ("as", who)));
    let decision = Decision::Bytes {
        query: &query,
        payload: new,
    };
    let answer = client.decide(&format!("{path}/resubmit"), decision).await?;
    let outcome: Outcome = answer.read()?;
    screen::print(match args.output {
        Output::Json => answer.text(),
        Output::Table => format!("{}: {}", args.id, outcome.told("resubmit")),
    })?;
    let home = outcome.is_done() && outcome.fate.as_deref() != Some("dead_letter");
    Ok(ExitCode::from(u8::from(!home)))
}

fn read(path: &Path) -> anyhow::Result<Bytes> {
    let mut bytes = Vec::new();
    let outcome = match path == Path::new("-") {
        true => std::io::stdin().read_to_end(&mut bytes).map(|_| ()),
        false => std::fs::read(path).map(|content| bytes = content),
    };
    match outcome {
        Ok(()) => Ok(bytes.into()),
        Err(error) => Err(usage(format!(
            "--file {} cannot be read: {error}",
            path.display()
        ))),
    }
}

/// In a directory of our own: editors leave copies beside the file, and a payload is nobody else's business.
fn edit(id: i64, old: &Bytes) -> anyhow::Result<Bytes> {
    let dir = std::env::temp_dir().join(format!("waybill-{:016x}", fastrand::u64(..)));
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&dir)
        .with_context(|| format!("{} cannot be made", dir.display()))?;
    let outcome = edit_in(&dir, id, old);
    let _ = std::fs::remove_dir_all(&dir);
    outcome
}

fn edit_in(dir: &Path, id: i64, old: &Bytes) -> anyhow::Result<Bytes> {
    let file = dir.join(format!("dead-letter-{id}.json"));
    let laid_out = std::str::from_utf8(old).ok().and_then(layout::indented);
    let shown = laid_out.as_ref().map_or(&old[..], |text| text.as_bytes());
    let cannot = || format!("{} cannot be written", file.display());
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file)
        .and_then(|mut file| file.write_all(shown))
        .with_context(cannot)?;
    let editor = ["VISUAL", "EDITOR"]
        .iter()
        .filter_map(std::env::var_os)
        .find(|editor| !editor.is_empty())
        .unwrap_or_else(|| "vi".into());
    // As git does it: the variable may hold arguments.
    let mut command = editor.clone();
    command.push(" \"$@\"");
    let status = Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .arg("sh")
        .arg(&file)
        .status()
        .context("/bin/sh cannot be started")?;
    if !status.success() {
        anyhow::bail!(
            "the editor {} ended with {status}, so nothing was sent: set VISUAL or EDITOR to one that works here",
            editor.display()
        );
    }
    let new = std::fs::read(&file).with_context(|| format!("{} is gone", file.display()))?;
    // Laid out and left as it was is no change.
    match new == shown {
        true => Ok(old.clone()),
        false => Ok(new.into()),
    }
}

fn changes(old: &[u8], new: &[u8], paint: Paint) -> String {
    let (Ok(old_text), Ok(new_text)) = (std::str::from_utf8(old), std::str::from_utf8(new)) else {
        return format!(
            "The payload changes from {} to {}; it is no text, so no difference is shown.",
            screen::bytes(old.len() as i64),
            screen::bytes(new.len() as i64)
        );
    };
    // Where both are JSON, white space alone is no difference worth reading.
    let difference = match (layout::indented(old_text), layout::indented(new_text)) {
        (Some(old), Some(new)) => diff::difference(&old, &new, paint),
        _ => diff::difference(old_text, new_text, paint),
    };
    match difference.is_empty() {
        true => "Only white space changes.\n".to_owned(),
        false => difference,
    }
}

async fn foretold(client: &Client, collection: &str, new: &Bytes) -> anyhow::Result<String> {
    let path = format!("{}/validate", collections::path(collection)?);
    let request = client
        .request(Method::POST, &path)
        .header(CONTENT_TYPE, "application/octet-stream")
        .body(new.clone());
    let judgement: Judgement = match client.send(request).await {
        Ok(answer) => answer.read()?,
        Err(Error::Refused(problem)) if problem.status == 404 => {
            return Ok(format!(
                "Nothing is defined by the name {collection}: it would still be rejected."
            ));
        }
        Err(error) => return Err(error.into()),
    };
    let paint = Paint::stdout();
    Ok(match judgement.valid {
        true => {
            let key = judgement.key.unwrap_or_default();
            paint.green(&format!("It would be valid, key {}.", screen::plain(&key)))
        }
        false => format!(
            "{}\n{}",
            paint.yellow("It would still be rejected:"),
            violations(&judgement.violations, paint)
        ),
    })
}

fn confirmed(id: i64) -> anyhow::Result<bool> {
    eprint!("Send it in the place of dead letter {id}? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_alone_is_no_difference() {
        let paint = Paint::none();
        assert_eq!(
            changes(b"{\"a\":1}", b"{ \"a\": 1 }", paint),
            "Only white space changes.\n"
        );
        assert_eq!(
            changes(b"{\"a\":1}", b"{\"a\":2}", paint),
            "  {\n-   \"a\": 1\n+   \"a\": 2\n  }\n"
        );
        assert_eq!(
            changes(b"{\"a\":", b"{\"a\":2}", paint),
            "- {\"a\":\n+ {\"a\":2}\n"
        );
        assert!(changes(b"\xff", b"{}", paint).starts_with("The payload changes from 1 byte"));
    }
}

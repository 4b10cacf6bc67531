//! `waybill token`: makes tokens, and says what is in a tokens file and what a token lets one do.
//!
//! Its invariant: a token is shown once, on stdout, when it is made; only its hash is kept.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Subcommand, ValueHint};
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::client::Answer;
use super::connection::Connection;
use super::screen::{self, Output, Sheet};
use super::usage;
use crate::access::{
    self, Collections, Hash, NotKnown, Principal, Right, Rights, Role, Token, Tokens,
};

#[derive(clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
A tokens file is given to `waybill serve --tokens FILE`, which reads it again when it changes. It holds names, rights and the \
SHA-256 of each token, and no token. Roles: reader (read), support (read, letters), operator (read, letters, decide), publisher \
(publish), owner (all rights).

Examples:
  waybill token new ada --role owner --tokens tokens.toml > ada.token
  waybill token new ci --role publisher --collection orders --expires 30d --tokens tokens.toml
  waybill token new prometheus --right '' --expires never      an entry to be put into the file by hand
  waybill token list --tokens tokens.toml
  waybill token check --token-file ada.token                   asks the service who that is

Exit codes: 0 well; 1 the token proves nothing, or the service is not there; 2 a wrong argument, or a broken file."
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a token: it is shown on stdout, once; its entry goes into the tokens file
    New(NewArgs),
    /// Who has a token
    List(ListArgs),
    /// Whether a token is whole and known, and what it lets one do
    Check(CheckArgs),
}

#[derive(clap::Args)]
struct NewArgs {
    /// As decisions will name its holder
    name: String,

    /// A bundle of rights
    #[arg(long, value_enum, required_unless_present = "rights")]
    role: Option<Role>,

    /// Single rights instead: read, letters, publish, decide, define, operate, admin; '' for none, which /metrics is content with
    #[arg(
        long = "right",
        value_name = "RIGHT",
        value_delimiter = ',',
        conflicts_with = "role"
    )]
    rights: Option<Vec<String>>,

    /// Only these collections [default: all]
    #[arg(long = "collection", value_name = "NAME", value_delimiter = ',')]
    collections: Vec<String>,

    /// When it ends: after so many days, as in 30d; on a day, as in 2027-01-31; or never
    #[arg(long, value_name = "WHEN", default_value = "90d")]
    expires: String,

    /// The file that gets its entry [default: the entry is written to stderr]
    #[arg(long, env = "WAYBILL_TOKENS", value_name = "FILE", value_hint = ValueHint::FilePath)]
    tokens: Option<PathBuf>,
}

#[derive(clap::Args)]
struct ListArgs {
    /// The tokens file
    #[arg(long, env = "WAYBILL_TOKENS", value_name = "FILE", value_hint = ValueHint::FilePath)]
    tokens: PathBuf,

    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(clap::Args)]
struct CheckArgs {
    /// Look into this file, and ask no service
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    tokens: Option<PathBuf>,

    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,

    #[command(flatten)]
    service: Connection,
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::New(args) => new(&args),
        Command::List(args) => list(&args),
        Command::Check(args) => check(&args).await,
    }
}

fn new(args: &NewArgs) -> anyhow::Result<ExitCode> {
    access::check_name(&args.name).map_err(usage)?;
    let grant = match (args.role, &args.rights) {
        (Some(role), _) => format!("role = {}", json!(role)),
        (None, rights) => {
            let named = rights.iter().flatten().filter(|right| !right.is_empty());
            let rights = named
                .map(|right| right.parse::<Right>())
                .collect::<Result<Vec<_>, _>>();
            let rights = rights.map_err(|error| usage(format!("--right: {error}")))?;
            format!("rights = {}", json!(rights))
        }
    };
    let token = Token::new()?;
    let mut entry = format!("[[token]]\nname = \"{}\"\n{grant}\n", args.name);
    if !args.collections.is_empty() {
        let names = access::checked_collections(&args.collections).map_err(usage)?;
        entry.push_str(&format!("collections = {}\n", json!(names)));
    }
    entry.push_str(&format!("sha256 = \"{}\"\n", Hash::of(token.text())));
    if let Some(at) = expiry(&args.expires, Timestamp::now())? {
        entry.push_str(&format!("expires = {at}\n"));
    }
    match &args.tokens {
        Some(path) => {
            add(path, &entry)?;
            eprintln!(
                "{} has a token now; its entry is in {}. This is the only time that it is shown.",
                args.name,
                path.display()
            );
        }
        None => eprintln!(
            "Put this into the tokens file (waybill serve --tokens FILE). The token below is shown only now.\n\n{entry}"
        ),
    }
    screen::print(token.text())?;
    Ok(ExitCode::SUCCESS)
}

/// None for never.
fn expiry(text: &str, now: Timestamp) -> anyhow::Result<Option<Timestamp>> {
    let wrong = || {
        usage(format!(
            "--expires {text}: after so many days, as in 30d; on a day, as in 2027-01-31; or never"
        ))
    };
    if text == "never" {
        return Ok(None);
    }
    let at = match text.strip_suffix('d') {
        Some(days) => {
            let days: i64 = days
                .parse()
                .ok()
                .filter(|days| (1..=36_500).contains(days))
                .ok_or_else(wrong)?;
            // To the second: a file for people.
            let now = Timestamp::from_second(now.as_second()).map_err(|_| wrong())?;
            now.checked_add(SignedDuration::from_hours(24 * days))
                .map_err(|_| wrong())?
        }
        None => format!("{text}T00:00:00Z").parse().map_err(|_| wrong())?,
    };
    match at > now {
        true => Ok(Some(at)),
        false => Err(usage(format!("--expires {text} is past"))),
    }
}

/// At the end of the file, in one write, so that a service which reads it meanwhile sees all of it or nothing. A broken file
/// is left alone.
fn add(path: &Path, entry: &str) -> anyhow::Result<()> {
    let before = match access::read(path) {
        Ok(text) => text,
        Err(access::Unusable::Unreadable { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            String::new()
        }
        Err(error) => return Err(usage(error.to_string())),
    };
    let gap = match before.as_str() {
        "" => "",
        text if text.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    let more = format!("{gap}{entry}");
    Tokens::parse(path, &before).map_err(|error| usage(error.to_string()))?;
    Tokens::parse(path, &format!("{before}{more}")).map_err(|error| {
        usage(format!(
            "the file cannot take another entry at its end: {error}"
        ))
    })?;
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| usage(format!("{} cannot be written: {error}", path.display())))?;
    file.write_all(more.as_bytes())?;
    file.sync_all()?;
    Ok(())
}

fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let tokens = opened(&args.tokens)?;
    let list = tokens.list();
    match args.output {
        Output::Json => {
            let items: Vec<_> = list
                .iter()
                .map(|(principal, hash)| {
                    let mut item = described(principal);
                    item["sha256"] = hash.to_string().into();
                    item
                })
                .collect();
            screen::print(json!({ "items": items }).to_string())?;
        }
        Output::Table => {
            let mut sheet = Sheet::new(&["name", "rights", "collections", "expires", "sha256"]);
            for (principal, hash) in &list {
                let hash = hash.to_string();
                sheet.row([
                    principal.name(),
                    &principal.rights().to_string(),
                    &collections(principal),
                    &expires(principal),
                    &hash[..12],
                ]);
            }
            screen::print(match list.is_empty() {
                true => "Nobody has a token.".to_owned(),
                false => sheet.text(),
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn opened(path: &Path) -> anyhow::Result<Tokens> {
    let wrong = |error: access::Unusable| usage(error.to_string());
    Tokens::parse(path, &access::read(path).map_err(wrong)?).map_err(wrong)
}

fn described(principal: &Principal) -> serde_json::Value {
    json!({
        "name": principal.name(),
        "rights": principal.rights().iter().collect::<Vec<Right>>(),
        "collections": match principal.collections() {
            Collections::All => None,
            Collections::Named(names) => Some(names),
        },
        "expires": principal.expires().map(|at| at.to_string()),
    })
}

fn collections(principal: &Principal) -> String {
    match principal.collections() {
        Collections::All => "all".to_owned(),
        Collections::Named(names) => names
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", "),
    }
}

fn expires(principal: &Principal) -> String {
    match principal.expires() {
        None => "never".to_owned(),
        Some(at) if principal.is_over() => format!("{at}: it has"),
        Some(at) => at.to_string(),
    }
}

async fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let Some((token, place)) = args.service.credentials.token()? else {
        return match &args.tokens {
            Some(path) => {
                let count = opened(path)?.list().len() as i64;
                let count = screen::count(count, "token", "tokens");
                screen::print(format!("{}: {count}, no mistake", path.display()))?;
                Ok(ExitCode::SUCCESS)
            }
            None => Err(usage(
                "which token? Name a file with --token-file, or set WAYBILL_TOKEN or WAYBILL_TOKEN_FILE",
            )),
        };
    };
    if let Some(path) = &args.tokens {
        return in_file(&opened(path)?, &token, &place, args.output);
    }
    let client = args.service.client()?;
    let answer = client
        .exchange(client.request(Method::GET, "/api/v1/me"))
        .await?;
    match answer.status.as_u16() {
        200 => told(&answer, &client.url(), args.output),
        401 => {
            eprintln!("waybill: {}", client.refused(answer));
            Ok(ExitCode::FAILURE)
        }
        _ => Err(client.refused(answer).into()),
    }
}

fn in_file(tokens: &Tokens, token: &str, place: &str, output: Output) -> anyhow::Result<ExitCode> {
    match tokens.find(token) {
        Ok(principal) => {
            screen::print(match output {
                Output::Json => described(&principal).to_string(),
                Output::Table => format!(
                    "{}: {}; collections: {}; expires: {}",
                    principal.name(),
                    principal.rights(),
                    collections(&principal),
                    expires(&principal)
                ),
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Err(NotKnown::Unknown) => {
            eprintln!("waybill: {place}: the token is whole, and the file does not have it");
            Ok(ExitCode::FAILURE)
        }
        Err(why) => {
            eprintln!("waybill: {place}: {why}");
            Ok(ExitCode::FAILURE)
        }
    }
}

#[derive(Deserialize)]
struct Me {
    name: String,
    proven: bool,
    rights: Vec<Right>,
    collections: Option<Vec<String>>,
    expires: Option<String>,
}

fn told(answer: &Answer, url: &str, output: Output) -> anyhow::Result<ExitCode> {
    let me: Me = answer.read()?;
    screen::print(match output {
        Output::Json => answer.text(),
        Output::Table if !me.proven => format!(
            "{url} asks nobody for a token: whoever reaches it is `{}`, with all rights",
            me.name
        ),
        Output::Table => format!(
            "{}: {}; collections: {}; expires: {}",
            me.name,
            Rights::of(&me.rights),
            me.collections
                .map_or("all".to_owned(), |names| names.join(", ")),
            me.expires.as_deref().unwrap_or("never")
        ),
    })?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_when_it_is_said() {
        let now: Timestamp = "2026-11-30T12:00:00.5Z".parse().unwrap();
        let at = |text| expiry(text, now).unwrap().map(|at| at.to_string());
        assert_eq!(at("never"), None);
        assert_eq!(at("1d").unwrap(), "2026-12-01T12:00:00Z");
        assert_eq!(at("2027-01-31").unwrap(), "2027-01-31T00:00:00Z");
        for wrong in [
            "",
            "d",
            "0d",
            "-1d",
            "90",
            "90h",
            "soon",
            "2026-11-30",
            "2027-02-30",
            "99999d",
        ] {
            assert!(expiry(wrong, now).is_err(), "{wrong}");
        }
    }
}

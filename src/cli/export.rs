//! What `dead-letters export` and `export` share: the service's stream to stdout or into a file.
//!
//! Its invariant: a file that is there is whole. It is written beside its name, and gets it at the end; an export that was
//! cut off fails, and says so.

use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;

use super::client::Client;
use super::connection::Connection;
use super::{screen, usage};

/// A service that sends nothing for so long is gone.
const STANDSTILL: Duration = Duration::from_secs(60);
/// The service answers with a workbook once all its rows are there. 440,000 took it 10 s, and 1,048,575 are the most.
const WORKBOOK_TIME: Duration = Duration::from_secs(10 * 60);

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180, with a first line of names.
    Csv,
    /// A workbook of one sheet.
    Xlsx,
}

/// Where it goes.
#[derive(clap::Args)]
pub struct Target {
    /// Into this file, once all of it is there [default: stdout]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// [default: csv or xlsx for a file that is called so, else ndjson]
    #[arg(long, value_enum)]
    format: Option<Format>,

    #[command(flatten)]
    service: Connection,
}

impl Target {
    fn format(&self) -> Format {
        let ending = self.output.as_ref().and_then(|file| file.extension());
        let is = |name| ending.is_some_and(|ending| ending.eq_ignore_ascii_case(name));
        self.format.unwrap_or(match () {
            () if is("csv") => Format::Csv,
            () if is("xlsx") => Format::Xlsx,
            () => Format::Ndjson,
        })
    }
}

/// Refuses to write what is no text to a terminal.
fn fits(format: Format, output: Option<&Path>, is_terminal: bool) -> anyhow::Result<()> {
    if format == Format::Xlsx && output.is_none() && is_terminal {
        return Err(usage(
            "XLSX is no text, and would garble this terminal: give it a file (--output FILE.xlsx), or a pipe",
        ));
    }
    Ok(())
}

pub async fn run(
    path: &str,
    mut query: Vec<(String, String)>,
    target: Target,
    what: &str,
) -> anyhow::Result<ExitCode> {
    let client = target.service.client()?;
    let format = target.format();
    // A document may have several lines there, one for each of its items.
    let what = match (format, what) {
        (Format::Csv, "documents") => "rows",
        _ => what,
    };
    let name = match format {
        Format::Ndjson => "ndjson",
        Format::Csv => "csv",
        Format::Xlsx => "xlsx",
    };
    fits(
        format,
        target.output.as_deref(),
        std::io::stdout().is_terminal(),
    )?;
    query.push(("format".to_owned(), name.to_owned()));
    let mut out = Out::open(target.output.as_deref())?;
    let mut lines = Lines::new(format);
    let copied = tokio::select! {
        copied = copy(&client, path, &query, &mut out, &mut lines, what) => copied,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
    };
    match copied.and_then(|()| out.keep()) {
        Ok(()) => {
            let told = lines.told(what);
            match &target.output {
                Some(file) => eprintln!("{told}, in {}", file.display()),
                None => eprintln!("{told}"),
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            out.discard();
            Err(error)
        }
    }
}

async fn copy(
    client: &Client,
    path: &str,
    query: &[(String, String)],
    out: &mut Out,
    lines: &mut Lines,
    what: &str,
) -> anyhow::Result<()> {
    let request = client.request(Method::GET, path).query(query);
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {binary_bytes_per_sec}") {
        bar.set_style(style);
    }
    let opened = match lines.format {
        Format::Ndjson | Format::Csv => client.open(request).await,
        Format::Xlsx => {
            bar.set_message("the workbook is being made");
            bar.enable_steady_tick(Duration::from_millis(100));
            client.open_within(request, WORKBOOK_TIME).await
        }
    };
    let mut response = opened.inspect_err(|_| bar.finish_and_clear())?;
    let outcome = loop {
        match tokio::time::timeout(STANDSTILL, response.chunk()).await {
            Err(_) => break Err(anyhow!("nothing came for {} s", STANDSTILL.as_secs())),
            Ok(Err(error)) => break Err(anyhow!(innermost(&error))),
            Ok(Ok(None)) => break Ok(()),
            Ok(Ok(Some(chunk))) => {
                lines.see(&chunk);
                bar.set_position(lines.bytes.unsigned_abs());
                bar.set_message(lines.told(what));
                out.write(&chunk)?;
            }
        }
    };
    bar.finish_and_clear();
    outcome.map_err(|cause| {
        anyhow!(
            "the export was cut off after {} ({cause}), it is not whole: ask again; if it happens again, `waybill status` \
             says how the service is",
            lines.told(what)
        )
    })
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Counts records: a line break within quotes ends none.
struct Lines {
    format: Format,
    quoted: bool,
    count: i64,
    bytes: i64,
}

impl Lines {
    fn new(format: Format) -> Self {
        Self {
            format,
            quoted: false,
            // The line of names is none.
            count: if format == Format::Csv { -1 } else { 0 },
            bytes: 0,
        }
    }

    fn see(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len() as i64;
        match self.format {
            Format::Ndjson => self.count += memchr::memchr_iter(b'\n', chunk).count() as i64,
            Format::Csv => {
                for at in memchr::memchr2_iter(b'\n', b'"', chunk) {
                    match chunk[at] {
                        b'"' => self.quoted = !self.quoted,
                        _ => self.count += i64::from(!self.quoted),
                    }
                }
            }
            // Its lines cannot be told from here.
            Format::Xlsx => {}
        }
    }

    /// How much there was.
    fn told(&self, what: &str) -> String {
        let bytes = screen::bytes(self.bytes);
        match self.format {
            Format::Xlsx => bytes,
            Format::Ndjson | Format::Csv => {
                let count = screen::count(self.count.max(0), what.trim_end_matches('s'), what);
                format!("{count}, {bytes}")
            }
        }
    }
}

enum Out {
    Stdout,
    /// A device or a pipe, which cannot be put in place at the end.
    Direct(File),
    File {
        beside: PathBuf,
        name: PathBuf,
        file: BufWriter<File>,
    },
}

impl Out {
    fn open(name: Option<&Path>) -> anyhow::Result<Self> {
        let Some(name) = name else {
            return Ok(Self::Stdout);
        };
        let wrong = |error: std::io::Error| usage(format!("--output {}: {error}", name.display()));
        if let Ok(there) = std::fs::metadata(name)
            && !there.is_file()
        {
            let file = File::options().write(true).open(name).map_err(wrong)?;
            return Ok(Self::Direct(file));
        }
        let mut beside = name.as_os_str().to_owned();
        beside.push(format!(".{}.part", std::process::id()));
        let beside = PathBuf::from(beside);
        let file = BufWriter::new(File::create(&beside).map_err(wrong)?);
        Ok(Self::File {
            beside,
            name: name.to_owned(),
            file,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Stdout => screen::print_bytes(bytes)?,
            Self::Direct(file) => file
                .write_all(bytes)
                .context("the export cannot be written")?,
            Self::File { beside, file, .. } => file
                .write_all(bytes)
                .with_context(|| format!("{} cannot be written", beside.display()))?,
        }
        Ok(())
    }

    fn keep(&mut self) -> anyhow::Result<()> {
        let Self::File { beside, name, file } = self else {
            return Ok(());
        };
        file.flush()
            .and_then(|()| file.get_ref().sync_all())
            .and_then(|()| std::fs::rename(&*beside, &*name))
            .with_context(|| format!("{} cannot be written", name.display()))
    }

    fn discard(&self) {
        if let Self::File { beside, .. } = self {
            // It may never have been made.
            let _ = std::fs::remove_file(beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_with_line_breaks_is_one() {
        let mut lines = Lines::new(Format::Csv);
        for chunk in ["id,message\r\n1,\"a\n", "b \"\"c\"\"\n\"\r\n2,", "d\r\n"] {
            lines.see(chunk.as_bytes());
        }
        assert_eq!(lines.count, 2);
    }

    #[test]
    fn a_workbook_goes_into_a_file_or_a_pipe_and_not_to_a_terminal() {
        let file = Some(Path::new("orders.xlsx"));
        assert!(fits(Format::Xlsx, None, true).is_err());
        assert!(fits(Format::Xlsx, None, false).is_ok());
        assert!(fits(Format::Xlsx, file, true).is_ok());
        assert!(fits(Format::Csv, None, true).is_ok());
    }
}

//! What became of the messages: a progress bar on stderr while it runs, a summary on stdout at the end,
//! and the log of what was acknowledged.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::source::Item;
use super::{Output, usage};

/// A failing broker may have many words for it; the summary has room for some.
const MOST_REASONS: usize = 20;

pub(super) struct Report {
    bar: ProgressBar,
    ack_log: Option<BufWriter<File>>,
    started: Option<Instant>,
    total: Option<u64>,
    acknowledged: u64,
    junk: u64,
    failed: u64,
    again: u64,
    reasons: BTreeMap<String, u64>,
    /// Why the source ended before its end.
    broken: Option<String>,
    seconds: f64,
    interrupted: bool,
}

impl Report {
    pub(super) fn new(ack_log: Option<&Path>) -> anyhow::Result<Report> {
        let ack_log = match ack_log {
            None => None,
            Some(path) => match OpenOptions::new().create(true).append(true).open(path) {
                Ok(file) => Some(BufWriter::new(file)),
                Err(error) => return Err(usage(format!("--ack-log {}: {error}", path.display()))),
            },
        };
        Ok(Report {
            bar: ProgressBar::hidden(),
            ack_log,
            started: None,
            total: None,
            acknowledged: 0,
            junk: 0,
            failed: 0,
            again: 0,
            reasons: BTreeMap::new(),
            broken: None,
            seconds: 0.0,
            interrupted: false,
        })
    }

    /// Shows the bar; it stays hidden where stderr is no terminal.
    pub(super) fn start(&mut self, total: Option<u64>) {
        self.total = total;
        let (bar, template) = match total {
            Some(total) => (
                ProgressBar::new(total),
                "{bar:30} {human_pos}/{human_len} {per_sec} {msg}",
            ),
            None => (
                ProgressBar::new_spinner(),
                "{spinner} {human_pos} {per_sec} {msg}",
            ),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        self.bar = bar;
    }

    /// The clock runs from the first publish.
    pub(super) fn sending(&mut self) {
        self.started.get_or_insert_with(Instant::now);
    }

    pub(super) fn acknowledged(&mut self, item: &Item) -> anyhow::Result<()> {
        self.acknowledged += 1;
        self.junk += u64::from(item.junk);
        self.bar.inc(1);
        if let Some(log) = &mut self.ack_log {
            let mut line = String::with_capacity(65);
            for byte in Sha256::digest(&item.payload) {
                // Writing to a String does not fail.
                let _ = write!(line, "{byte:02x}");
            }
            line.push('\n');
            log.write_all(line.as_bytes())
                .context("cannot write the --ack-log")?;
        }
        Ok(())
    }

    pub(super) fn failed(&mut self, reason: impl ToString) {
        self.failed += 1;
        self.bar.inc(1);
        let mut reason = reason.to_string();
        if self.reasons.len() >= MOST_REASONS && !self.reasons.contains_key(&reason) {
            reason = "other reasons".into();
        }
        *self.reasons.entry(reason).or_default() += 1;
    }

    /// Published, its outcome unknown, and so published again.
    pub(super) fn again(&mut self) {
        self.again += 1;
    }

    /// The rest of the source cannot be read. What was read before is published.
    pub(super) fn broken(&mut self, error: &io::Error) {
        self.broken = Some(error.to_string());
    }

    /// The source's mistake, where it came before anything was sent.
    pub(super) fn nothing_but_a_mistake(&self) -> Option<&str> {
        self.broken.as_deref().filter(|_| self.started.is_none())
    }

    /// Tells the user something, now.
    pub(super) fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    /// Ends the run. True if all that should be published was, and was acknowledged.
    pub(super) fn finish(&mut self, interrupted: bool) -> anyhow::Result<bool> {
        self.seconds = self
            .started
            .map_or(0.0, |started| started.elapsed().as_secs_f64());
        self.interrupted = interrupted;
        self.bar.finish_and_clear();
        if let Some(log) = &mut self.ack_log {
            log.flush().context("cannot write the --ack-log")?;
        }
        let missing = self.total.is_some_and(|total| self.acknowledged < total);
        let unread = self.broken.is_some() || interrupted && self.total.is_none();
        Ok(self.failed == 0 && !missing && !unread)
    }

    pub(super) fn print(&self, output: Output) {
        let text = match output {
            Output::Text => self.text(),
            Output::Json => self.json() + "\n",
        };
        // A closed pipe is no reason to fail: the messages are where they should be.
        let _ = io::stdout().write_all(text.as_bytes());
    }

    fn per_second(&self) -> f64 {
        if self.seconds > 0.0 {
            self.acknowledged as f64 / self.seconds
        } else {
            0.0
        }
    }

    fn text(&self) -> String {
        let junk = match self.junk {
            0 => String::new(),
            junk => format!(" ({junk} of them junk)"),
        };
        let mut text = format!(
            "{} acknowledged{junk}, {} failed, in {:.2} s: {:.0} a second\n",
            self.acknowledged,
            self.failed,
            self.seconds,
            self.per_second()
        );
        if self.again > 0 {
            text += &format!(
                "{} published again, their first outcome unknown\n",
                self.again
            );
        }
        for (reason, count) in &self.reasons {
            text += &format!("{count} × {reason}\n");
        }
        if let Some(broken) = &self.broken {
            text += &format!("the rest was not read: {broken}\n");
        }
        if self.interrupted {
            text += "interrupted\n";
        }
        text
    }

    fn json(&self) -> String {
        json!({
            "acknowledged": self.acknowledged,
            "junk": self.junk,
            "failed": self.failed,
            "published_again": self.again,
            "seconds": (self.seconds * 1_000.0).round() / 1_000.0,
            "per_second": self.per_second().round(),
            "reasons": self.reasons,
            "not_read": self.broken,
            "interrupted": self.interrupted,
        })
        .to_string()
    }
}

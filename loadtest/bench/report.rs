//! What was measured, kept from run to run (`loadtest/report/figures.json`), and the report that is made of it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::chart;

/// What the ratio should come to.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub enum Reach {
    AtLeast(f64),
    AtMost(f64),
    /// To be reported, whatever it is.
    Report,
}

/// One line of the report.
#[derive(Clone, Serialize, Deserialize)]
pub struct Figure {
    pub what: String,
    pub ours: String,
    pub limit: String,
    /// Of each interleaved pair; none where there is nothing to compare with.
    pub ratios: Vec<f64>,
    pub reach: Reach,
    pub note: String,
    #[serde(default)]
    pub measured: String,
}

impl Figure {
    pub fn new(what: impl Into<String>, ours: impl Into<String>, limit: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            ours: ours.into(),
            limit: limit.into(),
            ratios: Vec::new(),
            reach: Reach::Report,
            note: String::new(),
            measured: String::new(),
        }
    }

    pub fn ratios(mut self, ratios: Vec<f64>, reach: Reach) -> Self {
        self.ratios = ratios;
        self.reach = reach;
        self
    }

    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    pub fn ratio(&self) -> Option<f64> {
        (!self.ratios.is_empty()).then(|| median(self.ratios.clone()))
    }

    pub fn reached(&self) -> Option<bool> {
        let ratio = self.ratio()?;
        match self.reach {
            Reach::AtLeast(goal) => Some(ratio >= goal),
            Reach::AtMost(goal) => Some(ratio <= goal),
            Reach::Report => None,
        }
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The q-th part of the values lies below.
pub fn quantile(mut values: Vec<f64>, q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (values.len() as f64 * q) as usize;
    values
        .get(index.min(values.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

/// 21400 as "21,400".
pub fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub fn rate(count: u64, seconds: &[f64]) -> String {
    format!("{}/s", grouped(count as f64 / median(seconds.to_vec())))
}

/// By benchmark.
#[derive(Default, Serialize, Deserialize)]
pub struct Report(BTreeMap<String, Vec<Figure>>);

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/loadtest/report"))
}

impl Report {
    pub fn load() -> anyhow::Result<Self> {
        match std::fs::read_to_string(folder().join("figures.json")) {
            Ok(text) => Ok(serde_json::from_str(&text)?),
            Err(_) => Ok(Self::default()),
        }
    }

    pub fn put(&mut self, name: &str, mut figures: Vec<Figure>) -> anyhow::Result<()> {
        for figure in &mut figures {
            figure.measured = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
            println!("  {}", line(figure));
        }
        self.0.insert(name.to_owned(), figures);
        self.save()
    }

    /// Every benchmark saves: one that fails later takes nothing with it.
    pub fn save(&self) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder())?;
        let json = serde_json::to_string_pretty(&self)? + "\n";
        std::fs::write(folder().join("figures.json"), json)?;
        let all: Vec<&Figure> = super::ORDER
            .iter()
            .filter_map(|name| self.0.get(*name))
            .flatten()
            .collect();
        std::fs::write(folder().join("ratios.svg"), chart::ratios(&all))?;
        std::fs::write(folder().join("README.md"), markdown(&all))?;
        Ok(())
    }
}

fn goal(figure: &Figure) -> String {
    match (figure.reach, figure.reached()) {
        (Reach::Report, _) => String::new(),
        (Reach::AtLeast(goal), reached) => format!("≥ {goal}{}", mark(reached)),
        (Reach::AtMost(goal), reached) => format!("≤ {goal}{}", mark(reached)),
    }
}

fn mark(reached: Option<bool>) -> &'static str {
    match reached {
        Some(true) => " ✓",
        Some(false) => " **missed**",
        None => "",
    }
}

fn spread(figure: &Figure) -> String {
    let Some(ratio) = figure.ratio() else {
        return String::new();
    };
    let low = figure.ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let high = figure
        .ratios
        .iter()
        .copied()
        .fold(f64::NEG_INFINITY, f64::max);
    match figure.ratios.len() {
        1 => format!("{ratio:.2}"),
        pairs => format!("{ratio:.2} ({low:.2}–{high:.2}, {pairs})"),
    }
}

fn line(figure: &Figure) -> String {
    format!(
        "{}: {}; {}; {} {}",
        figure.what,
        figure.ours,
        figure.limit,
        spread(figure),
        goal(figure)
    )
}

fn markdown(figures: &[&Figure]) -> String {
    let mut text = String::from(
        "# What was measured\n\n\
         Made by `make bench`; how to read it, and what bounds each figure: [loadtest/README.md](../README.md). A ratio is to \
         a limit measured in the same run, interleaved: the median of the pairs (lowest–highest, how many).\n\n",
    );
    let _ = writeln!(
        text,
        "{}\n\n![Ratios to the limit](ratios.svg)\n",
        super::machine()
    );
    text += "| what | Waybill | limit in the same run | ratio | reach | day |\n|---|---|---|---|---|---|\n";
    for figure in figures {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            figure.what,
            figure.ours,
            figure.limit,
            spread(figure),
            goal(figure),
            figure.measured
        );
    }
    let notes: Vec<&&Figure> = figures
        .iter()
        .filter(|figure| !figure.note.is_empty())
        .collect();
    if !notes.is_empty() {
        text += "\n## Notes\n\n";
        for figure in notes {
            let _ = writeln!(text, "- **{}**: {}", figure.what, figure.note);
        }
    }
    text
}

//! A definition is tried before anything is put in force, and without a service.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::super::screen::{self, Output};
use super::{read, tell};
use crate::collection::{self, Collection};
use crate::expression::Mistake;

#[derive(clap::Args)]
#[command(after_help = "\
Exit codes: 0 no mistake, and every test came out as expected; 1 a test came out otherwise; 2 the definition has mistakes, or \
cannot be read. Mistakes are told as FILE:LINE:COLUMN: …, so that an editor finds the place.")]
pub struct Args {
    /// The definition, in YAML; - for stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let text = read(&args.file)?;
    match Collection::compile(&text) {
        Ok(collection) => tried(&args.file, args.output, &collection),
        Err(mistakes) => mistaken(&args.file, args.output, &mistakes),
    }
}

fn mistaken(file: &Path, output: Output, mistakes: &[Mistake]) -> anyhow::Result<ExitCode> {
    if output == Output::Json {
        screen::print(json!({"mistakes": mistakes, "failed": []}).to_string())?;
        return Ok(ExitCode::from(2));
    }
    Ok(tell(file, mistakes))
}

fn tried(file: &Path, output: Output, collection: &Collection) -> anyhow::Result<ExitCode> {
    let failed = collection::run_tests(collection);
    if output == Output::Json {
        let failed: Vec<_> = failed
            .iter()
            .map(|failed| json!({"line": failed.line, "differences": failed.differences}))
            .collect();
        screen::print(json!({"mistakes": [], "failed": failed}).to_string())?;
    } else {
        for test in &failed {
            for difference in &test.differences {
                let difference = screen::plain(difference).replace("\\n", "\n");
                eprintln!("{}:{}: {difference}", file.display(), test.line);
            }
        }
        screen::print(told(collection, failed.len()))?;
    }
    Ok(ExitCode::from(u8::from(!failed.is_empty())))
}

fn told(collection: &Collection, failed: usize) -> String {
    let count = |number: usize, one, many| {
        screen::count(i64::try_from(number).unwrap_or(i64::MAX), one, many)
    };
    let fields = count(collection.model.object.count(), "field", "fields");
    let rules = count(collection.rules.len(), "rule", "rules");
    let tests = count(collection.tests.len(), "test", "tests");
    let outcome = match failed {
        0 => "no mistake".to_owned(),
        failed => format!("{} came out otherwise", count(failed, "test", "tests")),
    };
    let mut text = format!("{}: {fields}, {rules}, {tests}, {outcome}", collection.name);
    if collection.model.drops_others() {
        text += "\nFields that the schema does not name are left out of the documents; the inbox keeps them. \
                 `additionalProperties: true` keeps them here, `false` refuses them.";
    }
    text
}

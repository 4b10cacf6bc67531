//! Verdicts that were once given, in `tests/corpus/verdicts.json`: whoever changes one must raise `CODE_VERSION`, and may only
//! make it more lenient. A message is given as text, as hex, in parts that repeat, or as an edit of the model's text.

use serde::{Deserialize, Serialize};

use super::{EXAMPLE, orders};
use crate::expression::Rules;
use crate::record::{CODE_VERSION, Code, Reason};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/verdicts.json");

pub const STRICT: &str = include_str!("../../docs/strict-rules.yaml");

#[derive(Serialize, Deserialize)]
pub struct Corpus {
    code_version: i32,
    pub cases: Vec<Case>,
}

#[derive(Serialize, Deserialize)]
pub struct Case {
    pub name: String,
    #[serde(flatten)]
    message: Message,
    /// Judged by docs/strict-rules.yaml as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
    /// The schema takes what the checks refuse, since no schema can say it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub schema_cannot_say: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Message {
    Text(String),
    Hex(String),
    Parts(Vec<(String, usize)>),
    /// The model's text with these texts replaced, each in its first place.
    Model(Vec<(String, String)>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Order,
    /// With code and pointer of each violation.
    Rejected(Reason, Vec<(Code, String)>),
}

impl Case {
    pub fn payload(&self) -> Vec<u8> {
        match &self.message {
            Message::Text(text) => text.clone().into_bytes(),
            Message::Hex(hex) => (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect(),
            Message::Parts(parts) => parts
                .iter()
                .map(|(text, times)| text.repeat(*times))
                .collect::<String>()
                .into_bytes(),
            Message::Model(edits) => {
                let edit = |text: String, (from, to): &(String, String)| {
                    assert!(
                        text.contains(from),
                        "{}: the model has no {from}",
                        self.name
                    );
                    text.replacen(from, to, 1)
                };
                edits.iter().fold(EXAMPLE.to_owned(), edit).into_bytes()
            }
        }
    }

    fn judge(&self) -> Verdict {
        let model = &orders().model;
        let rules = if self.strict {
            Rules::compile(STRICT, model).unwrap()
        } else {
            Rules::none()
        };
        match model
            .parse(&self.payload())
            .and_then(|order| rules.check(model, &order))
        {
            Ok(()) => Verdict::Order,
            Err(rejection) => {
                let violations = rejection.violations().iter();
                let violations = violations.map(|v| (v.code, v.pointer.clone()));
                Verdict::Rejected(rejection.reason(), violations.collect())
            }
        }
    }
}

pub fn corpus() -> Corpus {
    serde_json::from_str(&std::fs::read_to_string(PATH).unwrap()).unwrap()
}

#[test]
fn verdicts_stay_what_they_were() {
    let mut corpus = corpus();
    let raised = CODE_VERSION > corpus.code_version;
    let bless = std::env::var_os("WAYBILL_BLESS").is_some();
    for case in &mut corpus.cases {
        let verdict = case.judge();
        let (name, was) = (&case.name, case.verdict.as_ref());
        // A case without a verdict is new; the verdict is written down by a blessing.
        let is_new = was.is_none() && bless;
        if was != Some(&verdict) && !is_new {
            assert_ne!(
                was,
                Some(&Verdict::Order),
                "{name}: was an order, and is {verdict:?} now. Checks may only become more lenient."
            );
            assert!(
                raised,
                "{name}: was {was:?}, is {verdict:?}. A verdict has changed: raise CODE_VERSION in \
                 src/record/mod.rs, then run `WAYBILL_BLESS=1 cargo test verdicts_stay`"
            );
        }
        case.verdict = Some(verdict);
    }
    if bless {
        corpus.code_version = CODE_VERSION;
        let cases: Vec<_> = corpus
            .cases
            .iter()
            .map(|case| serde_json::to_string(case).unwrap())
            .collect();
        let text = format!(
            "{{\"code_version\": {CODE_VERSION}, \"cases\": [\n{}\n]}}\n",
            cases.join(",\n")
        );
        std::fs::write(PATH, text).unwrap();
    }
    assert_eq!(
        corpus.code_version, CODE_VERSION,
        "run `WAYBILL_BLESS=1 cargo test verdicts_stay`"
    );
}

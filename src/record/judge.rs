//! What of a schema no program of ours can judge (`oneOf`, `if`, `uniqueItems`, …) is judged by the crate `jsonschema`, over the
//! value as it was sent.

use std::fmt;
use std::sync::Arc;

use jsonschema::{PatternOptions, ValidatorMap};
use serde_json::Value as Json;

use super::check::Format;

/// All parts of one schema, each with a validator.
pub struct Validators {
    parts: ValidatorMap,
    schema: Json,
}

/// The formats that the crate knows. Those that we do not assert are no demands: JSON Schema 2020-12 has it so.
const FORMATS: [&str; 16] = [
    "duration",
    "email",
    "hostname",
    "idn-email",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
];

/// How many bytes a pattern's program may take.
const PATTERN_BYTES: usize = 1 << 20;

impl Validators {
    /// Compiles them, or says where in the schema a mistake is, and which.
    pub fn compile(schema: &Json) -> Result<Arc<Self>, (String, String)> {
        let options = jsonschema::draft202012::options()
            .offline()
            .should_validate_formats(true)
            .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES))
            .with_format("date-time", |text: &str| Format::DateTime.holds(text))
            .with_format("date", |text: &str| Format::Date.holds(text))
            .with_format("uuid", |text: &str| Format::Uuid.holds(text));
        let options = FORMATS.iter().fold(options, |options, name| {
            options.with_format(*name, |_: &str| true)
        });
        match options.build_map(schema) {
            Ok(parts) => Ok(Arc::new(Self {
                parts,
                schema: schema.clone(),
            })),
            Err(error) => Err((error.instance_path().to_string(), error.to_string())),
        }
    }
}

/// One part of the schema.
#[derive(Clone)]
pub struct Judge {
    validators: Arc<Validators>,
    /// Where in the schema, as a URI's fragment: `#/properties/a`.
    at: String,
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.at)
    }
}

/// What is wrong with a value: where in it, as a JSON pointer, and a sentence.
pub struct Objection {
    pub pointer: String,
    pub message: String,
}

impl Judge {
    /// None if the schema has no such part.
    pub fn new(validators: &Arc<Validators>, at: &str) -> Option<Self> {
        let at = format!("#{at}");
        validators.parts.contains_key(&at).then(|| Self {
            validators: validators.clone(),
            at,
        })
    }

    /// True if the other's part of its schema is the same. By `$ref` it may mean anything in the schema; then all must be.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        let (part, others) = (self.part(), other.part());
        let refers = |part: &Json| part.to_string().contains("\"$ref\"");
        part.is_some_and(|part| {
            Some(part) == others
                && (!refers(part) || self.validators.schema == other.validators.schema)
        })
    }

    fn part(&self) -> Option<&Json> {
        let pointer = self.at.strip_prefix('#')?;
        self.validators.schema.pointer(pointer)
    }

    pub fn takes(&self, json: &str) -> bool {
        let Ok(value) = serde_json::from_str::<Json>(json) else {
            return false;
        };
        let validator = self.validators.parts.get(&self.at);
        validator.is_some_and(|validator| validator.is_valid(&value))
    }

    /// All that is wrong with a value that it does not take, at most `most`.
    pub fn objections(&self, json: &str, most: usize) -> Vec<Objection> {
        let (Ok(value), Some(validator)) = (
            serde_json::from_str::<Json>(json),
            self.validators.parts.get(&self.at),
        ) else {
            return Vec::new();
        };
        let objection = |error: jsonschema::ValidationError<'_>| Objection {
            pointer: error.instance_path().to_string(),
            // Without the value, which may be as large as the message.
            message: error.masked_with("it").to_string(),
        };
        validator
            .iter_errors(&value)
            .take(most)
            .map(objection)
            .collect()
    }
}

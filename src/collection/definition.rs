//! A definition: the text that says what a collection is, compiled. Every mistake in it is told with line and column, and nothing
//! that it holds can make compiling endless or huge.

use serde::Deserialize;
use serde_json::{Number, Value, json};
use serde_saphyr::{Location, Spanned};

use super::expected::{Expected, Sent, Test};
use super::meaning::meant;
use super::node::{Node, place};

use crate::expression::{self, Bool, Int, Mistake, Rules, hash, yaml};
use crate::record::{Field, Format, Instant, Kind, Model, Version};

/// Bounds of what a user can write. What the log has accepted is compiled without them.
const MAX_BYTES: usize = 256 << 10;
const MAX_DEPTH: usize = 64;
const MAX_SLOTS: usize = 10_000;
const MAX_LOOKUPS: usize = 16;
const MAX_KEYS: usize = 8;
const MAX_TESTS: usize = 200;
const MAX_NAME: usize = 41;

/// Paths and words that are ours.
const RESERVED: [&str; 15] = [
    "audit",
    "collections",
    "inbox",
    "me",
    "metrics",
    "operations",
    "plans",
    "reconciliation",
    "replays",
    "rules",
    "schema",
    "session",
    "stats",
    "stream",
    "validate",
];
/// Parameters of lists, which no lookup can be called.
const PARAMETERS: [&str; 8] = [
    "after",
    "at_least",
    "collection",
    "format",
    "key",
    "limit",
    "received_after",
    "received_before",
];
/// What CEL and our functions mean by these, no document can be called.
const WORDS: [&str; 30] = [
    "all",
    "as",
    "break",
    "const",
    "contains",
    "continue",
    "else",
    "endsWith",
    "exists",
    "exists_one",
    "false",
    "filter",
    "for",
    "function",
    "has",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "map",
    "matches",
    "namespace",
    "null",
    "package",
    "return",
    "size",
    "sum",
    "true",
    "void",
];

/// What a document is known by stays, or the last one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The first valid message for a key is the document, for ever.
    First,
    /// A later one takes its place.
    Latest,
}

/// A running sum for each account.
pub struct Sum {
    /// The account's field: a slot of the message.
    pub per: usize,
    pub add: Int,
    /// A negative entry that would leave the sum below it is refused.
    pub floor: Option<i64>,
}

/// A compiled definition.
pub struct Collection {
    pub name: String,
    pub title: String,
    pub about: String,
    pub text: String,
    pub model: Model,
    /// JSON pointers: of the parts of the key, of the version, of the sum's account.
    pub key: Vec<String>,
    pub lookups: Vec<String>,
    pub keep: Keep,
    /// The slot by whose number or date a later version is told, if not by age.
    pub version: Option<usize>,
    /// Whether a version takes its document away.
    pub gone: Option<Bool>,
    pub sum: Option<Sum>,
    pub rules: Rules,
    pub tests: Vec<Test>,
    /// The SHA-256 of the text, in hexadecimal.
    pub hash: String,
    /// The SHA-256 of what it means: a changed comment changes nothing here.
    pub meaning: String,
    /// The SHA-256 of what decides how documents look.
    pub looks: String,
    /// What no later definition of the same collection may change, in words that can be compared.
    pub fixed: String,
    version_at: Option<String>,
    account_at: Option<String>,
}

/// By what a message is known beside its contents, found without judging it: bytes that were accepted once have these for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// None if each message is a document of its own.
    pub key: Option<String>,
    pub version: Option<Version>,
    pub account: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    collection: Spanned<String>,
    one: Option<Spanned<String>>,
    title: Option<Spanned<String>>,
    about: Option<Spanned<String>>,
    schema: Option<Spanned<Node>>,
    key: Option<Spanned<Node>>,
    keep: Option<Spanned<String>>,
    version: Option<Spanned<String>>,
    gone: Option<Spanned<String>>,
    #[serde(default)]
    lookups: Vec<Spanned<String>>,
    sum: Option<WrittenSum>,
    #[serde(default)]
    rules: Vec<expression::Written>,
    #[serde(default)]
    tests: Vec<WrittenTest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSum {
    per: Spanned<String>,
    add: Spanned<String>,
    floor: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTest {
    send: Spanned<Vec<Node>>,
    #[serde(default)]
    expect: Expected,
}

impl Collection {
    /// Compiles a definition that somebody wants, or says all that is wrong with it. It may take a second, and blocks.
    pub fn compile(text: &str) -> Result<Self, Vec<Mistake>> {
        if text.len() > MAX_BYTES {
            let message = format!("The file is larger than {} KiB.", MAX_BYTES >> 10);
            return Err(Mistake::whole(message));
        }
        Self::compiled(text, true)
    }

    /// Compiles a definition of the log. No bound is asked: what the log has accepted compiles for ever, also if the bounds are
    /// narrower by then.
    pub fn load(text: &str) -> Result<Self, Vec<Mistake>> {
        Self::compiled(text, false)
    }

    fn compiled(text: &str, bounded: bool) -> Result<Self, Vec<Mistake>> {
        expression::with_stack(|| {
            let depth = if bounded { MAX_DEPTH } else { MAX_DEPTH * 2 };
            let written = yaml::read::<Written>(text, depth)?;
            let written = written.ok_or_else(|| Mistake::whole("The file holds no definition."))?;
            Compiler {
                text,
                written,
                bounded,
                mistakes: Vec::new(),
            }
            .compile()
        })
    }

    /// The same with these rules alone: what a `rules` decision of 0.1 asked for.
    pub fn with_rules(&self, text: &str) -> Result<Self, Vec<Mistake>> {
        // Its text is written as a definition would have it, if it can be.
        let list: String = text.lines().map(|line| format!("  {line}\n")).collect();
        let whole = format!("{}\nrules:\n{list}", self.text.trim_end());
        if let Ok(whole) = Self::load(&whole) {
            return Ok(whole);
        }
        let mut copy = Self::load(&self.text)?;
        copy.rules = Rules::compile(text, &copy.model).map_err(|error| error.mistakes)?;
        copy.meaning = hash(&format!("{} {}", self.meaning, hash(text)));
        Ok(copy)
    }

    /// Whether a later definition may take this one's place.
    pub fn may_become(&self, later: &Self) -> bool {
        self.fixed == later.fixed
    }

    /// The key that has these parts, as texts: each of a list key, or the one.
    pub fn key_of(&self, parts: &[&str]) -> Option<String> {
        if self.key.len() <= 1 {
            return match parts {
                [one] => Some((*one).to_owned()),
                _ => None,
            };
        }
        if parts.len() != self.key.len() {
            return None;
        }
        let part = |(pointer, text): (&String, &&str)| match self
            .model
            .always(pointer)
            .map(|field| &field.value.kind)
        {
            Some(Kind::Whole(_)) => text.parse::<i64>().ok().map(Value::from),
            _ => Some(Value::from(*text)),
        };
        let parts: Option<Vec<Value>> = self.key.iter().zip(parts).map(part).collect();
        Some(Value::from(parts?).to_string())
    }

    /// None if the bytes lack what every message of this collection has.
    pub fn known(&self, bytes: &[u8]) -> Option<Known> {
        let message: Value = serde_json::from_slice(bytes).ok()?;
        let text = |pointer: &String| match message.pointer(pointer)? {
            Value::String(text) => Some(Value::from(text.as_str())),
            Value::Number(number) => whole(number).map(Value::from),
            _ => None,
        };
        let plain = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let key = match self.key.as_slice() {
            [] => None,
            [one] => Some(plain(text(one)?)),
            parts => {
                let parts: Option<Vec<Value>> = parts.iter().map(text).collect();
                Some(Value::from(parts?).to_string())
            }
        };
        let version = match &self.version_at {
            None => None,
            Some(pointer) => Some(match text(pointer)? {
                Value::String(text) => Version::Time(Instant::read(&text)?),
                other => Version::Number(other.as_i64()?),
            }),
        };
        let account = match &self.account_at {
            None => None,
            Some(pointer) => Some(plain(text(pointer)?)),
        };
        Some(Known {
            key,
            version,
            account,
        })
    }

    /// What senders may send, as JSON Schema.
    pub fn schema(&self) -> Value {
        self.model.schema()
    }
}

/// A whole number, also if it is written as 1.0 or 1e2.
fn whole(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let float = number.as_f64()?;
        // Every whole number of less than 2^53 has one writing as a float.
        (float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0).then_some(float as i64)
    })
}

struct Compiler<'t> {
    text: &'t str,
    written: Written,
    /// Whether what a user may write is bounded here.
    bounded: bool,
    mistakes: Vec<Mistake>,
}

impl Compiler<'_> {
    fn wrong(&mut self, at: &Location, message: impl Into<String>) {
        self.mistakes.push(Mistake::new(at, message));
    }

    fn compile(mut self) -> Result<Collection, Vec<Mistake>> {
        if self.bounded {
            self.names();
        }
        let keys = self.keys();
        let mut model = self.model(&keys)?;
        let keep = self.keep();
        let version = self.version(&model, keep);
        let gone = self.gone(&model, keep);
        let sum = self.sum(&model, keep);
        let account = sum.as_ref().map(|sum| sum.per);
        for slot in version.into_iter().chain(account) {
            model.fix(slot);
        }
        let rules = match Rules::of(self.text, &self.written.rules, &model) {
            Ok(rules) => rules,
            Err(mistakes) => {
                self.mistakes.extend(mistakes);
                Rules::none()
            }
        };
        if let Some(test) = self.written.tests.get(MAX_TESTS).filter(|_| self.bounded) {
            let at = test.send.referenced;
            self.wrong(&at, format!("There are more than {MAX_TESTS} tests."));
        }
        if !self.mistakes.is_empty() {
            self.mistakes.truncate(50);
            return Err(self.mistakes);
        }
        let meaning = self.meaning(&keys);
        let (looks, fixed) = (self.looks(), self.fixed(&keys, &model));
        let written = self.written;
        let said = |text: Option<Spanned<String>>| text.map(|text| text.value.trim().to_owned());
        let name = written.collection.value;
        let sent = |node: Node| match node {
            Node::One(Value::String(text)) => Sent::Text(text),
            node => Sent::Json(node.to_json()),
        };
        let test = |test: WrittenTest| Test {
            line: test.send.referenced.line(),
            send: test.send.value.into_iter().map(sent).collect(),
            expect: test.expect,
        };
        Ok(Collection {
            title: said(written.title).unwrap_or_else(|| name.clone()),
            about: said(written.about).unwrap_or_default(),
            text: self.text.to_owned(),
            name,
            model,
            keep,
            version,
            gone,
            sum,
            rules,
            tests: written.tests.into_iter().map(test).collect(),
            hash: hash(self.text),
            meaning,
            looks,
            fixed,
            key: keys.into_iter().map(|(pointer, _)| pointer).collect(),
            lookups: written.lookups.into_iter().map(|one| one.value).collect(),
            version_at: written.version.map(|version| version.value),
            account_at: written.sum.map(|sum| sum.per.value),
        })
    }

    fn names(&mut self) {
        let (name, at) = (
            &self.written.collection.value,
            self.written.collection.referenced,
        );
        if !is_name(name) {
            let message = format!(
                "A collection's name has 1 to {MAX_NAME} characters: a-z, then a-z, 0-9 and _."
            );
            self.wrong(&at, message);
        } else if RESERVED.contains(&name.as_str()) {
            let message = format!("The name {name} is ours; take another.");
            self.wrong(&at, message);
        }
        if let Some(one) = &self.written.one {
            let (at, one) = (one.referenced, one.value.as_str());
            if !is_name(one) {
                let message = format!(
                    "What one is called has 1 to {MAX_NAME} characters: a-z, then a-z, 0-9 and _."
                );
                self.wrong(&at, message);
            } else if WORDS.contains(&one) {
                let message = format!("{one} means something in expressions; take another word.");
                self.wrong(&at, message);
            }
        }
    }

    /// The pointers of the key, with the place of each.
    fn keys(&mut self) -> Vec<(String, Location)> {
        let Some(key) = &self.written.key else {
            return Vec::new();
        };
        let at = key.referenced;
        let text = |node: &Node| match node {
            Node::One(Value::String(pointer)) => Some(pointer.clone()),
            _ => None,
        };
        let keys: Option<Vec<_>> = match &key.value {
            Node::List(nodes)
                if !nodes.is_empty() && (nodes.len() <= MAX_KEYS || !self.bounded) =>
            {
                nodes
                    .iter()
                    .map(|node| Some((text(&node.value)?, node.referenced)))
                    .collect()
            }
            node => text(node).map(|pointer| vec![(pointer, at)]),
        };
        keys.unwrap_or_else(|| {
            self.wrong(
                &at,
                format!(
                    "A key is a JSON pointer, or a list of at most {MAX_KEYS}: /a or [/a, /b/c]."
                ),
            );
            Vec::new()
        })
    }

    fn one(&self) -> &str {
        self.written
            .one
            .as_ref()
            .map_or("document", |one| one.value.as_str())
    }

    fn model(&mut self, keys: &[(String, Location)]) -> Result<Model, Vec<Mistake>> {
        let schema = match &self.written.schema {
            None => json!({"type": "object"}),
            Some(schema) => schema.value.to_json(),
        };
        let lookups = self.lookups();
        let found: Vec<&str> = lookups.iter().map(|lookup| lookup.0.as_str()).collect();
        let names: Vec<&str> = keys.iter().map(|key| key.0.as_str()).collect();
        let model = Model::compile(self.one(), &schema, &names, &found);
        match model {
            Ok(model) if self.bounded && model.slots() > MAX_SLOTS => {
                let at = self.written.collection.referenced;
                self.wrong(&at, format!("The schema has more than {MAX_SLOTS} fields."));
                Err(std::mem::take(&mut self.mistakes))
            }
            Ok(model) => Ok(model),
            Err(mistake) => {
                let at = match (&mistake.of, &self.written.schema) {
                    (Some(pointer), _) => keys
                        .iter()
                        .chain(&lookups)
                        .find(|(known, _)| known == pointer)
                        .map_or(self.written.collection.referenced, |(_, at)| *at),
                    (None, Some(schema)) => place(schema, &mistake.pointer),
                    (None, None) => self.written.collection.referenced,
                };
                self.wrong(&at, mistake.message);
                Err(std::mem::take(&mut self.mistakes))
            }
        }
    }

    /// The lookups, each once and with its place.
    fn lookups(&mut self) -> Vec<(String, Location)> {
        let mut lookups: Vec<(String, Location)> = Vec::new();
        let written = self.written.lookups.iter();
        let written: Vec<_> = written
            .map(|one| (one.value.clone(), one.referenced))
            .collect();
        for (pointer, at) in written {
            let name = pointer.trim_start_matches('/').replace('/', ".");
            if self.bounded && PARAMETERS.contains(&name.as_str()) {
                self.wrong(
                    &at,
                    format!("{name} is a parameter of every list; nothing can be looked up by it."),
                );
            } else if lookups.iter().any(|(known, _)| *known == pointer) {
                self.wrong(&at, format!("{pointer} is there twice."));
            } else if self.bounded && lookups.len() == MAX_LOOKUPS {
                self.wrong(&at, format!("There are more than {MAX_LOOKUPS} lookups."));
            } else {
                lookups.push((pointer, at));
            }
        }
        lookups
    }

    fn keep(&mut self) -> Keep {
        let Some(keep) = &self.written.keep else {
            return Keep::First;
        };
        let at = keep.referenced;
        match keep.value.as_str() {
            "first" => Keep::First,
            "latest" => {
                if self.written.key.is_none() {
                    self.wrong(
                        &at,
                        "Without a key there is no latest: each message is a document of its own.",
                    );
                }
                Keep::Latest
            }
            _ => {
                self.wrong(&at, "There are two ways to keep: first and latest.");
                Keep::First
            }
        }
    }

    fn version(&mut self, model: &Model, keep: Keep) -> Option<usize> {
        let version = self.written.version.as_ref()?;
        let (at, pointer) = (version.referenced, version.value.clone());
        if keep != Keep::Latest {
            self.wrong(&at, "Only with `keep: latest` is there a version.");
        }
        let is_version = |kind: &Kind| match kind {
            Kind::Whole(_) => true,
            Kind::Text(check) => matches!(check.format, Some(Format::Date | Format::DateTime)),
            _ => false,
        };
        let field = model
            .always(&pointer)
            .filter(|field| is_version(&field.value.kind));
        if field.is_none() {
            let message =
                format!("{pointer} leads to no required whole number, date or date-time.");
            self.wrong(&at, message);
        }
        field.map(|field| field.slot)
    }

    fn gone(&mut self, model: &Model, keep: Keep) -> Option<Bool> {
        let gone = self.written.gone.as_ref()?;
        let at = gone.referenced;
        let compiled = expression::truth(self.text, gone, model);
        if keep != Keep::Latest {
            self.wrong(&at, "Only with `keep: latest` can a document go.");
        }
        compiled.map_err(|mistake| self.mistakes.push(mistake)).ok()
    }

    fn sum(&mut self, model: &Model, keep: Keep) -> Option<Sum> {
        let sum = self.written.sum.as_ref()?;
        let (at, pointer, floor) = (sum.per.referenced, sum.per.value.clone(), sum.floor);
        let add = expression::number(self.text, &sum.add, model);
        if keep == Keep::Latest {
            self.wrong(
                &at,
                "With `keep: latest` there is no sum: what was added would have to be taken back.",
            );
        }
        let is_account =
            |field: &&Field| matches!(field.value.kind, Kind::Text(_) | Kind::Whole(_));
        let per = model
            .always(&pointer)
            .filter(is_account)
            .map(|field| field.slot);
        if per.is_none() {
            let message = format!("{pointer} leads to no required text or whole number.");
            self.wrong(&at, message);
        }
        let add = add.map_err(|mistake| self.mistakes.push(mistake)).ok();
        Some(Sum {
            per: per?,
            add: add?,
            floor,
        })
    }

    /// A hash of all but comments, order of keys, tests and words for people.
    fn meaning(&self, keys: &[(String, Location)]) -> String {
        let written = &self.written;
        let text = |text: &Option<Spanned<String>>| text.as_ref().map(|text| text.value.clone());
        let keys: Vec<&str> = keys.iter().map(|(pointer, _)| pointer.as_str()).collect();
        let lookups: Vec<&str> = written
            .lookups
            .iter()
            .map(|one| one.value.as_str())
            .collect();
        let sum = written.sum.as_ref();
        let sum = sum.map(|sum| json!([sum.per.value, sum.add.value, sum.floor]));
        let rule = |rule: &expression::Written| json!(rule.texts());
        let rules: Vec<Value> = written.rules.iter().map(rule).collect();
        let meaning = json!([
            written.collection.value,
            self.one(),
            written
                .schema
                .as_ref()
                .map(|schema| meant(&schema.value.to_json())),
            keys,
            text(&written.keep),
            text(&written.version),
            text(&written.gone),
            lookups,
            sum,
            rules,
        ]);
        hash(&meaning.to_string())
    }
}

impl Compiler<'_> {
    fn looks(&self) -> String {
        let schema = self.written.schema.as_ref();
        let schema = schema.map(|schema| meant(&schema.value.to_json()));
        hash(&json!(schema).to_string())
    }

    /// Where key, version and account stand and of which type they are, how is kept, whether there is a sum, what one is called.
    fn fixed(&self, keys: &[(String, Location)], model: &Model) -> String {
        let kind = |pointer: &str| match model.always(pointer).map(|field| &field.value.kind) {
            Some(Kind::Text(check)) => check.format.map_or("text", Format::name),
            Some(Kind::Whole(_)) => "whole",
            _ => "",
        };
        let place = |pointer: &str| json!([pointer, kind(pointer)]);
        let keys: Vec<Value> = keys.iter().map(|(pointer, _)| place(pointer)).collect();
        let version = self.written.version.as_ref();
        let keep = self.written.keep.as_ref();
        let sum = self.written.sum.as_ref();
        json!({
            "key": keys,
            "keep": keep.map_or("first", |keep| keep.value.as_str()),
            "version": version.map(|version| place(&version.value)),
            "sum": sum.map(|sum| place(&sum.per.value)),
            "one": self.one(),
        })
        .to_string()
    }
}

/// Whether a collection may have this name: no noun of ours is one.
pub fn may_be_called(name: &str) -> bool {
    is_name(name) && !RESERVED.contains(&name)
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

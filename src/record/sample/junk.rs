//! Messages that are not valid, of every kind that a broker has been seen to carry. Each is small (10 kB at most, if valid ones
//! are) and made of a sample if it pretends to be one.

use std::fmt;
use std::str::FromStr;

use super::super::check::{Format, Keyword};
use super::super::model::Model;
use super::super::scan::{Scanner, Span, decode};
use super::super::shape::{Field, Kind, Object, names_of};
use super::Samples;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// The kinds of junk.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Junk {
            $($(#[$doc])* $kind,)*
        }

        impl Junk {
            pub const ALL: [Junk; [$($name),*].len()] = [$(Junk::$kind),*];

            /// In kebab-case, as the command line takes it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Junk::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    Empty = "empty",
    /// A message cut off somewhere.
    Truncated = "truncated",
    /// A stray byte, in a known or an unknown field.
    NotUtf8 = "not-utf8",
    /// A byte order mark before a message.
    Bom = "bom",
    /// A message in UTF-16.
    Utf16 = "utf16",
    /// A message in gzip.
    Gzip = "gzip",
    RandomBytes = "random-bytes",
    Xml = "xml",
    /// An array with the message in it.
    Array = "array",
    /// A known field of the wrong type.
    WrongType = "wrong-type",
    /// A required field under a misspelt name.
    MissingField = "missing-field",
    /// A number below its least, 0.
    NegativeMoney = "negative-money",
    /// A number that no integer holds.
    HugeNumber = "huge-number",
    /// A date that is none.
    BadDate = "bad-date",
    /// An empty list that must not be empty.
    NoItems = "no-items",
    /// An empty key.
    EmptyUid = "empty-uid",
    /// A key of 8 kB, too long for any index.
    LongUid = "long-uid",
    /// `\u0000`, which Postgres cannot store.
    NulEscape = "nul-escape",
    LoneSurrogate = "lone-surrogate",
    /// A known field, twice.
    DuplicateField = "duplicate-field",
    /// Thousands of brackets where a list should be.
    DeepNesting = "deep-nesting",
    /// The key of a message made before, with other content. The first one, with none made before, is a good message, for
    /// the next to conflict with.
    Conflict = "conflict",
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no kind of junk is called {0:?}: there are {list}", list = Junk::ALL.map(Junk::name).join(", "))]
pub struct UnknownJunk(pub String);

impl FromStr for Junk {
    type Err = UnknownJunk;

    fn from_str(name: &str) -> Result<Junk, UnknownJunk> {
        let found = Junk::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| UnknownJunk(name.to_owned()))
    }
}

impl fmt::Display for Junk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A field that junk can be made of.
#[derive(Debug)]
pub struct Target<'m> {
    pointer: String,
    field: &'m Field,
    is_key: bool,
}

/// All fields; of those in a list, the first element's.
pub fn targets(model: &Model) -> Vec<Target<'_>> {
    let mut found = Vec::new();
    let is_key = |field: &Field, is_in_list: bool| {
        let mut keys = model.keys.iter();
        !is_in_list && field.has_slot() && keys.any(|known| known.slot == field.slot)
    };
    add(&model.object, "", false, &is_key, &mut found);
    found
}

fn add<'m>(
    object: &'m Object,
    path: &str,
    is_in_list: bool,
    is_key: &dyn Fn(&Field, bool) -> bool,
    found: &mut Vec<Target<'m>>,
) {
    for field in &object.fields {
        let pointer = format!("{path}/{}", field.token());
        match &field.value.kind {
            Kind::Object(inner) => add(inner, &pointer, is_in_list, is_key, found),
            Kind::List(list) => {
                if let Kind::Object(inner) = &list.element.kind {
                    add(inner, &format!("{pointer}/0"), true, is_key, found);
                }
            }
            _ => {}
        }
        let is_key = is_key(field, is_in_list);
        found.push(Target {
            pointer,
            field,
            is_key,
        });
    }
}

impl Target<'_> {
    pub fn is_in(&self, message: &str) -> bool {
        find(message, &self.pointer).is_some()
    }

    /// Whether junk of this kind can be made of the field.
    fn suits(&self, kind: Junk) -> bool {
        let of = &self.field.value.kind;
        match kind {
            Junk::WrongType => !matches!(of, Kind::Any),
            Junk::MissingField => self.field.required,
            Junk::NegativeMoney => match of {
                Kind::Whole(check) => check.least == 0,
                Kind::Number(check) => { check.bounds.iter() }
                    .any(|(word, bound)| *word == Keyword::Minimum && bound == "0"),
                _ => false,
            },
            Junk::HugeNumber => matches!(of, Kind::Whole(_) | Kind::Number(_)),
            Junk::BadDate => matches!(of, Kind::Text(check)
                if matches!(check.format, Some(Format::Date | Format::DateTime))),
            Junk::NoItems => matches!(of, Kind::List(list) if list.least > 0),
            Junk::EmptyUid => matches!(of, Kind::Text(check) if self.is_key && !check.holds("")),
            Junk::LongUid => matches!(of, Kind::Text(_) if self.is_key),
            Junk::NulEscape | Junk::LoneSurrogate => matches!(of, Kind::Text(_) | Kind::Any),
            Junk::DuplicateField => true,
            Junk::DeepNesting => matches!(of, Kind::List(_) | Kind::Any),
            _ => false,
        }
    }
}

impl Samples<'_> {
    /// The kinds that have a meaning for this schema.
    pub fn kinds(&self) -> Vec<Junk> {
        let has_meaning = |kind: &Junk| match kind {
            Junk::Empty
            | Junk::Truncated
            | Junk::NotUtf8
            | Junk::Bom
            | Junk::Utf16
            | Junk::Gzip
            | Junk::RandomBytes
            | Junk::Xml
            | Junk::Array => true,
            Junk::Conflict => self.model.has_key(),
            kind => self.targets.iter().any(|target| target.suits(*kind)),
        };
        Junk::ALL.into_iter().filter(has_meaning).collect()
    }

    /// A message of this kind; none if the kind has no meaning for this schema.
    pub fn junk(&mut self, kind: Junk) -> Option<Vec<u8>> {
        if kind == Junk::Conflict {
            return self.conflict();
        }
        // Nothing shall conflict with its key, since it never arrives.
        let message = self.draft(None).json;
        let rng = &mut self.maker.rng;
        Some(match kind {
            Junk::Empty => Vec::new(),
            Junk::RandomBytes => {
                let mut bytes = vec![0; rng.usize(16..2_000)];
                rng.fill(&mut bytes);
                bytes
            }
            Junk::Xml => format!(
                "<?xml version=\"1.0\"?><message key=\"{:x}\"/>",
                rng.u64(..)
            )
            .into(),
            Junk::Truncated => {
                let cut = rng.usize(1..message.len().max(2));
                message[..message.floor_char_boundary(cut).max(1)].into()
            }
            Junk::Bom => ["\u{feff}", &message].concat().into(),
            Junk::Utf16 => ("\u{feff}".encode_utf16())
                .chain(message.encode_utf16())
                .flat_map(u16::to_le_bytes)
                .collect(),
            Junk::Gzip => gzip(message.as_bytes()),
            Junk::Array => format!("[{message}]").into(),
            Junk::NotUtf8 => self.not_utf8(&message),
            kind => self.bad_field(kind, &message)?,
        })
    }

    /// The message with one field made wrong.
    fn bad_field(&mut self, kind: Junk, message: &str) -> Option<Vec<u8>> {
        let suiting = |target: &&Target<'_>| target.suits(kind);
        let there: Vec<_> = { self.targets.iter().filter(suiting) }
            .filter_map(|target| Some((target, find(message, &target.pointer)?)))
            .collect();
        let rng = &mut self.maker.rng;
        let (target, (name, value)) = there.get(rng.usize(..there.len().max(1)))?;
        let quoted = &message[name.start..name.end];
        Some(match kind {
            Junk::MissingField => {
                let misspelt = format!("{}_\"", &quoted[..quoted.len() - 1]);
                spliced(message, *name, misspelt.as_bytes())
            }
            Junk::DuplicateField => {
                let twice = format!("{quoted}:{},{quoted}", &message[value.start..value.end]);
                spliced(message, *name, twice.as_bytes())
            }
            _ => {
                let bad = bad_value(kind, &target.field.value.kind, rng);
                spliced(message, *value, bad.as_bytes())
            }
        })
    }

    /// "Köln" in Latin-1, in a known or an unknown field.
    fn not_utf8(&mut self, message: &str) -> Vec<u8> {
        let is_text = |target: &&Target<'_>| matches!(target.field.value.kind, Kind::Text(_));
        let texts: Vec<_> = { self.targets.iter().filter(is_text) }
            .filter_map(|target| find(message, &target.pointer))
            .collect();
        let rng = &mut self.maker.rng;
        match texts.get(rng.usize(..texts.len().max(1))) {
            Some((_, value)) if rng.bool() => spliced(message, *value, b"\"K\xf6ln\""),
            _ => {
                let comma: &[u8] = if message == "{}" { b"" } else { b"," };
                let brace = Span { start: 0, end: 1 };
                spliced(
                    message,
                    brace,
                    &[b"{\"comment\":\"K\xf6ln\"", comma].concat(),
                )
            }
        }
    }

    fn conflict(&mut self) -> Option<Vec<u8>> {
        if !self.model.has_key() {
            return None;
        }
        let count = self.recent.len();
        let Some(other) = self
            .recent
            .get(self.maker.rng.usize(..count.max(1)))
            .cloned()
        else {
            return Some(self.message().into());
        };
        // A message of little but its key may be the same again.
        let made = (0..20).find_map(|_| {
            let made = self.make(Some(&other.key))?;
            (made.json != other.json).then_some(made)
        });
        made.map(|made| made.json.into())
    }
}

fn bad_value(kind: Junk, of: &Kind, rng: &mut fastrand::Rng) -> String {
    let text = match (kind, of) {
        (Junk::WrongType, Kind::Text(_)) => "42",
        (Junk::WrongType, Kind::Object(_)) => "\"by drone\"",
        (Junk::WrongType, Kind::List(_)) => "{}",
        (Junk::WrongType, Kind::Whole(_) | Kind::Number(_)) => {
            ["\"free\"", "[453]", "true"][rng.usize(..3)]
        }
        (Junk::WrongType, _) => "\"yes\"",
        (Junk::NegativeMoney, _) => return format!("-{}", rng.u16(1..)),
        (Junk::HugeNumber, Kind::Whole(_)) if rng.bool() => {
            return "9".repeat(rng.usize(20..4_000));
        }
        (Junk::HugeNumber, _) => "1e999999",
        (Junk::BadDate, _) => {
            let dates = [
                "yesterday",
                "26.11.2021",
                "2021-13-45T06:22:19Z",
                "2021-11-31",
                "",
            ];
            return format!("\"{}\"", dates[rng.usize(..dates.len())]);
        }
        (Junk::NoItems, _) => "[]",
        (Junk::EmptyUid, _) => "\"\"",
        (Junk::LongUid, _) => return format!("\"{}\"", rng.lowercase().to_string().repeat(8_000)),
        (Junk::NulEscape, _) => r#""A\u0000B""#,
        (Junk::LoneSurrogate, _) => r#""half a face: \ud83d""#,
        _ => {
            let depth = rng.usize(200..4_000);
            return "[".repeat(depth) + &"]".repeat(depth);
        }
    };
    text.to_owned()
}

/// Where a field's name and its value stand in a message.
fn find(message: &str, pointer: &str) -> Option<(Span, Span)> {
    let bytes = message.as_bytes();
    let mut found = None;
    let mut at = 0;
    for name in names_of(pointer) {
        let mut next = None;
        if bytes.get(at) == Some(&b'[') {
            let _ = Scanner::new(bytes, at).list(|value| next = next.or(Some((value, value))));
        } else {
            let _ = Scanner::new(bytes, at).object(|key, value| {
                if decode(bytes, key).is_some_and(|key| key == *name) {
                    next = Some((key, value));
                }
            });
        }
        found = next;
        at = next?.1.start;
    }
    found
}

fn spliced(message: &str, span: Span, bytes: &[u8]) -> Vec<u8> {
    [
        &message.as_bytes()[..span.start],
        bytes,
        &message.as_bytes()[span.end..],
    ]
    .concat()
}

/// Gzip without compression: a stored block is all that it takes to be told from JSON.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut zipped = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    let bytes = &bytes[..usize::from(length)];
    zipped.push(1);
    zipped.extend(length.to_le_bytes());
    zipped.extend((!length).to_le_bytes());
    zipped.extend(bytes);
    zipped.extend(crc32(bytes).to_le_bytes());
    zipped.extend(u32::from(length).to_le_bytes());
    zipped
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_names_that_lead_back_to_them() {
        for kind in Junk::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        let unknown = "half-baked".parse::<Junk>().unwrap_err();
        assert!(unknown.to_string().contains("not-utf8, bom"), "{unknown}");
        assert!(Junk::ALL.len() >= 12);
    }

    #[test]
    fn gzip_has_the_checksum_that_others_compute() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}

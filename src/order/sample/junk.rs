//! Messages that are no order, of every kind that a broker has been seen to carry. Each is small (10 kB at
//! most) and built from a sample order where it pretends to be one.

use std::fmt;
use std::str::FromStr;

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
    /// An order cut off somewhere.
    Truncated = "truncated",
    /// A stray byte, in a known or an unknown field.
    NotUtf8 = "not-utf8",
    /// A byte order mark before an order.
    Bom = "bom",
    /// An order in UTF-16.
    Utf16 = "utf16",
    /// An order in gzip.
    Gzip = "gzip",
    RandomBytes = "random-bytes",
    Xml = "xml",
    /// An array with the order in it.
    Array = "array",
    /// A known field of the wrong type.
    WrongType = "wrong-type",
    /// A required field under a misspelt name.
    MissingField = "missing-field",
    NegativeMoney = "negative-money",
    /// A number that no integer holds.
    HugeNumber = "huge-number",
    BadDate = "bad-date",
    NoItems = "no-items",
    EmptyUid = "empty-uid",
    /// An uid of 8 kB, too long for any index.
    LongUid = "long-uid",
    /// `\u0000`, which Postgres cannot store.
    NulEscape = "nul-escape",
    LoneSurrogate = "lone-surrogate",
    /// A known field, twice.
    DuplicateField = "duplicate-field",
    /// Thousands of brackets where the items should be.
    DeepNesting = "deep-nesting",
    /// The uid of an order made before, with other content. The first one, with none made before, is a
    /// good order, for the next to conflict with.
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

impl Samples {
    /// A message of this kind.
    pub fn junk(&mut self, kind: Junk) -> Vec<u8> {
        if let Some(value) = self.plain_junk(kind) {
            return value;
        }
        if kind == Junk::Conflict {
            return self.conflict();
        }
        let order = self.unremembered();
        match kind {
            Junk::Truncated => {
                let cut = self.rng.usize(1..order.len() - 1);
                order[..order.floor_char_boundary(cut).max(1)].into()
            }
            Junk::NotUtf8 => self.not_utf8(&order),
            Junk::Bom => ["\u{feff}", &order].concat().into(),
            Junk::Utf16 => ("\u{feff}".encode_utf16())
                .chain(order.encode_utf16())
                .flat_map(u16::to_le_bytes)
                .collect(),
            Junk::Gzip => gzip(order.as_bytes()),
            Junk::Array => format!("[{order}]").into(),
            Junk::MissingField => {
                let name = self.one_of(&[
                    "order_uid",
                    "track_number",
                    "customer_id",
                    "date_created",
                    "items",
                    "payment",
                    "delivery",
                ]);
                let misspelt = format!("\"{name}_\":");
                order.replacen(&format!("\"{name}\":"), &misspelt, 1).into()
            }
            Junk::DuplicateField => {
                let name = self.one_of(&["order_uid", "customer_id", "locale", "track_number"]);
                let twice = format!("\"{name}\":\"first\",\"{name}\":");
                order.replacen(&format!("\"{name}\":"), &twice, 1).into()
            }
            _ => {
                let (name, value) = self.bad_value(kind);
                with_value(&order, name, &value).into()
            }
        }
    }

    /// Junk that does not pretend to be an order.
    fn plain_junk(&mut self, kind: Junk) -> Option<Vec<u8>> {
        match kind {
            Junk::Empty => Some(Vec::new()),
            Junk::RandomBytes => {
                let mut bytes = vec![0; self.rng.usize(16..2_000)];
                self.rng.fill(&mut bytes);
                Some(bytes)
            }
            Junk::Xml => {
                let uid = self.rng.u64(..);
                Some(format!("<?xml version=\"1.0\"?><order uid=\"{uid:x}\"/>").into())
            }
            _ => None,
        }
    }

    /// A known field, and a value that makes junk of the order.
    fn bad_value(&mut self, kind: Junk) -> (&'static str, String) {
        let (name, value) = match kind {
            Junk::WrongType => super::pick(
                &mut self.rng,
                &[
                    ("order_uid", "42"),
                    ("amount", "\"free\""),
                    ("items", "{}"),
                    ("delivery", "\"by drone\""),
                    ("payment", "[]"),
                    ("price", "[453]"),
                    ("sm_id", "true"),
                    ("customer_id", "null"),
                ],
            ),
            Junk::NegativeMoney => {
                let name = self.one_of(&["amount", "delivery_cost", "goods_total", "total_price"]);
                return (name, format!("-{}", self.rng.u16(1..)));
            }
            Junk::HugeNumber if self.rng.bool() => ("amount", "1e999999"),
            Junk::HugeNumber => return ("amount", "9".repeat(self.rng.usize(20..4_000))),
            Junk::BadDate => {
                let dates = [
                    "yesterday",
                    "26.11.2021",
                    "2021-13-45T06:22:19Z",
                    "2021-11-26",
                    "",
                ];
                return ("date_created", format!("\"{}\"", self.one_of(&dates)));
            }
            Junk::NoItems => ("items", "[]"),
            Junk::EmptyUid => ("order_uid", "\"\""),
            Junk::LongUid => {
                let digit = self.rng.char('a'..='z').to_string();
                return ("order_uid", format!("\"{}\"", digit.repeat(8_000)));
            }
            Junk::NulEscape => (self.some_text(), r#""A\u0000B""#),
            Junk::LoneSurrogate => (self.some_text(), r#""half a face: \ud83d""#),
            _ => return ("items", self.nested()),
        };
        (name, value.to_owned())
    }

    fn nested(&mut self) -> String {
        let depth = self.rng.usize(200..4_000);
        "[".repeat(depth) + &"]".repeat(depth)
    }

    fn some_text(&mut self) -> &'static str {
        self.one_of(&["name", "city", "address", "region", "brand", "order_uid"])
    }

    fn not_utf8(&mut self, order: &str) -> Vec<u8> {
        let (name, value) = match self.rng.bool() {
            true => ("city", "\"K@ln\""),
            false => ("locale", "\"de\",\"comment\":\"K@ln\""),
        };
        let mut bytes = with_value(order, name, value).into_bytes();
        for byte in bytes.iter_mut().filter(|byte| **byte == b'@') {
            // "Köln" in Latin-1. The e-mail address gets one as well.
            *byte = 0xf6;
        }
        bytes
    }

    fn conflict(&mut self) -> Vec<u8> {
        if self.recent_uids.is_empty() {
            return self.order().into();
        }
        let uid = self.recent_uids[self.rng.usize(..self.recent_uids.len())].clone();
        self.order_with_uid(&uid).into()
    }

    /// An order whose uid nothing shall conflict with, since it never arrives.
    fn unremembered(&mut self) -> String {
        let uid = format!("{:019x}", self.rng.u128(..) >> 52);
        self.order_with_uid(&uid)
    }

    fn one_of(&mut self, names: &[&'static str]) -> &'static str {
        super::pick(&mut self.rng, names)
    }
}

/// The order with the first member of this name changed. It has no escapes, and no brackets in strings.
fn with_value(order: &str, name: &str, value: &str) -> String {
    let key = format!("\"{name}\":");
    let Some(at) = order.find(&key) else {
        return order.to_owned();
    };
    let start = at + key.len();
    let mut depth = 0;
    let mut quoted = false;
    let end = order[start..].find(|c| {
        match c {
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth -= 1,
            _ => {}
        }
        !quoted && (depth < 0 || depth == 0 && c == ',')
    });
    let end = end.map_or(order.len(), |end| start + end);
    [&order[..start], value, &order[end..]].concat()
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
    use serde_json::Value;

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
    fn what_should_be_no_json_is_none_and_the_rest_is() {
        use Junk::*;
        let mut samples = Samples::seeded(11);
        samples.order();
        for kind in Junk::ALL {
            for _ in 0..200 {
                let bytes = samples.junk(kind);
                assert!(bytes.len() <= 10_000, "{kind}: {} bytes", bytes.len());
                let json = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok();
                let text = std::str::from_utf8(&bytes).is_ok();
                let (is_text, is_json) = match kind {
                    NotUtf8 => (false, json),
                    Utf16 | Gzip => (false, false),
                    RandomBytes => (text, false),
                    Empty | Truncated | Bom | Xml => (true, false),
                    _ => (true, true),
                };
                assert_eq!((text, json), (is_text, is_json), "{kind}");
            }
        }
    }

    #[test]
    fn a_changed_value_is_changed_and_nothing_else() {
        let json = r#"{"a":"x,y","b":{"c":[1,2],"d":3},"e":-4}"#;
        assert_eq!(
            with_value(json, "a", "0"),
            r#"{"a":0,"b":{"c":[1,2],"d":3},"e":-4}"#
        );
        assert_eq!(with_value(json, "b", "0"), r#"{"a":"x,y","b":0,"e":-4}"#);
        assert_eq!(
            with_value(json, "c", "0"),
            r#"{"a":"x,y","b":{"c":0,"d":3},"e":-4}"#
        );
        assert_eq!(
            with_value(json, "d", "0"),
            r#"{"a":"x,y","b":{"c":[1,2],"d":0},"e":-4}"#
        );
        assert_eq!(
            with_value(json, "e", "0"),
            r#"{"a":"x,y","b":{"c":[1,2],"d":3},"e":0}"#
        );
    }

    #[test]
    fn conflicts_take_the_uid_of_an_order_made_before() {
        let mut samples = Samples::seeded(5);
        let uid = |json: &[u8]| {
            let order: Value = serde_json::from_slice(json).unwrap();
            order["order_uid"].as_str().unwrap().to_owned()
        };
        let first = samples.junk(Junk::Conflict);
        let second = samples.junk(Junk::Conflict);
        assert_eq!(uid(&first), uid(&second));
        assert_ne!(first, second);
    }

    #[test]
    fn gzip_has_the_checksum_that_others_compute() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}

//! How the model grows. What was accepted once is accepted for ever, and the senders' bytes may have held the new field all
//! along, with anything in it: so a field that the model gains takes any value, and what does not fit it is left out.
//! Called by `model`, for gained fields alone. Invariant: with a gained field a message parses if and only if it did
//! without. Absent on purpose: checks. What a gained field must be is for rules to say.
//!
//! A value is first skipped like an unknown field's, which accepts what no text or number can hold (half of a surrogate pair,
//! 1e999); only then is it read. If the field is given twice, the first one counts.
#![cfg_attr(not(test), expect(dead_code, reason = "the model has not grown yet"))]

use std::borrow::Cow;

use serde::de::value::CowStrDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer, MapAccess,
};
use serde_json::value::RawValue;

/// A text; "" if the value is no text, or one that Postgres cannot hold.
pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'de, str>, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?.get();
    let plain = raw
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .filter(|inner| memchr::memchr(b'\\', inner.as_bytes()).is_none());
    Ok(match plain {
        Some(plain) => Cow::Borrowed(plain),
        None => serde_json::from_str::<String>(raw)
            .ok()
            .filter(|text| memchr::memchr(0, text.as_bytes()).is_none())
            .map_or(Cow::Borrowed(""), Cow::Owned),
    })
}

/// A whole number of 64 bits; 0 if the value is none.
pub fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?.get();
    Ok(serde_json::from_str(raw).unwrap_or_default())
}

/// An object in which each gained field is there once at most: the derived code would refuse the second.
pub struct Once<A> {
    map: A,
    gained: &'static [&'static str],
    /// By place in `gained`.
    seen: u64,
}

impl<A> Once<A> {
    /// `gained` has 64 names at most.
    pub fn new(map: A, gained: &'static [&'static str]) -> Self {
        Self {
            map,
            gained,
            seen: 0,
        }
    }
}

/// A name as it stands in the message.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Once<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        loop {
            let Some(Name(name)) = self.map.next_key::<Name<'de>>()? else {
                return Ok(None);
            };
            if let Some(place) = self.gained.iter().position(|gained| *gained == name) {
                let bit = 1 << place;
                if self.seen & bit != 0 {
                    self.map.next_value::<IgnoredAny>()?;
                    continue;
                }
                self.seen |= bit;
            }
            let name: CowStrDeserializer<'_, A::Error> = name.into_deserializer();
            return seed.deserialize(name).map(Some);
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use serde::Deserialize as DeriveDeserialize;
    use serde::de::Visitor;
    use serde::de::value::MapAccessDeserializer;

    use super::*;

    /// The model of yesterday.
    #[derive(Debug, DeriveDeserialize)]
    struct Before {
        #[serde(deserialize_with = "crate::order::read::integer")]
        price: i64,
    }

    /// The model of today, as `objects_only` in `model` would read it.
    #[derive(Debug, PartialEq, Eq, DeriveDeserialize)]
    #[serde(remote = "Self")]
    struct Grown<'a> {
        #[serde(deserialize_with = "crate::order::read::integer")]
        price: i64,
        #[serde(borrow, default, deserialize_with = "text")]
        colour: Cow<'a, str>,
        #[serde(default, deserialize_with = "integer")]
        weight: i64,
    }

    impl<'de: 'a, 'a> Deserialize<'de> for Grown<'a> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Object;
            impl<'de> Visitor<'de> for Object {
                type Value = Grown<'de>;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                    let map = Once::new(map, &["colour", "weight"]);
                    Grown::deserialize(MapAccessDeserializer::new(map))
                }
            }
            deserializer.deserialize_map(Object)
        }
    }

    const VALUES: [&str; 22] = [
        "\"red\"",
        "\"\"",
        "\"r\\u00e9d\\n\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"\\ud83d\\ude00\"",
        "null",
        "true",
        "7",
        "-7",
        "9223372036854775807",
        "9223372036854775808",
        "1e999",
        "1.0",
        "-0",
        "[]",
        "[\"red\"]",
        "{}",
        "{\"a\": 1, \"a\": 2}",
        "[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]",
        "{\"colour\": \"blue\"}",
        " \"red\" ",
    ];

    #[test]
    fn what_parsed_before_the_model_grew_parses_after_it_and_nothing_else_does() {
        let broken = ["", "red", "01", "\"", "\"\\x\"", "[1,]", "tru"];
        for value in VALUES.iter().chain(&broken) {
            for json in [
                format!("{{\"price\": 1, \"colour\": {value}}}"),
                format!("{{\"weight\": {value}, \"price\": 1}}"),
                format!(
                    "{{\"colour\": {value}, \"price\": 1, \"colour\": {value}, \"weight\": {value}, \"weight\": 1}}"
                ),
                format!("{{\"colour\": {value}}}"),
                format!("{{\"price\": 1, \"price\": 1, \"colour\": {value}}}"),
            ] {
                let before = serde_json::from_str::<Before>(&json);
                let after = serde_json::from_str::<Grown<'_>>(&json);
                assert_eq!(
                    before.as_ref().map(|order| order.price).ok(),
                    after.as_ref().map(|order| order.price).ok(),
                    "{json}: {before:?} {after:?}"
                );
            }
        }
        assert!(serde_json::from_str::<Grown<'_>>("[1, \"red\", 2]").is_err());
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let grown = |json: &str| {
            let grown: Grown<'_> = serde_json::from_str(json).unwrap();
            (grown.colour.into_owned(), grown.weight)
        };
        let read = |value: &str| {
            grown(&format!(
                "{{\"price\": 1, \"colour\": {value}, \"weight\": {value}}}"
            ))
        };
        assert_eq!(grown("{\"price\": 1}"), (String::new(), 0));
        for (value, colour, weight) in [
            ("\"red\"", "red", 0),
            (" \"red\" ", "red", 0),
            ("\"r\\u00e9d\\n\"", "réd\n", 0),
            ("\"\\ud83d\\ude00\"", "😀", 0),
            ("-7", "", -7),
            ("9223372036854775807", "", i64::MAX),
        ] {
            assert_eq!(read(value), (colour.to_owned(), weight), "{value}");
        }
        for value in [
            "\"\\u0000\"",
            "\"\\ud800\"",
            "null",
            "true",
            "9223372036854775808",
            "1e999",
            "1.0",
            "[\"red\"]",
            "{\"colour\": \"red\"}",
        ] {
            assert_eq!(read(value), (String::new(), 0), "{value}");
        }
        let twice = "{\"colour\": \"red\", \"price\": 1, \"colour\": \"blue\", \"colour\": []}";
        assert_eq!(grown(twice).0, "red");
    }
}

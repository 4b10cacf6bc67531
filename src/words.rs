//! Closed sets of words: enums whose members stand as words in SQL, in JSON and in the log. Each word is written once, here
//! is all that follows from it.

/// A word that is none of a set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is none of {known}")]
pub struct UnknownWord {
    word: String,
    known: String,
}

impl UnknownWord {
    /// Cut short: it may be anything that a client sent.
    pub fn new<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            word: word.chars().take(80).collect(),
            known: known.into_iter().collect::<Vec<_>>().join(", "),
        }
    }
}

/// An enum, its members, their words, and what each means (its doc comment): `Open = "open"`. After `or`, the member for
/// words that a newer version has written and this one does not know; without it they are errors.
macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $name:ident $(or $unknown:ident)? {
            $($(#[doc = $about:literal])* $variant:ident = $word:literal,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[doc = $about])* $variant,)* }

        #[allow(dead_code, reason = "not every set needs all of it")]
        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What it means, in a sentence.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$variant => concat!($($about),*).trim_ascii(),)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::words::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                let known = Self::ALL.iter().copied().find(|known| known.as_str() == word);
                $(let known = known.or(Some(Self::$unknown));)?
                known.ok_or_else(|| {
                    $crate::words::UnknownWord::new(word, Self::ALL.iter().map(|known| known.as_str()))
                })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                word.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

#[cfg(test)]
mod tests {
    words! {
        /// What a lamp is.
        pub enum Lamp {
            /// It shines.
            On = "on",
            Off = "off",
        }
    }

    words! {
        pub enum Colour or Other {
            Red = "red",
            Other = "other",
        }
    }

    #[test]
    fn a_word_survives_the_way_to_json_and_back() {
        for lamp in Lamp::ALL {
            assert_eq!(lamp.as_str().parse(), Ok(*lamp));
            let json = serde_json::to_string(lamp).unwrap();
            assert_eq!(serde_json::from_str::<Lamp>(&json).unwrap(), *lamp);
        }
        assert_eq!(Lamp::On.to_string(), "on");
        assert_eq!((Lamp::On.about(), Lamp::Off.about()), ("It shines.", ""));
    }

    #[test]
    fn another_word_is_an_error_that_names_those_there_are_unless_a_newer_version_may_have_written_it()
     {
        let error = "dim".parse::<Lamp>().unwrap_err();
        assert_eq!(error.to_string(), "`dim` is none of on, off");
        assert!(serde_json::from_str::<Lamp>("\"dim\"").is_err());
        assert_eq!("blue".parse(), Ok(Colour::Other));
    }
}

//! Texts that a pattern describes.

use fastrand::Rng;
use regex_syntax::hir::{Class, Hir, HirKind};

/// How often a sample repeats what may be repeated without end, beyond the least.
const MORE: u32 = 8;

/// A pattern, as far as it says what a text is made of. What it says of the text around (`^`, `\b`) is not looked at, so a text
/// that is made need not match.
#[derive(Debug)]
pub enum Like {
    Text(String),
    /// One of these.
    Char(Vec<char>),
    Times(Box<Like>, u32, u32),
    All(Vec<Like>),
    One(Vec<Like>),
}

impl Like {
    pub fn of(hir: &Hir) -> Self {
        let all = |parts: &[Hir]| parts.iter().map(Self::of).collect();
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => Self::Text(String::new()),
            HirKind::Literal(literal) => {
                Self::Text(String::from_utf8_lossy(&literal.0).into_owned())
            }
            HirKind::Class(class) => Self::char(class),
            HirKind::Repetition(repetition) => {
                let least = repetition.min;
                let most = repetition.max.unwrap_or(u32::MAX);
                let most = most.min(least.saturating_add(MORE));
                Self::Times(Box::new(Self::of(&repetition.sub)), least, most)
            }
            HirKind::Capture(capture) => Self::of(&capture.sub),
            HirKind::Concat(parts) => Self::All(all(parts)),
            HirKind::Alternation(parts) => Self::One(all(parts)),
        }
    }

    /// Of a class, what of ASCII can be seen; if there is nothing, its first characters.
    fn char(class: &Class) -> Self {
        let ranges: Vec<(u32, u32)> = match class {
            Class::Unicode(class) => { class.ranges().iter() }
                .map(|range| (range.start().into(), range.end().into()))
                .collect(),
            Class::Bytes(class) => { class.ranges().iter() }
                .map(|range| (range.start().into(), range.end().into()))
                .collect(),
        };
        let seen = { ranges.iter() }.flat_map(|(first, last)| *first.max(&0x20)..=*last.min(&0x7e));
        let mut chars: Vec<char> = seen.filter_map(char::from_u32).collect();
        if chars.is_empty() {
            let first = ranges.iter().flat_map(|(first, last)| *first..=*last);
            chars = first.filter_map(char::from_u32).take(20).collect();
        }
        Self::Char(chars)
    }

    /// Appends a text.
    pub fn write(&self, rng: &mut Rng, out: &mut String) {
        match self {
            Self::Text(text) => out.push_str(text),
            Self::Char(chars) => {
                if let Some(char) = chars.get(rng.usize(..chars.len().max(1))) {
                    out.push(*char);
                }
            }
            Self::Times(one, least, most) => {
                let times = if least == most {
                    *least
                } else {
                    rng.u32(*least..=*most)
                };
                for _ in 0..times {
                    one.write(rng, out);
                }
            }
            Self::All(parts) => {
                for part in parts {
                    part.write(rng, out);
                }
            }
            Self::One(parts) => {
                if let Some(part) = parts.get(rng.usize(..parts.len().max(1))) {
                    part.write(rng, out);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::pattern::Pattern;
    use super::*;

    #[test]
    fn what_is_made_matches() {
        let rng = &mut Rng::with_seed(1);
        for source in [
            "^[A-Z]{2}-[0-9]{4}$",
            "^(a|bc|[^x-z])*$",
            r"^\+[1-9][0-9]{1,14}$",
            r"^[^@\s]+@[^@\s]+\.[^@\s]+$",
            r"^\w+( \w+){2}$",
            "^[а-я]+ю?$",
            ".",
            "^$",
        ] {
            let pattern = Pattern::compile(source).unwrap();
            let like = Like::of(&regex_syntax::parse(source).unwrap());
            for _ in 0..100 {
                let mut text = String::new();
                like.write(rng, &mut text);
                assert!(pattern.is_match(&text), "{source} {text}");
            }
        }
    }
}

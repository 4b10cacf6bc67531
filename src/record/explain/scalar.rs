//! What is wrong with a text or a number.

use super::super::check::{Format, Keyword, NumberCheck, Says, TextCheck, WholeCheck};
use super::super::code::Code;
use super::super::number::{self, Whole};
use super::super::scan::{Span, decode};
use super::layer::Path;
use super::{Diagnosis, Wanted, sentence};

impl Diagnosis<'_> {
    pub fn text(&mut self, check: &TextCheck, says: &Says, span: Span, path: Path<'_>) {
        let at = span.start;
        let Some(text) = decode(self.bytes, span) else {
            if check.format.is_some() {
                return self.broken(check, says, Keyword::Format, "", span, path);
            }
            return self.unstorable.add(at, Code::LoneSurrogate, path, |name| {
                format!("{name} holds half of a surrogate pair, which is no character.")
            });
        };
        for keyword in check.broken(&text) {
            self.broken(check, says, keyword, &text, span, path);
        }
        if text.contains('\0') {
            self.unstorable.add(at, Code::NulCharacter, path, |name| {
                format!("{name} holds the character NUL, which Postgres cannot store.")
            });
        }
        let (length, most) = (text.len(), check.most_bytes);
        if length > most {
            self.unstorable.add(at, Code::TooLong, path, |name| {
                format!("{name} has {length} bytes, but an index takes no more than {most}.")
            });
        }
    }

    /// A text breaks this keyword.
    fn broken(
        &mut self,
        check: &TextCheck,
        says: &Says,
        keyword: Keyword,
        text: &str,
        span: Span,
        path: Path<'_>,
    ) {
        let bytes = self.bytes;
        let found = || sentence::value(bytes, span);
        let length = || text.chars().count();
        let (usual, sentence): (Code, &dyn Fn(&str) -> String) = match keyword {
            Keyword::MinLength if text.is_empty() => (Code::EmptyField, &|name| {
                format!("{name} must not be empty.")
            }),
            Keyword::MinLength => (Code::TooShort, &|name| {
                let (least, count) = (check.shortest, length());
                format!("{name} must have {least} characters or more, but it has {count}.")
            }),
            Keyword::MaxLength => (Code::TooLong, &|name| {
                let (most, count) = (check.longest, length());
                format!("{name} must have {most} characters at most, but it has {count}.")
            }),
            Keyword::Pattern => (Code::NoMatch, &|name| {
                let source = check
                    .pattern
                    .as_ref()
                    .map_or("", |(source, _)| source.as_str());
                let source = sentence::short(source);
                format!("{name} must match {source}, but it is {}.", found())
            }),
            Keyword::Enum | Keyword::Const => (Code::NotOneOf, &|name| {
                let list = check.one_of.as_deref().unwrap_or_default();
                let list = sentence::one_of(list.iter().map(|text| format!("{text:?}")));
                format!("{name} must be {list}, but it is {}.", found())
            }),
            _ => match check.format {
                Some(Format::Uuid) => (Code::BadUuid, &|name| {
                    let found = found();
                    format!(
                        "{name} must be a UUID like 2eb8aa08-aa98-11ea-b4aa-73b441d16380, but it is {found}."
                    )
                }),
                Some(Format::Date) => (Code::BadDate, &|name| {
                    let found = found();
                    format!("{name} must be a day like 2021-11-26 (RFC 3339), but it is {found}.")
                }),
                _ => (Code::BadDate, &|name| {
                    let found = found();
                    format!(
                        "{name} must be a date like 2021-11-26T06:22:19Z (RFC 3339), but it is {found}."
                    )
                }),
            },
        };
        self.schema
            .say(span.start, says, keyword, usual, path, sentence);
    }

    fn digits(&self, span: Span) -> &str {
        let digits = self.bytes.get(span.start..span.end).unwrap_or_default();
        std::str::from_utf8(digits).unwrap_or_default()
    }

    pub fn whole(&mut self, check: &WholeCheck, says: &Says, span: Span, path: Path<'_>) {
        let bytes = self.bytes;
        let number = match number::whole(self.digits(span)) {
            Whole::Fits(number) => number,
            Whole::Fraction => return self.wrong_type(Wanted::Whole, says, span, path),
            Whole::TooLarge => {
                return self
                    .schema
                    .add(span.start, Code::NumberOutOfRange, path, |name| {
                        let found = sentence::value(bytes, span);
                        format!("{name} must fit in 64 bits, but it is {found}.")
                    });
            }
        };
        let Some(keyword) = check.broken(number) else {
            return;
        };
        let (usual, wanted) = match keyword {
            Keyword::Minimum | Keyword::ExclusiveMinimum if check.least == 0 => {
                (Code::TooSmall, "not be negative".to_owned())
            }
            Keyword::Minimum | Keyword::ExclusiveMinimum => {
                (Code::TooSmall, format!("be {} or more", check.least))
            }
            Keyword::Maximum | Keyword::ExclusiveMaximum => {
                (Code::TooGreat, format!("be {} or less", check.most))
            }
            _ => {
                let list = check.one_of.as_deref().unwrap_or_default();
                let list = sentence::one_of(list.iter().map(i64::to_string));
                (Code::NotOneOf, format!("be {list}"))
            }
        };
        self.schema
            .say(span.start, says, keyword, usual, path, |name| {
                format!("{name} must {wanted}, but it is {number}.")
            });
    }

    pub fn fraction(&mut self, check: &NumberCheck, says: &Says, span: Span, path: Path<'_>) {
        let bytes = self.bytes;
        let Some(number) = number::plain(self.digits(span)) else {
            return self
                .schema
                .add(span.start, Code::NumberOutOfRange, path, |name| {
                    format!("{name} is a number of more than 1,000 digits.")
                });
        };
        let Some(keyword) = check.broken(&number) else {
            return;
        };
        let bound = check.bounds.iter().find(|(of, _)| *of == keyword);
        let bound = bound.map_or("", |(_, bound)| bound.as_str());
        let (usual, wanted) = match keyword {
            Keyword::Minimum => (Code::TooSmall, format!("be {bound} or more")),
            Keyword::ExclusiveMinimum => (Code::TooSmall, format!("be more than {bound}")),
            Keyword::Maximum => (Code::TooGreat, format!("be {bound} or less")),
            Keyword::ExclusiveMaximum => (Code::TooGreat, format!("be less than {bound}")),
            _ => {
                let list = check.one_of.clone().unwrap_or_default();
                (
                    Code::NotOneOf,
                    format!("be {}", sentence::one_of(list.into_iter())),
                )
            }
        };
        self.schema
            .say(span.start, says, keyword, usual, path, |name| {
                let found = sentence::value(bytes, span);
                format!("{name} must {wanted}, but it is {found}.")
            });
    }
}

//! A reader for messages that are the canonical JSON already: all fields in the schema's order, and no white space. It knows
//! which byte must come next, so it compares and does not search. The model is compiled into steps: skip these bytes, a text
//! into the next slot, a whole number into the next slot. It rejects nothing: any other message, valid or not, is left to
//! `read`.

mod compile;
mod step;

use std::borrow::Cow;

pub use compile::compile;
pub use step::Step;
use step::{ListSteps, Members, Then};

use super::kept::{self, Names};
use super::number;
use super::plain::plain;
use super::scan::{Scanner, Span, decode};
use super::slot::{Record, Slot};

/// The record, if `text` is its canonical JSON byte for byte.
pub fn read<'a>(steps: &[Step], width: usize, lists: usize, text: &'a str) -> Option<Record<'a>> {
    let mut root = Vec::with_capacity(width);
    let mut lists: Vec<Vec<Slot<'a>>> = (0..lists).map(|_| Vec::new()).collect();
    let mut rest = Rest { text, at: 0 };
    run(steps, &mut rest, &mut root, &mut lists)?;
    (rest.at == text.len()).then_some(Record { root, lists })
}

/// What is not read yet begins at `at`, which is always the beginning of a character.
struct Rest<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Rest<'a> {
    #[inline(always)]
    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    #[inline(always)]
    fn skip(&mut self, expected: &[u8]) -> Option<()> {
        begins_with(self.bytes(), expected).then(|| self.at += expected.len())
    }

    #[inline(always)]
    fn text(&mut self) -> Option<&'a str> {
        let end = self.at + plain(self.bytes());
        let text = self.text.get(self.at..end)?;
        self.at = end;
        Some(text)
    }

    /// A number that may have a fraction, and is written plainly.
    fn number(&mut self) -> Option<&'a str> {
        if !matches!(self.bytes().first(), Some(b'-' | b'0'..=b'9')) {
            return None;
        }
        let end = self.value()?.end;
        let text = self.text.get(self.at..end)?;
        self.at = end;
        match number::plain(text)? {
            Cow::Borrowed(plain) if plain.len() == text.len() => Some(plain),
            _ => None,
        }
    }

    /// The value that begins here, without white space before it.
    fn value(&self) -> Option<Span> {
        let span = Scanner::new(self.text.as_bytes(), self.at).value().ok()?;
        (span.start == self.at).then_some(span)
    }

    /// Any JSON but null, without white space between its parts.
    fn any(&mut self) -> Option<&'a str> {
        let span = self.value()?;
        self.at = span.end;
        match kept::keep(self.text, span).ok()? {
            Cow::Borrowed("null") => None,
            Cow::Borrowed(kept) => Some(kept),
            Cow::Owned(_) => None,
        }
    }

    fn others(&mut self, members: &Members) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        let is_first = bytes.get(self.at.checked_sub(1)?) == Some(&b'{');
        if bytes.get(self.at) == Some(&b'}') {
            return Some("");
        }
        if !is_first {
            self.skip(b",")?;
        }
        let start = self.at;
        let mut names = Names::default();
        loop {
            let span = self.value().filter(|_| bytes.get(self.at) == Some(&b'"'))?;
            let name = decode(bytes, span)?;
            if members.known.contains(&*name) || name.contains('\0') || !names.add(name) {
                return None;
            }
            self.at = span.end;
            self.skip(b":")?;
            let span = self.value()?;
            let value = match kept::keep(self.text, span).ok()? {
                Cow::Borrowed(value) => value,
                Cow::Owned(_) => return None,
            };
            if members
                .judge
                .as_ref()
                .is_some_and(|judge| !judge.takes(value))
            {
                return None;
            }
            self.at = span.end;
            if bytes.get(self.at) == Some(&b'}') {
                return self.text.get(start..self.at);
            }
            self.skip(b",")?;
        }
    }

    /// A whole number in canonical form (no leading zero), and too short to overflow.
    fn whole(&mut self) -> Option<i64> {
        let bytes = self.bytes();
        let negative = bytes.first() == Some(&b'-');
        let unsigned = bytes.get(usize::from(negative)..)?;
        let mut number = 0;
        let mut length = 0;
        for byte in unsigned
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .take(18)
        {
            number = number * 10 + i64::from(byte - b'0');
            length += 1;
        }
        let zero = unsigned.first() == Some(&b'0');
        if length == 0 || (zero && (length > 1 || negative)) {
            return None;
        }
        self.at += length + usize::from(negative);
        Some(if negative { -number } else { number })
    }
}

/// Most of what is skipped has 8 to 24 bytes: comparing words is faster than a call that compares bytes.
#[inline(always)]
pub fn begins_with(bytes: &[u8], expected: &[u8]) -> bool {
    let Some(found) = bytes.get(..expected.len()) else {
        return false;
    };
    let (words, _) = found.as_chunks::<8>();
    let (wanted, _) = expected.as_chunks::<8>();
    match (found.last_chunk::<8>(), expected.last_chunk::<8>()) {
        (Some(last), Some(wanted_last)) => {
            let mut differs = u64::from_ne_bytes(*last) ^ u64::from_ne_bytes(*wanted_last);
            for (word, wanted) in words.iter().zip(wanted) {
                differs |= u64::from_ne_bytes(*word) ^ u64::from_ne_bytes(*wanted);
            }
            differs == 0
        }
        _ => found == expected,
    }
}

fn run<'a>(
    steps: &[Step],
    rest: &mut Rest<'a>,
    row: &mut Vec<Slot<'a>>,
    lists: &mut [Vec<Slot<'a>>],
) -> Option<()> {
    let mut index = 0;
    while let Some(step) = steps.get(index) {
        index += 1;
        if !step.skip.is_empty() {
            rest.skip(&step.skip)?;
        }
        match &step.then {
            Then::Nothing => {}
            // NUL needs no check: in JSON it is an escape, and a text with an escape is not read here.
            Then::Text => row.push(Slot::Text(Cow::Borrowed(rest.text()?))),
            Then::CheckedText(check) => {
                let text = rest.text()?;
                if !check.holds(text) {
                    return None;
                }
                row.push(Slot::Text(Cow::Borrowed(text)));
            }
            Then::Whole { least, most } => {
                let number = rest.whole()?;
                if number < *least || number > *most {
                    return None;
                }
                row.push(Slot::Whole(number));
            }
            Then::CheckedWhole(check) => {
                let number = rest.whole()?;
                if check.broken(number).is_some() {
                    return None;
                }
                row.push(Slot::Whole(number));
            }
            Then::Number(check) => {
                let number = rest.number()?;
                if check.broken(number).is_some() {
                    return None;
                }
                row.push(Slot::Number(Cow::Borrowed(number)));
            }
            Then::Any => row.push(Slot::Kept(Cow::Borrowed(rest.any()?))),
            Then::Others(members) => row.push(Slot::Kept(Cow::Borrowed(rest.others(members)?))),
            Then::Judged(judged) => {
                let (judge, steps) = &**judged;
                let start = rest.at;
                run(steps, rest, row, lists)?;
                if !judge.takes(rest.text.get(start..rest.at)?) {
                    return None;
                }
            }
            Then::Truth => {
                let truth = rest.skip(b"true").is_some();
                if !truth {
                    rest.skip(b"false")?;
                }
                row.push(Slot::Truth(truth));
            }
            Then::List(list) => {
                let (start, count) = elements(list, rest, lists)?;
                row.push(Slot::List { start, count });
            }
            Then::Name(name) => {
                let before = rest.at;
                let first = rest.text.as_bytes()[..rest.at].last() == Some(&b'{');
                let there =
                    (first || rest.skip(b",").is_some()) && rest.skip(&name.quoted).is_some();
                if !there {
                    let missing = name.missing.as_ref()?;
                    rest.at = before;
                    index += missing.steps;
                    row.extend(std::iter::repeat_n(Slot::Absent, missing.slots));
                }
            }
            Then::Present => row.push(Slot::Present),
        }
    }
    Some(())
}

fn elements<'a>(
    list: &ListSteps,
    rest: &mut Rest<'a>,
    lists: &mut [Vec<Slot<'a>>],
) -> Option<(usize, usize)> {
    // Lists inside this one have tables of their own, so this table can be taken out.
    let mut table = std::mem::take(lists.get_mut(list.number)?);
    let start = table.len();
    let mut count = 0;
    rest.skip(b"[")?;
    if rest.skip(b"]").is_none() {
        if table.is_empty() {
            // Most lists have at most six elements, so the table seldom grows.
            table.reserve(6 * list.width);
        }
        loop {
            let row = table.len();
            run(&list.steps, rest, &mut table, lists)?;
            table.resize(row + list.width, Slot::Absent);
            count += 1;
            if rest.skip(b",").is_none() {
                rest.skip(b"]")?;
                break;
            }
        }
    }
    *lists.get_mut(list.number)? = table;
    (list.least..=list.most)
        .contains(&count)
        .then_some((start, count))
}

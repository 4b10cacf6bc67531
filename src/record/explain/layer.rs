//! What an explanation collects: the violations of one layer, each with its place. Pointers and sentences are written only for
//! what is kept, since a message can have a million violations.

use super::super::check::{Keyword, Says};
use super::super::rejection::{Code, MAX_VIOLATIONS, Reason, Rejection, Violation};
use super::super::shape::token;
use super::sentence;

/// The path of a value in the message; each part refers to the part around it.
#[derive(Clone, Copy)]
pub enum Path<'p> {
    Message,
    Field(&'p Path<'p>, &'p str),
    Element(&'p Path<'p>, usize),
}

impl Path<'_> {
    /// As a JSON pointer.
    pub fn pointer(&self) -> String {
        match self {
            Path::Message => String::new(),
            Path::Field(parent, name) => format!("{}/{}", parent.pointer(), token(name)),
            Path::Element(parent, index) => format!("{}/{index}", parent.pointer()),
        }
    }
}

/// The violations of one layer, with the byte at which each stands.
#[derive(Default)]
pub struct Layer {
    kept: Vec<(usize, Violation)>,
    omitted: usize,
}

impl Layer {
    /// `message` is given the field's name for people.
    pub fn add(
        &mut self,
        at: usize,
        code: Code,
        path: Path<'_>,
        message: impl FnOnce(&str) -> String,
    ) {
        self.add_with(at, || {
            let pointer = path.pointer();
            let name = sentence::name(&pointer);
            Violation::new(code, pointer, message(&name))
        });
    }

    /// A keyword is broken: with the schema's own code and sentence for it, if it has them.
    pub fn say(
        &mut self,
        at: usize,
        says: &Says,
        keyword: Keyword,
        usual: Code,
        path: Path<'_>,
        message: impl FnOnce(&str) -> String,
    ) {
        self.add(at, says.code(keyword, usual), path, |name| {
            match says.messages.get(&keyword) {
                Some(own) => own.clone(),
                None => message(name),
            }
        });
    }

    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub fn add_with(&mut self, at: usize, violation: impl FnOnce() -> Violation) {
        if self.kept.len() < MAX_VIOLATIONS {
            self.kept.push((at, violation()));
        } else {
            self.omitted += 1;
        }
    }

    pub fn rejection(self, reason: Reason, bytes: &[u8]) -> Option<Rejection> {
        let mut places = Places {
            bytes,
            at: 0,
            line: 1,
            column: 1,
        };
        let mut violations = self.kept.into_iter().map(|(at, mut violation)| {
            let (line, column) = places.find(at);
            violation.line = Some(line);
            violation.column = Some(column);
            violation
        });
        let first = violations.next()?;
        Some(
            Rejection::new(reason, first)
                .and(violations)
                .omitting(self.omitted),
        )
    }
}

/// Turns byte offsets into lines and columns, counted from 1, columns in characters. It goes on from the last offset that it was
/// asked for, since most are asked for in order.
struct Places<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
    column: u64,
}

impl Places<'_> {
    fn find(&mut self, at: usize) -> (u64, u64) {
        if at < self.at {
            (self.at, self.line, self.column) = (0, 1, 1);
        }
        for byte in self.bytes.get(self.at..at).unwrap_or_default() {
            match byte {
                b'\n' => (self.line, self.column) = (self.line + 1, 1),
                // Continuation bytes of UTF-8 are no characters of their own.
                0x80..0xc0 => {}
                _ => self.column += 1,
            }
        }
        self.at = at;
        (self.line, self.column)
    }
}

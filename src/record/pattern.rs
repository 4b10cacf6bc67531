//! Patterns of a schema, and of a rule's `matches`. Each is compiled into a deterministic automaton (DFA) when it is loaded, so that matching takes
//! one step for each byte, whatever the pattern and the text. A pattern whose automaton would be too large is refused. (An engine
//! that falls back to simulating an NFA takes microseconds for each byte with a hostile pattern.)
//!
//! The syntax is that of RE2, as CEL wants it: `\d`, `\w`, `\s` and `\b` know ASCII only.

use std::error::Error;

use regex_automata::Input;
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::syntax;
use regex_syntax::ast::parse::ParserBuilder;
use regex_syntax::ast::{
    self, Assertion, AssertionKind, Ast, ClassPerl, ClassPerlKind, ClassSetItem, Span,
};

const MAX_BYTES: usize = Pattern::MAX_BYTES;
const MAX_NESTING: u32 = 50;

/// A compiled pattern.
pub struct Pattern(dense::DFA<Vec<u32>>);

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "an automaton of {} bytes", self.size())
    }
}

impl Pattern {
    /// How many bytes one automaton may take; a real pattern's takes some kilobytes.
    pub const MAX_BYTES: usize = 512 << 10;

    /// Compiles it, or says in a sentence why not.
    pub fn compile(source: &str) -> Result<Self, String> {
        let source = ascii(source)?;
        let too_large =
            || "The pattern grows too large; let it repeat less, or look at less.".to_owned();
        let steps = thompson::Compiler::new()
            // Only whether it matches is asked, so a match may begin and end inside a character.
            .syntax(syntax::Config::new().utf8(false).nest_limit(MAX_NESTING))
            .configure(
                thompson::Config::new()
                    .which_captures(WhichCaptures::None)
                    .nfa_size_limit(Some(MAX_BYTES)),
            )
            .build(&source)
            .map_err(|error| match error.size_limit() {
                Some(_) => too_large(),
                None => reason(&error),
            })?;
        let automaton = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .start_kind(StartKind::Unanchored)
                    .dfa_size_limit(Some(MAX_BYTES))
                    .determinize_size_limit(Some(4 * MAX_BYTES)),
            )
            .build_from_nfa(&steps)
            .map_err(|error| match error.is_size_limit_exceeded() {
                true => too_large(),
                false => reason(&error),
            })?;
        Ok(Self(automaton))
    }

    /// The size of the automaton in bytes.
    pub fn size(&self) -> usize {
        self.0.memory_usage()
    }

    /// Whether the pattern matches anywhere in the text.
    pub fn is_match(&self, text: &str) -> bool {
        let input = Input::new(text).earliest(true);
        // Only bytes that the automaton was told to stop at can make it fail, and there are none.
        self.0.try_search_fwd(&input).is_ok_and(|end| end.is_some())
    }
}

/// The sentence of the innermost error: its last line. The lines before it draw the place.
fn reason(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    let reason = text.lines().last().unwrap_or_default();
    format!(
        "The pattern has a mistake: {}.",
        reason.trim_start_matches("error: ")
    )
}

/// The same pattern with the classes that RE2 limits to ASCII written out.
fn ascii(source: &str) -> Result<String, String> {
    let ast = ParserBuilder::new()
        .nest_limit(MAX_NESTING)
        .build()
        .parse(source);
    let ast = ast.map_err(|error| reason(&error))?;
    let mut edits = ast::visit(&ast, Edits::default()).unwrap_or_default();
    edits.sort_by_key(|(span, _)| span.start.offset);
    let mut written = String::new();
    let mut at = 0;
    for (span, text) in edits {
        written += source.get(at..span.start.offset).unwrap_or_default();
        written += text;
        at = span.end.offset;
    }
    Ok(written + source.get(at..).unwrap_or_default())
}

#[derive(Default)]
struct Edits(Vec<(Span, &'static str)>);

impl Edits {
    fn class(&mut self, class: &ClassPerl) {
        let written = match (&class.kind, class.negated) {
            (ClassPerlKind::Digit, false) => "[0-9]",
            (ClassPerlKind::Digit, true) => "[^0-9]",
            (ClassPerlKind::Space, false) => r"[\t\n\f\r\x20]",
            (ClassPerlKind::Space, true) => r"[^\t\n\f\r\x20]",
            (ClassPerlKind::Word, false) => "[0-9A-Za-z_]",
            (ClassPerlKind::Word, true) => "[^0-9A-Za-z_]",
        };
        self.0.push((class.span, written));
    }

    fn assertion(&mut self, assertion: &Assertion) {
        match assertion.kind {
            AssertionKind::WordBoundary => self.0.push((assertion.span, r"(?-u:\b)")),
            AssertionKind::NotWordBoundary => self.0.push((assertion.span, r"(?-u:\B)")),
            _ => {}
        }
    }
}

impl ast::Visitor for Edits {
    type Output = Vec<(Span, &'static str)>;
    type Err = ();

    fn finish(self) -> Result<Self::Output, ()> {
        Ok(self.0)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), ()> {
        match ast {
            Ast::ClassPerl(class) => self.class(class),
            Ast::Assertion(assertion) => self.assertion(assertion),
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), ()> {
        if let ClassSetItem::Perl(class) = item {
            self.class(class);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_re2() {
        let cases: &[(&str, &str, bool)] = &[
            ("", "", true),
            ("b", "abc", true),
            ("^b", "abc", false),
            ("^a.c$", "aяc", true),
            ("^.$", "😀", true),
            (r"^\+[1-9][0-9]{1,14}$", "+9720000000", true),
            (r"^\d+$", "0123456789", true),
            (r"^\d+$", "٣", false),
            (r"^\D$", "٣", true),
            (r"^\w$", "я", false),
            (r"^[\w.-]+$", "a.b-c", true),
            (r"^[^\w]$", "я", true),
            (r"^\s\S$", " x", true),
            (r"^\s$", "\u{a0}", false),
            (r"\bcat\b", "a cat.", true),
            (r"\bcat\b", "concat", false),
            (r"\bя", "я", false),
            ("(?i)ПРИВЕТ", "привет", true),
            (r"^\pL+$", "Привет", true),
            (r"(?x) ^ \s a # a comment", " a", true),
            ("a|^$", "", true),
            ("(?s)a.b", "a\nb", true),
            ("a.b", "a\nb", false),
            (r"^[^@\s]+@[^@\s]+\.[^@\s]+$", "test@gmail.com", true),
        ];
        for (pattern, text, expected) in cases {
            let compiled = Pattern::compile(pattern).unwrap();
            assert_eq!(compiled.is_match(text), *expected, "{pattern} {text}");
        }
    }

    #[test]
    fn bad_patterns_are_refused_in_time() {
        let deep = "(".repeat(400) + &")".repeat(400);
        let cases = [
            ("(", "unclosed group"),
            ("[z-a]", "invalid character class range"),
            ("a{2,1}", "invalid repetition"),
            ("*", "repetition operator missing expression"),
            (r"(a)\1", "backreferences are not supported"),
            ("(?=a)", "look-around"),
            (r"\xZ", "hexadecimal"),
            ("(a{100}){100}", "too large"),
            ("((a{100}){100}){100}", "too large"),
            ("[ab]*a[ab]{200}", "too large"),
            (r"(\pL{50}x){50}", "too large"),
            ("a{1000000000}", "too large"),
            (&deep, "nest"),
        ];
        for (pattern, reason) in cases {
            let start = std::time::Instant::now();
            let error = Pattern::compile(pattern).map(drop).unwrap_err();
            assert!(error.contains(reason), "{pattern}: {error}");
            assert!(
                start.elapsed().as_secs() < 2,
                "{pattern}: {:?}",
                start.elapsed()
            );
        }
    }
}

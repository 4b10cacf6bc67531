//! A JSON scanner that knows its offset. It skips values of any depth and length without recursion, and says at which byte the
//! text stops being JSON and what was expected there. It accepts exactly what serde_json accepts (a test compares them).
//! Valid messages never come here.

use std::borrow::Cow;

use super::plain::plain;

/// Where a value stands in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

/// The text that a span with its quotes stands for; none if its escapes are no text.
pub fn decode(bytes: &[u8], span: Span) -> Option<Cow<'_, str>> {
    let quoted = std::str::from_utf8(bytes.get(span.start..span.end)?).ok()?;
    let plain = quoted.get(1..quoted.len().checked_sub(1)?)?;
    if !plain.contains('\\') {
        return Some(Cow::Borrowed(plain));
    }
    serde_json::from_str(quoted).ok().map(Cow::Owned)
}

/// Where the text stops being JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mistake {
    pub at: usize,
    /// What should have stood there.
    pub expected: &'static str,
}

type Result<T> = std::result::Result<T, Mistake>;

/// Reads from `at` on.
#[derive(Debug)]
pub struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Where the next byte that is no white space stands.
    pub fn place(&mut self) -> usize {
        self.peek();
        self.at
    }

    /// Reads the object that stands here, and shows every name and value.
    pub fn object(&mut self, mut each: impl FnMut(Span, Span)) -> Result<()> {
        self.byte(b'{', "an object")?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let name = self.name()?;
            let value = self.value()?;
            each(name, value);
            if self.ends(b'}')? {
                return Ok(());
            }
        }
    }

    /// Reads the list that stands here, and shows every value.
    pub fn list(&mut self, mut each: impl FnMut(Span)) -> Result<()> {
        self.byte(b'[', "a list")?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            each(self.value()?);
            if self.ends(b']')? {
                return Ok(());
            }
        }
    }

    /// Skips any value. Open brackets are kept in a vector, so that no depth can overflow the stack.
    pub fn value(&mut self) -> Result<Span> {
        let start = self.place();
        let mut open = Vec::new();
        loop {
            let closing = match self.peek() {
                Some(b'{') => Some(b'}'),
                Some(b'[') => Some(b']'),
                _ => None,
            };
            match closing {
                Some(bracket) => {
                    self.at += 1;
                    if self.peek() == Some(bracket) {
                        self.at += 1;
                    } else {
                        open.push(bracket);
                        if bracket == b'}' {
                            self.name()?;
                        }
                        continue;
                    }
                }
                None => self.scalar()?,
            }
            // A value has ended; close the lists and objects that end with it.
            loop {
                let Some(bracket) = open.last().copied() else {
                    let end = self.at;
                    return Ok(Span { start, end });
                };
                if !self.ends(bracket)? {
                    if bracket == b'}' {
                        self.name()?;
                    }
                    break;
                }
                open.pop();
            }
        }
    }

    fn scalar(&mut self) -> Result<()> {
        match self.peek() {
            Some(b'"') => self.text().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => Err(self.mistake("a value")),
        }
    }

    /// A name and its colon.
    fn name(&mut self) -> Result<Span> {
        if self.peek() != Some(b'"') {
            return Err(self.mistake("a field's name in double quotes"));
        }
        let name = self.text()?;
        self.byte(b':', "a colon")?;
        Ok(name)
    }

    /// A text, quotes included.
    fn text(&mut self) -> Result<Span> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    let end = self.at;
                    return Ok(Span { start, end });
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape()?;
                }
                Some(0..0x20) => {
                    return Err(self.mistake("an escape in the place of a control character"));
                }
                Some(_) => self.at += plain(&self.bytes[self.at..]).max(1),
                None => return Err(self.mistake("the text's closing quote")),
            }
        }
    }

    fn escape(&mut self) -> Result<()> {
        match self.bytes.get(self.at) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    match self.bytes.get(self.at) {
                        Some(digit) if digit.is_ascii_hexdigit() => self.at += 1,
                        _ => return Err(self.mistake("four hexadecimal digits after \\u")),
                    }
                }
            }
            _ => return Err(self.mistake("an escape that JSON knows")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        if self.bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'0'..=b'9')) {
                return Err(self.mistake("a number without leading zeros"));
            }
        } else {
            self.digits()?;
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while matches!(self.bytes.get(self.at), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.mistake("a digit"));
        }
        Ok(())
    }

    fn word(&mut self, word: &'static str) -> Result<()> {
        for byte in word.bytes() {
            if self.bytes.get(self.at) != Some(&byte) {
                return Err(self.mistake("true, false or null"));
            }
            self.at += 1;
        }
        Ok(())
    }

    /// Whether the bracket is closed here; if not, a comma must stand here.
    fn ends(&mut self, bracket: u8) -> Result<bool> {
        match self.peek() {
            Some(byte) if byte == bracket => {
                self.at += 1;
                Ok(true)
            }
            Some(b',') => {
                self.at += 1;
                Ok(false)
            }
            _ if bracket == b'}' => Err(self.mistake("a comma or a closing brace")),
            _ => Err(self.mistake("a comma or a closing bracket")),
        }
    }

    fn byte(&mut self, byte: u8, expected: &'static str) -> Result<()> {
        if self.peek() != Some(byte) {
            return Err(self.mistake(expected));
        }
        self.at += 1;
        Ok(())
    }

    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn mistake(&self, expected: &'static str) -> Mistake {
        let at = self.at;
        Mistake { at, expected }
    }
}

/// Whether a value that is known to be JSON is nested more than `limit` levels deep, and where it becomes so.
pub fn too_deep(bytes: &[u8], span: Span, limit: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut in_text = false;
    let mut at = span.start;
    while at < span.end {
        match bytes.get(at)? {
            b'\\' if in_text => at += 1,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                if depth > limit {
                    return Some(at);
                }
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::IgnoredAny;

    /// Whether the whole text is one JSON value.
    fn is_json(text: &[u8]) -> bool {
        let mut scanner = Scanner::new(text, 0);
        scanner.value().is_ok() && scanner.place() == text.len()
    }

    #[test]
    fn accepts_what_serde_json_accepts() {
        let words = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\"a\"",
            "\"\\u12aF\"",
            "\\",
            "\\u",
            "\\ud800",
            "\\x",
            "0",
            "00",
            "-",
            "-0",
            "1",
            "12",
            ".5",
            "e",
            "E+1",
            "1e999999",
            " ",
            "\n",
            "\t",
            "\u{b}",
            "\u{1}",
            "true",
            "false",
            "null",
            "nul",
            "x",
            "é",
            "{\"a\":1}",
            "[1,2]",
            "{}",
            "[]",
            "\"a\":",
        ];
        let random = &mut fastrand::Rng::with_seed(7);
        let (mut good, mut bad) = (0, 0);
        for _ in 0..200_000 {
            let text: String = (0..random.usize(1..9))
                .map(|_| words[random.usize(..words.len())])
                .collect();
            let expected = serde_json::from_str::<IgnoredAny>(&text).is_ok();
            assert_eq!(is_json(text.as_bytes()), expected, "{text:?}");
            if expected { good += 1 } else { bad += 1 }
        }
        assert!(good > 5_000 && bad > 5_000, "{good} {bad}");
    }

    #[test]
    fn says_where_the_text_stops_being_json() {
        let cases: &[(&str, usize, &str)] = &[
            ("", 0, "a value"),
            ("{\"a\": 1,}", 8, "a field's name in double quotes"),
            ("[1 2]", 3, "a comma or a closing bracket"),
            ("{\"a\" 1}", 5, "a colon"),
            ("[01]", 2, "a number without leading zeros"),
            ("[\"a", 3, "the text's closing quote"),
            (
                "[\"a\nb\"]",
                3,
                "an escape in the place of a control character",
            ),
            ("[nul]", 4, "true, false or null"),
            ("[-]", 2, "a digit"),
        ];
        for (text, at, expected) in cases {
            let mistake = Scanner::new(text.as_bytes(), 0).value();
            assert_eq!(mistake, Err(Mistake { at: *at, expected }), "{text}");
        }
    }

    #[test]
    fn no_depth_overflows_the_stack() {
        let depth = 1_000_000;
        let deep = "[".repeat(depth) + &"]".repeat(depth);
        assert!(is_json(deep.as_bytes()));
        assert!(!is_json(&deep.as_bytes()[1..]));
        let span = Span {
            start: 0,
            end: deep.len(),
        };
        assert_eq!(too_deep(deep.as_bytes(), span, 128), Some(128));
        let brackets = "\"[[[\\\"[[[\"";
        assert_eq!(
            too_deep(
                brackets.as_bytes(),
                Span {
                    start: 0,
                    end: brackets.len()
                },
                2
            ),
            None
        );
    }
}

//! A payload laid out for people: JSON over many lines, text with marks where something is wrong, bytes in hexadecimal.
//! Pure.

use super::super::screen::{self, Paint};

/// What fits beside a line's number on most terminals.
const WIDTH: usize = 100;
const MANY_LINES: usize = 60;
const CONTEXT: usize = 3;
const HEX_ROWS: usize = 12;

/// JSON in one line a value, two spaces a level. Only white space between its tokens is changed: a field that is there twice
/// stays there twice, and a number keeps its digits. None where it is no JSON: then nobody knows where a token ends.
pub fn indented(text: &str) -> Option<String> {
    lay_out(text).map(|laid| laid.text)
}

/// The same, and where places of the text are in it now.
pub fn indented_with(
    text: &str,
    marks: &[(usize, usize)],
) -> Option<(String, Vec<(usize, usize)>)> {
    let laid = lay_out(text)?;
    let marks = marks
        .iter()
        .filter_map(|(line, column)| laid.place(offset(text, *line, *column)?))
        .collect();
    Some((laid.text, marks))
}

#[derive(Default)]
struct Laid {
    text: String,
    /// Where each token began, where it begins, and its length.
    tokens: Vec<(usize, usize, usize)>,
}

impl Laid {
    fn token(&mut self, source: &str, from: usize, length: usize) {
        self.tokens.push((from, self.text.len(), length));
        self.text.push_str(&source[from..from + length]);
    }

    fn break_line(&mut self, depth: usize) {
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n("  ", depth));
    }

    /// Line and column of what was at this byte.
    fn place(&self, byte: usize) -> Option<(usize, usize)> {
        let next = self.tokens.partition_point(|(from, ..)| *from <= byte);
        let (from, to, length) = self.tokens.get(next.checked_sub(1)?)?;
        let before = self.text.get(..to + (byte - from).min(*length))?;
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next()?.chars().count() + 1;
        Some((line, column))
    }
}

fn lay_out(text: &str) -> Option<Laid> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let mut laid = Laid {
        text: String::with_capacity(text.len() * 2),
        ..Laid::default()
    };
    let mut depth = 0_usize;
    let mut at = 0;
    let bytes = text.as_bytes();
    let skip = |from: usize| {
        from + bytes[from..]
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count()
    };
    loop {
        at = skip(at);
        let Some(byte) = bytes.get(at) else { break };
        let mut length = 1;
        match byte {
            b'{' | b'[' => {
                laid.token(text, at, 1);
                let end = skip(at + 1);
                if matches!(bytes.get(end), Some(b'}' | b']')) {
                    laid.token(text, end, 1);
                    length = end + 1 - at;
                } else {
                    depth += 1;
                    laid.break_line(depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                laid.break_line(depth);
                laid.token(text, at, 1);
            }
            b',' => {
                laid.token(text, at, 1);
                laid.break_line(depth);
            }
            b':' => {
                laid.token(text, at, 1);
                laid.text.push(' ');
            }
            b'"' => {
                // White space inside a string counts.
                length = 1 + end_of_string(&text[at + 1..]);
                laid.token(text, at, length);
            }
            _ => {
                let rest = &bytes[at..];
                length = rest
                    .iter()
                    .take_while(|byte| !byte.is_ascii_whitespace() && !b",:]}".contains(byte))
                    .count();
                laid.token(text, at, length);
            }
        }
        at += length;
    }
    laid.text.push('\n');
    Some(laid)
}

/// The byte at a line and column, which count characters from 1.
fn offset(text: &str, line: usize, column: usize) -> Option<usize> {
    let start: usize = text
        .split_inclusive('\n')
        .take(line.checked_sub(1)?)
        .map(str::len)
        .sum();
    let rest = text.get(start..)?;
    let within = rest
        .char_indices()
        .nth(column.checked_sub(1)?)
        .map_or(rest.len(), |(index, _)| index);
    Some(start + within)
}

/// Past the closing quote.
fn end_of_string(rest: &str) -> usize {
    let mut escaped = false;
    for (index, byte) in rest.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A text with numbered lines, and a caret under each marked place (line and column, from 1). Of a long text only what is
/// near a mark, of a long line only what is near one.
pub fn marked(text: &str, marks: &[(usize, usize)], paint: Paint) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let digits = lines.len().max(1).to_string().len();
    let near = |number: usize| {
        marks
            .iter()
            .any(|(line, _)| line.abs_diff(number) <= CONTEXT)
    };
    let mut out = String::new();
    let mut left_out = false;
    for (number, line) in (1..).zip(&lines) {
        let shown =
            lines.len() <= MANY_LINES || near(number) || (marks.is_empty() && number <= MANY_LINES);
        if !shown {
            left_out = true;
            continue;
        }
        if left_out {
            out.push_str(&format!("{:digits$} ┆\n", ""));
            left_out = false;
        }
        let mut columns: Vec<usize> = marks
            .iter()
            .filter(|(at, _)| *at == number)
            .map(|(_, column)| *column)
            .collect();
        columns.sort_unstable();
        columns.dedup();
        for (part, carets) in windows(line, &columns) {
            let row = format!("{number:digits$} │ {part}");
            match carets.is_empty() {
                true => out.push_str(&format!("{row}\n")),
                false => {
                    let carets = paint.red(&carets);
                    out.push_str(&format!("{row}\n{:digits$} │ {carets}\n", ""));
                }
            }
        }
    }
    if left_out {
        out.push_str(&format!("{:digits$} ┆\n", ""));
    }
    out
}

/// A line in pieces that fit, each with its line of carets.
fn windows(line: &str, columns: &[usize]) -> Vec<(String, String)> {
    let chars: Vec<char> = line.chars().collect();
    if chars.len() <= WIDTH {
        return vec![piece(&chars, 0, chars.len(), columns)];
    }
    if columns.is_empty() {
        return vec![piece(&chars, 0, WIDTH, columns)];
    }
    let mut pieces = Vec::new();
    let mut left = columns;
    while let Some(first) = left.first() {
        let start = first
            .saturating_sub(WIDTH / 3)
            .min(chars.len().saturating_sub(WIDTH / 2));
        let end = (start + WIDTH).min(chars.len());
        // Past its end stands what is missing there.
        let fits = left
            .iter()
            .take_while(|column| **column <= end + 1)
            .count()
            .max(1);
        pieces.push(piece(&chars, start, end, &left[..fits]));
        left = &left[fits..];
    }
    pieces
}

fn piece(chars: &[char], start: usize, end: usize, columns: &[usize]) -> (String, String) {
    let mut text: String = chars[start..end].iter().collect();
    text = screen::plain(&text).into_owned();
    let cut = start > 0;
    if cut {
        text.insert(0, '…');
    }
    if end < chars.len() {
        text.push('…');
    }
    let mut carets = String::new();
    for column in columns {
        let at = column
            .saturating_sub(1)
            .saturating_sub(start)
            .min(end - start)
            + usize::from(cut);
        let written = carets.chars().count();
        carets.extend(std::iter::repeat_n(' ', at.saturating_sub(written)));
        if at >= written {
            carets.push('^');
        }
    }
    (text, carets)
}

/// Bytes by sixteen, around the first that is not UTF-8, which is marked.
pub fn dump(bytes: &[u8], paint: Paint) -> String {
    let bad = match std::str::from_utf8(bytes) {
        Ok(_) => None,
        Err(error) => Some(error.valid_up_to()),
    };
    let first_row = bad.unwrap_or(0).saturating_sub(HEX_ROWS / 2 * 16) / 16;
    let mut out = String::new();
    if first_row > 0 {
        out.push_str("  ┆\n");
    }
    for (index, row) in bytes.chunks(16).enumerate().skip(first_row).take(HEX_ROWS) {
        let start = index * 16;
        out.push_str(&format!("  {start:08x} "));
        for (offset, byte) in row.iter().enumerate() {
            let hex = format!("{byte:02x}");
            let shown = match bad == Some(start + offset) {
                true => format!("[{}]", paint.red(&hex)),
                false => format!(" {hex} "),
            };
            out.push_str(&shown);
        }
        out.extend(std::iter::repeat_n("    ", 16 - row.len()));
        out.push_str(" │");
        out.extend(row.iter().map(|byte| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '·',
        }));
        out.push_str("│\n");
    }
    if bytes.len() > (first_row + HEX_ROWS) * 16 {
        out.push_str("  ┆\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_between_tokens_changes() {
        let text = r#"{"a" :1e999, "a":"x \" {,}:  y","b":[ ],"c":[1,{ }],"d":{"e":null}}"#;
        let wanted = "{\n  \"a\": 1e999,\n  \"a\": \"x \\\" {,}:  y\",\n  \"b\": [],\n  \"c\": [\n    1,\n    {}\n  ],\n  \"d\": {\n    \"e\": null\n  }\n}\n";
        assert_eq!(indented(text).unwrap(), wanted);
        assert_eq!(indented(wanted).unwrap(), wanted);
        for no_json in ["{\"a\":", "", "{} {}", "<a/>"] {
            assert_eq!(indented(no_json), None, "{no_json}");
        }
    }

    #[test]
    fn a_place_is_found_again_where_it_went() {
        let text = "{ \"é\":12,\n\"b\" :[ true]}";
        for (mark, wanted) in [
            ((1, 1), (1, 1)),
            ((1, 3), (2, 3)),
            ((1, 7), (2, 8)),
            ((1, 8), (2, 9)),
            ((2, 8), (4, 5)),
            ((2, 12), (5, 3)),
            ((9, 9), (6, 2)),
        ] {
            let (laid, marks) = indented_with(text, &[mark]).unwrap();
            assert_eq!(marks, [wanted], "{mark:?}\n{laid}");
        }
    }

    #[test]
    fn a_place_is_marked_in_its_line() {
        assert_eq!(
            marked("{\n \"a\": x\n}", &[(2, 7)], Paint::none()),
            "1 │ {\n2 │  \"a\": x\n  │       ^\n3 │ }\n"
        );
        assert_eq!(marked("", &[(1, 1)], Paint::none()), "");
        // What is missing is missing behind the end.
        assert_eq!(marked("{", &[(1, 2)], Paint::none()), "1 │ {\n  │  ^\n");
    }

    #[test]
    fn of_a_long_line_only_what_is_near_is_shown() {
        let line = format!("{}X{}Y", "a".repeat(500), "b".repeat(500));
        let text = marked(&line, &[(1, 501), (1, 1_002)], Paint::none());
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows.len(), 4);
        for (row, carets, wanted) in [(rows[0], rows[1], 'X'), (rows[2], rows[3], 'Y')] {
            let at = carets.chars().position(|c| c == '^').unwrap();
            assert_eq!(row.chars().nth(at), Some(wanted), "{text}");
            assert!(row.chars().count() < 110);
        }
    }

    #[test]
    fn any_place_can_be_marked() {
        for length in [0, 1, 99, 100, 101, 102, 350] {
            let line = "é".repeat(length);
            for column in [0, 1, 50, 100, 101, 102, 351, 9_999] {
                marked(
                    &line,
                    &[(1, column), (1, column + 1), (9, 1)],
                    Paint::none(),
                );
            }
        }
    }

    #[test]
    fn the_first_bad_byte_is_marked() {
        let mut bytes = vec![b'a'; 300];
        bytes[290] = 0xff;
        let text = dump(&bytes, Paint::none());
        assert!(text.contains("[ff]") && text.contains("00000120"), "{text}");
        assert_eq!(dump(b"", Paint::none()), "");
    }
}

//! Which messages a file holds: one JSON document is one message, otherwise each line is one.

use std::io::{self, BufRead};

use serde::de::IgnoredAny;

use super::Format;

pub(super) type Messages<'a> = Box<dyn Iterator<Item = io::Result<Vec<u8>>> + 'a>;

/// The messages that an input holds. Only where its first line is no JSON document by itself must all of
/// it be read to tell one document from many.
pub(super) fn messages<'a>(
    mut input: impl BufRead + 'a,
    format: Format,
) -> io::Result<Messages<'a>> {
    let mut all = Vec::new();
    match format {
        Format::Lines => return Ok(Box::new(lines(input, 0, format))),
        Format::Whole => {
            input.read_to_end(&mut all)?;
            return Ok(Box::new([Ok(all)].into_iter()));
        }
        Format::Auto => {}
    }
    input.read_until(b'\n', &mut all)?;
    if is_json(&all) {
        // A lone document is sent to its last byte; its newline tells nothing before the next line.
        let mut rest = lines(input, 1, format).peekable();
        if rest.peek().is_some() {
            strip_newline(&mut all);
        }
        return Ok(Box::new([Ok(all)].into_iter().chain(rest)));
    }
    input.read_to_end(&mut all)?;
    if is_json(&all) {
        return Ok(Box::new([Ok(all)].into_iter()));
    }
    Ok(Box::new(lines(io::Cursor::new(all), 0, format)))
}

/// Each line but the blank ones, without its newline.
fn lines(
    mut input: impl BufRead,
    already: usize,
    format: Format,
) -> impl Iterator<Item = io::Result<Vec<u8>>> {
    let mut number = already;
    std::iter::from_fn(move || {
        loop {
            let mut line = Vec::new();
            match input.read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => number += 1,
                Err(error) => return Some(Err(error)),
            }
            strip_newline(&mut line);
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if format == Format::Auto && !is_json(&line) {
                return Some(Err(io::Error::other(format!(
                    "line {number} is not JSON, and neither is all of it (half a document?). \
                     To send it nevertheless: --format lines, each line a message; or --format whole, \
                     all of it one"
                ))));
            }
            return Some(Ok(line));
        }
    })
}

fn strip_newline(line: &mut Vec<u8>) {
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, format: Format) -> Result<Vec<String>, String> {
        (messages(text.as_bytes(), format).unwrap())
            .map(|message| message.map(|bytes| String::from_utf8(bytes).unwrap()))
            .collect::<io::Result<_>>()
            .map_err(|error| error.to_string())
    }

    #[test]
    fn one_document_is_one_message_and_else_each_line_is() {
        let auto = |text| read(text, Format::Auto);
        let pretty = "{\n  \"a\": 1\n}\n";
        assert_eq!(auto(pretty).unwrap(), [pretty], "byte for byte");
        assert_eq!(auto("{\"a\":1}\n").unwrap(), ["{\"a\":1}\n"]);
        assert_eq!(
            auto("{\"a\":1}\r\n\n{\"a\":2}\n").unwrap(),
            ["{\"a\":1}", "{\"a\":2}"]
        );
        assert_eq!(auto("[1,\n2]").unwrap(), ["[1,\n2]"]);
        assert_eq!(auto("").unwrap(), [""; 0]);
        assert!(
            auto("{\"a\":1}\n\n{\"a\":\n")
                .unwrap_err()
                .starts_with("line 3 ")
        );
        assert!(auto("{\n\"a\": 1,\n").unwrap_err().starts_with("line 1 "));
    }

    #[test]
    fn what_is_no_json_is_sent_where_that_was_asked_for() {
        assert_eq!(read("{\n\"a\"", Format::Lines).unwrap(), ["{", "\"a\""]);
        assert_eq!(read("{\n\"a\"", Format::Whole).unwrap(), ["{\n\"a\""]);
    }
}

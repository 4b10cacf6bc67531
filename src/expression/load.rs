//! From a rules file to rules: the YAML, its bounds, and each expression, with every mistake at its line and column in the
//! file. Compiling may be slow, but it ends, and takes no more memory or stack than it may.

use std::collections::HashSet;
use std::panic::catch_unwind;

use serde::{Deserialize, Serialize};
use serde_saphyr::{Location, Spanned, UserMessageFormatter};

use super::check;
use super::tree::Bool;
use crate::record::{Field, Kind, Model};

/// Bounds of a rules file.
const MAX_FILE_BYTES: usize = 64 << 10;
const MAX_RULES: usize = 100;
const MAX_EXPRESSION_BYTES: usize = 1_024;
const MAX_ID_BYTES: usize = 64;
const MAX_MESSAGE_CHARS: usize = 500;
const MAX_MISTAKES: usize = 50;
/// How many bytes all compiled patterns of a file may take together; a real pattern takes some kilobytes.
const MAX_PATTERN_BYTES: usize = 8 << 20;
/// The stack for compiling: the parser takes some kilobytes for each level of an expression, and 1 kB of text can have hundreds
/// of levels.
const STACK_BYTES: usize = 64 << 20;

/// What is wrong in a rules file, and where, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    pub line: u64,
    pub column: u64,
    pub message: String,
}

/// One rule, ready to run.
pub struct Rule {
    pub id: String,
    pub message: String,
    /// The JSON pointer of the field it speaks of.
    pub pointer: String,
    pub expression: Bool,
}

/// One rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: Spanned<String>,
    message: Spanned<String>,
    field: Spanned<String>,
    rule: Spanned<String>,
}

/// Compiles a rules file, or says all that is wrong with it.
pub fn load(text: &str, model: &Model) -> Result<Vec<Rule>, Vec<Mistake>> {
    if text.len() > MAX_FILE_BYTES {
        return whole(format!(
            "The file is larger than {} KiB.",
            MAX_FILE_BYTES >> 10
        ));
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("rules".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || compile(text, model));
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(compiled)) => compiled,
            Ok(Err(_)) => whole("The file cannot be read; please report it."),
            Err(error) => whole(format!("No thread could be started to read it: {error}.")),
        }
    })
}

fn whole<T>(message: impl Into<String>) -> Result<T, Vec<Mistake>> {
    let message = message.into();
    Err(vec![Mistake {
        line: 1,
        column: 1,
        message,
    }])
}

fn compile(text: &str, model: &Model) -> Result<Vec<Rule>, Vec<Mistake>> {
    let written = read(text)?;
    if written.len() > MAX_RULES {
        return whole(format!(
            "There are {} rules, but no more than {MAX_RULES} are taken.",
            written.len()
        ));
    }
    let mut ids = HashSet::new();
    let mut room = MAX_PATTERN_BYTES;
    let (mut rules, mut mistakes) = (Vec::new(), Vec::new());
    for rule in &written {
        let before = mistakes.len();
        let mut wrong = |at: &Location, message: String| {
            let (line, column) = (at.line(), at.column());
            mistakes.push(Mistake {
                line,
                column,
                message,
            });
        };
        let id = rule.id.value.as_str();
        let plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        if id.is_empty() || id.len() > MAX_ID_BYTES || !id.bytes().all(plain) {
            let message = format!("An id has 1 to {MAX_ID_BYTES} characters of a-z, 0-9, _ and -.");
            wrong(&rule.id.referenced, message);
        } else if !ids.insert(id) {
            wrong(
                &rule.id.referenced,
                format!("Another rule already has the id {id}."),
            );
        }
        let message = rule.message.value.trim();
        let length = message.chars().count();
        if length == 0 || length > MAX_MESSAGE_CHARS || message.contains('\0') {
            let message = format!("A message has 1 to {MAX_MESSAGE_CHARS} characters, and no NUL.");
            wrong(&rule.message.referenced, message);
        }
        let pointer = pointer(model, &rule.field.value);
        if pointer.is_none() {
            let one = &model.one;
            let message = format!(
                "This is no field of the {one}; write payment.amount, items[].price, or {one} for the whole."
            );
            wrong(&rule.field.referenced, message);
        }
        let expression = expression(model, &rule.rule.value, &mut room).map_err(|misfit| {
            let (line, column) = place(text, &rule.rule, misfit.at);
            let message = misfit.message;
            mistakes.push(Mistake {
                line,
                column,
                message,
            });
        });
        if let (Some(pointer), Ok(expression), true) =
            (pointer, expression, mistakes.len() == before)
        {
            rules.push(Rule {
                id: id.to_owned(),
                message: message.to_owned(),
                pointer,
                expression,
            });
        }
    }
    if mistakes.is_empty() {
        return Ok(rules);
    }
    mistakes.truncate(MAX_MISTAKES);
    Err(mistakes)
}

/// Reads the YAML. Aliases are refused, since with them a small file can expand to a huge one; so are duplicate and unknown
/// keys.
fn read(text: &str) -> Result<Vec<Written>, Vec<Mistake>> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_aliases: 0,
            max_depth: 8,
            max_documents: 1,
        },
    };
    match serde_saphyr::from_str_with_options::<Option<Vec<Written>>>(text, options) {
        Ok(Some(written)) => Ok(written),
        Ok(None) => whole("The file has no list of rules; for no rules at all, write []."),
        Err(error) => {
            let (line, column) = error
                .location()
                .map_or((1, 1), |at| (at.line().max(1), at.column().max(1)));
            let message = error.render_with_formatter(&UserMessageFormatter);
            let message = message
                .rsplit_once(" at line ")
                .map_or(message.as_str(), |(message, _)| message);
            let message = format!(
                "The YAML cannot be read: {}.",
                short(message).trim_end_matches('.')
            );
            Err(vec![Mistake {
                line,
                column,
                message,
            }])
        }
    }
}

fn expression(model: &Model, source: &str, room: &mut usize) -> Result<Bool, check::Misfit> {
    let misfit = |at, message: String| Err(check::Misfit { at, message });
    if source.len() > MAX_EXPRESSION_BYTES {
        return misfit(
            0,
            format!("The expression is longer than {MAX_EXPRESSION_BYTES} bytes."),
        );
    }
    if source.trim().is_empty() {
        return misfit(0, "The expression is empty.".to_owned());
    }
    // The parser is a dependency: if it panics, the file is refused and the service goes on.
    let parsed = catch_unwind(|| cel::Env::default().parser().parse_with_source_info(source));
    let errors = match parsed {
        Ok(Ok((expression, info))) => return check::check(model, &expression, &info, room),
        Ok(Err(errors)) => errors.errors,
        Err(_) => return misfit(0, "The expression cannot be read.".to_owned()),
    };
    // One mistake causes others, so only the first is told. Its Display is not used, since it panics for wide columns.
    let error = errors
        .iter()
        .find(|error| error.msg.starts_with("Syntax error: "))
        .or(errors.first());
    let Some(error) = error else {
        return misfit(0, "The expression cannot be read.".to_owned());
    };
    let line = usize::try_from(error.pos.0 - 1).unwrap_or_default();
    let column = usize::try_from(error.pos.1 - 1).unwrap_or_default();
    let lines = source.split_inclusive('\n');
    let at = lines.clone().take(line).map(str::len).sum::<usize>();
    let at = at
        + lines
            .skip(line)
            .flat_map(str::chars)
            .take(column)
            .map(char::len_utf8)
            .sum::<usize>();
    let reason = error.msg.trim_start_matches("Syntax error: ");
    let reason = reason.split(" expecting ").next().unwrap_or_default();
    let message = if reason.contains("ecursion limit") {
        "The expression is nested too deep.".to_owned()
    } else if reason.contains("<EOF>") {
        "The expression ends too early.".to_owned()
    } else {
        format!("The expression has a mistake: {}.", short(reason))
    };
    misfit(at, message)
}

/// The JSON pointer of the field that a rule says it speaks of: `payment.amount`, or what one is called for the whole. A field
/// of a list's elements is pointed to by the list, since a rule does not say which of them it means.
fn pointer(model: &Model, path: &str) -> Option<String> {
    if path == model.one {
        return Some(String::new());
    }
    let path = match path.split_once('.') {
        Some((one, rest)) if one == model.one => rest,
        _ => path,
    };
    let mut object = &model.object;
    let mut pointer = String::new();
    // Once a list was entered, the names behind it are looked for and not written.
    let mut in_list = false;
    let mut names = path.split('.').peekable();
    while let Some(written) = names.next() {
        let name = written.strip_suffix("[]").unwrap_or(written);
        let field: &Field = object.field(name)?;
        if !in_list {
            pointer = format!("{pointer}/{name}");
        }
        let inner = match &field.value.kind {
            Kind::Object(inner) if name == written => Some(inner),
            Kind::List(list) => {
                in_list = true;
                match &list.element.kind {
                    Kind::Object(inner) => Some(inner),
                    _ => None,
                }
            }
            _ if name != written => return None,
            _ => None,
        };
        match inner {
            Some(inner) => object = inner,
            None if names.peek().is_some() => return None,
            None => {}
        }
    }
    Some(pointer)
}

/// The place in the file of the byte `at` of a rule's expression. YAML folds lines, indents, quotes and escapes, but keeps the
/// order of everything that is no white space, so the file and the expression are walked in step.
fn place(text: &str, rule: &Spanned<String>, at: usize) -> (u64, u64) {
    let start = rule.referenced.span().byte_offset().unwrap_or_default();
    let start = usize::try_from(start).unwrap_or_default();
    let source = text.get(start..).unwrap_or_default();
    let value = &rule.value;
    let mut written = source.char_indices().peekable();
    if let Some((_, quote @ ('"' | '\''))) = written.peek()
        && !value.starts_with(*quote)
    {
        written.next();
    }
    let before = value.char_indices().take_while(|(place, _)| *place <= at);
    let mut found = start;
    for (_, char) in before.filter(|(_, char)| !char.is_whitespace()) {
        match written.find(|(_, candidate)| *candidate == char) {
            Some((place, _)) => found = start + place,
            None => break,
        }
    }
    // The end of the expression is a place, too.
    if at >= value.trim_end().len() && found > start {
        found += 1;
    }
    let before = text.get(..found).unwrap_or_default();
    let line = before.matches('\n').count() as u64 + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count() as u64
        + 1;
    (line, column)
}

/// A sentence of somebody else's, shortened and without control characters.
fn short(text: &str) -> String {
    let clean = |char: char| if char.is_control() { ' ' } else { char };
    text.chars().take(200).map(clean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_points_to_a_field_that_exists() {
        let model = super::super::tests::orders();
        let good = [
            ("order", ""),
            ("order_uid", "/order_uid"),
            ("order.order_uid", "/order_uid"),
            ("payment", "/payment"),
            ("payment.amount", "/payment/amount"),
            ("items", "/items"),
            ("items[]", "/items"),
            ("items[].price", "/items"),
            ("order.items.price", "/items"),
        ];
        for (path, expected) in good {
            assert_eq!(pointer(model, path).as_deref(), Some(expected), "{path}");
        }
        for path in [
            "",
            ".",
            "nix",
            "payment.nix",
            "items[].nix",
            "payment[].amount",
            "order_uid.x",
            "items.price.x",
            "order.order",
            "payment.",
        ] {
            assert_eq!(pointer(model, path), None, "{path}");
        }
    }
}

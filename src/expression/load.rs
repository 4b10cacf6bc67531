//! From a rules file to rules: the YAML, its bounds, and each expression, with every mistake at its line and column in the
//! file. Compiling may be slow, but it ends, and takes no more memory or stack than it may.

use std::collections::HashSet;
use std::panic::catch_unwind;

use cel::common::ast::{IdedExpr, SourceInfo};
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::check;
use super::tree::{Bool, Int};
use super::yaml::{self, Mistake, place, short};
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
pub struct Written {
    id: Spanned<String>,
    message: Spanned<String>,
    field: Spanned<String>,
    rule: Spanned<String>,
}

impl Written {
    /// All that it says.
    pub fn texts(&self) -> [&str; 4] {
        [&self.id, &self.message, &self.field, &self.rule].map(|text| text.value.as_str())
    }
}

/// Compiles a rules file, or says all that is wrong with it.
pub fn load(text: &str, model: &Model) -> Result<Vec<Rule>, Vec<Mistake>> {
    if text.len() > MAX_FILE_BYTES {
        return whole(format!(
            "The file is larger than {} KiB.",
            MAX_FILE_BYTES >> 10
        ));
    }
    with_stack(|| {
        let written = yaml::read::<Vec<Written>>(text, 8)?.ok_or_else(|| {
            Mistake::whole("The file has no list of rules; for no rules at all, write [].")
        })?;
        compile(text, &written, model)
    })
}

/// Works on a thread with a large stack, which compiling needs.
pub fn with_stack<T: Send>(
    work: impl FnOnce() -> Result<T, Vec<Mistake>> + Send,
) -> Result<T, Vec<Mistake>> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("compiler".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work);
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(compiled)) => compiled,
            Ok(Err(_)) => whole("The file cannot be read; please report it."),
            Err(error) => whole(format!("No thread could be started to read it: {error}.")),
        }
    })
}

fn whole<T>(message: impl Into<String>) -> Result<T, Vec<Mistake>> {
    Err(Mistake::whole(message))
}

/// Compiles the rules of a file whose text this is.
pub fn compile(text: &str, written: &[Written], model: &Model) -> Result<Vec<Rule>, Vec<Mistake>> {
    if written.len() > MAX_RULES {
        return whole(format!(
            "There are {} rules, but no more than {MAX_RULES} are taken.",
            written.len()
        ));
    }
    let mut ids = HashSet::new();
    let mut room = MAX_PATTERN_BYTES;
    let (mut rules, mut mistakes) = (Vec::new(), Vec::new());
    for rule in written {
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
                "This is no field of the {one}; write its path (payment.amount, items.price), or {one} for the whole."
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

/// An expression that is true or false.
pub fn truth(text: &str, written: &Spanned<String>, model: &Model) -> Result<Bool, Mistake> {
    let mut room = MAX_PATTERN_BYTES;
    let expression = expression(model, &written.value, &mut room);
    expression.map_err(|misfit| misplaced(text, written, misfit))
}

/// An expression that is a whole number.
pub fn number(text: &str, written: &Spanned<String>, model: &Model) -> Result<Int, Mistake> {
    let mut room = MAX_PATTERN_BYTES;
    let parsed = parsed(&written.value, |expression, info| {
        check::check_number(model, expression, info, &mut room)
    });
    parsed.map_err(|misfit| misplaced(text, written, misfit))
}

fn misplaced(text: &str, written: &Spanned<String>, misfit: check::Misfit) -> Mistake {
    let (line, column) = place(text, written, misfit.at);
    let message = misfit.message;
    Mistake {
        line,
        column,
        message,
    }
}

fn expression(model: &Model, source: &str, room: &mut usize) -> Result<Bool, check::Misfit> {
    parsed(source, |expression, info| {
        check::check(model, expression, info, room)
    })
}

fn parsed<T>(
    source: &str,
    check: impl FnOnce(&IdedExpr, &SourceInfo) -> check::Result<T>,
) -> Result<T, check::Misfit> {
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
        Ok(Ok((expression, info))) => return check(&expression, &info),
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
    // A JSON pointer, as all others in a definition.
    if let Some(names) = path.strip_prefix('/') {
        let dotted = names.replace('/', ".");
        return pointer(model, &dotted);
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

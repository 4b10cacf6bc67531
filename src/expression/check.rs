//! The type checker: from a parsed expression to a compiled one. Every part is given its type; what is not in this language, or
//! has the wrong type, is refused with its place and a sentence. CEL itself would notice only while it evaluates, or never:
//! there, comparing a number with a text is simply false.
//!
//! It calls itself for each level of the expression, so `load` calls it on a thread with a large stack.

use cel::common::ast::{Expr, IdedExpr, LiteralValue, SourceInfo};

use super::tree::{Bool, Fraction, Int, Place, Text, Typed, Which};
use crate::record::{Kind, List, Model, Object, number};

/// Deeper expressions are refused, since they are evaluated recursively on threads with small stacks. Real rules have at most
/// ten levels.
const MAX_DEPTH: usize = 100;

/// What is wrong with an expression, and at which byte of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Misfit {
    pub at: usize,
    pub message: String,
}

pub type Result<T> = std::result::Result<T, Misfit>;

/// Checks a whole rule, which must be true or false. The size of its compiled patterns is subtracted from `room`.
pub fn check(
    model: &Model,
    expression: &IdedExpr,
    info: &SourceInfo,
    room: &mut usize,
) -> Result<Bool> {
    match Checker::new(model, info, room).typed(expression)? {
        Typed::Bool(rule) => Ok(rule),
        other => {
            let message = format!("It must be true or false, but this is {}.", other.name());
            Err(Misfit { at: 0, message })
        }
    }
}

/// Checks an expression that must be a whole number.
pub fn check_number(
    model: &Model,
    expression: &IdedExpr,
    info: &SourceInfo,
    room: &mut usize,
) -> Result<Int> {
    match Checker::new(model, info, room).typed(expression)? {
        Typed::Int(number) => Ok(number),
        other => {
            let message = format!("It must be a whole number, but this is {}.", other.name());
            Err(Misfit { at: 0, message })
        }
    }
}

pub struct Checker<'s> {
    pub model: &'s Model,
    info: &'s SourceInfo,
    /// How many bytes are left for the patterns of all rules.
    pub room: &'s mut usize,
    /// The names of the elements in the walks around this part, and the lists that they are of; the outermost first.
    pub variables: Vec<(String, &'s List)>,
    depth: usize,
    /// How many parts were checked so far, from which the cost of a loop's step is computed.
    pub parts: u64,
}

impl<'s> Checker<'s> {
    fn new(model: &'s Model, info: &'s SourceInfo, room: &'s mut usize) -> Self {
        Self {
            model,
            info,
            room,
            variables: Vec::new(),
            depth: 0,
            parts: 0,
        }
    }

    pub fn misfit<T>(&self, at: &IdedExpr, message: impl Into<String>) -> Result<T> {
        let at = self
            .info
            .offset_for(at.id)
            .map_or(0, |(start, _)| start as usize);
        let message = message.into();
        Err(Misfit { at, message })
    }

    pub fn typed(&mut self, expression: &IdedExpr) -> Result<Typed<'s>> {
        self.parts += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.misfit(
                expression,
                format!("The expression is more than {MAX_DEPTH} levels deep."),
            );
        }
        let typed = match &expression.expr {
            Expr::Literal(literal) => self.literal(expression, literal),
            Expr::Ident(name) => self.name(expression, name),
            Expr::Select(select) => {
                let owner = self.typed(&select.operand)?;
                self.select(expression, owner, &select.field)
            }
            Expr::Call(call) => self.call(expression, call),
            Expr::List(_) => self.misfit(expression, "A list can only stand after `in`."),
            Expr::Map(_) | Expr::Struct(_) => {
                self.misfit(expression, "There are no maps in rules.")
            }
            Expr::Comprehension(_) | Expr::Unspecified => {
                self.misfit(expression, "This is no part of the language.")
            }
        };
        self.depth -= 1;
        typed
    }

    fn literal(&self, at: &IdedExpr, literal: &LiteralValue) -> Result<Typed<'s>> {
        match literal {
            LiteralValue::Boolean(value) => Ok(Typed::Bool(Bool::Const(*value.inner()))),
            LiteralValue::Int(value) => Ok(Typed::Int(Int::Const(*value.inner()))),
            LiteralValue::String(value) => Ok(Typed::Text(Text::Const(value.inner().to_owned()))),
            LiteralValue::Null => self.misfit(
                at,
                "Nothing is null here: what is missing has its default, or is asked for by has(…).",
            ),
            LiteralValue::Double(value) => match self.digits(at, *value.inner()) {
                Some(digits) => Ok(Typed::Fraction(Fraction::Const(digits))),
                None => self.misfit(at, "This number cannot be read; write it as in -1.25."),
            },
            LiteralValue::UInt(_) => {
                self.misfit(at, "There is one kind of number; write 1 and not 1u.")
            }
            LiteralValue::Bytes(_) => {
                self.misfit(at, "There are no bytes here; write 'a' and not b'a'.")
            }
        }
    }

    /// A number's digits as they were written: the parser has only the nearest that 64 bits hold.
    fn digits(&self, at: &IdedExpr, nearest: f64) -> Option<String> {
        let (start, _) = self.info.offset_for(at.id)?;
        let written = self.info.source.get(start as usize..)?;
        // Of a negative number it may be the sign's place, or that of the digits.
        let written = written.trim_start_matches('-').trim_start();
        let mut before = ' ';
        let end = written.find(|char: char| {
            let is_sign = matches!(char, '+' | '-') && matches!(before, 'e' | 'E');
            before = char;
            !is_sign && !char.is_ascii_digit() && !matches!(char, '.' | 'e' | 'E')
        });
        let end = end.unwrap_or(written.len());
        let sign = if nearest.is_sign_negative() { "-" } else { "" };
        let written = format!("{sign}{}", &written[..end]);
        let is_it = written.parse::<f64>().is_ok_and(|number| number == nearest);
        let digits = is_it.then(|| number::plain(&written)).flatten()?;
        Some(digits.into_owned())
    }

    fn name(&self, at: &IdedExpr, name: &str) -> Result<Typed<'s>> {
        let one = &self.model.one;
        if name == one {
            return Ok(Typed::Object(&self.model.object, Which::Message));
        }
        let mut variables = self.variables.iter();
        match variables.rposition(|(variable, _)| variable == name) {
            Some(depth) => self.element(at, self.variables[depth].1, Which::Current(depth)),
            None => self.misfit(
                at,
                format!("`{name}` is not known; everything begins with `{one}`."),
            ),
        }
    }

    pub fn element(&self, at: &IdedExpr, list: &'s List, of: Which) -> Result<Typed<'s>> {
        match Typed::of(&list.element, None, of) {
            Some(typed) => Ok(typed),
            None => self.misfit(at, "No rule can read this: it is JSON of any shape."),
        }
    }

    fn select(&self, at: &IdedExpr, owner: Typed<'s>, name: &str) -> Result<Typed<'s>> {
        let (object, of) = match owner {
            Typed::Object(object, of) => (object, of),
            Typed::List(..) => {
                let list = self.a_list();
                let message =
                    format!("To read `{name}` of a list, go over it: {list}.all(i, i.{name} …).");
                return self.misfit(at, message);
            }
            _ => {
                return self.misfit(
                    at,
                    format!(
                        "`{name}` is asked of {}, which has no fields.",
                        owner.name()
                    ),
                );
            }
        };
        let Some(field) = object.field(name) else {
            let message = format!(
                "There is no field `{name}` here; there are {}.",
                names(object)
            );
            return self.misfit(at, message);
        };
        match Typed::of(&field.value, Some(field), of) {
            Some(typed) => Ok(typed),
            None => self.misfit(at, "No rule can read this: it is JSON of any shape."),
        }
    }

    /// Whether a field that may be missing is there.
    pub fn has(&mut self, at: &IdedExpr, field: &IdedExpr) -> Result<Typed<'s>> {
        let Expr::Select(select) = &field.expr else {
            return self.misfit(at, "`has` wants a field: has(x.y).");
        };
        let (owner, name) = (self.typed(&select.operand)?, &select.field);
        let field = match &owner {
            Typed::Object(object, of) => object.field(name).map(|field| (field, of.clone())),
            _ => None,
        };
        match field {
            Some((field, of)) if !field.is_certain() => Ok(Typed::Bool(Bool::Has(Place {
                of,
                slot: field.slot,
            }))),
            Some(_) => self.misfit(
                at,
                format!("`{name}` is always there: what is missing has its default. Compare it with that."),
            ),
            None => self.select(at, owner, name),
        }
    }

    /// A list of this model, for an example.
    pub fn a_list(&self) -> String {
        let mut fields = self.model.object.fields.iter();
        let list = fields.find(|field| matches!(field.value.kind, Kind::List(_)));
        let name = list.map_or("items", |field| field.name.as_str());
        format!("{}.{name}", self.model.one)
    }

    pub fn bool(&mut self, part: &IdedExpr, wanted_by: &str) -> Result<Bool> {
        match self.typed(part)? {
            Typed::Bool(value) => Ok(value),
            other => self.misfit(
                part,
                format!(
                    "`{wanted_by}` wants true or false, but this is {}.",
                    other.name()
                ),
            ),
        }
    }

    /// A whole number, or one that may have a fraction.
    pub fn number(&mut self, part: &IdedExpr, wanted_by: &str) -> Result<Typed<'s>> {
        match self.typed(part)? {
            number if number.is_number() => Ok(number),
            other => self.misfit(
                part,
                format!(
                    "`{wanted_by}` wants a number, but this is {}.",
                    other.name()
                ),
            ),
        }
    }

    pub fn text(&mut self, part: &IdedExpr, wanted_by: &str) -> Result<Text> {
        match self.typed(part)? {
            Typed::Text(value) => Ok(value),
            other => self.misfit(
                part,
                format!("`{wanted_by}` wants a text, but this is {}.", other.name()),
            ),
        }
    }
}

/// The names of an object's fields, to be listed if somebody mistyped one.
fn names(object: &Object) -> String {
    let names: Vec<_> = object
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    names.join(", ")
}

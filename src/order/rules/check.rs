//! The type checker: from a parsed expression to a compiled one. Every part is given its type; what is not in this language, or
//! has the wrong type, is refused with its place and a sentence. CEL itself would notice only while it evaluates, or never:
//! there, comparing a number with a text is simply false.
//!
//! It calls itself for each level of the expression, so `load` calls it on a thread with a large stack.

use cel::common::ast::{Expr, IdedExpr, LiteralValue, SourceInfo};

use super::field;
use super::tree::{Bool, Int, Loop, Text, Typed, Which};

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
pub fn check(expression: &IdedExpr, info: &SourceInfo, room: &mut usize) -> Result<Bool> {
    let mut checker = Checker {
        info,
        room,
        variable: None,
        depth: 0,
        parts: 0,
    };
    match checker.typed(expression)? {
        Typed::Bool(rule) => Ok(rule),
        other => {
            let message = format!(
                "A rule must be true or false, but this is {}.",
                other.name()
            );
            Err(Misfit { at: 0, message })
        }
    }
}

pub struct Checker<'s> {
    info: &'s SourceInfo,
    /// How many bytes are left for the patterns of all rules.
    pub room: &'s mut usize,
    /// The name of the item in the loop around this part.
    pub variable: Option<String>,
    depth: usize,
    /// How many parts were checked so far, from which the cost of a loop's step is computed.
    pub parts: u64,
}

impl Checker<'_> {
    pub fn misfit<T>(&self, at: &IdedExpr, message: impl Into<String>) -> Result<T> {
        let at = self
            .info
            .offset_for(at.id)
            .map_or(0, |(start, _)| start as usize);
        let message = message.into();
        Err(Misfit { at, message })
    }

    pub fn typed(&mut self, expression: &IdedExpr) -> Result<Typed> {
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

    fn literal(&self, at: &IdedExpr, literal: &LiteralValue) -> Result<Typed> {
        match literal {
            LiteralValue::Boolean(value) => Ok(Typed::Bool(Bool::Const(*value.inner()))),
            LiteralValue::Int(value) => Ok(Typed::Int(Int::Const(*value.inner()))),
            LiteralValue::String(value) => Ok(Typed::Text(Text::Const(value.inner().to_owned()))),
            LiteralValue::Null => self.misfit(
                at,
                "Nothing in an order is null: what is missing is \"\" or 0.",
            ),
            LiteralValue::Double(_) => self.misfit(
                at,
                "The numbers of an order are whole; write 1 and not 1.0.",
            ),
            LiteralValue::UInt(_) => {
                self.misfit(at, "There is one kind of number; write 1 and not 1u.")
            }
            LiteralValue::Bytes(_) => self.misfit(
                at,
                "There are no bytes in an order; write 'a' and not b'a'.",
            ),
        }
    }

    fn name(&self, at: &IdedExpr, name: &str) -> Result<Typed> {
        if name == "order" {
            Ok(Typed::Order)
        } else if self.variable.as_deref() == Some(name) {
            Ok(Typed::Item(Which::Current))
        } else {
            self.misfit(
                at,
                format!("`{name}` is not known; everything begins with `order`."),
            )
        }
    }

    fn select(&self, at: &IdedExpr, owner: Typed, name: &str) -> Result<Typed> {
        let (found, section) = match &owner {
            Typed::Order => match name {
                "items" => (Some(Typed::Items(Loop::default())), ""),
                "delivery" => (Some(Typed::Section("delivery")), ""),
                "payment" => (Some(Typed::Section("payment")), ""),
                _ => (field::of_order(name).map(Typed::from), ""),
            },
            Typed::Section(section) => {
                let path = format!("{section}.{name}");
                (field::of_order(&path).map(Typed::from), *section)
            }
            Typed::Item(which) => (
                field::of_item(name).map(|field| Typed::from((*which, field))),
                "items",
            ),
            Typed::Items(_) => {
                let message = format!(
                    "To read `{name}` of the items, go over them: order.items.all(i, i.{name} …)."
                );
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
        match found {
            Some(typed) => Ok(typed),
            None => {
                let names = field::names(section);
                self.misfit(
                    at,
                    format!("There is no field `{name}` here; there are {names}."),
                )
            }
        }
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

    pub fn int(&mut self, part: &IdedExpr, wanted_by: &str) -> Result<Int> {
        match self.typed(part)? {
            Typed::Int(value) => Ok(value),
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

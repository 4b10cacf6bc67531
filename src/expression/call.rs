//! The checker's second half: operators and functions. It is the list of what the language has; docs/rules.md shows it to
//! users.

use cel::common::ast::{CallExpr, Expr, IdedExpr, operators};

use super::check::{Checker, Result};
use super::tree::{
    Arithmetic, Bool, Compare, Exact, Fraction, Int, MAX_WALKS, Text, TextTest, Typed, Which,
};
use crate::record::Pattern;

impl<'s> Checker<'s> {
    pub fn call(&mut self, at: &IdedExpr, call: &CallExpr) -> Result<Typed<'s>> {
        let name = call.func_name.as_str();
        let compare = match name {
            operators::EQUALS => Some(Compare::Equal),
            operators::NOT_EQUALS => Some(Compare::NotEqual),
            operators::LESS => Some(Compare::Less),
            operators::LESS_EQUALS => Some(Compare::LessOrEqual),
            operators::GREATER => Some(Compare::Greater),
            operators::GREATER_EQUALS => Some(Compare::GreaterOrEqual),
            _ => None,
        };
        let arithmetic = match name {
            operators::ADD => Some(Arithmetic::Add),
            operators::SUBSTRACT => Some(Arithmetic::Subtract),
            operators::MULTIPLY => Some(Arithmetic::Multiply),
            operators::DIVIDE => Some(Arithmetic::Divide),
            operators::MODULO => Some(Arithmetic::Remainder),
            _ => None,
        };
        if let [left, right] = call.args.as_slice() {
            if let Some(compare) = compare {
                return self.compare(at, compare, left, right);
            }
            if let Some(arithmetic) = arithmetic {
                return self.reckon(at, arithmetic, left, right);
            }
        }
        match (name, call.target.as_deref(), call.args.as_slice()) {
            (operators::LOGICAL_AND, None, [left, right]) => {
                let both = Box::new((self.bool(left, "&&")?, self.bool(right, "&&")?));
                Ok(Typed::Bool(Bool::And(both)))
            }
            (operators::LOGICAL_OR, None, [left, right]) => {
                let both = Box::new((self.bool(left, "||")?, self.bool(right, "||")?));
                Ok(Typed::Bool(Bool::Or(both)))
            }
            (operators::LOGICAL_NOT, None, [inner]) => {
                let inner = Box::new(self.bool(inner, "!")?);
                Ok(Typed::Bool(Bool::Not(inner)))
            }
            (operators::NEGATE, None, [inner]) => match self.number(inner, "-")? {
                Typed::Fraction(inner) => Ok(Typed::Fraction(Fraction::Negative(Box::new(inner)))),
                Typed::Int(inner) => Ok(Typed::Int(Int::Negative(Box::new(inner)))),
                other => Ok(other),
            },
            (operators::CONDITIONAL, None, [condition, yes, no]) => {
                self.conditional(at, condition, yes, no)
            }
            (operators::IN, None, [needle, list]) => self.is_in(at, needle, list),
            (operators::INDEX, None, [list, index]) => self.index(at, list, index),
            ("size", None, [inner]) | ("size", Some(inner), []) => match self.typed(inner)? {
                Typed::Text(text) => Ok(Typed::Int(Int::Length(text))),
                Typed::List(items, _) => Ok(Typed::Int(Int::Count(items))),
                other => self.misfit(
                    at,
                    format!(
                        "`size` counts a text or a list, but this is {}.",
                        other.name()
                    ),
                ),
            },
            ("has", None, [field]) => self.has(at, field),
            ("matches", Some(text), [pattern]) => self.matches(at, text, pattern),
            ("startsWith", Some(text), [part]) => self.test(TextTest::StartsWith, name, text, part),
            ("endsWith", Some(text), [part]) => self.test(TextTest::EndsWith, name, text, part),
            ("contains", Some(text), [part]) => self.test(TextTest::Contains, name, text, part),
            ("sum", Some(target), []) => match &target.expr {
                // The way Kubernetes writes it.
                Expr::Call(CallExpr {
                    func_name,
                    target: Some(list),
                    args,
                }) if func_name == "map" => match args.as_slice() {
                    [variable, each] => self.over(at, "sum", list, variable, each),
                    _ => self.unknown(at, call),
                },
                _ => self.unknown(at, call),
            },
            (
                "all" | "exists" | "exists_one" | "existsOne" | "filter" | "sum",
                Some(list),
                [variable, each],
            ) => self.over(at, name, list, variable, each),
            _ => self.unknown(at, call),
        }
    }

    fn unknown(&self, at: &IdedExpr, call: &CallExpr) -> Result<Typed<'s>> {
        let name = &call.func_name;
        let list = self.a_list();
        let message = match name.as_str() {
            "map" => format!("`map` is known only as {list}.map(i, …).sum()."),
            "all" | "exists" | "exists_one" | "existsOne" | "filter" | "sum" => {
                format!("`{name}` is written {list}.{name}(i, …).")
            }
            "matches" | "startsWith" | "endsWith" | "contains" => {
                format!("`{name}` is written {}.entry.{name}('…').", self.model.one)
            }
            _ => format!(
                "There is no function `{name}`; there are all, exists, exists_one, filter, sum, size, has, matches, \
                 startsWith, endsWith, contains."
            ),
        };
        self.misfit(at, message)
    }

    fn test(
        &mut self,
        test: TextTest,
        name: &str,
        text: &IdedExpr,
        part: &IdedExpr,
    ) -> Result<Typed<'s>> {
        let both = Box::new((self.text(text, name)?, self.text(part, name)?));
        Ok(Typed::Bool(Bool::Test(test, both)))
    }

    fn matches(&mut self, at: &IdedExpr, text: &IdedExpr, pattern: &IdedExpr) -> Result<Typed<'s>> {
        let text = self.text(text, "matches")?;
        let Text::Const(source) = self.text(pattern, "matches")? else {
            return self.misfit(at, "`matches` wants its pattern written out: '^[0-9]+$'.");
        };
        // A pattern that is refused takes as long to compile as the largest allowed. So it uses up the room, too, or a file full of
        // such patterns would take many seconds.
        if *self.room == 0 {
            return self.misfit(
                pattern,
                "The patterns before it are mistaken or too large; mend those first.",
            );
        }
        match Pattern::compile(&source) {
            Ok(compiled) => match self.room.checked_sub(compiled.size()) {
                Some(left) => {
                    *self.room = left;
                    Ok(Typed::Bool(Bool::Matches(text, Box::new(compiled))))
                }
                None => {
                    *self.room = 0;
                    self.misfit(pattern, "All patterns together grow too large.")
                }
            },
            Err(message) => {
                *self.room = self.room.saturating_sub(Pattern::MAX_BYTES);
                self.misfit(pattern, message)
            }
        }
    }

    fn compare(
        &mut self,
        at: &IdedExpr,
        compare: Compare,
        left: &IdedExpr,
        right: &IdedExpr,
    ) -> Result<Typed<'s>> {
        let (left, right) = (self.typed(left)?, self.typed(right)?);
        let (left_name, right_name) = (left.name(), right.name());
        let comparison = match (compare, left, right) {
            (_, Typed::Int(left), Typed::Int(right)) => {
                Bool::Ints(compare, Box::new((left, right)))
            }
            (_, left, right) if left.is_number() && right.is_number() => {
                Bool::Fractions(compare, Box::new(self.fractions(at, left, right)?))
            }
            (_, Typed::Text(left), Typed::Text(right)) => {
                Bool::Texts(compare, Box::new((left, right)))
            }
            (Compare::Equal, Typed::Bool(left), Typed::Bool(right)) => {
                Bool::Same(Box::new((left, right)))
            }
            (Compare::NotEqual, Typed::Bool(left), Typed::Bool(right)) => {
                Bool::Not(Box::new(Bool::Same(Box::new((left, right)))))
            }
            _ => {
                let left_name = capital(left_name);
                return self.misfit(
                    at,
                    format!("{left_name} and {right_name} cannot be compared so."),
                );
            }
        };
        Ok(Typed::Bool(comparison))
    }

    fn reckon(
        &mut self,
        at: &IdedExpr,
        operation: Arithmetic,
        left: &IdedExpr,
        right: &IdedExpr,
    ) -> Result<Typed<'s>> {
        let (left, right) = match (self.typed(left)?, self.typed(right)?) {
            (Typed::Int(left), Typed::Int(right)) => {
                let both = Box::new((left, right));
                return Ok(Typed::Int(Int::Arithmetic(operation, both)));
            }
            both => both,
        };
        if !left.is_number() || !right.is_number() {
            let message = "Only numbers can be reckoned with, but here are";
            return self.misfit(
                at,
                format!("{message} {} and {}.", left.name(), right.name()),
            );
        }
        let exact = match operation {
            Arithmetic::Add => Exact::Add,
            Arithmetic::Subtract => Exact::Subtract,
            Arithmetic::Multiply => Exact::Multiply,
            Arithmetic::Divide | Arithmetic::Remainder => {
                return self.misfit(
                    at,
                    "Numbers with a fraction are not divided, since what comes of it may have no end: instead of a / b > c write \
                     a > b * c.",
                );
            }
        };
        let both = Box::new(self.fractions(at, left, right)?);
        Ok(Typed::Fraction(Fraction::Arithmetic(exact, both)))
    }

    /// Two numbers, of which one at least may have a fraction.
    fn fractions(
        &self,
        at: &IdedExpr,
        left: Typed<'s>,
        right: Typed<'s>,
    ) -> Result<(Fraction, Fraction)> {
        match (left.fraction(), right.fraction()) {
            (Ok(left), Ok(right)) => Ok((left, right)),
            (Err(other), _) | (_, Err(other)) => self.misfit(
                at,
                format!("A number is wanted, but here is {}.", other.name()),
            ),
        }
    }

    fn conditional(
        &mut self,
        at: &IdedExpr,
        condition: &IdedExpr,
        yes: &IdedExpr,
        no: &IdedExpr,
    ) -> Result<Typed<'s>> {
        let condition = self.bool(condition, "?")?;
        match (self.typed(yes)?, self.typed(no)?) {
            (Typed::Bool(yes), Typed::Bool(no)) => {
                Ok(Typed::Bool(Bool::If(Box::new((condition, yes, no)))))
            }
            (Typed::Int(yes), Typed::Int(no)) => {
                Ok(Typed::Int(Int::If(Box::new((condition, yes, no)))))
            }
            (yes, no) if yes.is_number() && no.is_number() => {
                let (yes, no) = self.fractions(at, yes, no)?;
                Ok(Typed::Fraction(Fraction::If(Box::new((
                    condition, yes, no,
                )))))
            }
            (Typed::Text(yes), Typed::Text(no)) => {
                Ok(Typed::Text(Text::If(Box::new((condition, yes, no)))))
            }
            (yes, no) => {
                let message =
                    "Both outcomes of `? :` must be truths, numbers or texts, but here are";
                self.misfit(at, format!("{message} {} and {}.", yes.name(), no.name()))
            }
        }
    }

    fn is_in(&mut self, at: &IdedExpr, needle: &IdedExpr, list: &IdedExpr) -> Result<Typed<'s>> {
        let Expr::List(list) = &list.expr else {
            return self.misfit(at, "`in` wants a list that is written out: ['a', 'b'].");
        };
        let needle = self.typed(needle)?;
        if !needle.is_number() && !matches!(needle, Typed::Text(_)) {
            let message = "`in` wants a number or a text before it, but this is";
            return self.misfit(at, format!("{message} {}.", needle.name()));
        }
        let (mut ints, mut texts, mut fractions) = (Vec::new(), Vec::new(), Vec::new());
        for element in &list.elements {
            match (&needle, self.typed(element)?) {
                (Typed::Text(_), Typed::Text(Text::Const(value))) => texts.push(value),
                (Typed::Int(_) | Typed::Fraction(_), Typed::Int(Int::Const(value))) => {
                    ints.push(value);
                }
                (Typed::Int(_) | Typed::Fraction(_), Typed::Fraction(Fraction::Const(value))) => {
                    fractions.push(value);
                }
                (
                    _,
                    Typed::Int(Int::Const(_))
                    | Typed::Fraction(Fraction::Const(_))
                    | Typed::Text(Text::Const(_)),
                ) => {
                    let message = "is looked for in this list, but this is not one.";
                    return self.misfit(element, format!("{} {message}", capital(needle.name())));
                }
                _ => {
                    let message =
                        "After `in` only numbers and texts that are written out can stand.";
                    return self.misfit(element, message);
                }
            }
        }
        Ok(Typed::Bool(match needle {
            Typed::Int(needle) if fractions.is_empty() => Bool::IntIn(needle, ints),
            Typed::Text(needle) => Bool::TextIn(needle, texts),
            number => {
                fractions.extend(ints.iter().map(i64::to_string));
                number
                    .fraction()
                    .map_or(Bool::Const(false), |it| Bool::FractionIn(it, fractions))
            }
        }))
    }

    fn index(&mut self, at: &IdedExpr, list: &IdedExpr, index: &IdedExpr) -> Result<Typed<'s>> {
        match (self.typed(list)?, self.typed(index)?) {
            (Typed::List(items, list), Typed::Int(Int::Const(index)))
                if items.filters.is_empty() =>
            {
                match usize::try_from(index) {
                    Ok(index) => self.element(at, list, Which::At(Box::new(items.walk), index)),
                    Err(_) => {
                        self.misfit(at, format!("The first element is {}[0].", self.a_list()))
                    }
                }
            }
            _ => self.misfit(at, format!("`[ ]` is known only as {}[0].", self.a_list())),
        }
    }

    /// One of the functions that go over a list.
    fn over(
        &mut self,
        at: &IdedExpr,
        name: &str,
        list: &IdedExpr,
        variable: &IdedExpr,
        each: &IdedExpr,
    ) -> Result<Typed<'s>> {
        let Typed::List(mut items, of) = self.typed(list)? else {
            return self.misfit(
                at,
                format!("`{name}` goes over lists only: {}.", self.a_list()),
            );
        };
        let Expr::Ident(variable) = &variable.expr else {
            return self.misfit(
                variable,
                format!(
                    "`{name}` wants a name for the element first: {}.{name}(i, …).",
                    self.a_list()
                ),
            );
        };
        let one = &self.model.one;
        if variable == one {
            let message = format!("The element needs a name of its own; `{one}` is taken.");
            return self.misfit(at, message);
        }
        let depth = self.variables.len();
        // A list of the whole message, walked for each element of another, would cost the square of a message's size.
        if depth > 0 && !items.walk.of.is_walked() {
            return self.misfit(
                at,
                "One walk over a list cannot stand inside another, unless it is over a list of the element.",
            );
        }
        if depth == MAX_WALKS {
            return self.misfit(
                at,
                format!("Walks over lists nest {MAX_WALKS} deep at most."),
            );
        }
        items.depth = depth;
        self.variables.push((variable.clone(), of));
        let before = self.parts;
        let each = if name == "sum" {
            self.number(each, name)
        } else {
            self.bool(each, name).map(Typed::Bool)
        };
        self.variables.pop();
        items.cost += self.parts - before + 1;
        Ok(match (name, each?) {
            ("filter", Typed::Bool(each)) => {
                items.filters.push(each);
                Typed::List(items, of)
            }
            ("all", Typed::Bool(each)) => Typed::Bool(Bool::All(Box::new((items, each)))),
            ("exists", Typed::Bool(each)) => Typed::Bool(Bool::Exists(Box::new((items, each)))),
            (_, Typed::Bool(each)) => Typed::Bool(Bool::ExistsOne(Box::new((items, each)))),
            (_, Typed::Int(each)) => Typed::Int(Int::Sum(Box::new((items, each)))),
            (_, Typed::Fraction(each)) => Typed::Fraction(Fraction::Sum(Box::new((items, each)))),
            (_, other) => {
                return self.misfit(at, format!("`{name}` cannot be of {}.", other.name()));
            }
        })
    }
}

/// The name of a type at the beginning of a sentence.
fn capital(name: &str) -> String {
    let (first, rest) = name.split_at(name.len().min(1));
    first.to_uppercase() + rest
}

//! A compiled rule: an expression tree in which every part has a known type, evaluated over one record; only what is reckoned
//! with fractions allocates. `check` builds it, so evaluation can meet no wrong type and no unknown field. What can still go
//! wrong depends on the message (`Failure`), and its cost is bounded (`FUEL`).

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;

use super::decimal;
use crate::record::{Field, Kind, List, Object, Pattern, Record, Row, Slot, Value, number};

/// Why a rule could not be evaluated for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("its numbers grow past 64 bits")]
    Overflow,
    #[error("its fractions grow past 38 digits")]
    TooManyDigits,
    #[error("it divides by zero")]
    DivisionByZero,
    #[error("it asks for an item that is not there")]
    NoSuchItem,
    #[error("it reads a field that is not there")]
    NotThere,
    #[error("the message is too large for it")]
    TooCostly,
}

type Result<T> = std::result::Result<T, Failure>;

/// How much one rule may do for one message, counted in parts of the expression and bytes of text; it takes some milliseconds. A
/// real message needs a ten-thousandth of it.
const FUEL: u64 = 1_000_000;

/// How deep walks over lists nest: a list, a list in its elements, a list in those.
pub const MAX_WALKS: usize = 3;

/// What a rule is evaluated over.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    record: &'a Record<'a>,
    /// The current element of each walk that this is in, the outermost first.
    elements: [Row; MAX_WALKS],
    fuel: &'a Cell<u64>,
}

impl<'a> Scope<'a> {
    fn of(record: &'a Record<'a>, fuel: &'a Cell<u64>) -> Self {
        Self {
            record,
            elements: [Row::ROOT; MAX_WALKS],
            fuel,
        }
    }

    fn spend(&self, cost: u64) -> Result<()> {
        let left = self
            .fuel
            .get()
            .checked_sub(cost)
            .ok_or(Failure::TooCostly)?;
        self.fuel.set(left);
        Ok(())
    }
}

/// An expression that is true or false.
pub enum Bool {
    Const(bool),
    Not(Box<Bool>),
    And(Box<(Bool, Bool)>),
    Or(Box<(Bool, Bool)>),
    If(Box<(Bool, Bool, Bool)>),
    Same(Box<(Bool, Bool)>),
    Ints(Compare, Box<(Int, Int)>),
    Fractions(Compare, Box<(Fraction, Fraction)>),
    Texts(Compare, Box<(Text, Text)>),
    Test(TextTest, Box<(Text, Text)>),
    Matches(Text, Box<Pattern>),
    Field(Place),
    /// Whether a field that may be missing is there.
    Has(Place),
    IntIn(Int, Vec<i64>),
    FractionIn(Fraction, Vec<String>),
    TextIn(Text, Vec<String>),
    All(Box<(Loop, Bool)>),
    Exists(Box<(Loop, Bool)>),
    ExistsOne(Box<(Loop, Bool)>),
}

/// An expression that is a whole number.
pub enum Int {
    Const(i64),
    Field(Place),
    Negative(Box<Int>),
    Arithmetic(Arithmetic, Box<(Int, Int)>),
    If(Box<(Bool, Int, Int)>),
    Length(Text),
    Count(Loop),
    Sum(Box<(Loop, Int)>),
}

/// An expression that is a number which may have a fraction. Its value is the digits, written plainly, so nothing is rounded.
pub enum Fraction {
    Const(String),
    Field(Place),
    /// A whole number that stands beside one with a fraction.
    Whole(Int),
    Negative(Box<Fraction>),
    /// Not of division, whose outcome may have no end.
    Arithmetic(Exact, Box<(Fraction, Fraction)>),
    If(Box<(Bool, Fraction, Fraction)>),
    Sum(Box<(Loop, Fraction)>),
}

/// An expression that is a text.
pub enum Text {
    Const(String),
    Field(Place),
    If(Box<(Bool, Text, Text)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// What is exact for numbers with a fraction, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exact {
    Add,
    Subtract,
    Multiply,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

/// Where a field stands in a record.
#[derive(Debug, Clone)]
pub struct Place {
    pub of: Which,
    pub slot: usize,
}

/// What a field is of.
#[derive(Debug, Clone)]
pub enum Which {
    Message,
    /// The current element of a walk, by the number of walks around that one.
    Current(usize),
    /// The element of a list, by its number.
    At(Box<Walk>, usize),
}

impl Which {
    /// Whether it is in an element that a walk has come to.
    pub fn is_walked(&self) -> bool {
        match self {
            Which::Message => false,
            Which::Current(_) => true,
            Which::At(walk, _) => walk.of.is_walked(),
        }
    }
}

/// A list of the message, or of an element of another list.
#[derive(Debug, Clone)]
pub struct Walk {
    pub of: Which,
    slot: usize,
    number: usize,
    width: usize,
}

/// A walk over the elements of a list, or those of them that pass the filters.
pub struct Loop {
    pub walk: Walk,
    /// How many walks are around it.
    pub depth: usize,
    pub filters: Vec<Bool>,
    /// What one step costs: the parts of the filters and of what is done for each element.
    pub cost: u64,
}

impl Bool {
    /// Whether the message is as the expression wants it.
    pub fn run(&self, record: &Record<'_>) -> Result<bool> {
        let fuel = Cell::new(FUEL);
        self.eval(&Scope::of(record, &fuel))
    }
}

impl Int {
    /// The number that the expression has for the message.
    pub fn run(&self, record: &Record<'_>) -> Result<i64> {
        let fuel = Cell::new(FUEL);
        self.eval(&Scope::of(record, &fuel))
    }
}

impl Bool {
    fn eval<'a>(&'a self, scope: &Scope<'a>) -> Result<bool> {
        match self {
            Bool::Const(value) => Ok(*value),
            Bool::Not(inner) => inner.eval(scope).map(|value| !value),
            Bool::And(both) => settle(false, both.0.eval(scope), || both.1.eval(scope)),
            Bool::Or(both) => settle(true, both.0.eval(scope), || both.1.eval(scope)),
            Bool::If(parts) => match parts.0.eval(scope)? {
                true => parts.1.eval(scope),
                false => parts.2.eval(scope),
            },
            Bool::Same(both) => Ok(both.0.eval(scope)? == both.1.eval(scope)?),
            Bool::Ints(compare, both) => {
                Ok(compare.holds(both.0.eval(scope)?, both.1.eval(scope)?))
            }
            Bool::Fractions(compare, both) => {
                let (left, right) = (both.0.eval(scope)?, both.1.eval(scope)?);
                let order = number::compare(&left, &right);
                Ok(compare.holds(order, Ordering::Equal))
            }
            Bool::Texts(compare, both) => {
                let (left, right) = texts(both, scope)?;
                Ok(compare.holds(left, right))
            }
            Bool::Test(test, both) => {
                let (text, part) = texts(both, scope)?;
                Ok(match test {
                    TextTest::StartsWith => text.starts_with(part),
                    TextTest::EndsWith => text.ends_with(part),
                    TextTest::Contains => text.contains(part),
                })
            }
            Bool::Matches(text, pattern) => {
                let text = text.eval(scope)?;
                scope.spend(text.len() as u64)?;
                Ok(pattern.is_match(text))
            }
            Bool::Field(place) => match place.find(scope)? {
                Slot::Truth(truth) => Ok(*truth),
                _ => Err(Failure::NotThere),
            },
            Bool::Has(place) => Ok(*place.find(scope)? != Slot::Absent),
            Bool::IntIn(int, list) => Ok(list.contains(&int.eval(scope)?)),
            Bool::FractionIn(fraction, list) => {
                let fraction = fraction.eval(scope)?;
                let is_it = |entry: &String| number::compare(&fraction, entry).is_eq();
                Ok(list.iter().any(is_it))
            }
            Bool::TextIn(text, list) => {
                let text = text.eval(scope)?;
                Ok(list.iter().any(|entry| entry == text))
            }
            Bool::All(parts) => parts.0.first(scope, &parts.1, false).map(|found| !found),
            Bool::Exists(parts) => parts.0.first(scope, &parts.1, true),
            Bool::ExistsOne(parts) => {
                let mut count = 0_u64;
                parts.0.each(scope, |scope| {
                    count += u64::from(parts.1.eval(scope)?);
                    Ok(true)
                })?;
                Ok(count == 1)
            }
        }
    }
}

impl Int {
    fn eval<'a>(&'a self, scope: &Scope<'a>) -> Result<i64> {
        match self {
            Int::Const(value) => Ok(*value),
            Int::Field(place) => match place.find(scope)? {
                Slot::Whole(number) => Ok(*number),
                _ => Err(Failure::NotThere),
            },
            Int::Negative(inner) => inner.eval(scope)?.checked_neg().ok_or(Failure::Overflow),
            Int::Arithmetic(operation, both) => {
                operation.apply(both.0.eval(scope)?, both.1.eval(scope)?)
            }
            Int::If(parts) => match parts.0.eval(scope)? {
                true => parts.1.eval(scope),
                false => parts.2.eval(scope),
            },
            Int::Length(text) => {
                let text = text.eval(scope)?;
                scope.spend(text.len() as u64 / 8)?;
                count(text.chars().count())
            }
            Int::Count(items) if items.filters.is_empty() => count(items.walk.count(scope)?),
            Int::Count(items) => {
                let mut found = 0;
                items.each(scope, |_| {
                    found += 1;
                    Ok(true)
                })?;
                count(found)
            }
            Int::Sum(parts) => {
                let mut sum = 0_i64;
                parts.0.each(scope, |scope| {
                    sum = Arithmetic::Add.apply(sum, parts.1.eval(scope)?)?;
                    Ok(true)
                })?;
                Ok(sum)
            }
        }
    }
}

impl Fraction {
    fn eval<'a>(&'a self, scope: &Scope<'a>) -> Result<Cow<'a, str>> {
        match self {
            Fraction::Const(value) => Ok(Cow::Borrowed(value)),
            Fraction::Field(place) => match place.find(scope)? {
                Slot::Number(digits) => {
                    scope.spend(digits.len() as u64 / 8)?;
                    Ok(Cow::Borrowed(digits))
                }
                _ => Err(Failure::NotThere),
            },
            Fraction::Whole(int) => Ok(Cow::Owned(int.eval(scope)?.to_string())),
            Fraction::Negative(inner) => Ok(Cow::Owned(decimal::negative(&inner.eval(scope)?))),
            Fraction::Arithmetic(operation, both) => {
                operation.apply(&both.0.eval(scope)?, &both.1.eval(scope)?)
            }
            Fraction::If(parts) => match parts.0.eval(scope)? {
                true => parts.1.eval(scope),
                false => parts.2.eval(scope),
            },
            Fraction::Sum(parts) => {
                let mut sum = Cow::Borrowed("0");
                parts.0.each(scope, |scope| {
                    sum = Exact::Add.apply(&sum, &parts.1.eval(scope)?)?;
                    Ok(true)
                })?;
                Ok(sum)
            }
        }
    }
}

impl Text {
    fn eval<'a>(&'a self, scope: &Scope<'a>) -> Result<&'a str> {
        match self {
            Text::Const(value) => Ok(value),
            Text::Field(place) => match place.find(scope)? {
                Slot::Text(text) => Ok(text),
                _ => Err(Failure::NotThere),
            },
            Text::If(parts) => match parts.0.eval(scope)? {
                true => parts.1.eval(scope),
                false => parts.2.eval(scope),
            },
        }
    }
}

impl Loop {
    /// Calls `what` for every element that passes the filters, until it answers false.
    fn each<'a>(
        &'a self,
        scope: &Scope<'a>,
        mut what: impl FnMut(&Scope<'a>) -> Result<bool>,
    ) -> Result<()> {
        for index in 0..self.walk.count(scope)? {
            scope.spend(self.cost)?;
            let mut scope = *scope;
            let element = self.walk.element(&scope, index)?;
            // The checker lets no walk be deeper.
            if let Some(current) = scope.elements.get_mut(self.depth) {
                *current = element;
            }
            let mut passes = true;
            for filter in &self.filters {
                passes = passes && filter.eval(&scope)?;
            }
            if passes && !what(&scope)? {
                break;
            }
        }
        Ok(())
    }

    /// Whether the condition is `wanted` for any element. As CEL wants it, one such element outweighs failures for others.
    fn first<'a>(&'a self, scope: &Scope<'a>, condition: &'a Bool, wanted: bool) -> Result<bool> {
        let mut outcome = Ok(false);
        self.each(scope, |scope| {
            match condition.eval(scope) {
                Ok(value) if value == wanted => outcome = Ok(true),
                Ok(_) => {}
                Err(Failure::TooCostly) => return Err(Failure::TooCostly),
                Err(failure) => outcome = Err(failure),
            }
            Ok(outcome != Ok(true))
        })?;
        outcome
    }
}

impl Walk {
    fn count(&self, scope: &Scope<'_>) -> Result<usize> {
        Ok(scope.record.count(self.of.row(scope)?, self.slot))
    }

    fn element(&self, scope: &Scope<'_>, index: usize) -> Result<Row> {
        let of = self.of.row(scope)?;
        let row = scope
            .record
            .element(of, self.slot, self.number, self.width, index);
        row.ok_or(Failure::NoSuchItem)
    }
}

impl Which {
    fn row(&self, scope: &Scope<'_>) -> Result<Row> {
        match self {
            Which::Message => Ok(Row::ROOT),
            Which::Current(depth) => scope
                .elements
                .get(*depth)
                .copied()
                .ok_or(Failure::NoSuchItem),
            Which::At(walk, index) => walk.element(scope, *index),
        }
    }
}

impl Place {
    fn find<'a>(&self, scope: &Scope<'a>) -> Result<&'a Slot<'a>> {
        Ok(scope.record.slot(self.of.row(scope)?, self.slot))
    }
}

impl Compare {
    fn holds<T: Ord>(self, left: T, right: T) -> bool {
        match self {
            Compare::Equal => left == right,
            Compare::NotEqual => left != right,
            Compare::Less => left < right,
            Compare::LessOrEqual => left <= right,
            Compare::Greater => left > right,
            Compare::GreaterOrEqual => left >= right,
        }
    }
}

impl Arithmetic {
    fn apply(self, left: i64, right: i64) -> Result<i64> {
        if right == 0 && matches!(self, Arithmetic::Divide | Arithmetic::Remainder) {
            return Err(Failure::DivisionByZero);
        }
        match self {
            Arithmetic::Add => left.checked_add(right),
            Arithmetic::Subtract => left.checked_sub(right),
            Arithmetic::Multiply => left.checked_mul(right),
            Arithmetic::Divide => left.checked_div(right),
            Arithmetic::Remainder => left.checked_rem(right),
        }
        .ok_or(Failure::Overflow)
    }
}

impl Exact {
    fn apply<'a>(self, left: &str, right: &str) -> Result<Cow<'a, str>> {
        match self {
            Exact::Add => decimal::add(left, right),
            Exact::Subtract => decimal::subtract(left, right),
            Exact::Multiply => decimal::multiply(left, right),
        }
        .map(Cow::Owned)
        .ok_or(Failure::TooManyDigits)
    }
}

/// A part of an expression with its type.
pub enum Typed<'m> {
    Bool(Bool),
    Int(Int),
    Fraction(Fraction),
    Text(Text),
    List(Loop, &'m List),
    /// The message, an object in it, or an element of a list.
    Object(&'m Object, Which),
}

impl<'m> Typed<'m> {
    pub fn name(&self) -> &'static str {
        match self {
            Typed::Bool(_) => "a truth",
            Typed::Int(_) => "a number",
            Typed::Fraction(_) => "a number that may have a fraction",
            Typed::Text(_) => "a text",
            Typed::List(..) => "a list",
            Typed::Object(..) => "an object",
        }
    }

    /// A value of the message; none for any JSON, which no rule can read.
    pub fn of(value: &'m Value, field: Option<&'m Field>, of: Which) -> Option<Self> {
        // What an element itself is stands in the only slot of its row.
        let slot = field.map_or(0, |field| field.slot);
        let place = Place { of, slot };
        Some(match &value.kind {
            Kind::Text(_) => Self::Text(Text::Field(place)),
            Kind::Whole(_) => Self::Int(Int::Field(place)),
            Kind::Number(_) => Self::Fraction(Fraction::Field(place)),
            Kind::Truth => Self::Bool(Bool::Field(place)),
            Kind::Object(object) => Self::Object(object, place.of),
            Kind::List(list) => {
                let walk = Walk {
                    of: place.of,
                    slot,
                    number: list.number,
                    width: list.width,
                };
                let all = Loop {
                    walk,
                    depth: 0,
                    filters: Vec::new(),
                    cost: 0,
                };
                Self::List(all, list)
            }
            Kind::Any => return None,
        })
    }

    /// A number, as one that may have a fraction.
    pub fn fraction(self) -> std::result::Result<Fraction, Self> {
        match self {
            Typed::Int(int) => Ok(Fraction::Whole(int)),
            Typed::Fraction(fraction) => Ok(fraction),
            other => Err(other),
        }
    }

    pub fn is_number(&self) -> bool {
        matches!(self, Typed::Int(_) | Typed::Fraction(_))
    }
}

/// `&&` (where false settles it) or `||` (where true does): as CEL wants it, what settles it outweighs a failure on the
/// other side, whichever side that is.
fn settle(
    settling: bool,
    left: Result<bool>,
    right: impl FnOnce() -> Result<bool>,
) -> Result<bool> {
    match left {
        Ok(value) if value == settling => left,
        Ok(_) => right(),
        Err(Failure::TooCostly) => left,
        Err(_) => match right() {
            Ok(value) if value == settling => Ok(value),
            Err(Failure::TooCostly) => Err(Failure::TooCostly),
            _ => left,
        },
    }
}

fn texts<'a>(both: &'a (Text, Text), scope: &Scope<'a>) -> Result<(&'a str, &'a str)> {
    let (left, right) = (both.0.eval(scope)?, both.1.eval(scope)?);
    scope.spend((left.len() + right.len()) as u64 / 8)?;
    Ok((left, right))
}

fn count(number: usize) -> Result<i64> {
    i64::try_from(number).map_err(|_| Failure::Overflow)
}

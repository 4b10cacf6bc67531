//! A compiled rule: an expression tree in which every part has a known type, evaluated over one record without allocating. `check`
//! builds it, so evaluation can meet no wrong type and no unknown field. What can still go wrong depends on the message
//! (`Failure`), and its cost is bounded (`Fuel`).

use std::cell::Cell;

use crate::record::{Field, Kind, List, Object, Pattern, Record, Row, Slot, Value};

/// Why a rule could not be evaluated for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("its numbers grow past 64 bits")]
    Overflow,
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

/// What a rule is evaluated over.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    record: &'a Record<'a>,
    /// The current element of the loop. Loops do not nest, so one is enough.
    element: Option<Row>,
    fuel: &'a Cell<u64>,
}

impl<'a> Scope<'a> {
    fn of(record: &'a Record<'a>, fuel: &'a Cell<u64>) -> Self {
        Self {
            record,
            element: None,
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
    Texts(Compare, Box<(Text, Text)>),
    Test(TextTest, Box<(Text, Text)>),
    Matches(Text, Box<Pattern>),
    Field(Place),
    /// Whether a field that may be missing is there.
    Has(Place),
    IntIn(Int, Vec<i64>),
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

/// Where a field stands in a record.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub of: Which,
    pub slot: usize,
}

/// What a field is of.
#[derive(Debug, Clone, Copy)]
pub enum Which {
    Message,
    /// The current element of the loop.
    Current,
    /// The element of a list of the message, by its number.
    At(Walk, usize),
}

/// A list of the message.
#[derive(Debug, Clone, Copy)]
pub struct Walk {
    slot: usize,
    number: usize,
    width: usize,
}

impl Walk {
    pub fn of(field: &Field, list: &List) -> Self {
        Self {
            slot: field.slot,
            number: list.number,
            width: list.width,
        }
    }
}

/// A walk over the elements of a list, or those of them that pass the filters.
pub struct Loop {
    pub walk: Walk,
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
            Int::Count(items) if items.filters.is_empty() => {
                count(scope.record.count(Row::ROOT, items.walk.slot))
            }
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
        for index in 0..scope.record.count(Row::ROOT, self.walk.slot) {
            scope.spend(self.cost)?;
            let element = Some(self.walk.element(scope.record, index)?);
            let scope = Scope { element, ..*scope };
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
    fn element(self, record: &Record<'_>, index: usize) -> Result<Row> {
        let row = record.element(Row::ROOT, self.slot, self.number, self.width, index);
        row.ok_or(Failure::NoSuchItem)
    }
}

impl Place {
    fn find<'a>(&self, scope: &Scope<'a>) -> Result<&'a Slot<'a>> {
        let row = match self.of {
            Which::Message => Row::ROOT,
            Which::Current => scope.element.ok_or(Failure::NoSuchItem)?,
            Which::At(walk, index) => walk.element(scope.record, index)?,
        };
        Ok(scope.record.slot(row, self.slot))
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

/// A part of an expression with its type.
pub enum Typed<'m> {
    Bool(Bool),
    Int(Int),
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
            Typed::Text(_) => "a text",
            Typed::List(..) => "a list",
            Typed::Object(..) => "an object",
        }
    }

    /// A value of the message; none for what no rule can read: a list in a list, a number with a fraction, any JSON.
    pub fn of(value: &'m Value, field: Option<&'m Field>, of: Which) -> Option<Self> {
        let place = Place {
            of,
            slot: field.map_or(0, |field| field.slot),
        };
        Some(match (&value.kind, field, of) {
            (Kind::Text(_), ..) => Self::Text(Text::Field(place)),
            (Kind::Whole(_), ..) => Self::Int(Int::Field(place)),
            (Kind::Truth, ..) => Self::Bool(Bool::Field(place)),
            (Kind::Object(object), ..) => Self::Object(object, of),
            (Kind::List(list), Some(field), Which::Message) => Self::List(
                Loop {
                    walk: Walk::of(field, list),
                    filters: Vec::new(),
                    cost: 0,
                },
                list,
            ),
            (Kind::List(_) | Kind::Number(_) | Kind::Any, ..) => return None,
        })
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

//! Values that follow from others of the same message: `x-sample: {same: /id}`, `x-sample: {sum: [/rows/*/price]}`.

use super::super::model::Model;
use super::super::shape::{Kind, Made, Object, Value, names_of};
use super::super::slot::{Record, Slot};

/// A field of the message itself, or of all elements of a list. Whatever list an element belongs to, its slots are in one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    list: Option<usize>,
    width: usize,
    slot: usize,
}

#[derive(Debug)]
pub struct Follows {
    to: Place,
    from: Vec<Place>,
    is_sum: bool,
}

/// All of them, each behind those that it follows from.
pub fn follows(model: &Model) -> Result<Vec<Follows>, String> {
    let mut found = Vec::new();
    let row = (None, model.width);
    object(model, &model.object, row, "", &mut found)?;
    let mut sorted: Vec<Follows> = Vec::new();
    while !found.is_empty() {
        let waits = |one: &Follows| found.iter().any(|other| one.from.contains(&other.to));
        match found.iter().position(|one| !waits(one)) {
            Some(index) => sorted.push(found.remove(index)),
            None => return Err("What `x-sample` says leads back to itself.".to_owned()),
        }
    }
    Ok(sorted)
}

type TableRow = (Option<usize>, usize);

fn object(
    model: &Model,
    object: &Object,
    row: TableRow,
    path: &str,
    found: &mut Vec<Follows>,
) -> Result<(), String> {
    for field in &object.fields {
        let path = format!("{path}/{}", field.token());
        value(model, &field.value, (row, field.slot), &path, found)?;
    }
    Ok(())
}

fn value(
    model: &Model,
    of: &Value,
    (row, slot): (TableRow, usize),
    path: &str,
    found: &mut Vec<Follows>,
) -> Result<(), String> {
    let pointers: &[String] = match &of.shown.made {
        Some(Made::Same(pointer)) => std::slice::from_ref(pointer),
        Some(Made::Sum(pointers)) => pointers,
        _ => &[],
    };
    let is_sum = matches!(of.shown.made, Some(Made::Sum(_)));
    if !pointers.is_empty() {
        let mut from = Vec::new();
        for pointer in pointers {
            let place = place(model, pointer, is_sum, &of.kind);
            from.push(place.ok_or_else(|| {
                format!(
                    "`x-sample` of {path} follows from {pointer}, but there is nothing of its kind."
                )
            })?);
        }
        let (list, width) = row;
        let to = Place { list, width, slot };
        found.push(Follows { to, from, is_sum });
    }
    match &of.kind {
        Kind::Object(inner) => object(model, inner, row, path, found),
        Kind::List(list) => {
            let row = (Some(list.number), list.width);
            value(model, &list.element, (row, 0), &format!("{path}/*"), found)
        }
        _ => Ok(()),
    }
}

/// Where a pointer leads that has a * for all elements of a list; to a value of the same kind. A sum is whole.
fn place(model: &Model, pointer: &str, is_sum: bool, kind: &Kind) -> Option<Place> {
    let mut object = Some(&model.object);
    let mut place = Place {
        list: None,
        width: model.width,
        slot: 0,
    };
    let mut last: Option<&Value> = None;
    for name in names_of(pointer) {
        match (object, last.map(|value| &value.kind)) {
            (None, Some(Kind::List(list))) if name == "*" => {
                (place.list, place.width, place.slot) = (Some(list.number), list.width, 0);
                last = Some(&list.element);
            }
            (Some(inside), _) => {
                let field = inside.field(&name)?;
                place.slot = field.slot;
                last = Some(&field.value);
            }
            _ => return None,
        }
        object = match &last?.kind {
            Kind::Object(object) => Some(object),
            _ => None,
        };
    }
    let is_alike = match &last?.kind {
        Kind::Whole(_) => matches!(kind, Kind::Whole(_)),
        Kind::Text(_) => matches!(kind, Kind::Text(_)) && !is_sum,
        Kind::Number(_) | Kind::Truth => {
            !is_sum && std::mem::discriminant(kind) == std::mem::discriminant(&last?.kind)
        }
        _ => false,
    };
    is_alike.then_some(place)
}

impl Follows {
    pub fn apply(&self, record: &mut Record<'_>) {
        let whole = |slot: &Slot<'_>| match slot {
            Slot::Whole(number) => *number,
            _ => 0,
        };
        let made = match self.is_sum {
            true => {
                let slots = self.from.iter().flat_map(|place| place.slots(record));
                Slot::Whole(slots.map(whole).fold(0, i64::saturating_add))
            }
            false => {
                let mut slots = self.from.iter().flat_map(|place| place.slots(record));
                slots.next().cloned().unwrap_or(Slot::Absent)
            }
        };
        let Place { list, width, slot } = self.to;
        let table = record.table_mut(list);
        for row in 0..table.len() / width {
            table[row * width + slot].clone_from(&made);
        }
    }
}

impl Place {
    fn slots<'r, 'a>(&self, record: &'r Record<'a>) -> impl Iterator<Item = &'r Slot<'a>> {
        let table = record.table(self.list);
        table.iter().skip(self.slot).step_by(self.width.max(1))
    }
}

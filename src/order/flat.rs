//! An order as lines of a flat table: one line for each item, with the order's own fields repeated. Called by the CSV export.
//! The columns come from the model's table (`shape`), so a field that the model gains gets a column by itself.

use serde_json::Value;

use super::shape::{Field, Kind, ORDER};

/// A field's name in the table and its pointer: in the order, or in the item.
struct Column {
    name: String,
    pointer: String,
    of_item: bool,
}

/// The table's head: the order's columns, the item's number in its order, the item's columns.
pub struct Columns(Vec<Column>);

impl Columns {
    pub fn of_model() -> Self {
        let (mut order, mut item) = (Vec::new(), Vec::new());
        for field in ORDER {
            match field.kind {
                Kind::Object(inner) => order.extend(inner.iter().map(|inner| Column {
                    name: format!("{}.{}", field.name, inner.name),
                    pointer: format!("/{}/{}", field.name, inner.name),
                    of_item: false,
                })),
                Kind::List(inner) => item.extend(inner.iter().map(|inner| Column {
                    name: format!("item.{}", inner.name),
                    pointer: format!("/{}", inner.name),
                    of_item: true,
                })),
                _ => order.push(top(field)),
            }
        }
        order.extend(item);
        Self(order)
    }

    /// The names, with `item` (its number, from 1) before the first of an item's columns.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.iter().map(|column| column.name.clone()).collect();
        names.insert(self.own(), "item".to_owned());
        names
    }

    /// How many are the order's own.
    fn own(&self) -> usize {
        self.0.iter().filter(|column| !column.of_item).count()
    }

    /// One line for each item. A cell is null if the order does not have the field.
    pub fn lines(&self, order: &Value, mut line: impl FnMut(&[&Value])) {
        const NONE: &[Value] = &[];
        let items = order["items"].as_array().map_or(NONE, Vec::as_slice);
        let own = self.own();
        for (item, number) in items.iter().zip(1_u64..) {
            let number = Value::from(number);
            let mut cells: Vec<&Value> = self
                .0
                .iter()
                .map(|column| {
                    let from = if column.of_item { item } else { order };
                    from.pointer(&column.pointer).unwrap_or(&Value::Null)
                })
                .collect();
            cells.insert(own, &number);
            line(&cells);
        }
    }
}

fn top(field: &Field) -> Column {
    Column {
        name: field.name.to_owned(),
        pointer: format!("/{}", field.name),
        of_item: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::schema::EXAMPLE;

    #[test]
    fn every_field_of_the_model_has_a_column() {
        let mut order: Value = serde_json::from_str(EXAMPLE).unwrap();
        let second = order["items"][0].clone();
        order["items"].as_array_mut().unwrap().push(second);
        let columns = Columns::of_model();
        let names = columns.names();
        let mut lines = Vec::new();
        columns.lines(&order, |cells| {
            assert!(cells.iter().all(|cell| !cell.is_null()));
            assert_eq!(cells.len(), names.len());
            lines.push(
                cells
                    .iter()
                    .map(|cell| cell.to_string())
                    .collect::<Vec<_>>(),
            );
        });
        let at = |name: &str| names.iter().position(|other| other == name).unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1][at("item")], "2");
        assert_eq!(lines[1][at("order_uid")], "\"b563feb7b2b84b6test\"");
        assert_eq!(lines[0][at("payment.amount")], "1817");
        assert_eq!(lines[0][at("item.brand")], "\"Vivienne Sabo\"");
    }
}

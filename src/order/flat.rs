//! A document as lines of a flat table: one line for each element of its first list of objects, with the document's own fields
//! repeated; one line if it has no such list. Called by the CSV export. The columns come from the model, so a field that it
//! gains gets a column by itself.

use serde_json::Value;

use crate::record::{Kind, Model, Object};

/// A field's name in the table and its pointer: in the document, or in the element.
struct Column {
    name: String,
    pointer: String,
}

pub struct Columns {
    own: Vec<Column>,
    elements: Option<Elements>,
}

struct Elements {
    /// Where the list is in the document.
    pointer: String,
    /// What one element is called: `item` of `items`.
    one: String,
    columns: Vec<Column>,
}

impl Columns {
    pub fn of(model: &Model) -> Self {
        let mut columns = Self {
            own: Vec::new(),
            elements: None,
        };
        columns.object(&model.object, "", "");
        columns
    }

    fn object(&mut self, object: &Object, prefix: &str, pointer: &str) {
        for field in &object.fields {
            let name = format!("{prefix}{}", field.name);
            let pointer = format!("{pointer}/{}", field.token());
            match &field.value.kind {
                Kind::Object(inner) => self.object(inner, &format!("{name}."), &pointer),
                Kind::List(list) if self.elements.is_none() => match &list.element.kind {
                    Kind::Object(inner) => {
                        let one = name.strip_suffix('s').unwrap_or(&name).to_owned();
                        let mut element = Self {
                            own: Vec::new(),
                            // A list in a list stays in one cell.
                            elements: Some(Elements {
                                pointer: String::new(),
                                one: String::new(),
                                columns: Vec::new(),
                            }),
                        };
                        element.object(inner, &format!("{one}."), "");
                        self.elements = Some(Elements {
                            pointer,
                            one,
                            columns: element.own,
                        });
                    }
                    _ => self.own.push(Column { name, pointer }),
                },
                _ => self.own.push(Column { name, pointer }),
            }
        }
    }

    /// The table's head: the document's columns, the element's number in its document, the element's columns.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.own.iter().map(|column| column.name.clone()).collect();
        if let Some(elements) = &self.elements {
            names.push(elements.one.clone());
            names.extend(elements.columns.iter().map(|column| column.name.clone()));
        }
        names
    }

    /// The lines of one document. A cell is null if the document does not have the field.
    pub fn lines(&self, document: &Value, mut line: impl FnMut(&[&Value])) {
        const NONE: &[Value] = &[];
        fn cells<'v>(columns: &[Column], from: &'v Value) -> Vec<&'v Value> {
            let cell = |column: &Column| from.pointer(&column.pointer).unwrap_or(&Value::Null);
            columns.iter().map(cell).collect()
        }
        let own = cells(&self.own, document);
        let Some(elements) = &self.elements else {
            return line(&own);
        };
        let list = document.pointer(&elements.pointer);
        let list = list.and_then(Value::as_array).map_or(NONE, Vec::as_slice);
        for (element, number) in list.iter().zip(1_u64..) {
            let number = Value::from(number);
            let mut all = own.clone();
            all.push(&number);
            all.extend(cells(&elements.columns, element));
            line(&all);
        }
        if list.is_empty() {
            let mut all = own;
            all.resize(all.len() + 1 + elements.columns.len(), &Value::Null);
            line(&all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collection::example;

    #[test]
    fn every_field_of_the_model_has_a_column() {
        let mut order = example();
        let second = order["items"][0].clone();
        order["items"].as_array_mut().unwrap().push(second);
        let columns = Columns::of(crate::order::model());
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

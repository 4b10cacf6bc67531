//! A document as lines of a flat table: one line for each element of its first list of objects, with the document's own fields
//! repeated; one line if it has no such list. Called by the CSV export. The columns come from the model, so a field that it
//! gains gets a column by itself.

use serde_json::Value;

use super::{Kind, Model, Object};

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
    use serde_json::json;

    use super::*;

    #[test]
    fn every_field_of_the_model_has_a_column() {
        let text = json!({"type": "string"});
        let whole = json!({"type": "integer"});
        let schema = json!({
            "type": "object",
            "properties": {
                "id": text,
                "payment": {"type": "object", "properties": {"amount": whole}},
                "tags": {"type": "array", "items": text},
                "items": {"type": "array", "items": {
                    "type": "object",
                    "properties": {
                        "brand": text,
                        "marks": {"type": "array", "items": {"type": "object", "properties": {"n": whole}}},
                    },
                }},
                "notes": {"type": "array", "items": {"type": "object", "properties": {"n": whole}}},
                "at": text,
            },
        });
        let model = Model::compile("thing", &schema, &[], &[]).unwrap();
        let columns = Columns::of(&model);
        let names = [
            "id",
            "payment.amount",
            "tags",
            "notes",
            "at",
            "item",
            "item.brand",
            "item.marks",
        ];
        assert_eq!(columns.names(), names);
        let lines = |document: Value| {
            let mut lines = Vec::new();
            columns.lines(&document, |cells| {
                lines.push(
                    cells
                        .iter()
                        .map(|cell| cell.to_string())
                        .collect::<Vec<_>>()
                        .join(" "),
                );
            });
            lines
        };
        let own = json!({
            "id": "a",
            "payment": {"amount": 7},
            "tags": ["x"],
            "notes": [{"n": 1}],
            "at": "now",
            "items": [{"brand": "b", "marks": [{"n": 2}]}, {"brand": "c"}],
        });
        assert_eq!(
            lines(own),
            [
                r#""a" 7 ["x"] [{"n":1}] "now" 1 "b" [{"n":2}]"#,
                r#""a" 7 ["x"] [{"n":1}] "now" 2 "c" null"#,
            ]
        );
        // One that has no elements is a line all the same.
        let bare = json!({"id": "a", "items": []});
        assert_eq!(lines(bare), [r#""a" null null null null null null null"#]);
    }
}

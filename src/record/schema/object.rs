//! Objects, their fields, and lists.

use serde_json::{Map, Value as Json};

use super::super::constant::constant;
use super::super::judge::Judge;
use super::super::shape::{Field, Kind, List, Object, Others, Table, Value, token};
use super::super::slot::Slot;
use super::demand::{count, names};
use super::mistake::{Result, mistake};
use super::shown::shown;
use super::{ANYTHING, Compiler, Place, unescaped};

impl<'s> Compiler<'s> {
    pub fn object(
        &mut self,
        place: Place<'_>,
        schema: &'s Map<String, Json>,
        width: &mut usize,
    ) -> Result<Object> {
        let at = place.at;
        let mut fields = Vec::new();
        let required = names(at, schema)?;
        match schema.get("properties") {
            None => {}
            Some(Json::Object(properties)) => {
                for (name, schema) in properties {
                    let at = format!("{at}/properties/{}", token(name));
                    let path = format!("{}/{}", place.path, token(name));
                    let place = Place {
                        at: &at,
                        path: &path,
                        is_root: false,
                    };
                    let required = required.contains(&name.as_str());
                    fields.push(self.field(place, name, required, schema, width)?);
                }
            }
            Some(_) => return mistake(&format!("{at}/properties"), "It must be an object."),
        }
        // What is required and not described is any JSON, or what all others are.
        let undescribed = schema.get("additionalProperties").unwrap_or(&ANYTHING);
        for name in required {
            if !fields.iter().any(|field| field.name == name) {
                let at = format!("{at}/additionalProperties");
                let path = format!("{}/{}", place.path, token(name));
                let place = Place {
                    at: &at,
                    path: &path,
                    is_root: false,
                };
                fields.push(self.field(place, name, true, undescribed, width)?);
            }
        }
        let others = match schema.get("additionalProperties") {
            // Without any field there is nothing to choose by: all are kept.
            None if schema.contains_key("properties") => Others::Dropped,
            Some(Json::Bool(false)) => Others::Refused,
            None | Some(Json::Bool(true)) => self.kept(None, width),
            Some(_) => {
                let judge = self.judge(&format!("{at}/additionalProperties"))?;
                self.kept(judge, width)
            }
        };
        let by_name = fields
            .iter()
            .enumerate()
            .map(|(index, field): (usize, &Field)| (field.name.clone(), index))
            .collect();
        Ok(Object {
            fields,
            others,
            by_name,
        })
    }

    fn kept(&mut self, judge: Option<Judge>, width: &mut usize) -> Others {
        self.keeps = true;
        let slot = *width;
        *width += 1;
        Others::Kept { slot, judge }
    }

    fn field(
        &mut self,
        place: Place<'_>,
        name: &str,
        required: bool,
        schema: &'s Json,
        width: &mut usize,
    ) -> Result<Field> {
        let at = place.at;
        if name.contains('\0') {
            return mistake(at, "A name with NUL cannot be kept by Postgres.");
        }
        let (mut value, null) = self.value(place, schema, width)?;
        let words = self.words(schema);
        value.shown = shown(at, &words)?;
        let mut field = Field {
            name: name.to_owned(),
            quoted: Json::from(name).to_string().into(),
            title: String::new(),
            about: String::new(),
            required,
            may_be_null: !required || null,
            default: None,
            // Behind those of what is in it.
            slot: *width,
            value,
        };
        // An object that must be there needs no slot to say that it is.
        *width += usize::from(field.has_slot());
        let word = |name| words.iter().find_map(|schema| schema.get(name));
        let text = |name| {
            word(name)
                .and_then(Json::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        (field.title, field.about) = (text("title"), text("description"));
        let pointer = || format!("{at}/default");
        field.default = match word("default") {
            None => None,
            Some(_) if required => {
                let message = "What is required has no default: it is never missing.";
                return mistake(&pointer(), message);
            }
            Some(default) => match constant(&field.value, default) {
                Some(constant) => Some(constant.into_owned()),
                None => {
                    let message = "A default must be a value that the schema allows here; a list's can only be [], and an \
                                   object has none: its fields have.";
                    return mistake(&pointer(), message);
                }
            },
        };
        Ok(field)
    }

    /// The schema and what its `$ref` leads to: whatever the first does not say of the field, the next may.
    fn words(&self, schema: &'s Json) -> Vec<&'s Json> {
        let mut found = vec![schema];
        let mut last = schema;
        while let Some(Json::String(reference)) = last.get("$ref")
            && let Some(next) = self
                .root
                .pointer(&unescaped(reference.trim_start_matches('#')))
            && !found.iter().any(|schema| std::ptr::eq(*schema, next))
        {
            found.push(next);
            last = next;
        }
        found
    }

    pub fn list(&mut self, place: Place<'_>, schema: &'s Map<String, Json>) -> Result<List> {
        let at = place.at;
        let number = self.lists.len();
        self.lists.push(Table {
            width: 0,
            jsonb_bytes: 0,
        });
        let items = schema.get("items").unwrap_or(&ANYTHING);
        let inner_at = format!("{at}/items");
        let inner = Place {
            at: &inner_at,
            path: &format!("{}/*", place.path),
            is_root: false,
        };
        let (lists, mut width) = (self.lists.len(), 0);
        let (mut element, null) = self.value(inner, items, &mut width)?;
        if null {
            // An element cannot be missing, so its null stays.
            self.lists.truncate(lists);
            (element, _) = self.any(&inner_at)?;
        }
        element.shown = shown(&inner_at, &self.words(items))?;
        if !matches!(element.kind, Kind::Object(_)) {
            width = 1;
        }
        // A row without slots could not be counted.
        let width = width.max(1);
        self.lists[number] = Table {
            width,
            jsonb_bytes: jsonb_bytes(&element),
        };
        Ok(List {
            number,
            width,
            element,
            least: count(at, schema, "minItems")?.unwrap_or(0),
            most: count(at, schema, "maxItems")?.unwrap_or(usize::MAX),
        })
    }
}

/// The most that a value takes in jsonb beside its texts: an entry, a number's header and digits, names, padding.
fn jsonb_bytes(value: &Value) -> usize {
    match &value.kind {
        Kind::Text(_) | Kind::Truth | Kind::List(_) | Kind::Any => 11,
        Kind::Whole(_) | Kind::Number(_) => 27,
        Kind::Object(object) => {
            let field = |field: &Field| {
                let default = match &field.default {
                    Some(Slot::Text(text)) => text.len(),
                    _ => 0,
                };
                field.name.len() + 4 + default + jsonb_bytes(&field.value)
            };
            11 + object.fields.iter().map(field).sum::<usize>()
        }
    }
}

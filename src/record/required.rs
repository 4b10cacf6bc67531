//! What every document of a collection has, although earlier definitions accepted some of them: what the served schema lists as
//! required.

use serde_json::Value as Json;

use super::lenient::is_fixed;
use super::model::Model;
use super::published::served;
use super::shape::{Field, Kind, Object, Value};

impl Model {
    /// What readers are served, if all these models have accepted documents before. A field is required only if each of them names
    /// it, asks the same of it, and takes no document without it, unless there is a default now: then `lenient` never leaves
    /// it out.
    pub fn served_schema_since(&self, earlier: &[&Model]) -> Json {
        let mut schema = self.served_schema();
        for model in earlier {
            object(&mut schema, &self.object, Some(&model.object), &self.fixed);
        }
        schema
    }
}

/// Takes out of `required` what may be missing. `before` is none if nothing, or something else, stood in the object's place.
fn object(schema: &mut Json, object: &Object, before: Option<&Object>, fixed: &[usize]) {
    for field in &object.fields {
        let before = before.and_then(|object| object.field(&field.name));
        if !before.is_some_and(|before| stays(field, before, fixed))
            && let Some(Json::Array(required)) = schema.get_mut("required")
        {
            required.retain(|name| *name != *field.name);
        }
        let property = &mut schema["properties"][&field.name];
        value(
            property,
            &field.value,
            before.map(|field| &field.value),
            fixed,
        );
    }
}

fn value(schema: &mut Json, value: &Value, before: Option<&Value>, fixed: &[usize]) {
    match (&value.kind, before.map(|before| &before.kind)) {
        (Kind::Object(inner), Some(Kind::Object(before))) => {
            object(schema, inner, Some(before), fixed);
        }
        (Kind::Object(inner), _) => object(schema, inner, None, fixed),
        (Kind::List(list), before) => {
            let before = match before {
                Some(Kind::List(before)) => Some(&before.element),
                _ => None,
            };
            self::value(&mut schema["items"], &list.element, before, &[]);
        }
        _ => {}
    }
}

/// True if no document that was accepted with the field as it was before is without it now.
fn stays(field: &Field, before: &Field, fixed: &[usize]) -> bool {
    let was_there = before.required && !before.may_be_null;
    (was_there || field.default.is_some())
        && (is_fixed(field, fixed) || fits(&field.value, &before.value))
}

/// True if whatever the earlier value was fits now. An object may have other fields than before, for it keeps those that fit.
fn fits(value: &Value, before: &Value) -> bool {
    let judges_alike = match (&value.judge, &before.judge) {
        (None, _) => true,
        (Some(judge), Some(before)) => judge.asks_the_same(before),
        (Some(_), None) => false,
    };
    let kinds_alike = match (&value.kind, &before.kind) {
        (Kind::Object(_), Kind::Object(_)) => true,
        (Kind::List(list), Kind::List(before)) => {
            (list.least, list.most) == (before.least, before.most)
                && fits(&list.element, &before.element)
        }
        _ => served(value) == served(before),
    };
    judges_alike && kinds_alike
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The pointers of what is required, and of what is required in it.
    fn required(schema: &Json, at: &str, into: &mut Vec<String>) {
        for name in schema["required"].as_array().into_iter().flatten() {
            into.push(format!("{at}/{}", name.as_str().unwrap()));
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            required(property, &format!("{at}/{name}"), into);
        }
        if !schema["items"].is_null() {
            required(&schema["items"], &format!("{at}/*"), into);
        }
    }

    fn found(definitions: &[(&[&str], Json)], keys: &[&str]) -> String {
        let model = |(required, properties): &(&[&str], Json)| {
            let schema = json!({"type": "object", "required": required, "properties": properties});
            Model::compile("thing", &schema, keys, &[]).unwrap()
        };
        let models: Vec<Model> = definitions.iter().map(model).collect();
        let (last, earlier) = models.split_last().unwrap();
        let schema = last.served_schema_since(&earlier.iter().collect::<Vec<_>>());
        let mut all = Vec::new();
        required(&schema, "", &mut all);
        all.join(" ")
    }

    #[test]
    fn only_what_every_definition_required_with_the_same_schema_is_required() {
        let text = || json!({"type": "string"});
        let one = |schema: Json| json!({"a": schema, "b": text()});
        let both: &[&str] = &["a", "b"];
        assert_eq!(found(&[(both, one(text()))], &[]), "/a /b");
        let about = json!({"type": "string", "title": "A", "description": "Other words."});
        let same = [(both, one(text())), (both, one(about))];
        assert_eq!(found(&same, &[]), "/a /b");
        for other in [
            json!({"type": "integer"}),
            json!({"type": "string", "maxLength": 3}),
            json!({"type": "string", "pattern": "^a"}),
            json!({"enum": ["a"]}),
            json!({"oneOf": [{"type": "string"}]}),
            json!({}),
        ] {
            for definitions in [
                vec![(both, one(text())), (both, one(other.clone()))],
                vec![(both, one(other.clone())), (both, one(text()))],
                // What was otherwise in between may be missing as well.
                vec![
                    (both, one(text())),
                    (both, one(other.clone())),
                    (both, one(text())),
                ],
            ] {
                assert_eq!(found(&definitions, &[]), "/b", "{other}");
            }
        }
        let once_optional = [(&["b"][..], one(text())), (both, one(text()))];
        assert_eq!(found(&once_optional, &[]), "/b");
        let new = [(&["b"][..], json!({"b": text()})), (both, one(text()))];
        assert_eq!(found(&new, &[]), "/b");
        let nullable = json!({"type": ["string", "null"]});
        assert_eq!(
            found(&[(both, one(nullable)), (both, one(text()))], &[]),
            "/b"
        );
    }

    #[test]
    fn a_default_is_there_for_what_every_definition_asked_the_same_of() {
        let plain = || json!({"a": {"type": "string"}});
        let default = || json!({"a": {"type": "string", "default": "-"}});
        assert_eq!(found(&[(&[], plain()), (&[], default())], &[]), "/a");
        assert_eq!(found(&[(&["a"], plain()), (&[], default())], &[]), "/a");
        assert_eq!(found(&[(&[], default()), (&["a"], plain())], &[]), "");
        // It may have been there as something else.
        assert_eq!(found(&[(&[], json!({})), (&[], default())], &[]), "");
    }

    #[test]
    fn objects_and_elements_are_looked_into() {
        let inner = |required: &[&str], b: &str| {
            json!({
                "type": "object",
                "required": required,
                "properties": {"a": {"type": "string"}, "b": {"type": b}},
            })
        };
        let schema = |inner: Json| json!({"in": inner, "rows": {"type": "array", "items": inner}});
        let both: &[&str] = &["in", "rows"];
        let changed = [
            (both, schema(inner(&["a", "b"], "string"))),
            (both, schema(inner(&["a", "b"], "integer"))),
        ];
        assert_eq!(found(&changed, &[]), "/in /rows /in/a /rows/*/a");
        let other = [
            (both, schema(json!({"type": "string"}))),
            (both, schema(inner(&["a"], "string"))),
        ];
        assert_eq!(found(&other, &[]), "");
    }

    #[test]
    fn a_judge_counts_and_what_is_fixed_stays() {
        let judged = |least: u32| json!({"a": {"type": "object", "minProperties": least}, "id": {"type": "string", "maxLength": least}});
        let both: &[&str] = &["a", "id"];
        let same = [(both, judged(1)), (both, judged(1))];
        assert_eq!(found(&same, &[]), "/a /id");
        let changed = [(both, judged(1)), (both, judged(2))];
        assert_eq!(found(&changed, &[]), "");
        assert_eq!(found(&changed, &["/id"]), "/id");
    }
}

//! The specification with what the log defines: each collection has its paths, its schema as a component, its titles and
//! examples. What is generated knows the nouns alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use poem::http::header::CONTENT_TYPE;
use poem::{Endpoint, Request, Response};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::export::NDJSON;
use super::query::dotted;
use super::raw::DEFINITION;
use crate::collection::{Collection, Keep};
use crate::inbox::Position;
use crate::projection::{Defined, InForce};
use crate::record::Columns;

/// `/openapi.json`, rendered anew when something was defined.
pub struct Specification {
    generated: String,
    in_force: watch::Receiver<Arc<InForce>>,
    last: Mutex<Option<(Position, Bytes)>>,
}

impl Specification {
    pub fn new(generated: String, in_force: watch::Receiver<Arc<InForce>>) -> Self {
        Self {
            generated,
            in_force,
            last: Mutex::default(),
        }
    }

    fn now(&self) -> Bytes {
        let in_force = self.in_force.borrow().clone();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((position, bytes)) if *position == in_force.position => bytes.clone(),
            _ => {
                let bytes = Bytes::from(described(&self.generated, &in_force));
                *last = Some((in_force.position, bytes.clone()));
                bytes
            }
        }
    }
}

impl Endpoint for Specification {
    type Output = Response;

    async fn call(&self, _: Request) -> poem::Result<Response> {
        Ok(Response::builder()
            .header(CONTENT_TYPE, "application/json")
            .body(self.now()))
    }
}

pub fn described(generated: &str, in_force: &InForce) -> String {
    let mut spec: Value = serde_json::from_str(generated).unwrap_or_default();
    let mut taken: BTreeMap<String, u32> = BTreeMap::new();
    for defined in in_force.iter() {
        *taken.entry(pascal(defined.one())).or_default() += 1;
    }
    spec["components"]["schemas"]["Accepted"] = json!({
        "type": "object",
        "title": "Accepted",
        "description": "Where a message now stands.",
        "required": ["position", "repeated"],
        "properties": {
            "position": {"type": "integer", "format": "int64"},
            "repeated": {"type": "boolean", "description": "True where the same Idempotency-Key had brought it before."},
        },
        "example": {"position": 3474, "repeated": false},
    });
    let schema = "/paths/~1collections~1{name}~1schema/get/responses/200/content/application~1json; charset=utf-8/schema";
    if let (Some(schema), Ok(example)) = (spec.pointer_mut(schema), Collection::compile(DEFINITION))
    {
        schema["example"] = example.schema();
    }
    for defined in in_force.iter() {
        let Some(collection) = defined.compiled.as_deref() else {
            continue;
        };
        // What two collections call by one word, or have no word for, is called by the collection.
        let one = pascal(defined.one());
        let is_free = defined.one() != "document"
            && taken.get(&one) == Some(&1)
            && spec["components"]["schemas"].get(&one).is_none();
        let one = if is_free { one } else { pascal(&defined.name) };
        describe(&mut spec, defined, collection, &one);
    }
    serde_json::to_string_pretty(&spec).unwrap_or_default()
}

/// `flight_plan` is FlightPlan.
fn pascal(name: &str) -> String {
    name.split('_')
        .map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        })
        .collect()
}

fn describe(spec: &mut Value, defined: &Defined, collection: &Collection, one: &str) {
    let (name, many) = (&*defined.name, pascal(&defined.name));
    let title = &collection.title;
    let tag = json!([title]);
    let schema = json!({"$ref": format!("#/components/schemas/{one}")});
    let mut component = defined.served_schema().unwrap_or_default();
    component["title"] = json!(one);
    component["description"] = json!(match collection.model.about.as_str() {
        "" =>
            "As it is stored and served: canonical compact JSON, with its default for what the sender left out.",
        about => about,
    });
    if let Some(example) = collection.model.examples.first() {
        component["example"] = example.clone();
    }
    spec["components"]["schemas"][one] = component;
    spec["components"]["schemas"][format!("{one}Page")] = json!({
        "type": "object",
        "required": ["items", "next"],
        "properties": {
            "items": {"type": "array", "items": schema},
            "next": {"type": ["string", "null"], "description": "Pass it as `after` for the next page; null on the last."},
        },
        "example": {"items": collection.model.examples, "next": null},
    });
    let answer = |description: &str, schema: Value| {
        json!({
            "description": description,
            "headers": {"Waybill-Position": {"description": "How far this replica had come.", "schema": {"type": "integer", "format": "int64"}}},
            "content": {"application/json": {"schema": schema}},
        })
    };
    let problem = json!({
        "description": "What went wrong, as problem+json",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    });
    let security = json!([{"token": []}, {}]);
    let order = match collection.keep {
        Keep::First => "newest first",
        Keep::Latest => "by key",
    };
    let by_key = if collection.key.is_empty() {
        "Known by its age: the position of its message."
    } else {
        "From the cache; in an outage of Postgres too."
    };
    let lookups: Vec<Value> = collection
        .lookups
        .iter()
        .map(|pointer| query(&dotted(pointer), "string", "Only those that have it there."))
        .collect();
    let mut parameters = lookups.clone();
    parameters.extend([
        query(
            "received_before",
            "string",
            "RFC 3339, or how long ago: 15m, 2h, 7d.",
        ),
        query("received_after", "string", "The same, for what came since."),
        query(
            "key",
            "string",
            "The one with this key, for keys that a proxy would mangle in a path.",
        ),
        query("after", "string", "What `next` was on the page before."),
        query("limit", "integer", "1 to 500; 50 where not given."),
        at_least(),
    ]);
    let mut example = collection.model.examples.first().cloned();
    let example = example.take().unwrap_or_else(|| json!({}));
    let example = serde_json::to_string_pretty(&example).unwrap_or_default();
    let raw = json!({"schema": {"type": "string", "format": "binary", "example": example}});
    spec["paths"][format!("/{name}")] = json!({
        "get": {
            "tags": tag,
            "summary": format!("{title}, {order}"),
            "description": collection.about,
            "parameters": parameters,
            "responses": {"200": answer("A page", json!({"$ref": format!("#/components/schemas/{one}Page")})), "default": problem},
            "security": security,
            "operationId": format!("list{many}"),
        },
        "post": {
            "tags": tag,
            "summary": "Take one message",
            "description": "The body is one raw message, exactly; nothing looks inside it before it is durable. With an Idempotency-Key, the same request again answers with the first one's position, and other content under the same key is refused with 422.",
            "parameters": [{"name": "Idempotency-Key", "in": "header", "required": false, "schema": {"type": "string"}}],
            "requestBody": {"required": true, "content": {"application/octet-stream": raw, "application/json": raw}},
            "responses": {
                "202": {"description": "Durable: it is in the log, whatever happens next.",
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Accepted"}}}},
                "default": problem,
            },
            "security": security,
            "operationId": format!("send{many}"),
        },
    });
    let mut parameters = lookups;
    parameters.extend([
        query("format", "string", "ndjson (if not given), csv or xlsx."),
        query("from", "integer", "The lowest position."),
        query("to", "integer", "The highest position."),
    ]);
    let mut file = spec["paths"]["/dead-letters/export"]["get"]["responses"].clone();
    let line = collection.model.examples.first().map(Value::to_string);
    file["200"]["content"][NDJSON]["schema"]["example"] = json!(line.unwrap_or_default() + "\n");
    let columns = Columns::of(&collection.model).names();
    file["200"]["content"]["text/csv"]["schema"]["example"] = json!(columns.join(",") + "\r\n");
    spec["paths"][format!("/collections/{name}/export")] = json!({
        "get": {
            "tags": tag,
            "summary": format!("Export {}", title.to_lowercase()),
            "description": "All, or those that a lookup finds, as of now, oldest first, streamed at any size. NDJSON has each as it is served; CSV and XLSX have a column for each field. In CSV a text that a spreadsheet would take for a formula gets a leading apostrophe. An export that cannot be finished is cut off, so that no client takes a part for the whole.",
            "parameters": parameters,
            "responses": file,
            "security": security,
            "operationId": format!("export{many}"),
        },
    });
    let places: Vec<String> = match collection.key.as_slice() {
        [] | [_] => vec!["key".to_owned()],
        parts => parts.iter().map(|pointer| dotted(pointer)).collect(),
    };
    let path: String = places.iter().map(|place| format!("/{{{place}}}")).collect();
    let mut parameters: Vec<Value> = places
        .iter()
        .map(|place| json!({"name": place, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    parameters.push(at_least());
    spec["paths"][format!("/{name}{path}")] = json!({
        "get": {
            "tags": tag,
            "summary": format!("One {}", defined.one()),
            "description": format!("{by_key} Carries an ETag: If-None-Match answers 304. What is on its way is waited for, a moment long. A 404 says what is known: nothing was received, it is still on its way, it was rejected (with a link to its dead letter), or it is gone."),
            "parameters": parameters,
            "responses": {"200": answer("It", schema), "304": {"description": "Not changed"}, "default": problem},
            "security": security,
            "operationId": format!("get{one}"),
        },
    });
}

fn query(name: &str, kind: &str, description: &str) -> Value {
    json!({"name": name, "in": "query", "required": false, "schema": {"type": kind}, "description": description})
}

fn at_least() -> Value {
    query(
        "at_least",
        "integer",
        "Waits until this replica has come to this position of the log, for 5 s at most.",
    )
}

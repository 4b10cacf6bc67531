//! From a model's fields to the steps.

use std::sync::Arc;

use super::super::shape::{Field, Kind, Object, Others, Value};
use super::step::{ListSteps, Members, Missing, Name, Step, Then};

pub fn compile(object: &Object) -> Vec<Step> {
    let mut compiler = Compiler::default();
    compiler.object(object);
    compiler.flush();
    compiler.steps
}

#[derive(Default)]
struct Compiler {
    steps: Vec<Step>,
    /// Bytes that are certain to stand before the next value.
    pending: String,
}

impl Compiler {
    /// What comes behind the bytes that are pending.
    fn then(&mut self, then: Then) {
        let skip = std::mem::take(&mut self.pending).into_bytes().into();
        self.steps.push(Step { skip, then });
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            self.then(Then::Nothing);
        }
    }

    fn object(&mut self, object: &Object) {
        self.pending.push('{');
        // As long as each field before was certain, it is known whether a comma stands before the next.
        let mut certain = true;
        for (index, field) in object.fields.iter().enumerate() {
            certain &= field.is_certain();
            if certain {
                if index > 0 {
                    self.pending.push(',');
                }
                self.pending += &name(field);
                self.value(&field.value);
            } else {
                self.apart(field);
            }
        }
        if let Others::Kept { judge, .. } = &object.others {
            self.then(Then::Others(Arc::new(Members {
                known: object
                    .fields
                    .iter()
                    .map(|field| field.name.clone())
                    .collect(),
                judge: judge.clone(),
            })));
        }
        self.pending.push('}');
    }

    /// A field of which it is not known whether a comma stands before it.
    fn apart(&mut self, field: &Field) {
        self.flush();
        let mut inner = Compiler::default();
        inner.value(&field.value);
        inner.flush();
        if let Kind::Object(_) = &field.value.kind
            && field.has_slot()
        {
            inner.then(Then::Present);
        }
        self.then(Then::Name(Box::new(Name {
            quoted: name(field).into_bytes().into(),
            missing: (!field.required && field.default.is_none()).then(|| Missing {
                steps: inner.steps.len(),
                slots: usize::from(field.has_slot()) + inner_slots(&field.value),
            }),
        })));
        self.steps.append(&mut inner.steps);
    }

    fn value(&mut self, value: &Value) {
        let Some(judge) = &value.judge else {
            return self.kind(&value.kind);
        };
        self.flush();
        let mut inner = Compiler::default();
        inner.kind(&value.kind);
        inner.flush();
        let judged = Box::new((judge.clone(), inner.steps));
        self.then(Then::Judged(judged));
    }

    fn kind(&mut self, kind: &Kind) {
        match kind {
            Kind::Text(check) => {
                self.pending.push('"');
                self.then(match check.is_any() {
                    true => Then::Text,
                    false => Then::CheckedText(check.clone()),
                });
                self.pending.push('"');
            }
            Kind::Whole(check) => {
                self.then(match check.one_of {
                    None => Then::Whole {
                        least: check.least,
                        most: check.most,
                    },
                    Some(_) => Then::CheckedWhole(check.clone()),
                });
            }
            Kind::Number(check) => {
                self.then(Then::Number(check.clone()));
            }
            Kind::Any => {
                self.then(Then::Any);
            }
            Kind::Truth => {
                self.then(Then::Truth);
            }
            Kind::Object(object) => self.object(object),
            Kind::List(list) => {
                self.flush();
                let mut element = Compiler::default();
                element.value(&list.element);
                element.flush();
                self.then(Then::List(Box::new(ListSteps {
                    number: list.number,
                    width: list.width,
                    least: list.least,
                    most: list.most,
                    steps: element.steps,
                })));
            }
        }
    }
}

/// How many slots the fields of an object have.
fn inner_slots(value: &Value) -> usize {
    match &value.kind {
        Kind::Object(object) => {
            let kept = usize::from(matches!(object.others, Others::Kept { .. }));
            let field = |field: &Field| usize::from(field.has_slot()) + inner_slots(&field.value);
            kept + object.fields.iter().map(field).sum::<usize>()
        }
        _ => 0,
    }
}

/// A field's name as it stands in the JSON.
fn name(field: &Field) -> String {
    format!("{}:", serde_json::Value::from(field.name.as_str()))
}

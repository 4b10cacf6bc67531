//! Query parameters that a route does not take are refused, by what the specification says of each route. `?stat=discarded`
//! would answer with the open letters, as if it had been understood.

use std::collections::HashSet;

use poem::http::Method;
use poem::{Endpoint, Request, Response};
use poem_openapi::registry::{MetaApi, MetaParamIn};

use super::problem::Problem;

/// One method of one path, and the parameters that it takes.
struct Known {
    method: Method,
    /// None where anything may stand.
    path: Vec<Option<String>>,
    query: Vec<String>,
}

impl Known {
    fn is(&self, method: &Method, path: &[&str]) -> bool {
        // HEAD is answered as GET.
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        let mut both = self.path.iter().zip(path);
        self.method == *method
            && self.path.len() == path.len()
            && both.all(|(known, asked)| known.as_ref().is_none_or(|known| known == asked))
    }
}

/// What each route under `prefix` takes.
pub struct Parameters {
    prefix: &'static str,
    known: Vec<Known>,
}

impl Parameters {
    pub fn new(prefix: &'static str, nouns: Vec<MetaApi>) -> Self {
        let mut known = Vec::new();
        for path in nouns.into_iter().flat_map(|noun| noun.paths) {
            for operation in path.operations {
                let query = operation
                    .params
                    .into_iter()
                    .filter(|parameter| parameter.in_type == MetaParamIn::Query)
                    .map(|parameter| parameter.name);
                known.push(Known {
                    method: operation.method,
                    path: segments(&path.path).map(place).collect(),
                    query: query.collect(),
                });
            }
        }
        // Where two fit, as /dead-letters/export and /dead-letters/{id}, the one that names more is meant.
        known.sort_by_key(|known| known.path.iter().filter(|part| part.is_none()).count());
        Self { prefix, known }
    }

    /// Says what is wrong with a request's parameters. A path that is not known is somebody else's to refuse.
    fn check(&self, request: &Request) -> Result<(), Problem> {
        if request.uri().query().is_none() {
            return Ok(());
        }
        let Some(path) = request.uri().path().strip_prefix(self.prefix) else {
            return Ok(());
        };
        let path: Vec<&str> = segments(path).collect();
        let Some(known) = self
            .known
            .iter()
            .find(|known| known.is(request.method(), &path))
        else {
            return Ok(());
        };
        let asked = request
            .params::<Vec<(String, String)>>()
            .map_err(|error| Problem::bad_request(format!("The query cannot be read: {error}.")))?;
        let mut seen = HashSet::new();
        for (name, value) in &asked {
            if !known.query.contains(name) {
                return Err(unknown(name, &known.query));
            }
            if !seen.insert(name) {
                return Err(twice(name));
            }
            no_nul(name, value)?;
        }
        Ok(())
    }

    /// Around all routes.
    pub async fn checked<E: Endpoint<Output = Response>>(
        &self,
        routes: &E,
        request: Request,
    ) -> poem::Result<Response> {
        self.check(&request)?;
        routes.call(request).await
    }
}

/// No text of Postgres can hold one, so nothing is called so, and nothing has it.
pub fn no_nul(name: &str, value: &str) -> Result<(), Problem> {
    match value.contains('\0') {
        true => Err(Problem::bad_request(format!(
            "{name} holds a NUL; nothing here has one."
        ))),
        false => Ok(()),
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

fn place(part: &str) -> Option<String> {
    let is_free = part.starts_with([':', '{']);
    (!is_free).then(|| part.to_owned())
}

pub fn twice(name: &str) -> Problem {
    Problem::bad_request(format!(
        "{name} is there more than once: say which of them is meant."
    ))
}

pub fn unknown(name: &str, known: &[String]) -> Problem {
    let name: String = name.chars().take(80).collect();
    let known = match known {
        [] => "it takes none".to_owned(),
        known => format!("it takes {}", known.join(", ")),
    };
    Problem::bad_request(format!("This path takes no parameter `{name}`: {known}."))
}

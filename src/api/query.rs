//! The query of a route that is not generated: each parameter once, and none that it does not take.

use std::collections::BTreeMap;

use poem::Request;

use super::parameters;
use super::problem::Problem;
use crate::document::Lookup;

pub struct Query(BTreeMap<String, String>);

impl Query {
    pub fn of(request: &Request) -> Result<Self, Problem> {
        let asked = match request.uri().query() {
            None => Vec::new(),
            Some(_) => request.params::<Vec<(String, String)>>().map_err(|error| {
                Problem::bad_request(format!("The query cannot be read: {error}."))
            })?,
        };
        let mut query = BTreeMap::new();
        for (name, value) in asked {
            if query.contains_key(&name) {
                return Err(parameters::twice(&name));
            }
            parameters::no_nul(&name, &value)?;
            query.insert(name, value);
        }
        Ok(Self(query))
    }

    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// What is filtered by: a collection's lookups, each a parameter by its dotted path.
    pub fn take_lookups(&mut self, pointers: &[String]) -> Vec<Lookup> {
        let take = |pointer: &String| {
            let value = self.take(&dotted(pointer))?;
            let pointer = pointer.clone();
            Some(Lookup { pointer, value })
        };
        pointers.iter().filter_map(take).collect()
    }

    /// What is left, the route does not take.
    pub fn is_empty(&self, known: &[&str], lookups: &[String]) -> Result<(), Problem> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(unknown(name, known, lookups)),
        }
    }
}

pub fn unknown(name: &str, known: &[&str], lookups: &[String]) -> Problem {
    let known = known.iter().map(|name| (*name).to_owned());
    let lookups = lookups.iter().map(|pointer| dotted(pointer));
    parameters::unknown(name, &known.chain(lookups).collect::<Vec<_>>())
}

/// A lookup as a parameter: `/payment/currency` is `payment.currency`.
pub fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

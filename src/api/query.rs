//! The query of a route that is not generated: each parameter once, and none that it does not take.

use std::collections::BTreeMap;

use poem::Request;

use super::parameters;
use super::problem::Problem;

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

    /// What is left, the route does not take.
    pub fn is_empty(&self, known: &[&str]) -> Result<(), Problem> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(self.unknown(name, known)),
        }
    }

    pub fn unknown(&self, name: &str, known: &[&str]) -> Problem {
        let known: Vec<String> = known.iter().map(|name| (*name).to_owned()).collect();
        parameters::unknown(name, &known)
    }
}

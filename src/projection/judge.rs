//! Whether bytes at a position are an order, a duplicate, or rejected.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::Error;
use super::batch::Orders;
use super::reader::{Examined, examine};
use super::rules::InForce;
use crate::dead_letter::Verdict;
use crate::inbox::Position;
use crate::order;
use crate::record::{CODE_VERSION, Rejection};

/// What decides whether a row is accepted or rejected.
pub enum Judge<'a> {
    /// The live projector and a dry run: the checks of this code and the rules in force.
    Live {
        in_force: &'a InForce,
        /// Positions of rows that Postgres refused when they were written alone, with the SQLSTATE.
        refused: &'a HashMap<i64, String>,
    },
    /// A replay judges nothing: a row that has a verdict was rejected with it, every other row was accepted.
    Replay {
        verdicts: HashMap<i64, Verdict>,
        /// The hash of the rules in force before this batch.
        rules_hash: String,
    },
}

/// What judging bytes at a position comes to.
pub enum Judged {
    Accepted(Accepted),
    Rejected(Verdict),
}

pub enum Accepted {
    Order {
        key: Arc<str>,
        data: Option<Bytes>,
        stored: Bytes,
    },
    Duplicate {
        key: Arc<str>,
    },
}

impl Judge<'_> {
    /// The order of the questions matters. If the key is taken by an order of the very same bytes, the row is a
    /// duplicate, even if this code could not parse it. Then the parse; then whether the key is taken; and the rules only
    /// if it is free.
    pub fn judge(
        &mut self,
        orders: &mut Orders,
        position: Position,
        bytes: &Bytes,
        examined: Examined,
    ) -> Result<Judged, Error> {
        let known = examined.key().and_then(|key| orders.get_mut(key));
        let (in_force, refused) = match self {
            Judge::Live { in_force, refused } => (*in_force, *refused),
            Judge::Replay { verdicts, .. } => {
                return match (verdicts.remove(&position.0), known, examined) {
                    (Some(verdict), ..) => Ok(Judged::Rejected(verdict)),
                    (None, Some(_), examined) => Ok(duplicate(&examined)),
                    (None, None, Examined::Order { key, stored, .. }) => {
                        Ok(Judged::Accepted(Accepted::Order {
                            key,
                            data: None,
                            stored,
                        }))
                    }
                    (None, None, Examined::Rejected(_)) => Err(Error::Unbuildable(position.0)),
                };
            }
        };
        if known.as_ref().is_some_and(|known| known.came_as(bytes)) {
            return Ok(duplicate(&examined));
        }
        let definition = in_force.position.0;
        if let Some(sqlstate) = refused.get(&position.0) {
            let rejection = order::model().refused_by_postgres(sqlstate, examined.key());
            return Ok(rejected(position, &rejection, definition));
        }
        Ok(match examined {
            Examined::Rejected(rejection) => rejected(position, &rejection, definition),
            // Examined for a replay.
            Examined::Order { data: None, .. } => {
                return self.judge(orders, position, bytes, examine(bytes));
            }
            Examined::Order {
                key,
                data: Some(data),
                stored,
                ruled,
            } => match known.map(|taken| taken.is(&data)) {
                None => match ruled.by(in_force, bytes) {
                    None => Judged::Accepted(Accepted::Order {
                        key,
                        data: Some(data),
                        stored,
                    }),
                    Some(rejection) => rejected(position, &rejection, definition),
                },
                Some(true) => Judged::Accepted(Accepted::Duplicate { key }),
                Some(false) => rejected(position, &order::model().conflict(&key), definition),
            },
        })
    }
}

fn duplicate(examined: &Examined) -> Judged {
    Judged::Accepted(Accepted::Duplicate {
        key: examined.key().unwrap_or_default().into(),
    })
}

fn rejected(position: Position, rejection: &Rejection, definition: i64) -> Judged {
    Judged::Rejected(Verdict::new(position, rejection, CODE_VERSION, definition))
}

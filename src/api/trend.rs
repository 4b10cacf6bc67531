//! When the letters of each group were received: the page's little charts. One look at the database serves all who ask
//! within a few seconds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use tokio::sync::{Mutex, watch};

use super::Dependencies;
use super::principal::seen;
use super::problem::Problem;
use crate::access::Principal;
use crate::collection::Id;
use crate::dead_letter::{self, format_fingerprint};
use crate::postgres::Database;
use crate::projection::InForce;

/// A look is good for so long.
const FRESH: Duration = Duration::from_secs(5);
const WEEK: i64 = 168;

pub struct Trends {
    database: Database,
    /// Held while looking, so that many who ask at once wait for one look.
    last: Arc<Mutex<Option<(i64, Instant, Looked)>>>,
    in_force: watch::Receiver<Arc<InForce>>,
}

/// What was found, of all collections.
struct Looked {
    since: Timestamp,
    until: Timestamp,
    items: Vec<(Id, DeadLetterTrend)>,
}

impl Looked {
    fn seen_by(&self, ids: &[i64]) -> DeadLetterTrends {
        let seen = self.items.iter().filter(|(id, _)| ids.contains(&id.0));
        DeadLetterTrends {
            since: self.since.to_string(),
            until: self.until.to_string(),
            items: seen.map(|(_, trend)| trend.clone()).collect(),
        }
    }
}

/// How many letters were received in each part of the time, oldest first.
#[derive(Clone, Object)]
pub struct DeadLetterTrend {
    fingerprint: String,
    counts: Vec<i64>,
}

#[derive(Clone, Object)]
#[oai(example)]
pub struct DeadLetterTrends {
    since: String,
    until: String,
    /// Groups that received letters in this time; of a flood, the newest 200,000 letters are counted.
    items: Vec<DeadLetterTrend>,
}

impl Trends {
    pub fn new(deps: &Dependencies) -> Self {
        Self {
            database: deps.database.clone(),
            last: Arc::default(),
            in_force: deps.in_force.clone(),
        }
    }
}

#[OpenApi]
impl Trends {
    /// When the letters of each group came
    #[oai(
        path = "/dead-letter-groups/trend",
        method = "get",
        operation_id = "getDeadLetterTrend"
    )]
    async fn trend(
        &self,
        principal: Principal,
        /// How far back: 1 to 168; 24 where not given.
        hours: Query<Option<i64>>,
    ) -> Result<Json<DeadLetterTrends>, Problem> {
        let hours = hours.0.unwrap_or(24);
        if !(1..=WEEK).contains(&hours) {
            return Err(Problem::bad_request(format!(
                "hours={hours} is not between 1 and {WEEK}."
            )));
        }
        let until = Timestamp::now();
        let since = until - SignedDuration::from_hours(hours);
        let ids = seen(&principal, &self.in_force.borrow());
        let mut last = self.last.lock().await;
        if let Some((of, at, trends)) = &*last
            && *of == hours
            && at.elapsed() < FRESH
        {
            return Ok(Json(trends.seen_by(&ids)));
        }
        let reader = self.database.reader().await?;
        let items = dead_letter::trend(&reader, since, until)
            .await?
            .into_iter()
            .map(|(fingerprint, id, counts)| {
                let fingerprint = format_fingerprint(fingerprint);
                (
                    id,
                    DeadLetterTrend {
                        fingerprint,
                        counts,
                    },
                )
            })
            .collect();
        let trends = Looked {
            since,
            until,
            items,
        };
        let seen = trends.seen_by(&ids);
        *last = Some((hours, Instant::now(), trends));
        Ok(Json(seen))
    }
}

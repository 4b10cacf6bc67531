//! When the letters of each group were received: the page's little charts. One look at the database serves all who ask
//! within a few seconds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use tokio::sync::Mutex;

use super::Dependencies;
use super::problem::Problem;
use crate::access::{ORDERS, Principal};
use crate::dead_letter::{self, format_fingerprint};
use crate::postgres::Database;

/// A look is good for so long.
const FRESH: Duration = Duration::from_secs(5);
const WEEK: i64 = 168;

pub struct Trends {
    database: Database,
    /// Held while looking, so that many who ask at once wait for one look.
    last: Arc<Mutex<Option<(i64, Instant, DeadLetterTrends)>>>,
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
        if !principal.sees(ORDERS) {
            return Ok(Json(DeadLetterTrends {
                since: since.to_string(),
                until: until.to_string(),
                items: Vec::new(),
            }));
        }
        let mut last = self.last.lock().await;
        if let Some((of, at, trends)) = &*last
            && *of == hours
            && at.elapsed() < FRESH
        {
            return Ok(Json(trends.clone()));
        }
        let reader = self.database.reader().await?;
        let items = dead_letter::trend(&reader, since, until)
            .await?
            .into_iter()
            .map(|(fingerprint, counts)| DeadLetterTrend {
                fingerprint: format_fingerprint(fingerprint),
                counts,
            })
            .collect();
        let trends = DeadLetterTrends {
            since: since.to_string(),
            until: until.to_string(),
            items,
        };
        *last = Some((hours, Instant::now(), trends.clone()));
        Ok(Json(trends))
    }
}

//! Letters come home by themselves: of all open letters last judged by older code or under older rules, the holder of the
//! lease asks a bulk retry of itself: on taking the lease, and when new rules come into force. Only what would pass or change
//! its group gets a decision. A new holder ends the last one's and asks its own.

use super::Error;
use super::store::{self, Action, Asked, BulkRequest};
use super::worker::Dependencies;
use crate::dead_letter::{self, Filter};
use crate::order;
use crate::postgres::execute;
use crate::projection::Leadership;

/// Letters a second: the append and the operators come first.
const RATE: u32 = 20_000;
const WHO: &str = "waybill";

/// The service's own operations are known by their key: a client's begins with `client:`, whoever the client says it is.
const END_OLDER: &str = "
    update operation set state = 'cancelled', finished_at = now()
    where key like 'heal:%' and key <> $1 and state in ('freezing', 'pending', 'running')";

pub async fn ask(deps: &Dependencies, leadership: &Leadership) -> Result<(), Error> {
    let rules_position = leadership.in_force.position.0;
    let key = format!("heal:{}:{rules_position}", leadership.term);
    let session = deps.database.session("heal").await?;
    execute(session.client(), END_OLDER, &[&key]).await?;
    if !dead_letter::any_stale(session.client(), order::CODE_VERSION, rules_position).await? {
        return Ok(());
    }
    let request = BulkRequest {
        action: Action::Retry,
        filter: Filter {
            judged_before: Some((order::CODE_VERSION, rules_position)),
            ..Filter::default()
        },
        all: false,
        dry_run: false,
        rate: Some(RATE),
        stop_share: None,
        only_changed: true,
    };
    let asked = Asked {
        who: WHO,
        why: "judged by older checks or under older rules",
        key: Some(&key),
    };
    let (operation, new) = store::ask_bulk(&session, &request, asked).await?;
    if new {
        tracing::info!(
            operation = operation.id,
            "{} open dead letters were judged by older checks or under older rules: operation {} judges them again",
            operation.total,
            operation.id
        );
    }
    Ok(())
}

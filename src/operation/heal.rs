//! Letters come home by themselves. Of all open letters that older code judged, or that were judged under older rules, the
//! holder of the lease asks a bulk retry of itself: on taking the lease, and when new rules come into force. Only a letter
//! that would pass or change its group gets a decision.
//!
//! `healed` remembers up to where in the log that was done, by which code and under which rules: a new holder with the same
//! ones has nothing to do, unless older code was at work in between. One that was not yet done goes on.

use super::store::{self, Asked, BulkRequest};
use super::{Dependencies, Error};
use crate::collection::Id;
use crate::dead_letter::{self, Filter, Judges, Within};
use crate::inbox::{Action, Position};
use crate::postgres::{self, Client, execute, query_opt};
use crate::projection::{Leadership, read_checkpoint};
use crate::record;

/// Letters a second: the append and the operators come first.
const RATE: u32 = 20_000;
const WHO: &str = "waybill";

/// How many positions of the log one statement searches for verdicts of older code: less than a second's work.
const WINDOW: i64 = 1_000_000;

/// The service's own operations are known by their key, `heal:TERM:CODE:RULES`: a client's begins with `client:`, whoever the
/// client says it is. $1 is a pattern of those with our code and rules; those of 0.1 have another form.
const END_OLDER: &str = "
    update operation set state = 'cancelled', finished_at = now()
    where key like 'heal:%' and key not like $1 and state in ('freezing', 'pending', 'running', 'paused')";
const UNDER_WAY: &str = "
    select id from operation
    where key like 'heal:%' and key like $1 and state in ('freezing', 'pending', 'running', 'paused') limit 1";

fn judges(leadership: &Leadership) -> Judges {
    Judges {
        code_version: record::CODE_VERSION,
        definition: leadership.in_force.position.0,
    }
}

pub async fn ask(deps: &Dependencies, leadership: &Leadership) -> Result<(), Error> {
    let session = deps.database.session("heal").await?;
    let client = session.client();
    let checkpoint = read_checkpoint(client).await?;
    if (checkpoint.leader.as_str(), checkpoint.term) != (leadership.name.as_str(), leadership.term)
    {
        // Another leads by now, and what it has asked for is not ours to end.
        return Ok(());
    }
    let now = judges(leadership);
    let (code, rules) = (now.code_version, now.definition);
    let alike = format!("heal:%:{code}:{rules}");
    execute(client, END_OLDER, &[&alike]).await?;
    if query_opt(client, UNDER_WAY, &[&alike]).await?.is_some() {
        return Ok(());
    }
    let to = checkpoint.position;
    if let Some(from) = healed(client, now).await?
        && !older_code_judged(client, now, from, to).await?
    {
        return Ok(());
    }
    let request = BulkRequest {
        action: Action::Retry,
        filter: Filter {
            judged_before: Some((code, rules)),
            within: Some(Within {
                ids: leadership
                    .in_force
                    .iter()
                    .map(|defined| defined.id.0)
                    .chain([Id::NONE.0])
                    .collect(),
                names: None,
            }),
            ..Filter::default()
        },
        all: false,
        dry_run: false,
        rate: Some(RATE),
        stop_share: None,
        only_changed: true,
        healed_to: Some(to.0),
    };
    let asked = Asked {
        who: WHO,
        proof: None,
        why: "judged by older checks or by older definitions",
        key: Some(&format!("heal:{}:{code}:{rules}", leadership.term)),
    };
    let Some((operation, new)) = store::ask_bulk_of_some(&session, &request, asked).await? else {
        remember(client, now, to).await?;
        return Ok(());
    };
    if new {
        tracing::info!(
            operation = operation.id,
            "open dead letters were judged by older checks or by older definitions: operation {} judges them again",
            operation.id
        );
    }
    Ok(())
}

/// Whether between these positions a letter was judged by older code, or under older rules: a replica of an older version
/// held the lease meanwhile. Remembers how far it has searched.
async fn older_code_judged(
    client: &Client,
    now: Judges,
    from: Position,
    to: Position,
) -> Result<bool, postgres::Error> {
    let mut searched = from;
    while searched < to {
        let next = Position(to.0.min(searched.0 + WINDOW));
        if dead_letter::older_verdicts(client, now, searched, next).await? {
            return Ok(true);
        }
        remember(client, now, next).await?;
        searched = next;
    }
    Ok(false)
}

const HEALED: &str = "select position from healed where code_version = $1 and definition = $2";

/// None if it was never done by this code under these rules.
async fn healed(client: &Client, now: Judges) -> Result<Option<Position>, postgres::Error> {
    let found = query_opt(client, HEALED, &[&now.code_version, &now.definition]).await?;
    Ok(found.map(|row| Position(row.get(0))))
}

const REMEMBER: &str = "
    insert into healed (code_version, definition, position) values ($1, $2, $3)
    on conflict on constraint healed_pkey do update set position = greatest(healed.position, excluded.position)";

async fn remember(client: &Client, now: Judges, to: Position) -> Result<(), postgres::Error> {
    let parameters = (now.code_version, now.definition, to.0);
    execute(
        client,
        REMEMBER,
        &[&parameters.0, &parameters.1, &parameters.2],
    )
    .await?;
    Ok(())
}

/// Whether this process may work the operation: another one's healing is by other code or other rules, and is ended soon.
pub fn is_ours(request: &BulkRequest, leadership: &Leadership) -> bool {
    let now = judges(leadership);
    !request.only_changed
        || request.filter.judged_before == Some((now.code_version, now.definition))
}

/// Before the operation ends: if we die in between, it ends again.
pub async fn is_done(
    client: &Client,
    leadership: &Leadership,
    request: &BulkRequest,
) -> Result<(), postgres::Error> {
    match request.healed_to {
        Some(to) => remember(client, judges(leadership), Position(to)).await,
        None => Ok(()),
    }
}

//! What the specification shows of each body: one operator's morning, in which a shop sent a negative amount.
//!
//! Called by poem-openapi when it describes a type. Its invariant, which the test below holds: an example has each field of
//! its type, and no other.

#[cfg(test)]
mod tests;

use poem_openapi::types::{Example, ParseFromJSON};
use serde_json::{Value, json};

use super::account::{Reconciliation, Stats};
use super::audit::{AuditEntry, AuditPage};
use super::collections::{
    CollectionDefinition, CollectionList, CollectionView, Definitions, DocumentVersions, Judgement,
    Statement, SumPage,
};
use super::dead_letters::{DeadLetterGroups, DeadLetterPage, DeadLetterStory, DecisionRequest};
use super::decide::DecisionView;
use super::inbox::InboxRow;
use super::me::Me;
use super::operations::{BulkBody, OperationLetters, OperationPage, OperationView, ReplayBody};
use super::problem::Problem;
use super::raw::DEFINITION;
use super::session::{SignIn, Ways};
use super::stream::{StreamDocument, StreamHistory, StreamStats};
use super::trend::DeadLetterTrends;
use crate::collection;

macro_rules! examples {
    ($($type:ty => $json:expr;)*) => {
        $(impl Example for $type {
            fn example() -> Self {
                made($json)
            }
        })*

        /// Each type, its example as it was written, and as it is when the type has read it.
        #[cfg(test)]
        fn all() -> Vec<(&'static str, Value, Option<Value>)> {
            use poem_openapi::types::ToJSON;
            vec![$((stringify!($type), $json, <$type>::example().to_json())),*]
        }
    };
}

fn made<T: ParseFromJSON>(example: Value) -> T {
    match T::parse_from_json(Some(example)) {
        Ok(made) => made,
        Err(error) => unreachable!(
            "the examples' test reads them all: {}",
            error.into_message()
        ),
    }
}

fn audit_entry() -> Value {
    json!({
        "id": 7,
        "at": "2026-11-21T08:00:01.328002Z",
        "what": "exported",
        "who": "Grace",
        "proof": "token",
        "address": "192.0.2.7",
        "detail": "/collections/orders/export?format=csv",
        "times": 1,
    })
}

const MESSAGE: &str = "payment.amount must not be negative, but it is -1817.";
const FINGERPRINT: &str = "7611fc5da5f2fdbd";
const HASH: &str = "0b1c5be0f6ff2d4d15a0f2b6d0a4d5a7f6d8a7c5b1f7de3c8bbd8f3d1f0a9c42";

fn letter() -> Value {
    json!({
        "id": 3474,
        "collection": "orders",
        "state": "open",
        "reason": "schema",
        "code": "negative_money",
        "message": MESSAGE,
        "pointer": "/payment/amount",
        "key": "b563feb7b2b84b6test",
        "fingerprint": FINGERPRINT,
        "attempts": 2,
        "received_at": "2026-11-21T06:10:03.287398Z",
        "first_failed_at": "2026-11-21T06:10:03.291114Z",
        "last_failed_at": "2026-11-21T07:45:12.001873Z",
        "next_attempt_at": null,
        "replaced_by": null,
        "origin": null,
    })
}

fn story() -> Value {
    let mut story = letter();
    let more = json!({
        "source": "stan:waybill/orders",
        "text": "{\"order_uid\":\"b563feb7b2b84b6test\",\"payment\":{\"amount\":-1817}}",
        "hex": null,
        "payload_bytes": 62,
        "payload_cut": false,
        "violations": [{"code": "negative_money", "message": MESSAGE, "pointer": "/payment/amount", "line": 1, "column": 54}],
        "decisions": [{
            "position": 3502,
            "action": "retry",
            "result": "still_failing",
            "who": "Grace",
            "proof": "token",
            "why": "the shop says that it was mended",
            "at": "2026-11-21T07:45:12.001873Z",
            "operation": null,
        }],
        "differences": [],
        "links": [
            {"rel": "inbox", "href": "/api/v1/inbox/3474"},
            {"rel": "payload", "href": "/api/v1/dead-letters/3474/payload"},
        ],
    });
    if let (Value::Object(story), Value::Object(more)) = (&mut story, more) {
        story.extend(more);
    }
    story
}

fn operation() -> Value {
    json!({
        "id": 7,
        "kind": "bulk",
        "state": "done",
        "asked_by": "Grace",
        "proof": "token",
        "reason": "a test of the shop's, ticket 4711",
        "request": {
            "action": "discard",
            "filter": {"state": "open", "fingerprint": FINGERPRINT},
            "all": false,
            "dry_run": false,
            "rate": 500,
            "only_changed": false,
        },
        "progress": {},
        "outcome": {"results": {"done": 412, "too_late": 1}, "failing": []},
        "total": 413,
        "done": 413,
        "failed": 1,
        "created_at": "2026-11-21T07:51:40.120411Z",
        "started_at": "2026-11-21T07:51:40.131003Z",
        "finished_at": "2026-11-21T07:51:40.998120Z",
    })
}

fn purchases() -> Value {
    json!({
        "name": "purchases",
        "id": 3295,
        "position": 3295,
        "hash": HASH,
        "one": "purchase",
        "title": "Purchases",
        "about": "What a till has sold.",
        "keep": "first",
        "key": ["/purchase_id"],
        "lookups": ["/customer"],
        "sums": false,
        "counts": {"documents": 4500, "superseded": 0, "duplicates": 31, "dead_letters": 441, "decisions": 28},
        "trouble": null,
    })
}

fn definition_entry() -> Value {
    json!({
        "position": 3295,
        "action": "define",
        "hash": HASH,
        "text": DEFINITION,
        "result": "done",
        "who": "Ada",
        "proof": null,
        "why": "finance asks for it",
        "at": "2026-11-20T16:09:59.002197Z",
    })
}

fn judgement() -> Value {
    json!({
        "valid": false,
        "document": null,
        "reason": "schema",
        "key": "b563feb7b2b84b6test",
        "violations": [{"code": "negative_money", "message": MESSAGE, "pointer": "/payment/amount", "line": 1, "column": 54}],
    })
}

examples! {
    Problem => json!({
        "type": "urn:waybill:problem:too-late",
        "title": "Conflict",
        "status": 409,
        "detail": "Dead letter 3474 is no longer open: another decision came first. Nothing was changed.",
        "links": [
            {"rel": "dead_letter", "href": "/api/v1/dead-letters/3474"},
            {"rel": "decided_by", "href": "/api/v1/inbox/3502"},
        ],
    });
    DeadLetterPage => json!({"items": [letter()], "next": "3474"});
    DeadLetterStory => story();
    DeadLetterGroups => json!({
        "items": [{
            "fingerprint": FINGERPRINT,
            "collection": "orders",
            "reason": "schema",
            "code": "negative_money",
            "pointer": "/payment/amount",
            "message": MESSAGE,
            "open": 413,
            "replaced": 25,
            "discarded": 3,
            "first_seen": "2026-11-21T06:10:03.287398Z",
            "last_seen": "2026-11-21T07:44:58.310020Z",
            "sample": 3474,
        }],
        "next": null,
    });
    DeadLetterTrends => json!({
        "since": "2026-11-21T02:00:00Z",
        "until": "2026-11-21T08:00:00Z",
        "items": [{"fingerprint": FINGERPRINT, "counts": [0, 0, 0, 0, 318, 95]}],
    });
    DecisionRequest => json!({"as": "Grace", "reason": "a test of the shop's, ticket 4711"});
    DecisionView => json!({"position": 3502, "letter": 3474, "action": "discard", "result": "done", "fate": "decision"});
    BulkBody => json!({
        "action": "discard",
        "filter": {
            "state": "open", "reason": null, "code": null, "fingerprint": FINGERPRINT, "key": null, "source": null, "collection": null,
            "since": "2h", "until": null, "from": null, "to": null, "text": null, "ids": null,
        },
        "all": false,
        "dry_run": false,
        "rate": 500,
        "stop_share": 0.2,
        "as": "Grace",
        "reason": "a test of the shop's, ticket 4711",
    });
    ReplayBody => json!({"as": "Grace", "reason": "the model has a new field"});
    OperationView => operation();
    OperationPage => json!({"items": [operation()], "next": null});
    OperationLetters => json!({
        "items": [
            {"letter": 3474, "position": 3502, "result": "done", "failing": null},
            {"letter": 3480, "position": 3503, "result": "too_late", "failing": null},
        ],
        "next": null,
    });
    InboxRow => json!({
        "position": 3474,
        "source_kind": "stan",
        "source": "waybill/orders",
        "collection": "orders",
        "sequence": 3391,
        "broker_time_ns": 1_795_241_403_287_398_252_i64,
        "received_at": "2026-11-21T06:10:03.287398Z",
        "key": null,
        "hash": "7d1464740ac0c29e",
        "payload_bytes": 62,
        "decision": null,
        "fate": "dead_letter",
        "links": [
            {"rel": "payload", "href": "/api/v1/inbox/3474/payload"},
            {"rel": "dead_letter", "href": "/api/v1/dead-letters/3474"},
        ],
    });
    Judgement => judgement();
    CollectionView => purchases();
    CollectionList => json!({"items": [purchases()]});
    CollectionDefinition => {
        let mut one = purchases();
        one["text"] = Value::from(DEFINITION);
        one
    };
    Definitions => json!({"items": [definition_entry()], "next": null});
    DocumentVersions => json!({
        "items": [{
            "position": 3474, "age": 3474, "what": "document", "gone": false,
            "received_at": "2026-11-21T06:10:03.287398Z", "document": {"task_id": "t1", "version": 2, "state": "cooking"},
        }],
        "next": null,
    });
    SumPage => json!({"items": [{"account": "c1", "sum": 230, "entries": 7, "last_position": 3474}], "next": null});
    Statement => json!({
        "account": "c1", "sum": 230, "entries": 7, "last_position": 3474,
        "items": [{"position": 3474, "value": 30, "received_at": "2026-11-21T06:10:03.287398Z"}],
        "next": "3474",
    });
    Reconciliation => json!({
        "received": 5000,
        "documents": 4500,
        "superseded": 0,
        "duplicates": 31,
        "dead_letters": 441,
        "decisions": 28,
        "pending": 0,
        "balanced": true,
        "well": false,
        "sources": [{
            "source": "stan:waybill/orders",
            "epoch": 1,
            "rows": 4970,
            "first_sequence": 1,
            "last_sequence": 4990,
            "broker_last_sequence": 4990,
            "holes": [{"first": 51, "last": 60, "state": "lost"}, {"first": 351, "last": 360, "state": "awaited"}],
            "hole_count": 2,
            "missing": 20,
            "lost": 10,
        }],
        "verified": {"rows": 5000, "documents": 4500, "superseded": 0, "duplicates": 31, "dead_letters": 441, "decisions": 28, "findings": []},
    });
    Stats => json!({
        "version": env!("CARGO_PKG_VERSION"),
        "received": 5000,
        "projected": 5000,
        "pending": 0,
        "documents": 4500,
        "superseded": 0,
        "duplicates": 31,
        "dead_letters_open": 413,
        "dead_letters_replaced": 25,
        "dead_letters_discarded": 3,
        "oldest_open_dead_letter": "2026-11-21T06:10:03.287398Z",
        "cache_documents": 4500,
        "cache_bytes": 5_522_730,
        "cache_warm": true,
        "cache_hits": 18_204,
        "cache_misses": 377,
        "last_message_at": "2026-11-21T08:00:01.328002Z",
        "projector": "1932-3d0472774ef96aba",
        "broker": {"connected": true, "problem": null, "channel": "orders", "lag": 0, "last_sequence": 4990},
    });
    SignIn => json!({"name": "Grace", "token": "wb_…"});
    Ways => json!({"token": true, "oidc": "login.example.com"});
    Me => json!({
        "name": "Grace",
        "proof": "token",
        "proven": true,
        "rights": ["read", "letters", "decide"],
        "collections": null,
        "expires": "2027-02-19T00:00:00Z",
    });
    AuditEntry => audit_entry();
    AuditPage => json!({"items": [audit_entry()], "next": "7"});
    StreamStats => json!({
        "at": 1_795_248_001_405_i64,
        "version": env!("CARGO_PKG_VERSION"),
        "database": "connected",
        "broker": "connected",
        "broker_problem": null,
        "channel": "orders",
        "broker_lag": 0,
        "messages": 4972,
        "documents": 4500,
        "superseded": 0,
        "duplicates": 31,
        "dead_letters": 441,
        "decisions": 28,
        "pending": 0,
        "open": 413,
        "cache_documents": 4500,
        "cache_hits": 18_204,
        "cache_misses": 377,
        "cache_warm": true,
    });
    StreamHistory => json!({
        "columns": super::stream::COLUMNS,
        "rows": [[1_795_248_001_405_i64, 4972, 4500, 441, 413, 0, 0, 18_204, 377]],
    });
    StreamDocument => json!({
        "collection": "orders",
        "position": 4999,
        "key": "b563feb7b2b84b6test",
        "document": collection::example(),
    });
}

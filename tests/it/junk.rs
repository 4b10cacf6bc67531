//! Whatever comes: a dead letter with its reason, its code and its exact bytes, or an order where only an ignored field is
//! odd. Faults 26 to 33.

use bytes::Bytes;
use serde_json::json;
use waybill::sandbox::broker::Store;

use crate::harness::{Bench, Sender, Sql, Weight, check, order, order_with};

/// What a message must come to: an order, or reason, code and pointer.
type Wanted = Option<(&'static str, &'static str, &'static str)>;

/// An unknown field beside the known ones.
fn unknown(order_uid: &str, value: &str) -> Bytes {
    let field = format!("{{ \"unknown\": {value},");
    order_with(order_uid, &[("{", &field)])
}

fn bytes(text: &Bytes, from: &[u8], to: &[u8]) -> Bytes {
    let at = text.windows(from.len()).position(|part| part == from);
    let (before, after) = text.split_at(at.unwrap());
    [before, to, &after[from.len()..]].concat().into()
}

fn cases() -> Vec<(&'static str, Bytes, Wanted)> {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let digits = "7".repeat(1_000_000);
    let utf16 =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\x4a\x54\xb2\x32\xac\x05\x00\xaf\xac\x1b\x56\x07\x00\x00\x00";
    let name = "\"Test Testov\"";
    vec![
        ("empty", Bytes::new(), Some(("not_json", "empty", ""))),
        ("blank", " \n\t ".into(), Some(("not_json", "empty", ""))),
        (
            "a byte order mark",
            [b"\xef\xbb\xbf", &order("bom")[..]].concat().into(),
            Some(("not_json", "byte_order_mark", "")),
        ),
        (
            "UTF-16 with a mark",
            [&b"\xff\xfe"[..], &utf16("{\"order_uid\": \"a\"}")]
                .concat()
                .into(),
            Some(("not_utf8", "utf16", "")),
        ),
        (
            "UTF-16 without one",
            utf16("{\"order_uid\": \"a\"}").into(),
            Some(("not_json", "utf16", "")),
        ),
        (
            "gzip",
            Bytes::from_static(gzip),
            Some(("not_utf8", "compressed", "")),
        ),
        (
            "random bytes",
            Bytes::from_static(b"\x8f\x3a\xc9\x01\xfe\x77\x00\x12"),
            Some(("not_utf8", "not_utf8", "")),
        ),
        (
            "Latin-1 in a known field",
            bytes(&order("latin"), b"Testov", b"Test\xf6v"),
            Some(("not_utf8", "not_utf8", "/delivery/name")),
        ),
        (
            "Latin-1 in an unknown field",
            bytes(&unknown("latin-2", "\"#\""), b"#", b"\xf6"),
            Some(("not_utf8", "not_utf8", "")),
        ),
        (
            "100,000 levels deep",
            deep(100_000).into(),
            Some(("not_json", "too_deep", "")),
        ),
        (
            "100,000 levels deep in a known field",
            order_with("deep", &[(name, &deep(100_000))]),
            Some(("not_json", "too_deep", "/delivery/name")),
        ),
        (
            "100,000 levels deep in an unknown field",
            unknown("deep-2", &deep(100_000)),
            None,
        ),
        (
            "100,000 levels that never end",
            "[".repeat(100_000).into(),
            Some(("not_json", "truncated", "")),
        ),
        (
            "a megabyte of digits",
            order_with("digits", &[("1817", &digits)]),
            Some(("schema", "number_out_of_range", "/payment/amount")),
        ),
        (
            "a megabyte of digits in an unknown field",
            unknown("digits-2", &digits),
            None,
        ),
        (
            "1e999999",
            order_with("huge", &[("1817", "1e999999")]),
            Some(("schema", "number_out_of_range", "/payment/amount")),
        ),
        (
            "1e999999 in an unknown field",
            unknown("huge-2", "1e999999"),
            None,
        ),
        (
            "NUL in a known field",
            order_with("nul", &[("Test Testov", "Test\\u0000")]),
            Some(("unstorable", "nul_character", "/delivery/name")),
        ),
        (
            "NUL in an unknown field",
            unknown("nul-2", "\"\\u0000\""),
            None,
        ),
        (
            "a lone surrogate in a known field",
            order_with("half", &[("Test Testov", "\\ud83d")]),
            Some(("unstorable", "lone_surrogate", "/delivery/name")),
        ),
        (
            "a lone surrogate in an unknown field",
            unknown("half-2", "\"\\ud83d\""),
            None,
        ),
        (
            "a known field twice",
            order_with(
                "twice",
                &[(
                    "\"locale\": \"en\",",
                    "\"locale\": \"en\", \"locale\": \"en\",",
                )],
            ),
            Some(("not_json", "duplicate_field", "/locale")),
        ),
        (
            "an unknown field twice",
            unknown("twice-2", "1, \"unknown\": 2"),
            None,
        ),
        (
            "an order_uid of 10 kB",
            order(&"x".repeat(10_000)),
            Some(("unstorable", "too_long", "/order_uid")),
        ),
        (
            "another order's order_uid",
            order_with("nul-2", &[("\"en\"", "\"ru\"")]),
            Some(("conflict", "order_uid_taken", "/order_uid")),
        ),
        ("an order after all that", order("last"), None),
    ]
}

/// Where these bytes are in the log.
async fn position(sql: &Sql, payload: &Bytes) -> i64 {
    let hash = waybill::inbox::content_hash(Some(payload), None);
    sql.count(&format!("select position from inbox where hash = {hash}"))
        .await
}

#[tokio::test]
async fn each_kind_of_junk_becomes_the_letter_that_it_is() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let service = bench.serve(Some(&broker), &[]).await;
    let cases = cases();
    let payloads = cases.iter().map(|(_, payload, _)| payload.clone());
    let ledger = Sender::new(&broker).publish(payloads).await;
    service.rests(30, cases.len() as i64).await;

    let sql = bench.sql().await;
    let mut wrong = Vec::new();
    for (name, payload, wanted) in &cases {
        let position = position(&sql, payload).await;
        let row = service.json(&format!("/api/v1/inbox/{position}")).await;
        let Some((reason, code, pointer)) = wanted else {
            assert_eq!(row["fate"], "document", "{name}");
            continue;
        };
        assert_eq!(row["fate"], "dead_letter", "{name}");
        let path = format!("/api/v1/dead-letters/{position}");
        let letter = service.json(&path).await;
        let found = ["reason", "code", "pointer"].map(|field| letter[field].as_str().unwrap());
        if found != [*reason, *code, *pointer] {
            wrong.push(format!("{name}: {found:?}: {}", letter["message"]));
        }
        assert_eq!(letter["state"], "open", "{name}");
        assert_eq!(letter["payload_bytes"], payload.len(), "{name}");
        let exact = service.get(&format!("{path}/payload")).await;
        assert_eq!(exact.body, payload, "{name}");
        assert!(exact.header("content-disposition").contains("attachment"));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    check(&bench, &service, &ledger).await;
}

#[tokio::test]
async fn the_largest_payload_that_the_broker_takes_is_stored() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let service = bench.serve(Some(&broker), &[]).await;
    let sender = Sender::new(&broker);
    let room = sender.max_payload().await - unknown("large", "\"\"").len();
    let large = unknown("large", &format!("\"{}\"", "x".repeat(room)));
    let junk = Bytes::from("x".repeat(large.len()));
    let ledger = sender.publish([large, junk]).await;
    service.rests(30, 2).await;
    let count = check(&bench, &service, &ledger).await;
    assert_eq!((count.orders, count.letters), (1, 1));
}

#[tokio::test]
async fn one_bad_message_among_a_thousand_good_ones_is_one_letter() {
    let bench = Bench::new(Weight::Light).await;
    let broker = bench.broker(Store::File).await;
    let mut payloads: Vec<Bytes> = (0..1_000).map(|n| order(&format!("good-{n}"))).collect();
    payloads[500] = "{\"order_uid\": \"bad\"}".into();
    // All are there before the service is: they come in as few batches as can be.
    let ledger = Sender::new(&broker).publish(payloads).await;
    let service = bench.serve(Some(&broker), &[]).await;
    service.rests(30, 1_000).await;
    let count = check(&bench, &service, &ledger).await;
    assert_eq!((count.orders, count.letters), (999, 1));
    let letters = service.json("/api/v1/dead-letters").await;
    assert_eq!(letters["items"][0]["key"], "bad");
    assert_eq!(letters["next"], json!(null));
    let explained = service.order("bad").await;
    assert_eq!(explained.status, 404);
    assert_eq!(explained.json()["links"][0]["rel"], "dead_letter");
}

#[tokio::test]
async fn the_second_content_of_an_order_uid_is_a_conflict_and_shows_the_difference() {
    let bench = Bench::new(Weight::Light).await;
    let service = bench.serve(None, &[]).await;
    let first = service.post(order("taken")).await;
    let same = service.post(unknown("taken", "1")).await;
    let other = service
        .post(order_with("taken", &[("\"en\"", "\"ru\"")]))
        .await;
    service.rests(10, 3).await;
    for (position, fate) in [
        (first, "document"),
        (same, "duplicate"),
        (other, "dead_letter"),
    ] {
        let row = service.json(&format!("/api/v1/inbox/{position}")).await;
        assert_eq!(row["fate"], fate);
    }
    let letter = service.json(&format!("/api/v1/dead-letters/{other}")).await;
    assert_eq!(letter["reason"], "conflict");
    assert_eq!(
        letter["differences"],
        json!([{"pointer": "/locale", "document": "en", "letter": "ru"}])
    );
    assert_eq!(service.order("taken").await.json()["locale"], "en");
}

//! The STAN client against a real nats-streaming-server.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::{Duration, Instant};

use waybill::sandbox::broker::{Broker, Store};
use waybill::sandbox::process::free_port;
use waybill::stan::{
    Auth, Client, ConnectError, LossReason, Lost, Message, Options, PublishError, Publisher,
    SubscribeError, SubscribeOptions, Subscription, channel_status, connect_with_backoff,
};

use crate::harness::{brief_broker, directory};

// --- the broker ---

async fn memory_broker() -> Broker {
    brief_broker(directory(), Store::Memory, &[]).await
}

async fn file_broker() -> Broker {
    brief_broker(directory(), Store::File, &[]).await
}

async fn restart(broker: &mut Broker) {
    broker.kill();
    broker.start_again().await.unwrap();
}

fn as_client(broker: &Broker, client_id: &str) -> Options {
    let mut options = Options::new(broker.url(), broker.cluster_id(), client_id);
    options.ping_interval = Duration::from_secs(1);
    options
}

async fn connect(broker: &Broker, client_id: &str) -> Client {
    let options = as_client(broker, client_id);
    within(15, connect_with_backoff(&options, |_, _| ())).await
}

fn monitoring(broker: &Broker) -> String {
    broker.monitoring_url().unwrap()
}

// --- waiting and doing ---

async fn within<T>(seconds: u64, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(seconds), work)
        .await
        .expect("it should have happened by now")
}

/// For what gives no signal.
async fn until<F: Future<Output = bool>>(seconds: u64, mut holds: impl FnMut() -> F) {
    within(seconds, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

fn orders() -> SubscribeOptions {
    let mut options = SubscribeOptions::new("orders", "waybill");
    options.ack_wait = Duration::from_secs(1);
    options
}

async fn publish(publisher: &Publisher, payloads: impl IntoIterator<Item = String>) {
    let mut acks = Vec::new();
    for payload in payloads {
        acks.push(publisher.publish(payload.as_bytes()).await.unwrap());
    }
    for ack in acks {
        within(20, ack).await.unwrap();
    }
}

async fn publish_numbers(client: &Client, numbers: std::ops::Range<u32>) {
    let publisher = client.publisher("orders", 256).await.unwrap();
    publish(&publisher, numbers.map(|n| n.to_string())).await;
}

fn number(message: &Message) -> u32 {
    std::str::from_utf8(&message.payload)
        .unwrap()
        .parse()
        .unwrap()
}

async fn take(subscription: &mut Subscription, count: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    while messages.len() < count {
        let limit = count - messages.len();
        let taken = within(20, subscription.next_many(&mut messages, limit)).await;
        assert!(taken > 0, "lost after {} messages", messages.len());
    }
    messages
}

async fn ack_all(messages: Vec<Message>) {
    for message in messages {
        message.receipt.ack().await.unwrap();
    }
}

fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

// --- connecting ---

#[tokio::test]
async fn connects_and_says_what_is_wrong_where_it_cannot() {
    let mut broker = memory_broker().await;
    let client = connect(&broker, "one").await;

    let mut wrong_cluster = as_client(&broker, "two");
    wrong_cluster.cluster_id = "another".into();
    let error = Client::connect(&wrong_cluster).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::NoStreamingServer { .. }),
        "{error}"
    );

    let error = Client::connect(&as_client(&broker, "one"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, ConnectError::ClientIdInUse { .. }),
        "{error}"
    );

    let error = Client::connect(&as_client(&broker, "no spaces"))
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Options(_)), "{error}");

    // The second of two servers is taken where the first is down.
    let mut several = as_client(&broker, "three");
    several.servers = format!(
        "nats://127.0.0.1:{}, {}",
        free_port().unwrap(),
        broker.url()
    );
    within(5, Client::connect(&several)).await.unwrap();

    assert_eq!(client.loss(), None);
    broker.kill();
    let error = Client::connect(&as_client(&broker, "four"))
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn user_and_password_are_needed_and_taken_from_options_or_url() {
    let secured = ["--user", "ann", "--pass", "p@ss"];
    let broker = brief_broker(directory(), Store::Memory, &secured).await;
    let mut options = as_client(&broker, "one");
    until(10, || async {
        let refused = Client::connect(&options).await.unwrap_err();
        assert!(!refused.to_string().contains("p@ss"));
        matches!(refused, ConnectError::Auth { .. })
    })
    .await;
    options.auth = Auth::User {
        user: "ann".into(),
        password: "p@ss".into(),
    };
    let client = within(10, connect_with_backoff(&options, |_, _| ())).await;
    within(5, client.close()).await.unwrap();
    options.auth = Auth::None;
    options.servers = format!("nats://ann:p%40ss@127.0.0.1:{}", broker.port());
    let client = within(10, Client::connect(&options)).await.unwrap();
    within(5, client.close()).await.unwrap();
}

#[tokio::test]
async fn a_dropped_client_is_gone_and_its_id_free_at_once() {
    let broker = memory_broker().await;
    let client = connect(&broker, "me").await;
    let mut subscription = client.subscribe(&orders()).await.unwrap();
    let lost = client.lost();
    drop(client);
    assert_eq!(within(1, lost).await, LossReason::Closed);
    assert!(within(1, subscription.next()).await.is_none());
    // Where the broker still holds the dead one, it finds no pulse.
    let client = connect(&broker, "me").await;
    within(5, client.subscribe(&orders())).await.unwrap();
}

// --- messages ---

#[tokio::test]
async fn five_thousand_messages_arrive_in_order_and_are_acked() {
    let broker = file_broker().await;
    let client = connect(&broker, "one").await;
    let mut options = orders();
    options.ack_wait = Duration::from_secs(30);
    options.max_in_flight = 700;
    let mut subscription = client.subscribe(&options).await.unwrap();
    let receive = async {
        for sequence in 1..=5_000u64 {
            let message = within(20, subscription.next()).await.unwrap();
            assert_eq!(message.sequence, sequence);
            assert_eq!(u64::from(number(&message)), sequence - 1);
            assert!(message.timestamp_ns > 0);
            message.receipt.ack().await.unwrap();
        }
    };
    tokio::join!(publish_numbers(&client, 0..5_000), receive);
    let counters = subscription.counters();
    assert_eq!((counters.received, counters.let_go), (5_000, 0));
    assert_eq!((counters.malformed, counters.held_bytes), (0, 0));

    let http = http();
    until(10, || async {
        let status = channel_status(&http, &monitoring(&broker), &options)
            .await
            .unwrap();
        status.is_some_and(|s| (s.first, s.last, s.lag) == (1, 5_000, Some(0)))
    })
    .await;
    let unknown = SubscribeOptions::new("no.such.channel", "waybill");
    let status = channel_status(&http, &monitoring(&broker), &unknown)
        .await
        .unwrap();
    assert_eq!(status, None);
}

#[tokio::test]
async fn durable_keeps_its_place_over_close_and_reconnect() {
    let broker = file_broker().await;
    let client = connect(&broker, "one").await;
    publish_numbers(&client, 0..30).await;
    let mut subscription = client.subscribe(&orders()).await.unwrap();
    ack_all(take(&mut subscription, 10).await).await;
    within(5, subscription.close()).await.unwrap();

    let mut subscription = client.subscribe(&orders()).await.unwrap();
    let messages = take(&mut subscription, 10).await;
    assert_eq!(number(&messages[0]), 10);
    ack_all(messages).await;
    within(5, client.close()).await.unwrap();
    assert!(within(1, subscription.next()).await.is_none());

    let client = connect(&broker, "one").await;
    let mut subscription = client.subscribe(&orders()).await.unwrap();
    assert_eq!(number(&take(&mut subscription, 1).await[0]), 20);
}

#[tokio::test]
async fn what_was_not_acked_comes_again() {
    let broker = memory_broker().await;
    let client = connect(&broker, "one").await;
    publish_numbers(&client, 0..4).await;
    let mut subscription = client.subscribe(&orders()).await.unwrap();
    let mut first = take(&mut subscription, 4).await;
    let unacked = first.remove(2);
    ack_all(first).await;
    let again = take(&mut subscription, 1).await.remove(0);
    assert!(again.redelivered);
    assert_eq!(
        (again.sequence, again.timestamp_ns, &again.payload),
        (unacked.sequence, unacked.timestamp_ns, &unacked.payload)
    );
    again.receipt.ack().await.unwrap();
}

#[tokio::test]
async fn a_subscription_that_nobody_reads_holds_no_more_than_its_budget() {
    let broker = memory_broker().await;
    let client = connect(&broker, "one").await;
    let publisher = client.publisher("orders", 256).await.unwrap();
    let filler = "x".repeat(10_000);
    publish(&publisher, (0..100).map(|_| filler.clone())).await;
    let mut options = orders();
    options.byte_budget = 200_000;
    let mut subscription = client.subscribe(&options).await.unwrap();
    until(10, || {
        std::future::ready(subscription.counters().received >= 100)
    })
    .await;
    let counters = subscription.counters();
    assert!(counters.held_bytes <= 200_000, "{counters:?}");
    assert!(counters.let_go >= 80, "{counters:?}");
    // What was let go comes again, as the reader makes room.
    let mut seen = BTreeSet::new();
    while seen.len() < 100 {
        let message = within(20, subscription.next()).await.unwrap();
        seen.insert(message.sequence);
        message.receipt.ack().await.unwrap();
    }
    drop(subscription);
    // One that exceeds all of the budget passes alone.
    options.durable = "small".into();
    options.byte_budget = 10;
    let mut subscription = client.subscribe(&options).await.unwrap();
    assert_eq!(take(&mut subscription, 1).await.len(), 1);
}

#[tokio::test]
async fn two_members_of_a_group_share_the_messages() {
    let broker = file_broker().await;
    let (one, two) = (connect(&broker, "one").await, connect(&broker, "two").await);
    let mut options = orders();
    options.queue_group = Some("replicas".into());
    options.ack_wait = Duration::from_secs(30);
    options.max_in_flight = 50;
    let mut first = one.subscribe(&options).await.unwrap();
    let mut second = two.subscribe(&options).await.unwrap();
    publish_numbers(&one, 0..1_000).await;
    let mut seen = [Vec::new(), Vec::new()];
    while seen[0].len() + seen[1].len() < 1_000 {
        let (member, message) = tokio::select! {
            message = within(20, first.next()) => (0, message.unwrap()),
            message = within(20, second.next()) => (1, message.unwrap()),
        };
        seen[member].push(number(&message));
        message.receipt.ack().await.unwrap();
    }
    assert!(seen.iter().all(|seen| !seen.is_empty()));
    let all: BTreeSet<u32> = seen.concat().into_iter().collect();
    assert_eq!(all.len(), 1_000);
    let http = http();
    until(10, || async {
        let status = channel_status(&http, &monitoring(&broker), &options)
            .await
            .unwrap();
        status.is_some_and(|status| status.lag == Some(0))
    })
    .await;
}

#[tokio::test]
async fn a_durable_has_one_subscription_until_it_is_dropped() {
    let broker = memory_broker().await;
    let client = connect(&broker, "one").await;
    let subscription = client.subscribe(&orders()).await.unwrap();
    let error = client.subscribe(&orders()).await.unwrap_err();
    assert!(
        matches!(error, SubscribeError::DurableInUse { .. }),
        "{error}"
    );
    drop(subscription);
    until(5, || async { client.subscribe(&orders()).await.is_ok() }).await;
    let error = client
        .subscribe(&SubscribeOptions::new("a.*", "x"))
        .await
        .unwrap_err();
    assert!(matches!(error, SubscribeError::Options(_)), "{error}");
}

#[tokio::test]
async fn a_frame_that_is_no_stan_message_is_counted_and_passed_over() {
    let broker = memory_broker().await;
    let client = connect(&broker, "one").await;
    let mut subscription = client.subscribe(&orders()).await.unwrap();
    let url = format!(
        "{}/streaming/channelsz?channel=orders&subs=1",
        monitoring(&broker)
    );
    let channel: serde_json::Value = http().get(url).send().await.unwrap().json().await.unwrap();
    let inbox = channel["subscriptions"][0]["inbox"]
        .as_str()
        .unwrap()
        .to_owned();

    let stranger = async_nats::connect(broker.url()).await.unwrap();
    for frame in ["", "garbage", "\u{8}\u{1}", "\u{8}\u{1}\u{12}\u{5}other"] {
        stranger.publish(inbox.clone(), frame.into()).await.unwrap();
    }
    stranger.flush().await.unwrap();
    until(5, || {
        std::future::ready(subscription.counters().malformed == 4)
    })
    .await;
    publish_numbers(&client, 7..8).await;
    assert_eq!(number(&take(&mut subscription, 1).await[0]), 7);
}

#[tokio::test]
async fn the_largest_message_is_taken_and_a_larger_one_refused_here() {
    let broker = memory_broker().await;
    let client = connect(&broker, "one").await;
    let publisher = client.publisher("orders", 4).await.unwrap();
    let limit = publisher.max_payload();
    assert!(limit > (1 << 20) - 200);
    let ack = publisher.publish(&vec![b'x'; limit]).await.unwrap();
    within(5, ack).await.unwrap();
    let error = publisher.publish(&vec![b'x'; limit + 1]).await.unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { .. }), "{error}");
    let mut subscription = client.subscribe(&orders()).await.unwrap();
    assert_eq!(take(&mut subscription, 1).await[0].payload.len(), limit);
    for (channel, window) in [("a b", 1), ("a.>", 1), ("orders", 0)] {
        let error = client.publisher(channel, window).await.unwrap_err();
        assert!(matches!(error, PublishError::Options(_)), "{error}");
    }
}

// --- losses ---

#[tokio::test]
async fn memory_store_restart_is_noticed_and_an_old_ack_does_nothing() {
    let mut broker = memory_broker().await;
    let client = connect(&broker, "one").await;
    let publisher = client.publisher("orders", 16).await.unwrap();
    publish(&publisher, ["old".to_owned()]).await;
    let mut subscription = client.subscribe(&orders()).await.unwrap();
    let old = take(&mut subscription, 1).await.remove(0);

    restart(&mut broker).await;
    let reason = within(10, client.lost()).await;
    assert_eq!(client.loss(), Some(reason.clone()));
    assert!(within(1, subscription.next()).await.is_none());
    let error = publisher.publish(b"late").await.unwrap_err();
    assert!(matches!(error, PublishError::Lost(_)), "{error}");

    // The id is that of a client which is still in memory here: it has no pulse any more.
    let renewed = connect(&broker, "one").await;
    let mut subscription = renewed.subscribe(&orders()).await.unwrap();
    publish_numbers(&renewed, 0..1).await;
    let new = take(&mut subscription, 1).await.remove(0);
    assert_eq!(new.sequence, old.sequence, "a new life counts from 1 again");
    assert_eq!(old.receipt.ack().await, Err(Lost(reason)));
    drop(new);
    assert_eq!(
        take(&mut subscription, 1).await[0].sequence,
        1,
        "it was never acked"
    );

    // The old connection has not come back: the broker sees one of this name.
    let url = format!("{}/connz", monitoring(&broker));
    let connections: serde_json::Value =
        http().get(url).send().await.unwrap().json().await.unwrap();
    let ours = connections["connections"].as_array().unwrap().iter();
    assert_eq!(
        ours.filter(|connection| connection["name"] == "one")
            .count(),
        1
    );
}

#[tokio::test]
async fn nothing_queued_for_a_lost_broker_is_sent_to_the_next() {
    let mut broker = file_broker().await;
    let client = connect(&broker, "one").await;
    let publisher = client.publisher("orders", 4_000).await.unwrap();
    publish(&publisher, ["first".to_owned()]).await;
    // Frozen, it takes what the socket's buffers hold; the rest waits here.
    broker.pause();
    let payload = vec![b'x'; 100_000];
    let mut acks = Vec::new();
    let error = loop {
        match within(10, publisher.publish(&payload)).await {
            Ok(ack) => acks.push(ack),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, PublishError::Lost(_)), "{error}");
    for ack in acks {
        let error = within(1, ack).await.unwrap_err();
        assert!(matches!(error, PublishError::Lost(_)), "{error}");
    }
    restart(&mut broker).await;
    let renewed = connect(&broker, "two").await;
    publish_numbers(&renewed, 1..2).await;
    let mut subscription = renewed.subscribe(&orders()).await.unwrap();
    let messages = take(&mut subscription, 2).await;
    assert_eq!(messages[0].payload, "first");
    assert_eq!(number(&messages[1]), 1);
}

#[tokio::test]
async fn killed_file_store_loses_nothing_and_the_durable_goes_on() {
    let mut broker = file_broker().await;
    let mut seen = BTreeSet::new();
    let client = connect(&broker, "one").await;
    publish_numbers(&client, 0..2_000).await;
    let mut subscription = client.subscribe(&orders()).await.unwrap();
    let messages = take(&mut subscription, 1_000).await;
    seen.extend(messages.iter().map(number));
    ack_all(messages).await;

    restart(&mut broker).await;
    let lost = within(10, client.lost()).await;
    assert_eq!(lost, LossReason::Disconnected);
    let mut failures = 0;
    let options = as_client(&broker, "one");
    let client = within(15, connect_with_backoff(&options, |_, _| failures += 1)).await;
    let mut subscription = client.subscribe(&orders()).await.unwrap();
    while seen.len() < 2_000 {
        let message = within(20, subscription.next()).await.unwrap();
        seen.insert(number(&message));
        message.receipt.ack().await.unwrap();
    }
}

#[tokio::test]
async fn a_frozen_broker_is_noticed_within_seconds() {
    let mut broker = memory_broker().await;
    let client = connect(&broker, "one").await;
    broker.pause();
    let frozen = Instant::now();
    within(6, client.lost()).await;
    assert!(frozen.elapsed() < Duration::from_secs(6));
    let options = as_client(&broker, "one");
    let mut failures = 0;
    let mut thawed = false;
    let renewed = connect_with_backoff(&options, |error, _| {
        assert!(matches!(
            error,
            ConnectError::Unreachable { .. } | ConnectError::TimedOut { .. }
        ));
        failures += 1;
        if !thawed {
            broker.resume();
            thawed = true;
        }
    });
    within(30, renewed).await;
    assert!(failures > 0);
}

#[tokio::test]
async fn a_streaming_server_lost_behind_a_living_nats_is_noticed_by_the_pings() {
    let outer = ["-cid", "outer"];
    let nats = brief_broker(directory(), Store::Memory, &outer).await;
    let _up = {
        let mut options = as_client(&nats, "probe");
        options.cluster_id = "outer".into();
        within(10, connect_with_backoff(&options, |_, _| ())).await
    };
    let nats_url = nats.url();
    let inner = ["-cid", "inner", "-ns", &nats_url];
    let mut streaming = brief_broker(directory(), Store::Memory, &inner).await;
    let mut options = as_client(&nats, "one");
    options.cluster_id = "inner".into();
    options.ack_timeout = Duration::from_secs(1);

    // Restarted with a new store, it answers that it does not know us.
    let client = within(10, connect_with_backoff(&options, |_, _| ())).await;
    restart(&mut streaming).await;
    let reason = within(10, client.lost()).await;
    assert!(matches!(reason, LossReason::Forgotten(_)), "{reason}");

    // Down, its pings get "nobody here"; a publish is never taken for acknowledged.
    let client = within(10, connect_with_backoff(&options, |_, _| ())).await;
    let publisher = client.publisher("orders", 4).await.unwrap();
    streaming.kill();
    let ack = publisher.publish(b"into the void").await.unwrap();
    let error = within(5, ack).await.unwrap_err();
    assert!(matches!(error, PublishError::TimedOut(_)), "{error}");
    let reason = within(10, client.lost()).await;
    assert_eq!(reason, LossReason::Silent { pings: 3 });
}

//! What the broker's monitoring port says of a channel: the one thing that the protocol does not tell.

use std::time::Duration;

use serde::Deserialize;

use super::options::SubscribeOptions;

const TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelStatus {
    /// The first and last message in the channel, 0 where it is empty.
    pub first: u64,
    pub last: u64,
    /// Messages not yet acknowledged by the durable: not sent, or sent and pending. None where the broker
    /// does not know the durable.
    pub lag: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum MonitoringError {
    #[error("monitoring URL {url:?}: {reason}")]
    Url { url: String, reason: String },
    #[error("no answer from the broker's monitoring at {url} (does it run with -m?)")]
    Unreachable { url: String, source: reqwest::Error },
    #[error("{url} is not the monitoring of a streaming server")]
    Unexpected { url: String },
}

#[derive(Deserialize)]
struct Channel {
    first_seq: u64,
    last_seq: u64,
    #[serde(default)]
    subscriptions: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    #[serde(default)]
    durable_name: String,
    #[serde(default)]
    queue_name: String,
    last_sent: u64,
    pending_count: u64,
}

/// Asks the monitoring port (`http://host:8222`). None where there is no such channel yet. The `server_id`
/// that it tells changes at each start of the broker, so it is left alone.
pub async fn channel_status(
    http: &reqwest::Client,
    monitoring_url: &str,
    subscription: &SubscribeOptions,
) -> Result<Option<ChannelStatus>, MonitoringError> {
    let base = monitoring_url.trim_end_matches('/');
    let url = format!("{base}/streaming/channelsz");
    if let Err(error) = reqwest::Url::parse(&url) {
        return Err(MonitoringError::Url {
            url: monitoring_url.to_owned(),
            reason: error.to_string(),
        });
    }
    let unreachable = |source| MonitoringError::Unreachable {
        url: base.to_owned(),
        source,
    };
    let response = http
        .get(&url)
        .query(&[("channel", subscription.channel.as_str()), ("subs", "1")])
        .timeout(TIMEOUT)
        .send()
        .await
        .map_err(unreachable)?;
    if response.status() == reqwest::StatusCode::NOT_FOUND {
        return Ok(None);
    }
    let body = response.bytes().await.map_err(unreachable)?;
    let channel: Channel =
        serde_json::from_slice(&body).map_err(|_| MonitoringError::Unexpected { url })?;
    Ok(Some(ChannelStatus {
        first: channel.first_seq,
        last: channel.last_seq,
        lag: channel.lag(subscription),
    }))
}

impl Channel {
    /// All members of a group tell the group's `last_sent`, and each what is pending with it.
    fn lag(&self, subscription: &SubscribeOptions) -> Option<u64> {
        // The server's name for a durable of a group.
        let (durable, group) = match &subscription.queue_group {
            Some(group) => ("", format!("{}:{group}", subscription.durable)),
            None => (subscription.durable.as_str(), String::new()),
        };
        let mut members = (self.subscriptions.iter())
            .filter(|member| member.durable_name == durable && member.queue_name == group)
            .peekable();
        members.peek()?;
        let (sent, pending) = members.fold((0, 0), |(sent, pending), member| {
            (member.last_sent.max(sent), pending + member.pending_count)
        });
        Some(self.last_seq.saturating_sub(sent) + pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_counts_what_is_unsent_and_what_is_pending_with_all_members() {
        let channel: Channel = serde_json::from_str(
            r#"{"first_seq": 1, "last_seq": 100, "subscriptions": [
                {"queue_name": "waybill:replicas", "last_sent": 80, "pending_count": 5},
                {"queue_name": "waybill:replicas", "last_sent": 90, "pending_count": 7},
                {"queue_name": "other:replicas", "last_sent": 1, "pending_count": 1},
                {"durable_name": "waybill", "last_sent": 100, "pending_count": 0}]}"#,
        )
        .unwrap();
        let mut subscription = SubscribeOptions::new("orders", "waybill");
        assert_eq!(channel.lag(&subscription), Some(0));
        subscription.queue_group = Some("replicas".into());
        assert_eq!(channel.lag(&subscription), Some(10 + 12));
        subscription.durable = "unknown".into();
        assert_eq!(channel.lag(&subscription), None);
    }
}

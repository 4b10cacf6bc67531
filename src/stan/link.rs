use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::error::RequestError;
use super::life::Life;
use super::{nats, wire};

/// What subscriptions, publishers and receipts share of a connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub nats: async_nats::Client,
    pub life: Life,
    pub client_id: String,
    pub conn_id: Bytes,
    pub subjects: wire::ConnectResponse,
    pub request_timeout: Duration,
    pub ack_timeout: Duration,
}

impl Link {
    pub(crate) async fn request<A: Message + Default>(
        &self,
        subject: &str,
        question: &impl Message,
    ) -> Result<A, RequestError> {
        nats::request(
            &self.nats,
            &self.life,
            subject,
            question,
            self.request_timeout,
        )
        .await
    }
}

pub(crate) fn refuse(error: String) -> Result<(), RequestError> {
    if error.is_empty() {
        Ok(())
    } else {
        Err(RequestError::Refused(error))
    }
}

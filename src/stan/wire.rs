//! The messages of the STAN protocol (protocol.proto of stan.go 0.10), by hand, so that no build needs
//! protoc. Fields that neither side of ours reads are left out: protobuf skips what it does not know.
//!
//! The three messages of the hot path are treated apart: a delivery is decoded without copying its text
//! fields, and a publish and an ack are written after a prefix that was encoded once.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

/// What the server says when another live connection has our client id.
pub(crate) const CLIENT_ID_IN_USE: &str = "stan: clientID already registered";
/// What it says when a durable has a subscriber already.
pub(crate) const DURABLE_IN_USE: &str = "stan: duplicate durable registration";
/// What it says to a publish of a client that it does not know.
pub(crate) const UNKNOWN_PUBLISHER: &str = "stan: invalid publish request";
/// Since this protocol version the server answers pings.
pub(crate) const PROTOCOL_WITH_PINGS: i32 = 1;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ConnectRequest {
    #[prost(string, tag = "1")]
    pub client_id: String,
    #[prost(string, tag = "2")]
    pub heartbeat_inbox: String,
    #[prost(int32, tag = "3")]
    pub protocol: i32,
    #[prost(bytes = "bytes", tag = "4")]
    pub conn_id: Bytes,
    /// In seconds.
    #[prost(int32, tag = "5")]
    pub ping_interval: i32,
    #[prost(int32, tag = "6")]
    pub ping_max_out: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ConnectResponse {
    #[prost(string, tag = "1")]
    pub pub_prefix: String,
    #[prost(string, tag = "2")]
    pub sub_requests: String,
    #[prost(string, tag = "4")]
    pub close_requests: String,
    #[prost(string, tag = "5")]
    pub error: String,
    #[prost(string, tag = "6")]
    pub sub_close_requests: String,
    #[prost(string, tag = "7")]
    pub ping_requests: String,
    /// In seconds; the server may choose another one than was asked for.
    #[prost(int32, tag = "8")]
    pub ping_interval: i32,
    #[prost(int32, tag = "9")]
    pub ping_max_out: i32,
    #[prost(int32, tag = "10")]
    pub protocol: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Ping {
    #[prost(bytes = "bytes", tag = "1")]
    pub conn_id: Bytes,
}

/// The answers of which nothing is read but the error: `PingResponse`, `CloseResponse`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Outcome {
    #[prost(string, tag = "1")]
    pub error: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SubscriptionRequest {
    #[prost(string, tag = "1")]
    pub client_id: String,
    #[prost(string, tag = "2")]
    pub subject: String,
    #[prost(string, tag = "3")]
    pub queue_group: String,
    #[prost(string, tag = "4")]
    pub inbox: String,
    #[prost(int32, tag = "5")]
    pub max_in_flight: i32,
    #[prost(int32, tag = "6")]
    pub ack_wait_seconds: i32,
    #[prost(string, tag = "7")]
    pub durable_name: String,
    #[prost(enumeration = "StartPosition", tag = "10")]
    pub start_position: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum StartPosition {
    NewOnly = 0,
    First = 4,
}

/// The answer to a subscription and to its close.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SubscriptionResponse {
    #[prost(string, tag = "2")]
    pub ack_inbox: String,
    #[prost(string, tag = "3")]
    pub error: String,
}

/// Sent to the sub-close subject it keeps the durable; to the unsubscribe subject (never ours) it would
/// delete it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct UnsubscribeRequest {
    #[prost(string, tag = "1")]
    pub client_id: String,
    #[prost(string, tag = "2")]
    pub subject: String,
    /// The ack inbox; or, where it never arrived, the inbox.
    #[prost(string, tag = "3")]
    pub inbox: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CloseRequest {
    #[prost(string, tag = "1")]
    pub client_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PubAck {
    #[prost(string, tag = "1")]
    pub guid: String,
    #[prost(string, tag = "2")]
    pub error: String,
}

/// A delivered message. The subject is a string on the wire; as bytes it is borrowed from the frame.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Delivery {
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub subject: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    pub data: Bytes,
    #[prost(int64, tag = "5")]
    pub timestamp_ns: i64,
    #[prost(bool, tag = "6")]
    pub redelivered: bool,
}

/// Encodes `Ack` messages of one channel.
#[derive(Debug)]
pub(crate) struct AckEncoder(Bytes);

impl AckEncoder {
    pub(crate) fn new(channel: &str) -> AckEncoder {
        let mut head = BytesMut::new();
        put_bytes(1, channel.as_bytes(), &mut head);
        encode_key(2, WireType::Varint, &mut head);
        AckEncoder(head.freeze())
    }

    pub(crate) fn encode(&self, sequence: u64) -> Bytes {
        let mut ack = BytesMut::with_capacity(self.0.len() + encoded_len_varint(sequence));
        ack.put_slice(&self.0);
        encode_varint(sequence, &mut ack);
        ack.freeze()
    }
}

/// Encodes `PubMsg` messages of one client and channel.
#[derive(Debug)]
pub(crate) struct PubMsgEncoder(Bytes);

impl PubMsgEncoder {
    pub(crate) fn new(client_id: &str, channel: &str, conn_id: &[u8]) -> PubMsgEncoder {
        let mut head = BytesMut::new();
        put_bytes(1, client_id.as_bytes(), &mut head);
        put_bytes(3, channel.as_bytes(), &mut head);
        put_bytes(6, conn_id, &mut head);
        PubMsgEncoder(head.freeze())
    }

    /// The bytes that the envelope adds to a payload of this size.
    pub(crate) fn overhead(&self, guid: &str, payload: usize) -> usize {
        self.0.len() + field_overhead(guid.len()) + guid.len() + field_overhead(payload)
    }

    pub(crate) fn encode(&self, guid: &str, payload: &[u8]) -> Bytes {
        let size = self.overhead(guid, payload.len()) + payload.len();
        let mut message = BytesMut::with_capacity(size);
        message.put_slice(&self.0);
        put_bytes(2, guid.as_bytes(), &mut message);
        put_bytes(5, payload, &mut message);
        message.freeze()
    }
}

fn put_bytes(tag: u32, value: &[u8], out: &mut BytesMut) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(value.len() as u64, out);
    out.put_slice(value);
}

/// One byte of key (all our tags are below 16) and the length.
fn field_overhead(len: usize) -> usize {
    1 + encoded_len_varint(len as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole message, as protocol.proto has it: what the fast encoders must agree with.
    #[derive(Clone, PartialEq, Message)]
    struct PubMsg {
        #[prost(string, tag = "1")]
        client_id: String,
        #[prost(string, tag = "2")]
        guid: String,
        #[prost(string, tag = "3")]
        subject: String,
        #[prost(string, tag = "4")]
        reply: String,
        #[prost(bytes = "vec", tag = "5")]
        data: Vec<u8>,
        #[prost(bytes = "vec", tag = "6")]
        conn_id: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Ack {
        #[prost(string, tag = "1")]
        subject: String,
        #[prost(uint64, tag = "2")]
        sequence: u64,
    }

    #[test]
    fn publish_envelope_decodes_as_protobuf_and_knows_its_size() {
        let encoder = PubMsgEncoder::new("a-client", "orders", b"conn");
        for size in [0, 1, 127, 128, 16_384, 70_000] {
            let payload = vec![b'x'; size];
            let bytes = encoder.encode("4711", &payload);
            assert_eq!(bytes.len(), size + encoder.overhead("4711", size));
            let message = PubMsg::decode(bytes).unwrap();
            assert_eq!(message.client_id, "a-client");
            assert_eq!(message.guid, "4711");
            assert_eq!(message.subject, "orders");
            assert_eq!(message.conn_id, b"conn");
            assert_eq!(message.data, payload);
        }
    }

    #[test]
    fn ack_decodes_as_protobuf() {
        let encoder = AckEncoder::new("orders");
        for sequence in [1, 127, 128, u64::from(u32::MAX), u64::MAX] {
            let ack = Ack::decode(encoder.encode(sequence)).unwrap();
            assert_eq!(
                ack,
                Ack {
                    subject: "orders".into(),
                    sequence
                }
            );
        }
    }

    #[test]
    fn an_empty_frame_is_a_valid_message_of_every_kind() {
        // Why nobody may take a decoded answer for an answer: a 503 has an empty payload.
        assert_eq!(PubAck::decode(Bytes::new()).unwrap(), PubAck::default());
        assert_eq!(Delivery::decode(Bytes::new()).unwrap().sequence, 0);
    }
}

//! NATS' frames, taken whole out of a stream, and what a line that understands them can do: lose every ack, or hand on the
//! messages twice, out of order, and again later.

use bytes::{Bytes, BytesMut};

/// STAN's acks and messages begin with these, where the channel is `orders`.
const ACK: &[u8] = b"\x0a\x06orders\x10";
const CHANNEL: &[u8] = b"\x12\x06orders";
/// How many of the last messages may come again.
const REMEMBERED: usize = 500;

struct Frame {
    all: Bytes,
    payload: Bytes,
}

#[derive(Default)]
pub struct Frames {
    /// The beginning of a frame whose end has not come.
    held: BytesMut,
    remembered: Vec<Bytes>,
}

impl Frames {
    fn next(&mut self) -> Option<Frame> {
        let line = self.held.windows(2).position(|end| end == b"\r\n")? + 2;
        let text = std::str::from_utf8(&self.held[..line - 2]).unwrap();
        let carries = ["PUB ", "HPUB ", "MSG ", "HMSG "];
        let payload = match carries.iter().any(|verb| text.starts_with(verb)) {
            true => text.rsplit(' ').next().unwrap().parse().unwrap(),
            false => 0,
        };
        let end = line + if payload > 0 { payload + 2 } else { 0 };
        if self.held.len() < end {
            return None;
        }
        let all = self.held.split_to(end).freeze();
        let payload = all.slice(line..line + payload);
        Some(Frame { all, payload })
    }

    /// What is left of these bytes without the acks among them.
    pub fn without_acks(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let mut out = Vec::new();
        while let Some(frame) = self.next() {
            if !frame.payload.starts_with(ACK) {
                out.extend_from_slice(&frame.all);
            }
        }
        out
    }

    /// Shuffled, one in three doubled, one in five followed by an older one.
    pub fn scrambled(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let (mut out, mut messages) = (Vec::new(), Vec::new());
        while let Some(frame) = self.next() {
            // The sequence, a small number, comes before the channel's name.
            let mut start = frame.payload.windows(CHANNEL.len()).take(12);
            if !start.any(|part| part == CHANNEL) {
                out.extend_from_slice(&frame.all);
                continue;
            }
            if fastrand::u32(..3) == 0 {
                messages.push(frame.all.clone());
            }
            if fastrand::u32(..5) == 0
                && let Some(older) = fastrand::choice(&self.remembered)
            {
                messages.push(older.clone());
            }
            if self.remembered.len() == REMEMBERED {
                self.remembered.swap_remove(fastrand::usize(..REMEMBERED));
            }
            self.remembered.push(frame.all.clone());
            messages.push(frame.all);
        }
        fastrand::shuffle(&mut messages);
        messages
            .iter()
            .for_each(|message| out.extend_from_slice(message));
        out
    }
}

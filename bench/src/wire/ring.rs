//! Messages encoded once and sent over and over: a run of them is one slice of memory and one write.

use leveret_codec::frame::{END, FrameKind, OVERHEAD};
use leveret_codec::table::{self, FieldTable};

/// A ring is filled to about this size; it is larger only where its templates are.
const RING_BYTES: usize = 256 * 1024;
/// The most that is handed out for one write, unless a single message is larger.
const WRITE_BYTES: usize = 128 * 1024;

/// Flag bits of the basic properties (AMQP 0-9-1 class 60).
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;

/// One kind of message.
#[derive(Clone, Debug)]
pub(crate) struct Template<'a> {
    pub(crate) exchange: &'a str,
    pub(crate) routing_key: String,
    /// Flags and list, as [`plain_properties`] and [`header_properties`] make them.
    pub(crate) properties: Vec<u8>,
    /// Bytes of body.
    pub(crate) body: usize,
}

/// Encoded messages, one behind the other.
#[derive(Debug)]
pub(crate) struct Ring {
    bytes: Vec<u8>,
    /// Where each message starts, and where the last one ends.
    starts: Vec<usize>,
    /// Where the first byte of each body is.
    bodies: Vec<usize>,
    next: usize,
}

impl Ring {
    /// Encodes the templates, all of them in turn and as often as fits.
    pub(crate) fn new(templates: &[Template<'_>], channel: u16, frame_max: u32) -> Ring {
        let mut ring = Ring { bytes: Vec::new(), starts: vec![0], bodies: Vec::new(), next: 0 };
        loop {
            for template in templates {
                ring.push(template, channel, frame_max);
            }
            let round = ring.bytes.len() / (ring.bodies.len() / templates.len().max(1)).max(1);
            if templates.is_empty() || ring.bytes.len() + round > RING_BYTES {
                return ring;
            }
        }
    }

    /// Writes `stamp(n)` over the first 8 bytes of the body of the n-th message to come, for `count` messages.
    pub(crate) fn stamp(&mut self, count: usize, mut stamp: impl FnMut(usize) -> u64) {
        for n in 0..count.min(self.contiguous()) {
            let at = self.bodies[self.next + n];
            self.bytes[at..at + 8].copy_from_slice(&stamp(n).to_be_bytes());
        }
    }

    /// How many of at most `most` messages the next [`Ring::take`] hands out.
    pub(crate) fn available(&self, most: usize) -> usize {
        let reach = self.starts[self.next] + WRITE_BYTES;
        let fitting = self.starts[self.next + 1..].partition_point(|&end| end <= reach).max(1);
        fitting.min(most).min(self.contiguous())
    }

    /// The frames of the next `count` messages, as one slice; `count` comes from [`Ring::available`].
    pub(crate) fn take(&mut self, count: usize) -> &[u8] {
        let (from, to) = (self.next, self.next + count);
        self.next = if to == self.bodies.len() { 0 } else { to };
        &self.bytes[self.starts[from]..self.starts[to]]
    }

    /// Messages up to the end of the memory they lie in.
    fn contiguous(&self) -> usize {
        self.bodies.len() - self.next
    }

    fn push(&mut self, template: &Template<'_>, channel: u16, frame_max: u32) {
        let bytes = &mut self.bytes;
        let mut publish = vec![0, 60, 0, 40, 0, 0];
        short_string(&mut publish, template.exchange);
        short_string(&mut publish, &template.routing_key);
        publish.push(0);
        frame(bytes, FrameKind::Method, channel, &publish);

        let mut header = vec![0, 60, 0, 0];
        header.extend_from_slice(&(template.body as u64).to_be_bytes());
        header.extend_from_slice(&template.properties);
        frame(bytes, FrameKind::Header, channel, &header);

        self.bodies.push(bytes.len() + OVERHEAD - 1);
        let body: Vec<u8> = (b'a'..=b'z').cycle().take(template.body).collect();
        let most = usize::try_from(frame_max).unwrap_or(usize::MAX).saturating_sub(OVERHEAD).max(1);
        for part in body.chunks(most) {
            frame(bytes, FrameKind::Body, channel, part);
        }
        self.starts.push(bytes.len());
    }
}

/// Properties that say only how durable the message is.
pub(crate) fn plain_properties(persistent: bool) -> Vec<u8> {
    let mut raw = DELIVERY_MODE.to_be_bytes().to_vec();
    raw.push(delivery_mode(persistent));
    raw
}

/// The same, with headers.
pub(crate) fn header_properties(persistent: bool, headers: &FieldTable) -> Vec<u8> {
    let mut raw = (DELIVERY_MODE | HEADERS).to_be_bytes().to_vec();
    raw.extend_from_slice(&table::encode(headers));
    raw.push(delivery_mode(persistent));
    raw
}

fn delivery_mode(persistent: bool) -> u8 {
    if persistent { 2 } else { 1 }
}

fn frame(bytes: &mut Vec<u8>, kind: FrameKind, channel: u16, payload: &[u8]) {
    bytes.push(kind as u8);
    bytes.extend_from_slice(&channel.to_be_bytes());
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes.push(END);
}

/// Names here are the generator's own and short; a longer one is cut.
fn short_string(bytes: &mut Vec<u8>, text: &str) {
    let text = &text.as_bytes()[..text.len().min(255)];
    bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use leveret_codec::frame::decode;
    use leveret_codec::method::{Method, Publish, parse_content_header, parse_method};
    use leveret_codec::properties::Properties;
    use leveret_codec::table::{AMQPValue, ShortString};

    use super::*;

    fn template(routing_key: &str, body: usize) -> Template<'_> {
        Template {
            exchange: "ex",
            routing_key: routing_key.to_owned(),
            properties: plain_properties(true),
            body,
        }
    }

    /// Routing key and body of each message in `bytes`.
    fn read(mut bytes: &[u8], frame_max: u32) -> Vec<(String, Vec<u8>)> {
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            let mut next = || {
                let frame = decode(bytes, frame_max).unwrap().unwrap();
                bytes = &bytes[frame.wire_len()..];
                frame
            };
            let Method::Publish(Publish { exchange: b"ex", routing_key, .. }) =
                parse_method(next().payload).unwrap()
            else {
                panic!("no publish to the exchange");
            };
            let header = parse_content_header(next().payload).unwrap();
            let properties = Properties::parse(header.properties).unwrap();
            assert_eq!(properties.delivery_mode(), Some(2));
            let mut body = Vec::new();
            while (body.len() as u64) < header.body_size {
                body.extend_from_slice(next().payload);
            }
            messages.push((String::from_utf8(routing_key.to_vec()).unwrap(), body));
        }
        messages
    }

    #[test]
    fn a_ring_repeats_its_templates_in_turn() {
        let mut ring = Ring::new(&[template("a", 16), template("b", 20)], 1, 4096);
        let available = ring.available(5);
        assert_eq!(available, 5);
        let messages = read(ring.take(available), 4096);
        let keys: Vec<_> = messages.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["a", "b", "a", "b", "a"]);
        assert_eq!((messages[0].1.len(), messages[1].1.len()), (16, 20));
        assert_eq!(read(ring.take(1), 4096)[0].0, "b");
    }

    #[test]
    fn a_ring_goes_round_without_losing_its_order() {
        let templates: Vec<_> = ["a", "b", "c"].map(|key| template(key, 30_000)).to_vec();
        let mut ring = Ring::new(&templates, 1, 131_072);
        let mut keys = String::new();
        while keys.len() < 100 {
            let count = ring.available(1000);
            for (key, _) in read(ring.take(count), 131_072) {
                keys.push_str(&key);
            }
        }
        assert!("abc".repeat(60).starts_with(&keys), "{keys}");
    }

    #[test]
    fn a_large_body_is_split_by_frame_max() {
        let mut ring = Ring::new(&[template("a", 1_000_000)], 1, 131_072);
        assert_eq!(ring.available(10), 1);
        let messages = read(ring.take(1), 131_072);
        assert_eq!(messages[0].1.len(), 1_000_000);
    }

    #[test]
    fn stamps_go_to_the_messages_that_come_next() {
        let mut ring = Ring::new(&[template("a", 16)], 1, 4096);
        ring.take(3);
        ring.stamp(2, |n| 70 + n as u64);
        let messages = read(ring.take(3), 4096);
        let stamp = |n: usize| u64::from_be_bytes(messages[n].1[..8].try_into().unwrap());
        assert_eq!((stamp(0), stamp(1)), (70, 71));
        assert_eq!(&messages[2].1[..8], b"abcdefgh");
    }

    #[test]
    fn headers_are_a_table_the_codec_reads() {
        let mut headers = FieldTable::default();
        headers.insert(ShortString::from("n"), AMQPValue::LongInt(7));
        let raw = header_properties(true, &headers);
        let properties = Properties::parse(&raw).unwrap();
        assert_eq!(properties.delivery_mode(), Some(2));
        assert_eq!(table::find(properties.raw_headers().unwrap(), b"n"), Some(AMQPValue::LongInt(7)));
    }
}

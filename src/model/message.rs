//! A message as the broker holds it: one envelope (exchange, routing key and properties, as received) and a body
//! that is never copied once it has been received. Shared by all queues it went to.

use bytes::{Bytes, BytesMut};
use leveret_codec::properties::Properties;

/// Bodies up to this many bytes are copied beside their envelope, so that a small message that stays never pins
/// the large read buffer it arrived in.
const COPIED_BODY: usize = 2048;

/// How the deaths of a message are known (semantics.md 12.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Published by a client: an `x-death` header it may carry is the client's own and says nothing.
    #[default]
    Client,
    /// Dead-lettered by the broker: its `x-death` header is the broker's record.
    DeadLettered,
}

/// The body, as the slices it arrived in.
#[derive(Clone, Debug, Default)]
pub struct Body {
    first: Bytes,
    rest: Vec<Bytes>,
    len: usize,
}

impl Body {
    /// A body of one piece.
    #[must_use]
    pub fn whole(bytes: Bytes) -> Body {
        Body { len: bytes.len(), first: bytes, rest: Vec::new() }
    }

    /// Adds the next slice.
    pub fn push(&mut self, bytes: Bytes) {
        self.len += bytes.len();
        if self.first.is_empty() {
            self.first = bytes;
        } else if !bytes.is_empty() {
            self.rest.push(bytes);
        }
    }

    /// Bytes in all slices.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The slices in order. None is empty, apart from the only one of an empty body.
    pub fn slices(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

/// A published message. Immutable: a dead-lettered message is a new one that shares the body.
#[derive(Debug)]
pub struct Message {
    /// exchange ‖ routing key ‖ properties (flags and list, as on the wire).
    envelope: Bytes,
    exchange_len: u8,
    routing_key_len: u8,
    body: Body,
    origin: Origin,
    persistent: bool,
    priority: Option<u8>,
    expiration: Option<u64>,
}

impl Message {
    /// A message of its parts. `properties` are raw and already validated
    /// ([`leveret_codec::properties::Properties::parse`]). The envelope, and a small body, are copied into `arena`,
    /// which many messages share. `exchange` and `routing_key` are at most 255 bytes, as a shortstr is; what is
    /// longer is cut.
    #[must_use]
    pub fn new(
        arena: &mut BytesMut,
        exchange: &[u8],
        routing_key: &[u8],
        properties: Properties<'_>,
        body: Body,
        origin: Origin,
    ) -> Message {
        let exchange = &exchange[..exchange.len().min(255)];
        let routing_key = &routing_key[..routing_key.len().min(255)];
        let raw = properties.raw();
        let copied = if body.len() <= COPIED_BODY { body.len() } else { 0 };
        arena.reserve(exchange.len() + routing_key.len() + raw.len() + copied);
        arena.extend_from_slice(exchange);
        arena.extend_from_slice(routing_key);
        arena.extend_from_slice(raw);
        let envelope_len = arena.len();
        let body = if copied > 0 {
            for slice in body.slices() {
                arena.extend_from_slice(slice);
            }
            let mut record = arena.split().freeze();
            let copy = record.split_off(envelope_len);
            return Message::of_parts(
                record,
                exchange.len(),
                routing_key.len(),
                properties,
                Body::whole(copy),
                origin,
            );
        } else {
            body
        };
        let envelope = arena.split().freeze();
        Message::of_parts(envelope, exchange.len(), routing_key.len(), properties, body, origin)
    }

    fn of_parts(
        envelope: Bytes,
        exchange_len: usize,
        routing_key_len: usize,
        properties: Properties<'_>,
        body: Body,
        origin: Origin,
    ) -> Message {
        Message {
            envelope,
            exchange_len: u8::try_from(exchange_len).unwrap_or(u8::MAX),
            routing_key_len: u8::try_from(routing_key_len).unwrap_or(u8::MAX),
            persistent: properties.delivery_mode() == Some(2),
            priority: properties.priority(),
            expiration: properties.expiration().and_then(parse_expiration),
            body,
            origin,
        }
    }

    /// A message of what was stored of it: its [`Message::envelope`], the lengths within, its body. Nothing is
    /// copied. None where the lengths do not fit the envelope.
    #[must_use]
    pub fn from_stored(
        envelope: Bytes,
        exchange_len: u8,
        routing_key_len: u8,
        body: Body,
        origin: Origin,
    ) -> Option<Message> {
        let names = usize::from(exchange_len) + usize::from(routing_key_len);
        let parts = envelope.clone();
        let properties = Properties::trusted(parts.get(names..).filter(|raw| raw.len() >= 2)?);
        let (exchange_len, routing_key_len) = (usize::from(exchange_len), usize::from(routing_key_len));
        Some(Message::of_parts(envelope, exchange_len, routing_key_len, properties, body, origin))
    }

    /// Exchange, routing key and properties in one piece, as they are stored.
    #[must_use]
    pub fn envelope(&self) -> &Bytes {
        &self.envelope
    }

    /// The exchange it was published to (UTF-8).
    #[must_use]
    pub fn exchange(&self) -> &[u8] {
        &self.envelope[..usize::from(self.exchange_len)]
    }

    /// The routing key it was published with (UTF-8).
    #[must_use]
    pub fn routing_key(&self) -> &[u8] {
        let start = usize::from(self.exchange_len);
        &self.envelope[start..start + usize::from(self.routing_key_len)]
    }

    #[must_use]
    pub fn properties(&self) -> Properties<'_> {
        let start = usize::from(self.exchange_len) + usize::from(self.routing_key_len);
        Properties::trusted(&self.envelope[start..])
    }

    #[must_use]
    pub fn body(&self) -> &Body {
        &self.body
    }

    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Delivery mode 2 (semantics.md 9.7).
    #[must_use]
    pub fn is_persistent(&self) -> bool {
        self.persistent
    }

    /// The priority property, where it was given.
    #[must_use]
    pub fn priority(&self) -> Option<u8> {
        self.priority
    }

    /// The expiration property in milliseconds, where it was given and is a plain decimal number.
    #[must_use]
    pub fn expiration(&self) -> Option<u64> {
        self.expiration
    }

    /// What the message holds in memory, about, in bytes: its parts and the bookkeeping around them.
    #[must_use]
    pub fn footprint(&self) -> usize {
        self.envelope.len() + self.body.len() + size_of::<Message>() + 16
    }
}

/// Decimal milliseconds, digits only but for a plus sign (semantics.md 9.3).
fn parse_expiration(text: &[u8]) -> Option<u64> {
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

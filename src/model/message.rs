//! A message as the broker holds it: one envelope (exchange, routing key and properties, as received) and a body
//! that is never copied once it has been received. Shared by all queues it went to. What of its properties receivers
//! see is decided here, where the message is made; which keys its headers add is the broker's.

use bytes::{Bytes, BytesMut};
use leveret_codec::properties::{Field, Properties};
use leveret_codec::table;

/// The header whose keys no receiver may see (semantics 5.24).
pub const BCC: &str = "BCC";

/// Bodies up to this many bytes are copied beside their envelope, so that a small message that stays never pins
/// the large read buffer it arrived in.
pub const COPIED_BODY: usize = 2048;

/// How the deaths of a message are known (semantics 12.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Published by a client: an `x-death` header it may carry is the client's own and says nothing.
    #[default]
    Client,
    /// Dead-lettered by the broker: its `x-death` header is the broker's record.
    DeadLettered,
    /// The same, and its routing key replaced all its keys: those in its CC and BCC headers count no more.
    Readdressed,
}

impl Origin {
    /// Of what is stored about it.
    #[must_use]
    pub fn of(dead_lettered: bool, readdressed: bool) -> Origin {
        match (dead_lettered, readdressed) {
            (false, _) => Origin::Client,
            (true, false) => Origin::DeadLettered,
            (true, true) => Origin::Readdressed,
        }
    }
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
    /// The properties without BCC, where that differs.
    shown: Option<Box<[u8]>>,
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
            shown: without_bcc(properties),
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

    /// The properties as anybody may see them: all but the BCC header.
    #[must_use]
    pub fn properties(&self) -> Properties<'_> {
        match &self.shown {
            None => self.properties_with_bcc(),
            Some(shown) => Properties::trusted(shown),
        }
    }

    /// Whether there is a BCC header.
    #[must_use]
    pub fn has_bcc(&self) -> bool {
        self.shown.is_some()
    }

    /// The properties as published. What is made of a message is made of these, or its BCC keys are forgotten.
    #[must_use]
    pub fn properties_with_bcc(&self) -> Properties<'_> {
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

    /// Delivery mode 2 (semantics 9.7).
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
        let shown = self.shown.as_ref().map_or(0, |shown| shown.len());
        self.envelope.len() + shown + self.body.len() + size_of::<Message>() + 16
    }
}

/// The properties without their BCC header; None where they have none. An empty header table stays one.
fn without_bcc(properties: Properties<'_>) -> Option<Box<[u8]>> {
    let headers = properties.raw_headers()?;
    table::fields(headers).find(|(name, _)| *name == BCC.as_bytes())?;
    let headers = table::edit(headers, &[(BCC, None)]);
    Some(properties.with(&[(Field::Headers, Some(headers))]).into())
}

/// Decimal milliseconds, digits only but for a plus sign (semantics 9.3).
fn parse_expiration(text: &[u8]) -> Option<u64> {
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(headers: Option<&[u8]>) -> Message {
        let changes = [
            (Field::ContentType, Some(b"\x04text".to_vec())),
            (Field::Headers, headers.map(<[u8]>::to_vec)),
            (Field::Priority, Some(vec![3])),
        ];
        let raw = Properties::default().with(&changes);
        let properties = Properties::parse(&raw).expect("sound");
        let body = Body::whole(Bytes::from_static(b"body"));
        Message::new(&mut BytesMut::new(), b"x", b"key", properties, body, Origin::Client)
    }

    fn stored(message: &Message) -> Message {
        Message::from_stored(message.envelope().clone(), 1, 3, message.body().clone(), Origin::Client)
            .expect("lengths that fit")
    }

    #[test]
    fn nobody_sees_bcc_and_all_else_is_as_it_came() {
        // A short int that is read as one, a name that is not UTF-8, and another case.
        let made = message(Some(b"\0\0\0\x16\x01as\0\x01\x03BCCA\0\0\0\0\x01\xffV\x03bccV"));
        for message in [&made, &stored(&made)] {
            let raw = b"\xa8\0\x04text\0\0\0\x0d\x01as\0\x01\x01\xffV\x03bccV\x03";
            assert_eq!(message.properties().raw(), raw);
            assert!(message.has_bcc());
            assert!(message.properties_with_bcc().header(BCC).is_some());
            assert_eq!(message.priority(), Some(3));
        }
    }

    #[test]
    fn headers_of_nothing_but_bcc_are_empty_ones() {
        for value in [&b"\x03BCCV"[..], b"\x03BCCS\0\0\0\x01b"] {
            let len = u8::try_from(value.len()).expect("short");
            let made = message(Some(&[&[0, 0, 0, len], value].concat()));
            assert_eq!(made.properties().raw_headers(), Some(&[0; 4][..]));
        }
    }

    #[test]
    fn what_is_shown_apart_is_counted_and_no_more() {
        let without = message(Some(b"\0\0\0\x03\x01aV"));
        assert!(!without.has_bcc() && !message(None).has_bcc());
        assert_eq!(without.properties().raw(), without.properties_with_bcc().raw());
        let with = message(Some(b"\0\0\0\x05\x03BCCV"));
        let more = with.envelope().len() - without.envelope().len();
        assert_eq!(with.footprint() - without.footprint(), more + with.properties().raw().len());
    }
}

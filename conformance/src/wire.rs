//! What a case sends, byte by byte: method payloads, field tables, message properties and frames. Nothing is checked
//! here: a case must be able to send what is wrong.

use leveret_codec::frame;
use leveret_codec::method::MethodId;

/// Class and method number, as the cases write them.
pub(crate) const fn id(class: u16, method: u16) -> MethodId {
    MethodId { class, method }
}

/// The payload of a frame, grown argument by argument.
#[derive(Clone, Debug, Default)]
pub(crate) struct Payload(pub(crate) Vec<u8>);

impl Payload {
    pub(crate) fn method(class: u16, method: u16) -> Payload {
        Payload::default().short(class).short(method)
    }

    /// A content header.
    pub(crate) fn header(class: u16, body_size: u64, properties: &Properties) -> Payload {
        let header = Payload::default().short(class).short(0).long_long(body_size);
        header.raw(&properties.encode())
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Payload {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn octet(self, value: u8) -> Payload {
        self.raw(&[value])
    }

    pub(crate) fn short(self, value: u16) -> Payload {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn long(self, value: u32) -> Payload {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn long_long(self, value: u64) -> Payload {
        self.raw(&value.to_be_bytes())
    }

    /// A short string; what does not fit its length octet is cut.
    pub(crate) fn text(self, text: impl AsRef<[u8]>) -> Payload {
        self.raw(&short_string(text.as_ref()))
    }

    pub(crate) fn long_text(self, text: impl AsRef<[u8]>) -> Payload {
        self.raw(&long_string(text.as_ref()))
    }

    /// Up to eight bits in an octet, the first one lowest (semantics 2.11).
    pub(crate) fn bits(self, bits: &[bool]) -> Payload {
        let octet = bits.iter().rev().fold(0, |octet, &bit| octet << 1 | u8::from(bit));
        self.octet(octet)
    }

    pub(crate) fn table(self, table: &Table) -> Payload {
        self.raw(&table.encode())
    }
}

/// A field table; fields stay in the order they were set, doubles included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table(Vec<u8>);

impl Table {
    pub(crate) fn new() -> Table {
        Table::default()
    }

    pub(crate) fn set(self, name: &str, value: impl Value) -> Table {
        self.raw(name, &value.encode())
    }

    /// Sets a field to a value encoded by hand, its type octet first.
    pub(crate) fn raw(mut self, name: &str, value: &[u8]) -> Table {
        self.0.extend(short_string(name.as_bytes()));
        self.0.extend_from_slice(value);
        self
    }

    /// With the four length bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        long_string(&self.0)
    }
}

/// What can stand in a field table, with its type octet first.
pub(crate) trait Value {
    fn encode(&self) -> Vec<u8>;
}

impl Value for i32 {
    fn encode(&self) -> Vec<u8> {
        [b"I", &self.to_be_bytes()[..]].concat()
    }
}

impl Value for i64 {
    fn encode(&self) -> Vec<u8> {
        [b"l", &self.to_be_bytes()[..]].concat()
    }
}

impl Value for f64 {
    fn encode(&self) -> Vec<u8> {
        [b"d", &self.to_be_bytes()[..]].concat()
    }
}

impl Value for bool {
    fn encode(&self) -> Vec<u8> {
        vec![b't', u8::from(*self)]
    }
}

impl Value for &str {
    fn encode(&self) -> Vec<u8> {
        [b"S", &long_string(self.as_bytes())[..]].concat()
    }
}

impl Value for &String {
    fn encode(&self) -> Vec<u8> {
        self.as_str().encode()
    }
}

impl Value for &Table {
    fn encode(&self) -> Vec<u8> {
        [b"F", &Table::encode(self)[..]].concat()
    }
}

/// An array.
impl Value for &[&str] {
    fn encode(&self) -> Vec<u8> {
        let items: Vec<u8> = self.iter().flat_map(Value::encode).collect();
        [b"A", &long_string(&items)[..]].concat()
    }
}

/// Message properties: flag bit and bytes of each field.
#[derive(Clone, Debug, Default)]
pub(crate) struct Properties(Vec<(u16, Vec<u8>)>);

impl Properties {
    pub(crate) fn new() -> Properties {
        Properties::default()
    }

    /// Persistent.
    pub(crate) fn persistent() -> Properties {
        Properties::new().delivery_mode(2)
    }

    /// A field by its flag bit, encoded by hand.
    pub(crate) fn field(mut self, bit: u16, bytes: &[u8]) -> Properties {
        self.0.push((bit, bytes.to_vec()));
        self.0.sort_by_key(|(bit, _)| std::cmp::Reverse(*bit));
        self
    }

    pub(crate) fn content_type(self, text: &str) -> Properties {
        self.field(15, &short_string(text.as_bytes()))
    }

    pub(crate) fn headers(self, table: &Table) -> Properties {
        self.field(13, &table.encode())
    }

    pub(crate) fn delivery_mode(self, mode: u8) -> Properties {
        self.field(12, &[mode])
    }

    pub(crate) fn priority(self, priority: u8) -> Properties {
        self.field(11, &[priority])
    }

    pub(crate) fn reply_to(self, text: &str) -> Properties {
        self.field(9, &short_string(text.as_bytes()))
    }

    pub(crate) fn expiration(self, text: &str) -> Properties {
        self.field(8, &short_string(text.as_bytes()))
    }

    pub(crate) fn message_id(self, text: &str) -> Properties {
        self.field(7, &short_string(text.as_bytes()))
    }

    pub(crate) fn timestamp(self, seconds: u64) -> Properties {
        self.field(6, &seconds.to_be_bytes())
    }

    pub(crate) fn user_id(self, text: &str) -> Properties {
        self.field(4, &short_string(text.as_bytes()))
    }

    /// Flags and list, as on the wire.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let flags = self.0.iter().fold(0_u16, |flags, (bit, _)| flags | 1 << bit);
        let list = self.0.iter().flat_map(|(_, bytes)| bytes);
        flags.to_be_bytes().iter().chain(list).copied().collect()
    }
}

/// A whole frame of any type.
pub(crate) fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let [c1, c2] = channel.to_be_bytes();
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[kind, c1, c2], &len[..], payload, &[frame::END]].concat()
}

pub(crate) fn short_string(text: &[u8]) -> Vec<u8> {
    let text = &text[..text.len().min(255)];
    [&[u8::try_from(text.len()).unwrap_or(u8::MAX)], text].concat()
}

fn long_string(text: &[u8]) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes(), text].concat()
}

#[cfg(test)]
mod tests {
    use leveret_codec::method::{Method, parse_method};
    use leveret_codec::properties::Properties as Parsed;
    use leveret_codec::table;

    use super::*;

    #[test]
    fn payloads_are_read_back() {
        let payload = Payload::method(60, 40).short(0).text("x").text("key").bits(&[false, true]);
        let Ok(Method::Publish(publish)) = parse_method(&payload.0) else { panic!("{payload:?}") };
        assert_eq!((publish.exchange, publish.routing_key), (&b"x"[..], &b"key"[..]));
        assert!(publish.immediate && !publish.mandatory);
    }

    #[test]
    fn tables_and_properties_are_read_back() {
        let inner = Table::new().set("n", 1_i64);
        let table = Table::new().set("a", 5).set("b", true).set("c", "text").set("d", &inner);
        let bytes = table.set("e", &["x", "y"][..]).encode();
        assert_eq!(table::check(&bytes), Ok(bytes.len()));
        let properties = Properties::new().expiration("10").content_type("t").delivery_mode(2).encode();
        let parsed = Parsed::parse(&properties).unwrap();
        assert_eq!(parsed.expiration(), Some(&b"10"[..]));
        assert_eq!(parsed.delivery_mode(), Some(2));
    }
}

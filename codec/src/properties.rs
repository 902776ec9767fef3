//! The basic properties of a message (AMQP 0-9-1 class 60), kept as the bytes received: fields are looked up when
//! somebody asks, and leave as they came. Editing copies the list and replaces the fields named.

use thiserror::Error;

use crate::table::{self, AMQPValue, FieldTable, TableError};

/// The fields, in the order of their flag bits from 15 downward (semantics 2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Field {
    ContentType = 15,
    ContentEncoding = 14,
    Headers = 13,
    DeliveryMode = 12,
    Priority = 11,
    CorrelationId = 10,
    ReplyTo = 9,
    Expiration = 8,
    MessageId = 7,
    Timestamp = 6,
    Type = 5,
    UserId = 4,
    AppId = 3,
    ClusterId = 2,
}

const FIELDS: [Field; 14] = [
    Field::ContentType,
    Field::ContentEncoding,
    Field::Headers,
    Field::DeliveryMode,
    Field::Priority,
    Field::CorrelationId,
    Field::ReplyTo,
    Field::Expiration,
    Field::MessageId,
    Field::Timestamp,
    Field::Type,
    Field::UserId,
    Field::AppId,
    Field::ClusterId,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PropertiesError {
    #[error("property list ends before its last field")]
    Truncated,
    #[error("property flags 0x{0:04x} name fields that do not exist")]
    UnknownFlags(u16),
    #[error("{0} bytes follow the property list")]
    Trailing(usize),
    #[error("headers: {0}")]
    Headers(#[from] TableError),
}

/// Raw properties (flags and list), checked once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Properties<'a>(&'a [u8]);

impl Default for Properties<'_> {
    fn default() -> Self {
        Properties(&[0, 0])
    }
}

impl<'a> Properties<'a> {
    /// Checks that flags and list fill `raw` and that its headers are a sound table.
    pub fn parse(raw: &'a [u8]) -> Result<Properties<'a>, PropertiesError> {
        let (flags, mut rest) = split_flags(raw).ok_or(PropertiesError::Truncated)?;
        if flags & 0b11 != 0 {
            return Err(PropertiesError::UnknownFlags(flags));
        }
        for field in FIELDS.into_iter().filter(|&field| has(flags, field)) {
            let len = match field {
                Field::Headers => table::check_headers(rest)?,
                _ => field_len(field, rest).ok_or(PropertiesError::Truncated)?,
            };
            rest = rest.get(len..).ok_or(PropertiesError::Truncated)?;
        }
        if rest.is_empty() { Ok(Properties(raw)) } else { Err(PropertiesError::Trailing(rest.len())) }
    }

    /// Properties that were checked when they were received.
    #[must_use]
    pub fn trusted(raw: &'a [u8]) -> Properties<'a> {
        Properties(raw)
    }

    /// Flags and list, as on the wire.
    #[must_use]
    pub fn raw(self) -> &'a [u8] {
        self.0
    }

    /// The bytes of a field, with the length bytes that belong to them; None where it is absent.
    #[must_use]
    pub fn field(self, wanted: Field) -> Option<&'a [u8]> {
        let (flags, mut rest) = split_flags(self.0)?;
        if !has(flags, wanted) {
            return None;
        }
        for field in FIELDS.into_iter().filter(|&field| has(flags, field)) {
            let len = field_len(field, rest)?;
            if field == wanted {
                return rest.get(..len);
            }
            rest = rest.get(len..)?;
        }
        None
    }

    /// A short string field without its length byte.
    #[must_use]
    pub fn short_string(self, field: Field) -> Option<&'a [u8]> {
        self.field(field).and_then(|bytes| bytes.get(1..))
    }

    #[must_use]
    pub fn delivery_mode(self) -> Option<u8> {
        self.field(Field::DeliveryMode).and_then(|bytes| bytes.first().copied())
    }

    #[must_use]
    pub fn priority(self) -> Option<u8> {
        self.field(Field::Priority).and_then(|bytes| bytes.first().copied())
    }

    /// Milliseconds as decimal text.
    #[must_use]
    pub fn expiration(self) -> Option<&'a [u8]> {
        self.short_string(Field::Expiration)
    }

    /// When the message was made, in seconds, as its publisher says.
    #[must_use]
    pub fn timestamp(self) -> Option<u64> {
        self.field(Field::Timestamp)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
    }

    #[must_use]
    pub fn reply_to(self) -> Option<&'a [u8]> {
        self.short_string(Field::ReplyTo)
    }

    #[must_use]
    pub fn user_id(self) -> Option<&'a [u8]> {
        self.short_string(Field::UserId)
    }

    /// The headers as a raw table, its four length bytes first.
    #[must_use]
    pub fn raw_headers(self) -> Option<&'a [u8]> {
        self.field(Field::Headers)
    }

    /// The headers, parsed; ones with a name that is not UTF-8 are left out. None where there is no header table.
    /// To change some and keep the others as they came, [`table::edit`] the raw ones.
    #[must_use]
    pub fn headers(self) -> Option<FieldTable> {
        Some(table::parse_headers(self.raw_headers()?))
    }

    /// One header, without parsing the others.
    #[must_use]
    pub fn header(self, name: &str) -> Option<AMQPValue> {
        table::find(self.raw_headers()?, name.as_bytes())
    }

    /// A copy with some fields replaced: `Some(bytes)` sets a field to the encoded bytes, None removes it.
    #[must_use]
    pub fn with(self, changes: &[(Field, Option<Vec<u8>>)]) -> Vec<u8> {
        let mut flags: u16 = 0;
        let mut raw = Vec::with_capacity(self.0.len() + 64);
        raw.extend_from_slice(&[0, 0]);
        for field in FIELDS {
            let value = match changes.iter().find(|(changed, _)| *changed == field) {
                Some((_, replaced)) => replaced.as_deref(),
                None => self.field(field),
            };
            if let Some(value) = value {
                flags |= 1 << (field as u16);
                raw.extend_from_slice(value);
            }
        }
        raw[..2].copy_from_slice(&flags.to_be_bytes());
        raw
    }
}

/// A short string as a property field: its length byte and at most 255 bytes.
#[must_use]
pub fn encode_short_string(text: &[u8]) -> Vec<u8> {
    let text = &text[..text.len().min(255)];
    let mut bytes = Vec::with_capacity(1 + text.len());
    bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(text);
    bytes
}

fn has(flags: u16, field: Field) -> bool {
    flags & (1 << (field as u16)) != 0
}

fn split_flags(raw: &[u8]) -> Option<(u16, &[u8])> {
    let (flags, rest) = raw.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*flags), rest))
}

/// How many bytes the field at the start of `rest` takes; not checked against what is there.
fn field_len(field: Field, rest: &[u8]) -> Option<usize> {
    match field {
        Field::DeliveryMode | Field::Priority => Some(1),
        Field::Timestamp => Some(8),
        Field::Headers => {
            let (len, _) = rest.split_first_chunk::<4>()?;
            usize::try_from(u32::from_be_bytes(*len)).ok()?.checked_add(4)
        }
        _ => rest.first().map(|&len| 1 + usize::from(len)),
    }
}

/// The properties that are short strings, by the names that the protocol gives them, with underscores.
pub const TEXTS: [(&str, Field); 10] = [
    ("content_type", Field::ContentType),
    ("content_encoding", Field::ContentEncoding),
    ("correlation_id", Field::CorrelationId),
    ("reply_to", Field::ReplyTo),
    ("expiration", Field::Expiration),
    ("message_id", Field::MessageId),
    ("type", Field::Type),
    ("user_id", Field::UserId),
    ("app_id", Field::AppId),
    ("cluster_id", Field::ClusterId),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Every field, with values that can be told apart.
    fn all() -> Vec<(Field, Option<Vec<u8>>)> {
        FIELDS
            .into_iter()
            .map(|field| {
                let bytes = match field {
                    Field::Headers => b"\0\0\0\x04\x01hB\x05".to_vec(),
                    Field::DeliveryMode => vec![2],
                    Field::Priority => vec![9],
                    Field::Timestamp => vec![1, 2, 3, 4, 5, 6, 7, 8],
                    other => encode_short_string(format!("{other:?}").as_bytes()),
                };
                (field, Some(bytes))
            })
            .collect()
    }

    fn headers(bytes: &[u8]) -> Vec<(Field, Option<Vec<u8>>)> {
        vec![(Field::Headers, Some(bytes.to_vec()))]
    }

    #[test]
    fn every_field_is_found_where_it_lies() {
        let changes = all();
        let raw = Properties::default().with(&changes);
        assert_eq!(raw[..2], [0xff, 0xfc]);
        let properties = Properties::parse(&raw).unwrap();
        for (field, bytes) in &changes {
            assert_eq!(properties.field(*field), bytes.as_deref(), "{field:?}");
        }
        assert_eq!(properties.raw(), raw);
        assert_eq!(properties.delivery_mode(), Some(2));
        assert_eq!(properties.priority(), Some(9));
        assert_eq!(properties.expiration(), Some(&b"Expiration"[..]));
        assert_eq!(properties.reply_to(), Some(&b"ReplyTo"[..]));
        assert_eq!(properties.user_id(), Some(&b"UserId"[..]));
        assert_eq!(properties.header("h"), Some(AMQPValue::ShortShortUInt(5)));
        assert_eq!(properties.header("other"), None);
        assert_eq!(properties.headers().unwrap().inner().len(), 1);
        assert_eq!(properties.raw_headers(), Some(&b"\0\0\0\x04\x01hB\x05"[..]));
        assert_eq!(Properties::trusted(&raw), properties);
    }

    #[test]
    fn what_is_absent_is_not_found() {
        let properties = Properties::default();
        assert_eq!(Properties::parse(properties.raw()), Ok(properties));
        for field in FIELDS {
            assert_eq!(properties.field(field), None);
        }
        assert_eq!((properties.headers(), properties.header("h")), (None, None));
        assert_eq!((properties.delivery_mode(), properties.expiration()), (None, None));
    }

    #[test]
    fn a_change_replaces_adds_or_removes_and_leaves_the_rest() {
        let raw = Properties::default().with(&[
            (Field::Expiration, Some(encode_short_string(b"5"))),
            (Field::AppId, Some(encode_short_string(b"app"))),
        ]);
        let changed = Properties::trusted(&raw).with(&[
            (Field::Expiration, None),
            (Field::Priority, Some(vec![3])),
            (Field::ClusterId, None),
        ]);
        let properties = Properties::parse(&changed).unwrap();
        assert_eq!(properties.expiration(), None);
        assert_eq!(properties.priority(), Some(3));
        assert_eq!(properties.short_string(Field::AppId), Some(&b"app"[..]));
    }

    #[test]
    fn lists_that_are_too_short_or_too_long_are_refused() {
        let raw = Properties::default().with(&all());
        for len in 0..raw.len() {
            assert!(Properties::parse(&raw[..len]).is_err(), "{len} bytes");
        }
        let longer = [&raw[..], b"more"].concat();
        assert_eq!(Properties::parse(&longer), Err(PropertiesError::Trailing(4)));
        assert_eq!(Properties::parse(&[0, 1]), Err(PropertiesError::UnknownFlags(1)));
        assert_eq!(Properties::parse(&[0, 2]), Err(PropertiesError::UnknownFlags(2)));
        assert_eq!(Properties::parse(b"\x80\0\x05abcd"), Err(PropertiesError::Truncated));
    }

    #[test]
    fn unsound_headers_are_refused() {
        for (table, error) in [
            (&b"\0\0\0\x03\x01hz"[..], TableError::UnknownType(b'z')),
            (b"\0\0\0\x09\x01hV", TableError::Truncated),
        ] {
            let raw = Properties::default().with(&headers(table));
            assert_eq!(Properties::parse(&raw), Err(PropertiesError::Headers(error)));
        }
    }

    #[test]
    fn texts_and_header_names_may_be_any_bytes() {
        let mut changes = headers(b"\0\0\0\x06\x01\xffV\x01hV");
        changes.push((Field::AppId, Some(encode_short_string(b"\xff"))));
        let raw = Properties::default().with(&changes);
        let properties = Properties::parse(&raw).unwrap();
        assert_eq!(properties.short_string(Field::AppId), Some(&b"\xff"[..]));
        assert_eq!(properties.header("h"), Some(AMQPValue::Void));
        assert_eq!(properties.headers().unwrap().inner().len(), 1);
    }

    #[test]
    fn fields_of_unchecked_bytes_do_not_reach_outside() {
        for raw in [&b""[..], b"\xff", b"\xff\xfc", b"\x20\0\xff\xff\xff\xff", b"\x01\0\x05ab"] {
            for field in FIELDS {
                assert_eq!(Properties::trusted(raw).field(field), None, "{raw:?}");
            }
        }
    }

    #[test]
    fn a_short_string_never_exceeds_its_length_octet() {
        assert_eq!(encode_short_string(b"ab"), b"\x02ab");
        assert_eq!(encode_short_string(&[b'a'; 300]), [&[255][..], &[b'a'; 255]].concat());
    }
}

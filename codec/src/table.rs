//! Field tables in RabbitMQ's dialect (semantics 2.8): `s` is a short int, `L` reads as `l`, `x` is a byte array.
//! A walk that allocates nothing and goes no deeper than [`MAX_DEPTH`] checks a table before amq-protocol's parser,
//! which recurses without a limit, is handed it.

use amq_protocol::types::generation::{gen_field_table, gen_value};
use amq_protocol::types::parsing::{parse_field_table, parse_value};
pub use amq_protocol::types::{
    AMQPValue, ByteArray, DecimalValue, FieldArray, FieldTable, LongString, ShortString,
};
use bytes::{BufMut, BytesMut};
use thiserror::Error;

use crate::growing::{generate_into, put_short_string};

/// How deep tables and arrays may nest.
pub const MAX_DEPTH: usize = 32;

/// What a short string's length octet can count.
const MAX_SHORT_STRING: usize = 255;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TableError {
    #[error("field table ends before its announced length")]
    Truncated,
    #[error("field table nests deeper than 32 levels")]
    TooDeep,
    #[error("unknown field type 0x{0:02x}")]
    UnknownType(u8),
    #[error("field name is not UTF-8")]
    Name,
}

/// Whether field names are held to UTF-8. RabbitMQ passes message headers on whatever their names (semantics 2.9);
/// the tables of methods are read by amq-protocol, whose names are strings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    Utf8,
    Opaque,
}

/// Checks the table at the start of `input` (its four length bytes first) and returns how many bytes it takes.
pub fn check(input: &[u8]) -> Result<usize, TableError> {
    skip_table(input, 1, Names::Utf8)
}

/// The same for message headers, whose names may be any bytes.
pub fn check_headers(input: &[u8]) -> Result<usize, TableError> {
    skip_table(input, 1, Names::Opaque)
}

/// Reads a table (its four length bytes first) that fills `input`. Of two fields of one name the later one counts.
pub fn parse(input: &[u8]) -> Result<FieldTable, TableError> {
    if check(input)? != input.len() {
        return Err(TableError::Truncated);
    }
    parse_field_table(input).map(|(_, table)| table).map_err(|_| TableError::Name)
}

/// Reads checked message headers; fields with a name that is not UTF-8 are left out.
#[must_use]
pub fn parse_headers(input: &[u8]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in fields(input) {
        if let (Ok(name), Some(value)) = (std::str::from_utf8(name), read_value(value)) {
            table.insert(short_string(name), value);
        }
    }
    table
}

/// Writes a table with its four length bytes.
#[must_use]
pub fn encode(table: &FieldTable) -> Vec<u8> {
    let mut encoded = BytesMut::new();
    generate_into(&mut encoded, gen_field_table(table));
    encoded.into()
}

/// The fields of a checked table (its four length bytes first) as they lie there: name, and value with its type octet
/// first. Ends early where the table is not sound.
pub fn fields(table: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = counted(table).unwrap_or_default();
    std::iter::from_fn(move || {
        let (&len, after) = rest.split_first()?;
        let (name, value) = after.split_at_checked(usize::from(len))?;
        let taken = skip_value(value, 1, Names::Opaque).ok()?;
        let (value, after) = value.split_at_checked(taken)?;
        rest = after;
        Some((name, value))
    })
}

/// The value of the first field of this name in a checked table (its four length bytes first). None as well where a
/// name nested in it is not UTF-8.
#[must_use]
pub fn find(table: &[u8], name: &[u8]) -> Option<AMQPValue> {
    fields(table).find(|(found, _)| *found == name).and_then(|(_, value)| read_value(value))
}

/// A copy of a checked table (its four length bytes first) with some fields set at its end, or removed with None. All
/// others stay as they are, byte for byte: types, order and names that could not be read included.
#[must_use]
pub fn edit(table: &[u8], changes: &[(&str, Option<AMQPValue>)]) -> Vec<u8> {
    let mut edited = BytesMut::with_capacity(table.len() + 64);
    edited.put_u32(0);
    for (name, value) in fields(table) {
        if !changes.iter().any(|(changed, _)| changed.as_bytes() == name) {
            put_short_string(&mut edited, name);
            edited.extend_from_slice(value);
        }
    }
    for (name, value) in changes {
        if let Some(value) = value {
            put_short_string(&mut edited, name.as_bytes());
            generate_into(&mut edited, gen_value(value));
        }
    }
    let len = u32::try_from(edited.len() - 4).unwrap_or(u32::MAX);
    edited[..4].copy_from_slice(&len.to_be_bytes());
    edited.into()
}

/// A short string of the first 255 bytes of a text, or a little less so that no character is cut. `ShortString::from`
/// panics on a longer one, and what it is made of may come from outside.
#[must_use]
pub fn short_string(text: &str) -> ShortString {
    let cut = (0..=text.len().min(MAX_SHORT_STRING)).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    ShortString::from(&text[..cut])
}

/// A value with its type octet first, checked but for UTF-8 in nested names.
fn read_value(value: &[u8]) -> Option<AMQPValue> {
    parse_value(value).ok().map(|(_, value)| value)
}

fn skip_table(input: &[u8], depth: usize, names: Names) -> Result<usize, TableError> {
    let fields = counted(input)?;
    let mut rest = fields;
    while let Some((&len, after)) = rest.split_first() {
        let (name, value) = after.split_at_checked(usize::from(len)).ok_or(TableError::Truncated)?;
        if names == Names::Utf8 && std::str::from_utf8(name).is_err() {
            return Err(TableError::Name);
        }
        rest = &value[skip_value(value, depth, names)?..];
    }
    Ok(4 + fields.len())
}

/// How many bytes the value at the start of `input` takes; they are all there.
fn skip_value(input: &[u8], depth: usize, names: Names) -> Result<usize, TableError> {
    let (&kind, value) = input.split_first().ok_or(TableError::Truncated)?;
    let len = match kind {
        b't' | b'b' | b'B' => 1,
        b's' | b'U' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'L' | b'l' | b'd' | b'T' => 8,
        b'D' => 5,
        b'V' => 0,
        b'S' | b'x' => 4 + counted(value)?.len(),
        b'F' | b'A' if depth >= MAX_DEPTH => return Err(TableError::TooDeep),
        b'F' => skip_table(value, depth + 1, names)?,
        b'A' => {
            let items = counted(value)?;
            let mut rest = items;
            while !rest.is_empty() {
                rest = &rest[skip_value(rest, depth + 1, names)?..];
            }
            4 + items.len()
        }
        other => return Err(TableError::UnknownType(other)),
    };
    if value.len() < len { Err(TableError::Truncated) } else { Ok(1 + len) }
}

/// The bytes behind a four-byte length.
fn counted(input: &[u8]) -> Result<&[u8], TableError> {
    let (len, rest) = input.split_first_chunk::<4>().ok_or(TableError::Truncated)?;
    let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| TableError::Truncated)?;
    rest.get(..len).ok_or(TableError::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of the given fields: names, and values with their type octets first.
    fn raw(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut table = BytesMut::new();
        table.put_u32(0);
        for (name, value) in fields {
            put_short_string(&mut table, name);
            table.extend_from_slice(value);
        }
        let len = u32::try_from(table.len() - 4).unwrap();
        table[..4].copy_from_slice(&len.to_be_bytes());
        table.into()
    }

    /// `levels` tables, one in the other.
    fn nested_tables(levels: usize) -> Vec<u8> {
        (1..levels).fold(raw(&[]), |inner, _| raw(&[(b"t", &[b"F", &inner[..]].concat())]))
    }

    /// `levels` of nesting, of which all but the first are arrays.
    fn nested_arrays(levels: usize) -> Vec<u8> {
        let array = (1..levels).fold(None::<Vec<u8>>, |inner, _| {
            let items = inner.unwrap_or_default();
            Some([b"A", &u32::try_from(items.len()).unwrap().to_be_bytes()[..], &items].concat())
        });
        raw(&[(b"a", &array.unwrap_or_else(|| b"V".to_vec()))])
    }

    #[test]
    fn every_type_is_as_long_as_rabbitmq_takes_it_to_be() {
        let values: [&[u8]; 18] = [
            b"t\x01",
            b"b\xff",
            b"B\xff",
            b"s\xff\xfe",
            b"U\xff\xfe",
            b"u\xff\xfe",
            b"I\0\0\0\x01",
            b"i\xff\0\0\x01",
            b"L\xff\0\0\0\0\0\0\x01",
            b"l\0\0\0\0\0\0\0\x01",
            b"f\x3f\xc0\0\0",
            b"d\x3f\xf8\0\0\0\0\0\0",
            b"D\x01\0\0\0\x0f",
            b"S\0\0\0\x02\xff\xfe",
            b"x\0\0\0\x01\0",
            b"T\0\0\0\0\0\0\0\x01",
            b"V",
            b"A\0\0\0\x02t\0",
        ];
        let names: Vec<[u8; 1]> = (b'a'..).take(values.len()).map(|name| [name]).collect();
        let fields: Vec<(&[u8], &[u8])> = names.iter().map(|name| &name[..]).zip(values).collect();
        let table = raw(&fields);
        assert_eq!(check(&table), Ok(table.len()));
        let parsed = parse(&table).unwrap();
        assert_eq!(parsed.inner().len(), values.len());
        let value = |name: &str| parsed.inner().get(name).cloned().unwrap();
        assert_eq!(value("d"), AMQPValue::ShortInt(-2), "s is a short int");
        assert_eq!(value("i"), AMQPValue::LongLongInt(-0x00ff_ffff_ffff_ffff), "L is signed");
        assert_eq!(value("n"), AMQPValue::LongString(b"\xff\xfe"[..].into()));
        assert_eq!(value("o"), AMQPValue::ByteArray(b"\0"[..].into()));
        for (name, bytes) in fields {
            assert_eq!(find(&table, name), Some(value(std::str::from_utf8(name).unwrap())), "{bytes:?}");
        }
        assert_eq!(find(&table, b"z"), None);
    }

    #[test]
    fn what_is_not_all_there_is_refused() {
        let table = raw(&[(b"ab", b"S\0\0\0\x02xy"), (b"c", b"F\0\0\0\x03\x01dV")]);
        for len in 0..table.len() {
            assert_eq!(check(&table[..len]), Err(TableError::Truncated), "{len} bytes");
            // The announced length fits, the fields in it do not.
            if len >= 4 {
                let mut cut = table[..len].to_vec();
                cut[..4].copy_from_slice(&u32::try_from(len - 4).unwrap().to_be_bytes());
                let whole = len == 4 || len == 14;
                assert_eq!(check(&cut).is_ok(), whole, "{len} bytes");
            }
        }
        assert_eq!(check(&[table.clone(), b"more".to_vec()].concat()), Ok(table.len()));
        assert_eq!(parse(&[table, b"more".to_vec()].concat()), Err(TableError::Truncated));
        assert_eq!(check(&raw(&[(b"a", b"z")])), Err(TableError::UnknownType(b'z')));
        assert_eq!(check(&raw(&[(b"a", b"F\xff\xff\xff\xff")])), Err(TableError::Truncated));
    }

    #[test]
    fn nesting_is_bounded_before_anything_recurses() {
        for nested in [nested_tables, nested_arrays] {
            let most = nested(MAX_DEPTH);
            assert_eq!(check(&most), Ok(most.len()));
            assert!(parse(&most).is_ok());
            for levels in [MAX_DEPTH + 1, 1_300, 20_000] {
                let table = nested(levels);
                assert_eq!(check(&table), Err(TableError::TooDeep), "{levels} levels");
                assert_eq!(parse(&table), Err(TableError::TooDeep));
                assert_eq!(find(&table, b"t"), None);
                assert!(parse_headers(&table).inner().is_empty());
            }
        }
    }

    #[test]
    fn names_are_utf8_where_they_must_be_read() {
        let inner = [b"F", &raw(&[(b"\xff", b"V")])[..]].concat();
        for table in [raw(&[(b"\xff", b"V"), (b"a", b"t\x01")]), raw(&[(b"n", &inner), (b"a", b"t\x01")])] {
            assert_eq!(check(&table), Err(TableError::Name));
            assert_eq!(parse(&table), Err(TableError::Name));
            assert_eq!(check_headers(&table), Ok(table.len()));
            let headers = parse_headers(&table);
            assert_eq!(headers.inner().len(), 1, "{headers:?}");
            assert_eq!(headers.inner().get("a"), Some(&AMQPValue::Boolean(true)));
            assert_eq!(find(&table, b"a"), Some(AMQPValue::Boolean(true)));
            assert_eq!(find(&table, b"n"), None);
        }
    }

    #[test]
    fn lookup_takes_the_first_field_of_a_name() {
        let table = raw(&[(b"a", b"b\x01"), (b"a", b"b\x02")]);
        assert_eq!(find(&table, b"a"), Some(AMQPValue::ShortShortInt(1)));
        assert_eq!(parse(&table).unwrap().inner().get("a"), Some(&AMQPValue::ShortShortInt(2)));
    }

    #[test]
    fn fields_of_an_unsound_table_end_early() {
        let table = raw(&[(b"a", b"V"), (b"b", b"z"), (b"c", b"V")]);
        let names: Vec<&[u8]> = fields(&table).map(|(name, _)| name).collect();
        assert_eq!(names, [b"a"]);
        assert_eq!(fields(b"").count(), 0);
    }

    #[test]
    fn an_edit_leaves_the_other_fields_as_they_came() {
        let table = raw(&[
            (b"z", b"U\0\x01"),
            (b"gone", b"V"),
            (b"\xff", b"L\0\0\0\0\0\0\0\x01"),
            (b"set", b"V"),
            (b"set", b"V"),
        ]);
        let changes = [("gone", None), ("set", Some(AMQPValue::LongString("new".into()))), ("none", None)];
        let expected =
            raw(&[(b"z", b"U\0\x01"), (b"\xff", b"L\0\0\0\0\0\0\0\x01"), (b"set", b"S\0\0\0\x03new")]);
        assert_eq!(edit(&table, &changes), expected);
        assert_eq!(edit(&raw(&[]), &changes[1..]), raw(&[(b"set", b"S\0\0\0\x03new")]));
        assert_eq!(edit(&table, &[]), table);
    }

    #[test]
    fn a_short_string_is_cut_between_characters() {
        assert_eq!(short_string("short").as_str(), "short");
        assert_eq!(short_string(&"a".repeat(256)).as_str().len(), 255);
        assert_eq!(short_string(&"ü".repeat(200)).as_str(), "ü".repeat(127));
    }
}

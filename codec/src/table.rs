//! Field tables in RabbitMQ's dialect (semantics.md 2.8): `s` is a short int, `L` reads as `l`, `x` is a byte array.
//! A walk that allocates nothing and goes no deeper than [`MAX_DEPTH`] checks a table before amq-protocol's parser,
//! which recurses without a limit, is handed it.

use amq_protocol::types::generation::gen_field_table;
use amq_protocol::types::parsing::{parse_field_table, parse_value};
pub use amq_protocol::types::{
    AMQPValue, ByteArray, DecimalValue, FieldArray, FieldTable, LongString, ShortString,
};
use thiserror::Error;

use crate::growing::generate;

/// How deep tables and arrays may nest.
pub const MAX_DEPTH: usize = 32;

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

/// Checks the table at the start of `input` (its four length bytes first) and returns how many bytes it takes.
pub fn check(input: &[u8]) -> Result<usize, TableError> {
    skip_table(input, 1)
}

/// Reads a table (its four length bytes first) that fills `input`.
pub fn parse(input: &[u8]) -> Result<FieldTable, TableError> {
    if check(input)? != input.len() {
        return Err(TableError::Truncated);
    }
    parse_field_table(input).map(|(_, table)| table).map_err(|_| TableError::Name)
}

/// Writes a table with its four length bytes.
#[must_use]
pub fn encode(table: &FieldTable) -> Vec<u8> {
    generate(gen_field_table(table))
}

/// The value of the first field of this name in a checked table (its four length bytes first).
#[must_use]
pub fn find(table: &[u8], name: &[u8]) -> Option<AMQPValue> {
    let mut rest = table.get(4..)?;
    while let Some((&len, after)) = rest.split_first() {
        let key = after.get(..usize::from(len))?;
        let value = &after[usize::from(len)..];
        let taken = skip_value(value, 1).ok()?;
        if key == name {
            return parse_value(&value[..taken]).ok().map(|(_, value)| value);
        }
        rest = &value[taken..];
    }
    None
}

fn skip_table(input: &[u8], depth: usize) -> Result<usize, TableError> {
    let fields = counted(input)?;
    let mut rest = fields;
    while let Some((&len, after)) = rest.split_first() {
        let name = after.get(..usize::from(len)).ok_or(TableError::Truncated)?;
        if std::str::from_utf8(name).is_err() {
            return Err(TableError::Name);
        }
        let value = &after[usize::from(len)..];
        rest = &value[skip_value(value, depth)?..];
    }
    Ok(4 + fields.len())
}

fn skip_value(input: &[u8], depth: usize) -> Result<usize, TableError> {
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
        b'F' => skip_table(value, depth + 1)?,
        b'A' => {
            let items = counted(value)?;
            let mut rest = items;
            while !rest.is_empty() {
                rest = &rest[skip_value(rest, depth + 1)?..];
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

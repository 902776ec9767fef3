//! The shape of every method's arguments. A payload is held against it before amq-protocol's parser, which recurses
//! as deep as the bytes say, sees any of it: what passes, that parser reads.

use crate::method::{MethodError, MethodId, nothing_left};
use crate::table;

/// One argument; consecutive bits share an octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Octet,
    Short,
    Long,
    LongLong,
    ShortString,
    LongString,
    Table,
}

/// Checks that the arguments (what follows the method's id) are all there, that its short strings are UTF-8, and its
/// tables sound, and that nothing follows them. [`MethodError::Unknown`] for a method that does not exist.
pub(crate) fn check(id: MethodId, arguments: &[u8]) -> Result<(), MethodError> {
    let mut rest = arguments;
    for part in shape(id).ok_or(MethodError::Unknown(id))? {
        let len = part.len(id, rest)?;
        rest = rest.get(len..).ok_or(MethodError::Truncated(4 + arguments.len()))?;
    }
    nothing_left(rest, id)
}

impl Part {
    /// How many bytes the argument at the start of `rest` takes, be they there or not.
    fn len(self, id: MethodId, rest: &[u8]) -> Result<usize, MethodError> {
        Ok(match self {
            Part::Octet => 1,
            Part::Short => 2,
            Part::Long => 4,
            Part::LongLong => 8,
            Part::ShortString => {
                let len = 1 + rest.first().copied().map_or(0, usize::from);
                if rest.get(1..len).is_some_and(|text| std::str::from_utf8(text).is_err()) {
                    return Err(MethodError::Utf8);
                }
                len
            }
            Part::LongString => match rest.first_chunk::<4>() {
                // Saturates where addresses are too short for the length; that much is not there either.
                Some(len) => {
                    usize::try_from(u32::from_be_bytes(*len)).map_or(usize::MAX, |len| len.saturating_add(4))
                }
                None => 4,
            },
            Part::Table => table::check(rest).map_err(|error| MethodError::Table { id, error })?,
        })
    }
}

/// The arguments in order; None for a method that does not exist (semantics section 25). Methods that only a
/// server sends are among them: a client may send their bytes all the same.
fn shape(id: MethodId) -> Option<&'static [Part]> {
    use Part::{Long, LongLong, LongString, Octet, Short, ShortString, Table};
    Some(match (id.class, id.method) {
        (10, 10) => &[Octet, Octet, Table, LongString, LongString],
        (10, 11) => &[Table, ShortString, LongString, ShortString],
        (10, 20 | 21) => &[LongString],
        (10, 30 | 31) => &[Short, Long, Short],
        (10, 40) => &[ShortString, ShortString, Octet],
        (10, 41 | 60) => &[ShortString],
        (10, 51 | 61 | 71) => &[],
        (10, 70) => &[LongString, ShortString],
        (10, 50) | (20, 40) => &[Short, ShortString, Short, Short],
        (20, 10) => &[ShortString],
        (20, 11) => &[LongString],
        (20, 20 | 21) => &[Octet],
        (20, 41) => &[],
        (30, 10) => &[ShortString, Octet],
        (30, 11) => &[Short],
        (40, 10) => &[Short, ShortString, ShortString, Octet, Table],
        (40, 20) => &[Short, ShortString, Octet],
        (40, 30 | 40) | (50, 20) => &[Short, ShortString, ShortString, ShortString, Octet, Table],
        (40, 11 | 21 | 31 | 51) | (50, 21 | 51) => &[],
        (50, 10) => &[Short, ShortString, Octet, Table],
        (50, 11) => &[ShortString, Long, Long],
        (50, 30 | 40) => &[Short, ShortString, Octet],
        (50, 31 | 41) => &[Long],
        (50, 50) => &[Short, ShortString, ShortString, ShortString, Table],
        (60, 10) => &[Long, Short, Octet],
        (60, 11 | 111) => &[],
        (60, 20) => &[Short, ShortString, ShortString, Octet, Table],
        (60, 21 | 31 | 72) => &[ShortString],
        (60, 30) => &[ShortString, Octet],
        (60, 40) => &[Short, ShortString, ShortString, Octet],
        (60, 50) => &[Short, ShortString, ShortString, ShortString],
        (60, 60) => &[ShortString, LongLong, Octet, ShortString, ShortString],
        (60, 70) => &[Short, ShortString, Octet],
        (60, 71) => &[LongLong, Octet, ShortString, ShortString, Long],
        (60, 80 | 90 | 120) => &[LongLong, Octet],
        (60, 100 | 110) | (85, 10) => &[Octet],
        (85, 11) | (90, 10 | 11 | 20 | 21 | 30 | 31) => &[],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use amq_protocol::protocol::parse_class;

    use super::*;

    /// With zeros alone every argument is as short as it can be, which shows the length of every shape.
    #[test]
    fn every_shape_is_as_long_as_amq_protocol_reads_it() {
        for class in 0..100 {
            for method in 0..130 {
                for len in 0..40 {
                    let [c1, c2] = u16::to_be_bytes(class);
                    let [m1, m2] = u16::to_be_bytes(method);
                    let payload = [&[c1, c2, m1, m2][..], &vec![0; len]].concat();
                    let id = MethodId { class, method };
                    let (ours, theirs) = (check(id, &payload[4..]), parse_class(&payload[..]));
                    let theirs_fit = theirs.is_ok_and(|(rest, _)| rest.is_empty());
                    assert_eq!(ours.is_ok(), theirs_fit, "{class}.{method} with {len} bytes: {ours:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let declare = MethodId { class: 50, method: 10 };
        assert_eq!(check(declare, b"\0\0\x02\xff\xff\0\0\0\0\0"), Err(MethodError::Utf8));
        assert_eq!(check(declare, b"\0\0\x09q"), Err(MethodError::Truncated(8)));
        assert!(
            matches!(check(declare, b"\0\0\x01q\0\0\0\0\x03\x01az"), Err(MethodError::Table { id, .. }) if id == declare)
        );
        let secure = MethodId { class: 10, method: 21 };
        assert_eq!(check(secure, b"\xff\xff\xff\xff"), Err(MethodError::Truncated(8)));
        let trailing = Err(MethodError::Trailing { id: secure, bytes: 2 });
        assert_eq!(check(secure, b"\0\0\0\x01xyz"), trailing);
        let nothing = MethodId { class: 60, method: 200 };
        assert_eq!(check(nothing, b""), Err(MethodError::Unknown(nothing)));
    }
}

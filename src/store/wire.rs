//! Small numbers as bytes: LEB128 varints, and rows that end with their checksum. What the rows mean is decided
//! where they are made.

use std::fmt::Display;

/// Bytes of the checksum at the end of a row.
const CHECKSUM_LEN: usize = 4;

/// Appends `value`, seven bits a byte, low bits first.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// A length as the field takes it that it is written to. One that does not fit is a defect of ours, and what would be
/// written instead could not be read again: the process stops before it answers for it.
pub(super) fn fitted<N: Copy + Display, F: TryFrom<N>>(length: N) -> F {
    // Lengths were checked where they came in.
    F::try_from(length).unwrap_or_else(|_| panic!("{length} does not fit the field it is written to"))
}

/// Signed to unsigned so that small magnitudes stay small.
pub(super) fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

/// The way back from [`zigzag`].
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Ends a row with the checksum of what is in it.
pub(super) fn sealed(mut row: Vec<u8>) -> Vec<u8> {
    let checksum = crc32fast::hash(&row);
    row.extend_from_slice(&checksum.to_le_bytes());
    row
}

/// The content of a row; None where the checksum does not fit.
pub(super) fn unsealed(row: &[u8]) -> Option<&[u8]> {
    let (content, checksum) = row.split_at_checked(row.len().checked_sub(CHECKSUM_LEN)?)?;
    (crc32fast::hash(content).to_le_bytes() == checksum).then_some(content)
}

/// Reads what the functions above wrote. Every read is None where the bytes are not there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub(super) fn varint32(&mut self) -> Option<u32> {
        u32::try_from(self.varint()?).ok()
    }

    pub(super) fn take(&mut self, len: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(value: u64, signed: i64) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            put_varint(&mut bytes, zigzag(signed));
            let mut reader = Reader(&bytes);
            prop_assert_eq!(reader.varint(), Some(value));
            prop_assert_eq!(reader.varint().map(unzigzag), Some(signed));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let mut reader = Reader(&bytes);
            while reader.varint().is_some() {}
        }
    }

    #[test]
    #[should_panic(expected = "256 does not fit")]
    fn a_length_that_does_not_fit_is_never_written() {
        let _: u8 = fitted(256_usize);
    }

    #[test]
    fn a_flipped_bit_breaks_the_seal() {
        let mut row = sealed(vec![1, 2, 3]);
        assert_eq!(unsealed(&row), Some(&[1, 2, 3][..]));
        row[1] ^= 4;
        assert_eq!(unsealed(&row), None);
        assert_eq!(unsealed(&[1, 2]), None);
    }
}

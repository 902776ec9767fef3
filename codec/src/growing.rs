//! Writing at the end of a buffer that grows: short strings, and what amq-protocol's generators write, which go back
//! to fill lengths in.

use std::io::{self, SeekFrom, Write};

use bytes::{BufMut, BytesMut};
use cookie_factory::{SerializeFn, gen_simple};

/// Runs a generator at the end of a buffer.
pub(crate) fn generate_into<'a>(buffer: &'a mut BytesMut, generator: impl SerializeFn<Growing<'a>>) {
    let at = buffer.len();
    let done = gen_simple(generator, Growing { buffer, at });
    // Memory is all they write to, and it grows: nothing in them can fail.
    debug_assert!(done.is_ok(), "a generator failed");
}

/// Writes at most 255 bytes, as many as the length octet counts.
pub(crate) fn put_short_string(buffer: &mut BytesMut, text: &[u8]) {
    let text = &text[..text.len().min(255)];
    buffer.put_u8(u8::try_from(text.len()).unwrap_or(u8::MAX));
    buffer.extend_from_slice(text);
}

/// A buffer and the place in it where the next byte goes.
#[derive(Debug)]
pub(crate) struct Growing<'a> {
    buffer: &'a mut BytesMut,
    at: usize,
}

impl Write for Growing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let over = bytes.len().min(self.buffer.len() - self.at);
        self.buffer[self.at..self.at + over].copy_from_slice(&bytes[..over]);
        self.buffer.extend_from_slice(&bytes[over..]);
        self.at += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Seek for Growing<'_> {
    /// Going beyond the end fills up with zeros.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, offset) = match to {
            SeekFrom::Start(at) => (0, i64::try_from(at).ok()),
            SeekFrom::Current(offset) => (self.at, Some(offset)),
            SeekFrom::End(offset) => (self.buffer.len(), Some(offset)),
        };
        let at = offset
            .and_then(|offset| isize::try_from(offset).ok())
            .and_then(|offset| base.checked_add_signed(offset))
            .ok_or(io::ErrorKind::InvalidInput)?;
        if at > self.buffer.len() {
            self.buffer.resize(at, 0);
        }
        self.at = at;
        Ok(at as u64)
    }
}

impl cookie_factory::Seek for Growing<'_> {}

#[cfg(test)]
mod tests {
    use std::io::Seek;

    use super::*;

    #[test]
    fn writing_goes_over_what_is_there_and_on_behind_it() {
        let mut buffer = BytesMut::from(&b"head"[..]);
        let mut growing = Growing { at: buffer.len(), buffer: &mut buffer };
        let start = growing.stream_position().unwrap();
        growing.seek(SeekFrom::Current(2)).unwrap();
        growing.write_all(b"body").unwrap();
        growing.seek(SeekFrom::Start(start)).unwrap();
        growing.write_all(b"42").unwrap();
        growing.seek(SeekFrom::End(-1)).unwrap();
        growing.write_all(b"ies").unwrap();
        assert_eq!(&buffer[..], b"head42bodies");
    }

    #[test]
    fn there_is_nothing_before_the_start() {
        let mut buffer = BytesMut::new();
        let mut growing = Growing { at: 0, buffer: &mut buffer };
        assert!(growing.seek(SeekFrom::Current(-1)).is_err());
    }
}

//! A buffer that grows under amq-protocol's generators, which want to seek back to fill lengths in.

use std::io::{self, Cursor, Write};

use cookie_factory::{SerializeFn, gen_simple};

/// Runs a generator into a fresh vector.
pub(crate) fn generate(generator: impl SerializeFn<Growing>) -> Vec<u8> {
    gen_simple(generator, Growing(Cursor::new(Vec::new())))
        .map(|grown| grown.0.into_inner())
        .unwrap_or_default()
}

#[derive(Debug)]
pub(crate) struct Growing(Cursor<Vec<u8>>);

impl Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Seek for Growing {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl cookie_factory::Seek for Growing {}

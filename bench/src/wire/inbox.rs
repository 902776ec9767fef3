//! The way in: one buffer, read into in large pieces, frames handed out in place.

use std::io::{self, Read};

use leveret_codec::frame::{self, Frame, FrameError};

/// Room for several of the largest frames a broker sends, so that a read is seldom cut short.
const CAPACITY: usize = 512 * 1024;

#[derive(Debug)]
pub(crate) struct Inbox {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    frame_max: u32,
}

impl Default for Inbox {
    fn default() -> Inbox {
        Inbox::with_capacity(CAPACITY)
    }
}

impl Inbox {
    /// A smaller buffer, for connections of which there are many. It must hold the largest frame.
    pub(crate) fn with_capacity(capacity: usize) -> Inbox {
        Inbox { bytes: vec![0; capacity].into_boxed_slice(), start: 0, end: 0, frame_max: 0 }
    }

    /// The largest frame that was negotiated.
    pub(crate) fn bound(&mut self, frame_max: u32) {
        self.frame_max = frame_max;
    }

    /// One read from the socket; how many bytes came. 0: the other side has closed.
    pub(crate) fn fill(&mut self, from: &mut impl Read) -> io::Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end == self.bytes.len() {
                return Err(io::Error::other("a frame is larger than the buffer"));
            }
        }
        let count = from.read(&mut self.bytes[self.end..])?;
        self.end += count;
        Ok(count)
    }

    /// The next whole frame; None until more has been read.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let found = frame::decode(&self.bytes[self.start..self.end], self.frame_max)?;
        if let Some(frame) = &found {
            self.start += frame.wire_len();
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use leveret_codec::write::Output;

    use super::*;

    #[test]
    fn frames_come_out_whole_however_they_are_cut() {
        let mut output = Output::default();
        for tag in 1..=50 {
            output.ack(1, tag, false);
        }
        let mut slices = [io::IoSlice::new(&[])];
        output.chunks(&mut slices);
        for cut in 1..60 {
            let mut inbox = Inbox::with_capacity(64);
            let (mut source, mut frames) = (&slices[0][..], 0);
            while inbox.fill(&mut (&mut source).take(cut)).unwrap() > 0 {
                while let Some(frame) = inbox.next().unwrap() {
                    assert_eq!(frame.payload.len(), 13);
                    frames += 1;
                }
            }
            assert_eq!(frames, 50, "cut every {cut} bytes");
        }
    }

    #[test]
    fn a_frame_larger_than_the_buffer_is_an_error_not_a_hang() {
        let mut inbox = Inbox::with_capacity(16);
        let mut source: &[u8] = &[1, 0, 1, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        inbox.fill(&mut source).unwrap();
        assert!(inbox.next().unwrap().is_none());
        assert!(inbox.fill(&mut source).is_err());
    }
}

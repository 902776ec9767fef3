//! Complete frames as they lie in the input, and what of them may be kept there.

use bytes::Bytes;

/// What lies in a buffer and is kept may make it keep so many times its own size; what is smaller is copied.
const MOST_PINNED: usize = 16;

/// Complete frames, and the memory they lie in.
#[derive(Debug, Default)]
pub(super) struct Frames {
    pub bytes: Bytes,
    /// Bytes of the whole allocation: whoever keeps a slice of the frames keeps all of it.
    pub allocation: usize,
}

impl Frames {
    /// Whether a part of so many bytes may be kept as a slice.
    pub(super) fn may_pin(&self, len: usize) -> bool {
        len >= self.allocation / MOST_PINNED
    }
}

//! How a blob is cut into values that fill the pages they lie in: a value that is the only one in its page of
//! `2^k` pages may have `2^k * 4096 - 32` bytes. The cutting is part of the format: reading repeats it.

use std::ops::Range;

use super::wire;

const PAGE: u64 = 4096;
/// What a page needs besides the value.
const OVERHEAD: u64 = 32;
/// The largest page a chunk fills.
const LARGEST: u64 = 1 << 20;

/// The chunks of a blob of `len` bytes, as ranges of it. Large chunks first; the last one may leave an eighth of
/// its page empty, so that a blob does not end in crumbs.
pub(super) fn chunks(len: u64) -> impl Iterator<Item = Range<u64>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let left = len.checked_sub(start).filter(|&left| left > 0)?;
        let range = start..start + chunk_len(left);
        start = range.end;
        Some(range)
    })
}

/// Bytes of pages the blob takes.
pub(super) fn allocated(len: u64) -> u64 {
    chunks(len).map(|range| page_for(range.end - range.start)).sum()
}

/// How many chunks the blob has.
pub(super) fn count(len: u64) -> u32 {
    wire::fitted(chunks(len).count())
}

/// Whether a chunk of so many bytes has a page of several blocks.
pub(super) fn is_large(len: u64) -> bool {
    page_for(len) > PAGE
}

fn chunk_len(left: u64) -> u64 {
    let page = page_for(left).min(LARGEST);
    let room = page - OVERHEAD;
    if left >= room || page == PAGE || (room - left) <= page / 8 {
        left.min(room)
    } else {
        page / 2 - OVERHEAD
    }
}

fn page_for(len: u64) -> u64 {
    (len + OVERHEAD).max(PAGE).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn chunks_cover_the_blob_and_waste_little(len in 1u64..40_000_000) {
            let mut end = 0;
            for range in chunks(len) {
                prop_assert_eq!(range.start, end);
                prop_assert!(range.end > range.start && range.end - range.start <= LARGEST - OVERHEAD);
                end = range.end;
            }
            prop_assert_eq!(end, len);
            prop_assert!(allocated(len) <= len + len / 7 + 4096 + 32 * u64::from(count(len)));
        }
    }

    #[test]
    fn sizes_that_fit_are_one_chunk() {
        assert!(chunks(4064).eq(std::iter::once(0..4064)));
        assert_eq!(chunks((1 << 20) - 32).count(), 1);
        assert_eq!(chunks(1 << 20).collect::<Vec<_>>(), [0..1_048_544, 1_048_544..1_048_576]);
        assert_eq!(chunks(0).count(), 0);
    }
}

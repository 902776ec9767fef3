//! Single records read by hand. A chunk has a page of up to a megabyte; who wants one message out of it reads the few bytes
//! that say which chunks are in it, and the message. Where a chunk lies is found once: it seldom moves, which shows, and no
//! number is used again. Whatever does not fit is for the ordinary way to judge.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;

use super::super::chunk;
use super::{Chunk, Place, RawFile};
use crate::model::holdings::Holdings;

/// Chunks of which the place is remembered.
const MOST_PLACES: usize = 64 * 1024;
/// Files are opened to be searched for a chunk in vain so often.
const MOST_IN_VAIN: u32 = 16;

#[derive(Debug, Default)]
pub(in crate::store) struct Spots {
    /// By number of the blob and place of the chunk.
    places: HashMap<(u64, u32), Place>,
    /// The active file, as it was when a chunk of it was searched for the last time.
    active: Option<RawFile>,
    /// Nothing was written to it since.
    is_current: bool,
    in_vain: u32,
}

impl Spots {
    pub(in crate::store) fn holdings(&self, into: &mut Holdings) {
        let Spots { places, active: _, is_current: _, in_vain: _ } = self;
        into.declared("store: places of chunks", places);
    }

    /// Something may have been written to the active file.
    pub(in crate::store) fn active_has_changed(&mut self) {
        self.is_current = false;
    }

    /// Another file is the active one from now on.
    pub(in crate::store) fn forget_active(&mut self) {
        self.active = None;
        self.is_current = false;
    }

    /// A range of a blob of `blob_len` bytes; None where any of it is in a small chunk, or not found. The file is the active
    /// one, to be opened by `open`, unless it is `sealed`.
    pub(in crate::store) fn read(
        &mut self,
        sealed: Option<&RawFile>,
        open: impl Fn() -> Option<RawFile>,
        number: u64,
        blob_len: u64,
        range: Range<u64>,
    ) -> Option<Vec<Bytes>> {
        let mut pieces = Vec::new();
        for (part, chunk) in (0u32..).zip(chunk::chunks(blob_len)) {
            let (start, end) = (range.start.max(chunk.start), range.end.min(chunk.end));
            if start >= end {
                continue;
            }
            if !chunk::is_large(chunk.end - chunk.start) {
                return None;
            }
            let wanted = Chunk { number, part, len: usize::try_from(chunk.end - chunk.start).ok()? };
            let within =
                usize::try_from(start - chunk.start).ok()?..usize::try_from(end - chunk.start).ok()?;
            let read = |file: &RawFile, place| file.chunk_at(place, &wanted, within.clone());
            let place = self.places.get(&(number, part)).copied();
            let known =
                place.zip(sealed.or(self.active.as_ref())).and_then(|(place, file)| read(file, place));
            let piece = match known {
                Some(piece) => piece,
                None if self.in_vain == MOST_IN_VAIN => return None,
                None => {
                    let found = self.search(sealed, &open, &wanted);
                    let piece = found.zip(sealed.or(self.active.as_ref()));
                    let piece = piece.and_then(|(place, file)| read(file, place));
                    self.in_vain += u32::from(piece.is_none());
                    piece?
                }
            };
            pieces.push(Bytes::from(piece));
        }
        (range.end <= blob_len).then_some(pieces)
    }

    /// Finds where a chunk lies.
    fn search(
        &mut self,
        sealed: Option<&RawFile>,
        open: &impl Fn() -> Option<RawFile>,
        wanted: &Chunk,
    ) -> Option<Place> {
        if sealed.is_none() && !self.is_current {
            self.active = open();
            self.is_current = true;
        }
        let place = sealed.or(self.active.as_ref())?.place_of_chunk(wanted)?;
        if self.places.len() >= MOST_PLACES {
            self.places.clear();
        }
        self.places.insert((wanted.number, wanted.part), place);
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::changes::{Changes, NewBlob};
    use crate::store::disk::{Disk, Folder};
    use crate::store::redb::DataFile;

    const LARGE: usize = 8000;

    fn blobs(lens: &[(u8, usize)]) -> Changes {
        let blob = |&(number, len): &(u8, usize)| NewBlob::whole(number.into(), &vec![number; len].into());
        Changes { blobs: lens.iter().map(blob).collect(), ..Changes::default() }
    }

    /// redb puts a chunk between others of its page, if there is one, and takes a page apart when others are removed.
    #[test]
    fn a_chunk_is_found_among_others_and_where_it_has_moved_to() {
        let path = tempfile::tempdir().unwrap();
        let folder = Folder::create(path.path()).unwrap();
        let make = |file: &DataFile| file.make_journal(&blobs(&[(1, 100), (3, 100), (2, LARGE)]));
        let file = DataFile::create(&folder, "journal", 1 << 20, make).unwrap();
        let raw = || folder.open("journal").and_then(RawFile::open).ok();
        let (mut spots, wanted) = (Spots::default(), Chunk { number: 2, part: 0, len: LARGE });
        let place = raw().unwrap().place_of_chunk(&wanted).unwrap();
        assert!(place.head > super::super::CHUNK_HEAD as u64, "it is not alone");
        let read = |spots: &mut Spots, number| spots.read(None, raw, number, LARGE as u64, 7000..7010);
        assert_eq!(read(&mut spots, 2), Some(vec![Bytes::from_static(&[2; 10])]));
        assert!(read(&mut spots, 4).is_none() && spots.in_vain == 1, "there is no such chunk");
        assert!(
            spots.read(None, raw, 1, 100, 0..10).is_none() && spots.in_vain == 1,
            "small ones are not for here"
        );

        // The page it was in is used for something else.
        file.apply(&Changes { remove_chunks: vec![(1, 1), (3, 1)], ..Changes::default() }).unwrap();
        for number in 10..40 {
            file.apply(&blobs(&[(number, LARGE)])).unwrap();
        }
        assert!(raw().unwrap().chunk_at(place, &wanted, 0..10).is_none());
        spots.active_has_changed();
        assert_eq!(read(&mut spots, 2), Some(vec![Bytes::from_static(&[2; 10])]));
        assert_eq!(spots.in_vain, 1);
    }
}

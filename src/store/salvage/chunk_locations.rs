//! Single records read by hand. A chunk has a page of up to a megabyte; who wants one message out of it reads the few bytes
//! that say which chunks are in it, and the message. Where a chunk lies is found once: it seldom moves, which shows, and no
//! number is used again. Whatever does not fit is for the ordinary way to judge.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;

use super::super::chunk;
use super::{Chunk, ChunkLocation, RawFile};
use crate::model::holdings::Holdings;

/// Chunks of which the location is remembered.
const MOST_LOCATIONS: usize = 64 * 1024;
/// Files are opened to be searched for a chunk in vain so often.
const MOST_IN_VAIN: u32 = 16;

#[derive(Debug, Default)]
pub(in crate::store) struct ChunkLocations {
    /// By number of the blob and location of the chunk.
    locations: HashMap<(u64, u32), ChunkLocation>,
    /// The active file, as it was when a chunk of it was searched for the last time.
    active: Option<RawFile>,
    /// Nothing was written to it since.
    is_current: bool,
    in_vain: u32,
}

impl ChunkLocations {
    pub(in crate::store) fn holdings(&self, into: &mut Holdings) {
        let ChunkLocations { locations, active: _, is_current: _, in_vain: _ } = self;
        into.declared("store: locations of chunks", locations);
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
            let read = |file: &RawFile, location| file.chunk_at(location, &wanted, within.clone());
            let location = self.locations.get(&(number, part)).copied();
            let known = location
                .zip(sealed.or(self.active.as_ref()))
                .and_then(|(location, file)| read(file, location));
            let piece = match known {
                Some(piece) => piece,
                None if self.in_vain == MOST_IN_VAIN => return None,
                None => {
                    let found = self.search(sealed, &open, &wanted);
                    let piece = found.zip(sealed.or(self.active.as_ref()));
                    let piece = piece.and_then(|(location, file)| read(file, location));
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
    ) -> Option<ChunkLocation> {
        if sealed.is_none() && !self.is_current {
            self.active = open();
            self.is_current = true;
        }
        let location = sealed.or(self.active.as_ref())?.location_of_chunk(wanted)?;
        if self.locations.len() >= MOST_LOCATIONS {
            self.locations.clear();
        }
        self.locations.insert((wanted.number, wanted.part), location);
        Some(location)
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
        let (mut locations, wanted) = (ChunkLocations::default(), Chunk { number: 2, part: 0, len: LARGE });
        let location = raw().unwrap().location_of_chunk(&wanted).unwrap();
        assert!(location.head > super::super::CHUNK_HEAD as u64, "it is not alone");
        let read = |locations: &mut ChunkLocations, number| {
            locations.read(None, raw, number, LARGE as u64, 7000..7010)
        };
        assert_eq!(read(&mut locations, 2), Some(vec![Bytes::from_static(&[2; 10])]));
        assert!(read(&mut locations, 4).is_none() && locations.in_vain == 1, "there is no such chunk");
        assert!(
            locations.read(None, raw, 1, 100, 0..10).is_none() && locations.in_vain == 1,
            "small ones are not for here"
        );

        // The page it was in is used for something else.
        file.apply(&Changes { remove_chunks: vec![(1, 1), (3, 1)], ..Changes::default() }).unwrap();
        for number in 10..40 {
            file.apply(&blobs(&[(number, LARGE)])).unwrap();
        }
        assert!(raw().unwrap().chunk_at(location, &wanted, 0..10).is_none());
        locations.active_has_changed();
        assert_eq!(read(&mut locations, 2), Some(vec![Bytes::from_static(&[2; 10])]));
        assert_eq!(locations.in_vain, 1);
    }
}

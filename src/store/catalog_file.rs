//! The catalog's file: one row per record, each with a checksum of its key and its value, and a tally over all rows. So a
//! record that is damaged is known, and so is one that has vanished. What a record means is not known here.

use std::collections::BTreeMap;

use super::CatalogRecords;
use super::disk::Disk;
use super::error::StoreError;
use super::format::{CATALOG, FORMAT, meta};
use super::redb::DataFile;
use super::salvage::RawFile;
use crate::model::op::CatalogOp;

/// redb's cache for the catalog, in bytes.
pub(super) const CATALOG_CACHE: usize = 1 << 20;
/// From this format on rows end with a checksum; before, a row was the value alone.
const CHECKED_FORMAT: u64 = 3;
const CHECKSUM_LEN: usize = 4;

/// How many rows there are, and the sum of their checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    rows: u64,
    sum: u64,
}

impl Tally {
    fn take_in(&mut self, row: &[u8]) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(checksum_of(row));
    }

    fn take_out(&mut self, row: &[u8]) {
        self.rows = self.rows.saturating_sub(1);
        self.sum = self.sum.wrapping_sub(checksum_of(row));
    }
}

/// The rows that are there, held against the tally.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Rows {
    #[default]
    Whole,
    /// So many of those that were written are not there.
    Vanished(u64),
    /// As many as were written, but sound ones that are not the ones written last.
    Replaced,
}

/// What a catalog's file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// The sound records, in order of key.
    pub(super) records: CatalogRecords,
    /// The keys of damaged ones.
    pub(super) damaged: Vec<Vec<u8>>,
    pub(super) rows: Rows,
    pub(super) is_checked: bool,
    tally: Tally,
}

/// The rows of a catalog's file, as they were read.
#[derive(Clone, Debug, Default)]
pub(super) struct CatalogRows {
    pub(super) format: Option<u64>,
    /// What the file says of its rows: how many they are, and the sum of their checksums.
    pub(super) count: Option<u64>,
    pub(super) sum: Option<u64>,
    /// One may come twice, the newer one first.
    pub(super) rows: CatalogRecords,
    /// No page of them is lost.
    pub(super) whole: bool,
}

impl CatalogRows {
    fn of(data: &DataFile) -> Result<CatalogRows, StoreError> {
        Ok(CatalogRows {
            format: data.meta(meta::FORMAT)?,
            count: data.meta(meta::ROWS)?,
            sum: data.meta(meta::SUM)?,
            rows: data.records()?,
            whole: true,
        })
    }

    /// What can be read of a file by hand.
    pub(super) fn read(raw: &RawFile) -> CatalogRows {
        let (rows, whole) = raw.records();
        CatalogRows {
            format: raw.meta(meta::FORMAT),
            count: raw.meta(meta::ROWS),
            sum: raw.meta(meta::SUM),
            rows,
            whole,
        }
    }
}

impl Contents {
    pub(super) fn of(read: CatalogRows) -> Contents {
        let is_checked = read.format.is_none_or(|format| format >= CHECKED_FORMAT);
        let mut contents = Contents { is_checked, ..Contents::default() };
        let mut rows = BTreeMap::new();
        for (key, row) in read.rows {
            let is_sound = |row: &[u8]| !is_checked || value_of(&key, row).is_some();
            if rows.get(&key).is_none_or(|known: &Vec<u8>| !is_sound(known) && is_sound(&row)) {
                rows.insert(key, row);
            }
        }
        for (key, row) in rows {
            if !is_checked {
                contents.records.push((key, row));
                continue;
            }
            match value_of(&key, &row).map(<[u8]>::to_vec) {
                Some(value) => contents.records.push((key, value)),
                // What a damaged page says is no row.
                None if !read.whole => continue,
                None => contents.damaged.push(key),
            }
            contents.tally.take_in(&row);
        }
        let written = read.count.zip(read.sum).map(|(rows, sum)| Tally { rows, sum });
        contents.rows = match written {
            Some(written) if is_checked => match written.rows.saturating_sub(contents.tally.rows) {
                // A damaged row explains another sum.
                0 if contents.tally == written || !contents.damaged.is_empty() => Rows::Whole,
                0 => Rows::Replaced,
                vanished => Rows::Vanished(vanished),
            },
            _ if read.whole => Rows::Whole,
            _ => Rows::Replaced,
        };
        contents
    }
}

/// The file, to be written.
#[derive(Debug)]
pub(super) struct CatalogFile {
    data: DataFile,
    tally: Tally,
}

impl CatalogFile {
    /// A new catalog without records.
    pub(super) fn create(
        disk: &dyn Disk,
        meta: &[(&'static str, u64)],
        manifest: Option<&[u8]>,
    ) -> Result<CatalogFile, StoreError> {
        let meta = [meta, &tallied(Tally::default())].concat();
        let fill = |data: &DataFile| data.apply_catalog(&BTreeMap::new(), &meta, manifest);
        let data = DataFile::create(disk, CATALOG, CATALOG_CACHE, fill)?;
        Ok(CatalogFile { data, tally: Tally::default() })
    }

    /// Puts a new file in the place of a damaged one, of which this is left.
    pub(super) fn replace(
        disk: &dyn Disk,
        contents: &Contents,
        meta: &[(&'static str, u64)],
    ) -> Result<CatalogFile, StoreError> {
        let mut tally = Tally::default();
        let rows = contents.records.iter().map(|(key, value)| (&key[..], Some(checked(key, value))));
        let rows: BTreeMap<_, _> = rows.collect();
        rows.values().flatten().for_each(|row| tally.take_in(row));
        let meta = [meta, &tallied(tally)].concat();
        let fill = |data: &DataFile| data.apply_catalog(&rows, &meta, None);
        let data = DataFile::create(disk, CATALOG, CATALOG_CACHE, fill)?;
        Ok(CatalogFile { data, tally })
    }

    /// Goes on with one that was read. What `contents` found missing is missed no more. `applied`: the last change in it.
    pub(super) fn open(data: DataFile, contents: &Contents, applied: u64) -> Result<CatalogFile, StoreError> {
        let mut file = CatalogFile { data, tally: contents.tally };
        if !contents.is_checked {
            let rows = contents.records.iter().map(|(key, value)| (&key[..], Some(checked(key, value))));
            let rows: BTreeMap<_, _> = rows.collect();
            rows.values().flatten().for_each(|row| file.tally.take_in(row));
            let meta = [&[(meta::APPLIED, applied)], &tallied(file.tally)[..]].concat();
            file.data.apply_catalog(&rows, &meta, None)?;
        }
        Ok(file)
    }

    /// One durable transaction.
    pub(super) fn apply(
        &mut self,
        ops: &[CatalogOp],
        meta: &[(&'static str, u64)],
        manifest: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let mut rows = BTreeMap::new();
        for op in ops {
            match op {
                CatalogOp::Put { key, value } => rows.insert(&key[..], Some(checked(key, value))),
                CatalogOp::Delete { key } => rows.insert(&key[..], None),
            };
        }
        for (key, row) in &rows {
            if let Some(before) = self.data.record(key)? {
                self.tally.take_out(&before);
            }
            if let Some(row) = row {
                self.tally.take_in(row);
            }
        }
        self.data.apply_catalog(&rows, &[meta, &tallied(self.tally)].concat(), manifest)
    }

    pub(super) fn records(&self) -> Result<CatalogRecords, StoreError> {
        Ok(Contents::of(CatalogRows::of(&self.data)?).records)
    }

    /// Closes cleanly.
    pub(super) fn close(self) -> Result<(), StoreError> {
        self.data.close()
    }
}

fn tallied(tally: Tally) -> [(&'static str, u64); 3] {
    [(meta::FORMAT, FORMAT), (meta::ROWS, tally.rows), (meta::SUM, tally.sum)]
}

/// The row of a record.
fn checked(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut row = value.to_vec();
    row.extend_from_slice(&checksum(key, value));
    row
}

/// The value in a row; None where the checksum does not fit.
fn value_of<'a>(key: &[u8], row: &'a [u8]) -> Option<&'a [u8]> {
    let (value, found) = row.split_at_checked(row.len().checked_sub(CHECKSUM_LEN)?)?;
    (checksum(key, value) == found).then_some(value)
}

fn checksum(key: &[u8], value: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&(key.len() as u64).to_le_bytes());
    checksum.update(key);
    checksum.update(value);
    checksum.finalize().to_le_bytes()
}

/// The checksum that a row says it has.
fn checksum_of(row: &[u8]) -> u64 {
    row.last_chunk().map_or(0, |checksum| u64::from(u32::from_le_bytes(*checksum)))
}

#[cfg(test)]
mod tests {
    use super::super::disk::Folder;
    use super::*;

    fn put(key: u8, value: &[u8]) -> CatalogOp {
        CatalogOp::Put { key: vec![key], value: value.to_vec() }
    }

    fn reopened(folder: &Folder) -> DataFile {
        DataFile::open(folder, CATALOG, CATALOG_CACHE).unwrap().unwrap()
    }

    fn read_back(data: &DataFile) -> Contents {
        Contents::of(CatalogRows::of(data).unwrap())
    }

    /// A catalog of the records 1 to 3, one of which was written twice and one deleted.
    fn stored(folder: &Folder) -> DataFile {
        let mut file = CatalogFile::create(folder, &[], None).unwrap();
        file.apply(&[put(1, b"old"), put(2, b"two"), put(1, b"one"), put(4, b"four")], &[], None).unwrap();
        file.apply(&[put(3, b"three"), CatalogOp::Delete { key: vec![4] }], &[], None).unwrap();
        file.close().unwrap();
        reopened(folder)
    }

    #[test]
    fn records_come_back_and_are_tallied() {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::create(directory.path()).unwrap();
        let contents = read_back(&stored(&folder));
        let expected = [(1, &b"one"[..]), (2, b"two"), (3, b"three")];
        assert_eq!(contents.records, expected.map(|(key, value)| (vec![key], value.to_vec())));
        assert_eq!((contents.damaged.len(), contents.rows), (0, Rows::Whole));
    }

    #[test]
    fn what_is_damaged_replaced_or_gone_is_noticed() {
        let old = checked(&[1], b"old");
        for (row, damaged, rows) in [
            (Some(&b"\0one"[..]), 1, Rows::Whole),
            (Some(&old[..]), 0, Rows::Replaced),
            (None, 0, Rows::Vanished(1)),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let folder = Folder::create(directory.path()).unwrap();
            let data = stored(&folder);
            data.apply_catalog(&BTreeMap::from([(&[1][..], row.map(<[u8]>::to_vec))]), &[], None).unwrap();
            let found = read_back(&data);
            assert_eq!((found.damaged.len(), found.rows), (damaged, rows));
            // Whoever goes on takes it as it is.
            CatalogFile::open(data, &found, 1).unwrap().apply(&[put(1, b"new")], &[], None).unwrap();
            let contents = read_back(&reopened(&folder));
            assert_eq!((contents.records.len(), contents.damaged.len(), contents.rows), (3, 0, Rows::Whole));
        }
    }

    #[test]
    fn records_without_checksums_get_them() {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::create(directory.path()).unwrap();
        let data = stored(&folder);
        let plain = [1, 2, 3].map(|key| (vec![key], vec![key; 3]));
        let rows = plain.iter().map(|(key, value)| (&key[..], Some(value.clone()))).collect();
        data.apply_catalog(&rows, &[(meta::FORMAT, 2)], None).unwrap();
        let contents = read_back(&data);
        assert_eq!(contents.records, plain);
        drop(CatalogFile::open(data, &contents, 1).unwrap());
        let contents = read_back(&reopened(&folder));
        assert!(contents.is_checked);
        assert_eq!((contents.records, contents.rows), (plain.to_vec(), Rows::Whole));
    }
}

//! What the files of the store are called, and what is in them: the version of their format, their tables, and the
//! numbers in the table of numbers. The page that describes them is docs/format.md.

pub(super) const CATALOG: &str = "catalog.redb";
pub(super) const LOG: &str = "write-ahead.log";

/// The version of all this; it stands in the meta table of every file.
pub(super) const FORMAT: u64 = 3;
/// That of a journal in which messages wait, from the first of them on: so a directory without any can be read by a version
/// that does not know of them.
pub(super) const WITH_WAITS: u64 = 4;
/// The highest one that is read.
pub(super) const NEWEST: u64 = WITH_WAITS;

/// Rows of a file's meta table.
pub(super) mod meta {
    pub(in crate::store) const FORMAT: &str = "format";
    pub(in crate::store) const FIRST_NUMBER: &str = "first number";
    pub(in crate::store) const CLEAN: &str = "clean";
    pub(in crate::store) const SUSPECT_BELOW: &str = "suspect below";
    /// The last sequence number of the log that is in the journal.
    pub(in crate::store) const LOGGED: &str = "logged";
    /// What marks the records of the log that are beyond it.
    pub(in crate::store) const SALT: &str = "salt";
    /// Bytes of the log's file.
    pub(in crate::store) const LOG_BYTES: &str = "log bytes";
    /// In the catalog: the last pending operations that are in it, the number of its records and the sum of their
    /// checksums.
    pub(in crate::store) const APPLIED: &str = "applied";
    pub(in crate::store) const ROWS: &str = "rows";
    pub(in crate::store) const SUM: &str = "sum";
}

/// What the tables are called.
pub(super) mod names {
    pub(in crate::store) const CHUNKS: &str = "chunks";
    pub(in crate::store) const RUNS: &str = "runs";
    pub(in crate::store) const NOTES: &str = "notes";
    pub(in crate::store) const GONE: &str = "gone";
    pub(in crate::store) const TRASH: &str = "trash";
    pub(in crate::store) const PENDING: &str = "pending";
    pub(in crate::store) const ACCEPTED: &str = "accepted";
    pub(in crate::store) const META: &str = "meta";
    pub(in crate::store) const MANIFEST: &str = "manifest";
    pub(in crate::store) const RECORDS: &str = "records";
}

/// A table of numbered rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowsOf {
    Deltas,
    Tombstones,
    Garbage,
    Pending,
    /// Files of which the operator has accepted that something is lost.
    Accepted,
}

impl RowsOf {
    pub(super) fn name(self) -> &'static str {
        match self {
            RowsOf::Deltas => names::NOTES,
            RowsOf::Tombstones => names::GONE,
            RowsOf::Garbage => names::TRASH,
            RowsOf::Pending => names::PENDING,
            RowsOf::Accepted => names::ACCEPTED,
        }
    }
}

//! One transaction on a journal file, as rows: what the plan of a commit comes down to. Knows no database.

use bytes::Bytes;

use super::run::RunKey;

/// A blob to be written: a number and its bytes, in as many pieces as it was put together of.
#[derive(Debug, Default)]
pub(super) struct NewBlob {
    pub(super) number: u64,
    pub(super) len: u64,
    pub(super) segments: Vec<Bytes>,
}

impl NewBlob {
    pub(super) fn whole(number: u64, bytes: &Bytes) -> NewBlob {
        NewBlob { number, len: bytes.len() as u64, segments: vec![bytes.clone()] }
    }
}

/// Rows that are written, or removed where the value is None.
pub(super) type Rows = Vec<(u64, Option<Vec<u8>>)>;

/// What one transaction does. Removals are carried out before insertions: redb reads back what it removes, and
/// pages freed first are sooner used again.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Numbers whose chunks go, with how many they have.
    pub(super) remove_chunks: Vec<(u64, u32)>,
    pub(super) remove_runs: Vec<RunKey>,
    pub(super) run_deltas: Rows,
    pub(super) tombstones: Rows,
    pub(super) garbage: Rows,
    /// Catalog operations of this transaction, until they are in the catalog's own file.
    pub(super) pending: Rows,
    /// Files of which it is accepted that something is lost.
    pub(super) accepted: Rows,
    pub(super) meta: Vec<(&'static str, u64)>,
    /// The list of journal files, where it has changed.
    pub(super) manifest: Option<Vec<u8>>,
    pub(super) runs: Vec<(RunKey, Vec<u8>)>,
    pub(super) blobs: Vec<NewBlob>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.remove_chunks.is_empty()
            && self.remove_runs.is_empty()
            && self.runs.is_empty()
            && self.blobs.is_empty()
            && self.meta.is_empty()
            && self.manifest.is_none()
            && [&self.run_deltas, &self.tombstones, &self.garbage, &self.pending, &self.accepted]
                .iter()
                .all(|rows| rows.is_empty())
    }
}

//! What the store does for the disk's sake while nobody waits: an active file that was large once and has little left in
//! it is begun anew, so that what is left can be copied forward and the disk gets its bytes back, and sealed files are
//! emptied although no commits come.

use super::changes::Changes;
use super::engine::RedbStore;
use super::error::StoreError;
use super::{chunk, compaction};

/// The active file is begun anew where its blobs took at least this part of a full file once, and only this part of that
/// is wanted now: a quarter, and an eighth.
const LARGE: u64 = 4;
const SPARSE: u64 = 8;
/// It has been so for this many checkpoints: a backlog that comes and goes uses the pages that are there.
const PATIENCE: u32 = 5;
/// A checkpoint with nothing else to do counts as this part of the commits after which a file is at rest, and copies so
/// many steps.
const REST: u64 = 4;
const STEPS: usize = 4;

impl RedbStore {
    /// Does a bounded part of what is to be done. `idle`: nothing was committed since the last time. Returns whether
    /// there is more to do.
    pub(super) fn do_housekeeping(&mut self, idle: bool) -> Result<bool, StoreError> {
        if self.index.live_messages == 0 {
            // What was written or read lately is of messages that have gone.
            self.recent.clear();
            self.journal.forget_entries();
        }
        self.sparse_for = if self.is_sparse() { self.sparse_for + 1 } else { 0 };
        if self.sparse_for >= PATIENCE {
            tracing::debug!("little is left in the active file of the store: it is begun anew");
            self.rotate()?;
            self.give_back(Changes::default())?;
        }
        if idle && compaction::is_wanted(self) {
            let rest = (self.options.quiet_commits / REST).max(1);
            self.index.commits = (self.index.commits / rest + 1) * rest;
            for _ in 0..STEPS {
                self.put_in_order()?;
            }
        }
        if idle && self.leaves_rows_behind() {
            self.give_back(Changes::default())?;
        }
        Ok(self.sparse_for > 0 || compaction::is_wanted(self) || self.leaves_rows_behind())
    }

    /// One transaction that copies forward and gives back.
    fn put_in_order(&mut self) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        compaction::step(self, &mut changes)?;
        self.give_back(changes)
    }

    /// Carries out a transaction, and removes the files that have nothing left in them.
    fn give_back(&mut self, mut changes: Changes) -> Result<(), StoreError> {
        let empty = self.give_up_empty_files(&mut changes);
        self.collect(&mut changes);
        self.write(&mut changes, &[])?;
        self.remove_files(&empty);
        Ok(())
    }

    /// Rows about files that were removed last, which go with the next transaction: one is made where none comes.
    fn leaves_rows_behind(&self) -> bool {
        !self.index.changed.tombstones.is_empty()
    }

    fn is_sparse(&self) -> bool {
        if self.most_allocated < self.options.file_bytes / LARGE {
            return false;
        }
        let garbage: u64 = self.garbage.iter().map(|garbage| chunk::allocated(garbage.len)).sum();
        self.allocated.saturating_sub(garbage) < self.most_allocated / SPARSE
    }
}

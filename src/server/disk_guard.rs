//! Whether the disk has room for more. A commit that fails for want of space cannot be taken back or tried again, so
//! publishers are stopped before it comes to that: what they have in flight still fits, and consumers, who make room,
//! go on.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::{info, warn};

/// How often free space is looked up, at the most.
const INTERVAL: Duration = Duration::from_millis(100);

/// Watches the free space of a directory's disk. Asked by the store's thread.
pub(super) struct DiskGuard {
    directory: PathBuf,
    /// Bytes.
    limit: u64,
    looked: Option<Instant>,
    low: watch::Sender<bool>,
}

impl DiskGuard {
    pub(super) fn new(directory: PathBuf, limit: u64, low: watch::Sender<bool>) -> DiskGuard {
        DiskGuard { directory, limit, looked: None, low }
    }

    /// How long until it wants to look again, when nothing else happens: only while space is low.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.low.borrow().then_some(INTERVAL)
    }

    /// Looks, unless it did a moment ago, and tells everybody when the answer has changed.
    pub(super) fn look(&mut self) {
        if self.looked.is_some_and(|looked| looked.elapsed() < INTERVAL) {
            return;
        }
        self.looked = Some(Instant::now());
        let free = match rustix::fs::statvfs(&self.directory) {
            Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
            Err(error) => {
                warn!(%error, "the free space of the data directory's disk cannot be looked up");
                return;
            }
        };
        let low = free < self.limit;
        let changed = self.low.send_if_modified(|known| std::mem::replace(known, low) != low);
        match (changed, low) {
            (true, true) => warn!(
                free_mib = free >> 20,
                limit_mib = self.limit >> 20,
                "disk space is low: publishers are blocked until some is free again (see --disk-free-limit)"
            ),
            (true, false) => info!(free_mib = free >> 20, "there is disk space again: publishers go on"),
            (false, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_above_what_is_free_is_low_and_one_of_nothing_is_not() {
        for (limit, expected) in [(u64::MAX, true), (0, false)] {
            let (low, told) = watch::channel(!expected);
            DiskGuard::new(".".into(), limit, low).look();
            assert_eq!(*told.borrow(), expected);
        }
    }
}

//! Whether disk and memory have room for more. A commit that fails for want of space cannot be taken back or tried
//! again, so publishers are stopped before it comes to that: what they have in flight still fits, and consumers, who
//! make room, go on.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::memory;
use crate::model::event::Alarms;

/// How often it looks at the most, and how often at the least: while something is low, and while nothing is.
const INTERVAL: Duration = Duration::from_millis(100);
const LEISURE: Duration = Duration::from_secs(1);

/// Watches the free space of a directory's disk and the memory of the process. Asked by the store's thread.
pub(super) struct Guard {
    directory: PathBuf,
    /// Bytes that are to be free.
    disk_limit: u64,
    /// Bytes that may be used.
    memory_limit: u64,
    looked: Option<Instant>,
    alarms: Alarms,
}

impl Guard {
    pub(super) fn new(directory: PathBuf, disk_limit: u64, memory_limit: u64) -> Guard {
        Guard { directory, disk_limit, memory_limit, looked: None, alarms: Alarms::default() }
    }

    /// How long until it wants to look again, when nothing else happens.
    pub(super) fn patience(&self) -> Duration {
        if self.alarms.reason().is_some() { INTERVAL } else { LEISURE }
    }

    /// Looks, unless it did a moment ago. Returns the alarms where they have changed.
    pub(super) fn look(&mut self) -> Option<Alarms> {
        if self.looked.is_some_and(|looked| looked.elapsed() < INTERVAL) {
            return None;
        }
        self.looked = Some(Instant::now());
        let before = self.alarms;
        self.look_at_disk();
        self.look_at_memory();
        (self.alarms != before).then_some(self.alarms)
    }

    fn look_at_disk(&mut self) {
        let free = match rustix::fs::statvfs(&self.directory) {
            Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
            Err(error) => {
                warn!(%error, "the free space of the data directory's disk cannot be looked up");
                return;
            }
        };
        let low = free < self.disk_limit;
        match (self.alarms.disk, low) {
            (false, true) => warn!(
                free_mib = free >> 20,
                limit_mib = self.disk_limit >> 20,
                "disk space is low: publishers are blocked until some is free again (see --disk-free-limit)"
            ),
            (true, false) => info!(free_mib = free >> 20, "there is disk space again: publishers go on"),
            _ => {}
        }
        self.alarms.disk = low;
    }

    fn look_at_memory(&mut self) {
        if self.memory_limit == u64::MAX {
            return;
        }
        let used = match memory::own() {
            Ok(used) => used,
            Err(error) => {
                warn!(%error, "the memory of the process cannot be looked up");
                return;
            }
        };
        let low = used > self.memory_limit;
        match (self.alarms.memory, low) {
            (false, true) => warn!(
                used_mib = used >> 20,
                limit_mib = self.memory_limit >> 20,
                "memory is low: publishers are blocked until less is used (see --memory-limit)"
            ),
            (true, false) => info!(used_mib = used >> 20, "there is memory again: publishers go on"),
            _ => {}
        }
        self.alarms.memory = low;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarms(disk_limit: u64, memory_limit: u64) -> Option<Alarms> {
        Guard::new(".".into(), disk_limit, memory_limit).look()
    }

    #[test]
    fn a_limit_above_what_is_free_is_low_and_one_of_nothing_is_not() {
        assert_eq!(alarms(u64::MAX, u64::MAX), Some(Alarms { memory: false, disk: true }));
        assert_eq!(alarms(0, u64::MAX), None);
    }

    #[test]
    fn memory_is_low_when_more_is_used_than_may_be() {
        assert_eq!(alarms(0, 1), Some(Alarms { memory: true, disk: false }));
        assert_eq!(alarms(0, u64::MAX - 1), None);
    }
}

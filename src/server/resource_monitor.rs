//! Whether disk and memory have room for more. A commit that fails for want of space cannot be taken back or tried
//! again, so publishers are stopped before it comes to that: what they have in flight still fits, and consumers, who
//! make room, go on.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::allocator;
use super::log_limit::LogLimit;
use super::memory::OwnMemory;
use super::message_memory::MessageMemory;
use crate::model::event::Alarms;

/// How often it looks at the most, and how often at the least: while something is low, and while nothing is.
const INTERVAL: Duration = Duration::from_millis(100);
const LEISURE: Duration = Duration::from_secs(1);

/// What cannot be looked up is said a few times, not ten times a second.
static NO_DISK: LogLimit = LogLimit::new(2);
static NO_MEMORY: LogLimit = LogLimit::new(2);

/// How much of the disk is to be free and how much memory may be used, in bytes; and which of the two is said to run short, whatever
/// there is. An administrator may change all of it while the broker runs; the next start goes by its configuration again.
#[derive(Debug)]
pub struct Thresholds {
    disk: AtomicU64,
    memory: AtomicU64,
    disk_by_hand: AtomicBool,
    memory_by_hand: AtomicBool,
}

/// A threshold of memory that nothing exceeds.
pub const UNLIMITED: u64 = u64::MAX;

impl Thresholds {
    pub(super) fn new(disk: u64, memory: u64) -> Arc<Thresholds> {
        let (disk_by_hand, memory_by_hand) = Default::default();
        let (disk, memory) = (AtomicU64::new(disk), AtomicU64::new(memory));
        Arc::new(Thresholds { disk, memory, disk_by_hand, memory_by_hand })
    }

    /// Bytes that are to be free. 0: it does not matter.
    #[must_use]
    pub fn disk(&self) -> u64 {
        self.disk.load(Ordering::Relaxed)
    }

    /// Bytes that may be used, or [`UNLIMITED`].
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// Publishers are blocked, or go on, within a second.
    pub fn set_disk(&self, bytes: u64) {
        self.disk.store(bytes, Ordering::Relaxed);
    }

    /// The same of memory.
    pub fn set_memory(&self, bytes: u64) {
        self.memory.store(bytes, Ordering::Relaxed);
    }

    /// What somebody has said to run short.
    #[must_use]
    pub fn by_hand(&self) -> Alarms {
        let on = |alarm: &AtomicBool| alarm.load(Ordering::Relaxed);
        Alarms { memory: on(&self.memory_by_hand), disk: on(&self.disk_by_hand) }
    }

    /// Says that disk space is low, and publishers are blocked within a second until it is not said any more.
    pub fn set_disk_by_hand(&self, on: bool) {
        self.disk_by_hand.store(on, Ordering::Relaxed);
    }

    /// The same of memory.
    pub fn set_memory_by_hand(&self, on: bool) {
        self.memory_by_hand.store(on, Ordering::Relaxed);
    }
}

/// Watches the free space of a directory's disk and the memory of the process. Asked by the store's thread.
pub(super) struct ResourceMonitor {
    directory: PathBuf,
    thresholds: Arc<Thresholds>,
    looked: Option<Instant>,
    /// When the allocator was asked to give back what nobody uses.
    gave_back: Option<Instant>,
    alarms: Alarms,
    own_memory: OwnMemory,
    message_memory: MessageMemory,
}

/// What has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    pub(super) alarms: Option<Alarms>,
    /// Bytes that messages of all queues may take.
    pub(super) message_memory: Option<u64>,
    /// Everybody is to give back what nobody uses; this thread has done so.
    pub(super) give_back: bool,
}

impl ResourceMonitor {
    pub(super) fn new(
        directory: PathBuf,
        thresholds: Arc<Thresholds>,
        message_memory: MessageMemory,
    ) -> ResourceMonitor {
        ResourceMonitor {
            directory,
            thresholds,
            looked: None,
            gave_back: None,
            alarms: Alarms::default(),
            own_memory: OwnMemory::open(),
            message_memory,
        }
    }

    /// How long until it wants to look again, when nothing else happens.
    pub(super) fn patience(&self) -> Duration {
        if self.alarms.reason().is_some() { INTERVAL } else { LEISURE }
    }

    /// Looks, unless it did a moment ago.
    pub(super) fn look(&mut self) -> Findings {
        let mut found = Findings::default();
        if self.looked.is_some_and(|looked| looked.elapsed() < INTERVAL) {
            return found;
        }
        self.looked = Some(Instant::now());
        let before = self.alarms;
        self.look_at_disk();
        self.look_at_memory(&mut found);
        found.alarms = (self.alarms != before).then_some(self.alarms);
        found
    }

    fn look_at_disk(&mut self) {
        let free = match rustix::fs::statvfs(&self.directory) {
            Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
            Err(error) => {
                if let Some(kept_back) = NO_DISK.permit() {
                    warn!(%error, kept_back, "the free space of the data directory's disk cannot be looked up");
                }
                return;
            }
        };
        let limit = self.thresholds.disk();
        let by_hand = self.thresholds.by_hand().disk;
        let low = free < limit || by_hand;
        match (self.alarms.disk, low) {
            (false, true) => warn!(
                free_mib = free >> 20,
                limit_mib = limit >> 20,
                by_hand,
                "disk space is low: publishers are blocked until some is free again (see --disk-free-limit)"
            ),
            (true, false) => info!(free_mib = free >> 20, "there is disk space again: publishers go on"),
            _ => {}
        }
        self.alarms.disk = low;
    }

    fn look_at_memory(&mut self, found: &mut Findings) {
        let limit = self.thresholds.memory();
        let Some(mut used) = self.used_memory() else { return };
        // What counts is what is used, not what the allocator keeps of what was.
        if used > limit && self.gave_back.is_none_or(|at| at.elapsed() >= LEISURE) {
            allocator::give_back();
            self.gave_back = Some(Instant::now());
            found.give_back = true;
            used = self.used_memory().unwrap_or(used);
        }
        found.message_memory = self.message_memory.follow(Instant::now(), used, limit);
        let by_hand = self.thresholds.by_hand().memory;
        let low = used > limit || by_hand;
        match (self.alarms.memory, low) {
            (false, true) => warn!(
                used_mib = used >> 20,
                limit_mib = limit >> 20,
                by_hand,
                "memory is low: publishers are blocked until less is used (see --memory-limit)"
            ),
            (true, false) => info!(used_mib = used >> 20, "there is memory again: publishers go on"),
            _ => {}
        }
        self.alarms.memory = low;
    }

    fn used_memory(&self) -> Option<u64> {
        let used = self.own_memory.resident();
        if let Err(error) = &used
            && let Some(kept_back) = NO_MEMORY.permit()
        {
            warn!(%error, kept_back, "the memory of the process cannot be looked up");
        }
        used.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn monitor(thresholds: &Arc<Thresholds>) -> ResourceMonitor {
        let memory = MessageMemory::new(1 << 20, thresholds.memory());
        ResourceMonitor::new(".".into(), Arc::clone(thresholds), memory)
    }

    fn alarms(disk_limit: u64, memory_limit: u64) -> Option<Alarms> {
        monitor(&Thresholds::new(disk_limit, memory_limit)).look().alarms
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

    #[test]
    fn a_changed_limit_is_gone_by_from_the_next_look_on() {
        let thresholds = Thresholds::new(0, 1);
        let mut monitor = monitor(&thresholds);
        assert_eq!(monitor.look().alarms, Some(Alarms { memory: true, disk: false }));
        thresholds.set_memory(UNLIMITED);
        thresholds.set_disk(u64::MAX);
        monitor.looked = None;
        assert_eq!(monitor.look().alarms, Some(Alarms { memory: false, disk: true }));
    }

    #[test]
    fn what_somebody_says_to_be_low_is_low_until_it_is_not_said_any_more() {
        let thresholds = Thresholds::new(0, UNLIMITED);
        let mut monitor = monitor(&thresholds);
        for by_hand in [
            Alarms { memory: true, disk: false },
            Alarms { memory: true, disk: true },
            Alarms { memory: false, disk: true },
            Alarms::default(),
        ] {
            thresholds.set_memory_by_hand(by_hand.memory);
            thresholds.set_disk_by_hand(by_hand.disk);
            monitor.looked = None;
            assert_eq!(monitor.look().alarms, Some(by_hand));
        }
    }

    #[test]
    fn where_too_much_is_used_everybody_gives_back_and_messages_have_less() {
        let thresholds = Thresholds::new(0, UNLIMITED);
        let mut monitor = monitor(&thresholds);
        assert_eq!(monitor.look(), Findings::default());
        thresholds.set_memory(1 << 18);
        monitor.looked = None;
        let found = monitor.look();
        assert_eq!((found.message_memory, found.give_back), (Some(1 << 16), true), "half of a half");
        monitor.looked = None;
        assert!(!monitor.look().give_back, "not again at once");
    }
}

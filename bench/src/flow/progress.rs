//! What the threads of a run know of each other: counters, signals to stop, and the bound on how far publishers may
//! run ahead of consumers. Without that bound a run would measure how a queue grows instead of how messages pass.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// A publisher that waits for consumers looks again after this time, whatever it was told.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) struct Progress {
    /// Zero of the time stamps in bodies.
    epoch: Instant,
    /// Deliveries that a message leads to.
    copies: u64,
    /// Deliveries that may be on their way.
    ahead: u64,
    published: AtomicU64,
    confirmed: AtomicU64,
    delivered: AtomicU64,
    measuring: AtomicBool,
    stop_publishing: AtomicBool,
    stop_consuming: AtomicBool,
    waiting: AtomicBool,
    lock: Mutex<()>,
    room: Condvar,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) published: u64,
    pub(crate) confirmed: u64,
    pub(crate) delivered: u64,
}

impl Counts {
    pub(crate) fn since(self, earlier: Counts) -> Counts {
        Counts {
            published: self.published - earlier.published,
            confirmed: self.confirmed - earlier.confirmed,
            delivered: self.delivered - earlier.delivered,
        }
    }
}

impl Progress {
    /// Each message is delivered `copies` times, and at most `ahead` deliveries are on their way.
    pub(crate) fn new(copies: u64, ahead: u64) -> Progress {
        Progress {
            epoch: Instant::now(),
            copies,
            ahead,
            published: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            measuring: AtomicBool::new(false),
            stop_publishing: AtomicBool::new(false),
            stop_consuming: AtomicBool::new(false),
            waiting: AtomicBool::new(false),
            lock: Mutex::new(()),
            room: Condvar::new(),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            published: self.published.load(Relaxed),
            confirmed: self.confirmed.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
        }
    }

    /// Nanoseconds since the run began.
    pub(crate) fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    /// From here on, or no longer, latencies count.
    pub(crate) fn measure(&self, on: bool) {
        self.measuring.store(on, Relaxed);
    }

    pub(crate) fn is_measuring(&self) -> bool {
        self.measuring.load(Relaxed)
    }

    pub(crate) fn stop_publishing(&self) {
        self.stop_publishing.store(true, Relaxed);
        self.room.notify_all();
    }

    pub(crate) fn stop_consuming(&self) {
        self.stop_consuming.store(true, Relaxed);
    }

    /// One thread has failed or everything is done: all come to an end.
    pub(crate) fn stop(&self) {
        self.stop_publishing();
        self.stop_consuming();
    }

    pub(crate) fn publishing(&self) -> bool {
        !self.stop_publishing.load(Relaxed)
    }

    pub(crate) fn consuming(&self) -> bool {
        !self.stop_consuming.load(Relaxed)
    }

    pub(crate) fn add_published(&self, count: usize) {
        self.published.fetch_add(count as u64, Relaxed);
    }

    pub(crate) fn add_confirmed(&self, count: usize) {
        self.confirmed.fetch_add(count as u64, Relaxed);
    }

    pub(crate) fn add_delivered(&self, count: u64) {
        self.delivered.fetch_add(count, Relaxed);
        if self.waiting.load(Relaxed) && self.on_their_way() <= self.ahead / 2 {
            self.room.notify_all();
        }
    }

    /// How many messages may be published now.
    pub(crate) fn room(&self) -> usize {
        let room = self.ahead.saturating_sub(self.on_their_way()) / self.copies;
        usize::try_from(room).unwrap_or(usize::MAX)
    }

    /// Waits until half of what was on its way has arrived, or a short while.
    pub(crate) fn wait_for_room(&self) {
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.store(true, Relaxed);
        drop(self.room.wait_timeout(guard, LOOK_AGAIN));
        self.waiting.store(false, Relaxed);
    }

    /// Waits until everything published has been delivered; an error where it does not come.
    pub(crate) fn wait_until_delivered(&self, patience: Duration) -> Result<()> {
        let mut last = (self.counts().delivered, Instant::now());
        while self.on_their_way() > 0 && self.consuming() {
            std::thread::sleep(Duration::from_millis(2));
            let delivered = self.counts().delivered;
            if delivered != last.0 {
                last = (delivered, Instant::now());
            }
            ensure!(
                last.1.elapsed() < patience,
                "{} of {} deliveries never came",
                self.on_their_way(),
                self.counts().published * self.copies
            );
        }
        Ok(())
    }

    fn on_their_way(&self) -> u64 {
        let counts = self.counts();
        (counts.published * self.copies).saturating_sub(counts.delivered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_counted_in_messages_and_comes_back_with_deliveries() {
        let progress = Progress::new(10, 100);
        assert_eq!(progress.room(), 10);
        progress.add_published(10);
        assert_eq!(progress.room(), 0);
        progress.add_delivered(25);
        assert_eq!(progress.room(), 2);
    }

    #[test]
    fn what_never_arrives_is_an_error_with_its_count() {
        let progress = Progress::new(1, 100);
        progress.add_published(5);
        progress.add_delivered(3);
        let error = progress.wait_until_delivered(Duration::from_millis(10)).unwrap_err();
        assert_eq!(error.to_string(), "2 of 5 deliveries never came");
        progress.add_delivered(2);
        assert!(progress.wait_until_delivered(Duration::from_millis(10)).is_ok());
    }
}

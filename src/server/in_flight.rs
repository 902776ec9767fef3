//! How much of a connection's published work may wait for queues and store before its socket is not read any more:
//! each batch travels with a permit, and the bytes are free again when the last owner that worked on the batch drops
//! it. And how much of what clients have begun and not ended (contents that are not complete, transactions that are
//! not committed) all connections may hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// What one connection may hold of work begun, however much the others do. Less than this is nobody's loss, and a
/// message that fits a frame is never held.
const LEAST_HELD: usize = 1 << 20;
/// Of the memory the process may use, the part that work begun may take: a quarter. And what it may in any case, and
/// where there is no bound.
const HELD_SHARE: u64 = 4;
const LEAST_HELD_BY_ALL: u64 = 64 << 20;
const MOST_HELD_BY_ALL: u64 = 1 << 30;

/// Bytes that all connections hold of work begun.
#[derive(Debug)]
pub struct WorkBegun {
    bytes: AtomicUsize,
    most: usize,
}

impl WorkBegun {
    /// For a process that may use so many bytes of memory.
    #[must_use]
    pub fn within(memory: u64) -> Arc<WorkBegun> {
        let most = (memory / HELD_SHARE).clamp(LEAST_HELD_BY_ALL, MOST_HELD_BY_ALL);
        Arc::new(WorkBegun { bytes: AtomicUsize::new(0), most: usize::try_from(most).unwrap_or(usize::MAX) })
    }

    /// How many bytes it is.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// A connection's part of it.
#[derive(Debug)]
pub(crate) struct BegunHere {
    all: Arc<WorkBegun>,
    bytes: usize,
}

impl BegunHere {
    pub(crate) fn new(all: Arc<WorkBegun>) -> BegunHere {
        BegunHere { all, bytes: 0 }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How much it may be now.
    pub(crate) fn most(&self) -> usize {
        let others = self.all.bytes.load(Ordering::Relaxed).saturating_sub(self.bytes);
        self.all.most.saturating_sub(others).max(LEAST_HELD)
    }

    /// How much it is now.
    pub(crate) fn set(&mut self, bytes: usize) {
        // All connections share the count, and in most turns it stays as it is.
        if bytes > self.bytes {
            self.all.bytes.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else if bytes < self.bytes {
            self.all.bytes.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for BegunHere {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Bytes of one connection that are on their way.
#[derive(Debug)]
pub(crate) struct InFlightLimit {
    in_flight: AtomicUsize,
    /// Told whenever a permit came back.
    returned: Notify,
}

impl InFlightLimit {
    pub(crate) fn new() -> Arc<InFlightLimit> {
        Arc::new(InFlightLimit { in_flight: AtomicUsize::new(0), returned: Notify::new() })
    }

    /// Takes `bytes` out of the limit until the permit is dropped.
    pub(crate) fn acquire(self: &Arc<InFlightLimit>, bytes: usize) -> Permit {
        self.in_flight.fetch_add(bytes, Ordering::Relaxed);
        Permit { in_flight_limit: Arc::clone(self), bytes }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Returns once less may be in flight than before.
    pub(crate) async fn returned(&self) {
        self.returned.notified().await;
    }
}

/// A batch's share of its connection's in-flight limit.
#[derive(Debug)]
pub struct Permit {
    in_flight_limit: Arc<InFlightLimit>,
    bytes: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.in_flight_limit.in_flight.fetch_sub(self.bytes, Ordering::Relaxed);
        self.in_flight_limit.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_begun_is_shared_and_given_back() {
        let all = WorkBegun::within(300 << 20);
        let mut one = BegunHere::new(Arc::clone(&all));
        let mut other = BegunHere::new(Arc::clone(&all));
        assert_eq!(one.most(), 75 << 20);
        one.set(70 << 20);
        assert_eq!((one.most(), other.most()), (75 << 20, 5 << 20));
        one.set(75 << 20);
        assert_eq!(other.most(), LEAST_HELD);
        other.set(1);
        one.set(1 << 20);
        assert_eq!(other.most(), 74 << 20);
        drop(one);
        assert_eq!((other.most(), all.bytes.load(Ordering::Relaxed)), (75 << 20, 1));
    }

    #[test]
    fn without_a_bound_of_memory_there_is_one_of_work_begun() {
        let most = usize::try_from(MOST_HELD_BY_ALL).unwrap();
        assert_eq!(BegunHere::new(WorkBegun::within(u64::MAX)).most(), most);
    }
}

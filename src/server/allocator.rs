//! What the allocator keeps of what was freed. mimalloc keeps freed pages for the work of the next second, which is much of
//! what makes it fast (docs/measurements.md has the figures), and gives them back when somebody allocates later on: a broker
//! that rests after a peak would keep all of it, and its alarm of memory would not end. And each thread keeps pages of its
//! own, though others have freed all that was in them, until it looks itself.
#![allow(
    unsafe_code,
    reason = "the one place where it is needed: the allocator is asked through its C interface"
)]

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;

/// How long a thread waits for the others: each of them is to have one part of the work.
const MEETING: Duration = Duration::from_millis(3);

/// Gives all pages back to the system in which nothing is used any more, as far as this thread can tell: those of the
/// whole process that are free, and its own. Takes milliseconds where there is much.
pub(super) fn give_back() {
    // SAFETY: it may be called at any time and by any thread; it touches only what is free. Where mimalloc is not what
    // the program allocates with (in tests), it has nothing to do.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

/// The threads of a runtime, which keep pages of their own.
#[derive(Debug)]
pub(super) struct Workers(Option<Handle>);

impl Workers {
    /// Those of the runtime this is called in, if it is called in one.
    pub(super) fn current() -> Workers {
        Workers(Handle::try_current().ok())
    }

    /// Has each of them give back what it keeps, but for those that are busy: they do so next time.
    pub(super) fn give_back(&self) {
        let Some(runtime) = &self.0 else { return };
        let count = runtime.metrics().num_workers();
        let meeting = Arc::new(Meeting { missing: Mutex::new(count), complete: Condvar::new() });
        for _ in 0..count {
            let meeting = Arc::clone(&meeting);
            runtime.spawn(async move {
                meeting.attend(MEETING);
                give_back();
            });
        }
    }
}

/// So many tasks run at the same time, each on a thread of its own.
#[derive(Debug)]
struct Meeting {
    missing: Mutex<usize>,
    complete: Condvar,
}

impl Meeting {
    /// Waits for the others; in vain where there are not enough threads. Returns whether all were there.
    fn attend(&self, patience: Duration) -> bool {
        let mut missing = self.missing.lock();
        *missing = missing.saturating_sub(1);
        if *missing == 0 {
            self.complete.notify_all();
            return true;
        }
        !self.complete.wait_while_for(&mut missing, |missing| *missing > 0, patience).timed_out()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meeting_is_on_as_many_threads_as_there_are_and_waits_for_nobody_for_long() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
        for (wanted, all_came) in [(4, true), (5, false)] {
            let patience = Duration::from_secs(if all_came { 60 } else { 1 });
            let meeting = Arc::new(Meeting { missing: Mutex::new(wanted), complete: Condvar::new() });
            let attend = |_| {
                let meeting = Arc::clone(&meeting);
                runtime.spawn(async move { (meeting.attend(patience), std::thread::current().id()) })
            };
            let attending: Vec<_> = (0..4).map(attend).collect();
            let mut came: Vec<_> =
                attending.into_iter().map(|task| runtime.block_on(task).unwrap()).collect();
            assert!(came.iter().all(|(all, _)| *all == all_came), "{came:?}");
            came.dedup_by_key(|(_, thread)| *thread);
            assert_eq!(came.len(), 4);
        }
    }
}

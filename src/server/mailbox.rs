//! How owners talk: whoever wants something posts it, the owner takes all that has come since it last looked. So a
//! batch is whatever arrived meanwhile, and a busy owner is not woken once per item.

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use crate::model::sparse::ShrinkIfSparse;

/// A mailbox of an asynchronous task.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    waiting: Mutex<Vec<T>>,
    arrived: Notify,
}

impl<T> Mailbox<T> {
    pub(crate) fn new() -> Mailbox<T> {
        Mailbox { waiting: Mutex::new(Vec::new()), arrived: Notify::new() }
    }

    pub(crate) fn post(&self, item: T) {
        let was_empty = {
            let mut waiting = self.waiting.lock();
            waiting.push(item);
            waiting.len() == 1
        };
        if was_empty {
            self.arrived.notify_one();
        }
    }

    /// Posts all of `items`, in order.
    pub(crate) fn post_all(&self, items: impl IntoIterator<Item = T>) {
        let news = {
            let mut waiting = self.waiting.lock();
            let was_empty = waiting.is_empty();
            waiting.extend(items);
            was_empty && !waiting.is_empty()
        };
        if news {
            self.arrived.notify_one();
        }
    }

    /// Exchanges `into`, which must be empty, for everything that waits.
    pub(crate) fn take(&self, into: &mut Vec<T>) {
        debug_assert!(into.is_empty());
        let mut waiting = self.waiting.lock();
        into.shrink_if_sparse();
        std::mem::swap(&mut *waiting, into);
    }

    /// How many items wait, and for how many there is room.
    #[cfg(test)]
    pub(crate) fn size(&self) -> (usize, usize) {
        let waiting = self.waiting.lock();
        (waiting.len(), waiting.capacity())
    }

    /// Returns once something may wait.
    pub(crate) async fn arrival(&self) {
        self.arrived.notified().await;
    }
}

/// The same for an owner that is a thread.
#[derive(Debug)]
pub(crate) struct ThreadMailbox<T> {
    waiting: Mutex<Vec<T>>,
    arrived: Condvar,
}

impl<T> ThreadMailbox<T> {
    pub(crate) fn new() -> ThreadMailbox<T> {
        ThreadMailbox { waiting: Mutex::new(Vec::new()), arrived: Condvar::new() }
    }

    pub(crate) fn post(&self, item: T) {
        let mut waiting = self.waiting.lock();
        waiting.push(item);
        if waiting.len() == 1 {
            self.arrived.notify_one();
        }
    }

    /// Exchanges `into`, which must be empty, for everything that waits; where nothing does, waits for it, at
    /// the longest for `patience`.
    pub(crate) fn wait(&self, into: &mut Vec<T>, patience: Option<std::time::Duration>) {
        debug_assert!(into.is_empty());
        let mut waiting = self.waiting.lock();
        match patience {
            Some(patience) if waiting.is_empty() => {
                self.arrived.wait_for(&mut waiting, patience);
            }
            Some(_) => {}
            None => self.arrived.wait_while(&mut waiting, |waiting| waiting.is_empty()),
        }
        into.shrink_if_sparse();
        std::mem::swap(&mut *waiting, into);
    }
}

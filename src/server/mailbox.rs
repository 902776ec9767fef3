//! How owners talk: whoever wants something posts it, the owner takes all that has come since it last looked. So a
//! batch is whatever arrived meanwhile, and a busy owner is not woken once per item. A mailbox has one owner, and its lock
//! is held for as long as it takes to append or to exchange a list.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use parking_lot::{Condvar, Mutex};

use crate::model::sparse::ShrinkIfSparse;

/// A list is full enough to be handed over as it is where it has room for no more than so many times what is in it.
const FULL: usize = 8;

/// A mailbox of an asynchronous task.
#[derive(Debug)]
pub(crate) struct Mailbox<T>(Mutex<Inside<T>>);

#[derive(Debug)]
struct Inside<T> {
    waiting: Vec<T>,
    /// The owner while it waits for something to come. Whoever posts first takes it out, so nobody wakes a busy owner.
    owner: Option<Waker>,
}

impl<T> Mailbox<T> {
    pub(crate) fn new() -> Mailbox<T> {
        Mailbox(Mutex::new(Inside { waiting: Vec::new(), owner: None }))
    }

    pub(crate) fn post(&self, item: T) {
        self.change(|waiting| waiting.push(item));
    }

    /// Posts all of `items`, in order.
    pub(crate) fn post_all(&self, items: impl IntoIterator<Item = T>) {
        self.change(|waiting| waiting.extend(items));
    }

    /// Posts all of `items`, in order. Where nothing waits, the lists are exchanged, and the caller has the room of the
    /// other one; but not where that has mostly room, which one with little to hear would then keep.
    pub(crate) fn post_list(&self, items: &mut Vec<T>) {
        let is_full = items.len() >= items.capacity() / FULL;
        self.change(|waiting| {
            if waiting.is_empty() && is_full {
                std::mem::swap(waiting, items);
            } else {
                waiting.append(items);
            }
        });
    }

    /// Wakes the owner if it waits, though nothing has come.
    pub(crate) fn wake(&self) {
        let owner = self.0.lock().owner.take();
        if let Some(owner) = owner {
            owner.wake();
        }
    }

    /// Exchanges `batch`, which must be empty, for everything that waits.
    pub(crate) fn take(&self, batch: &mut Vec<T>) {
        assert!(batch.is_empty(), "what was taken before is not worked off");
        batch.shrink_if_sparse();
        let mut inside = self.0.lock();
        // It is at work, whatever has woken it.
        inside.owner = None;
        std::mem::swap(&mut inside.waiting, batch);
    }

    /// Ready once something waits. `batch` is the list that the owner has worked off: the wait may be long, so what a peak
    /// made of it is given back before.
    pub(crate) fn poll_arrival(&self, batch: &mut Vec<T>, context: &mut Context<'_>) -> Poll<()> {
        batch.shrink_if_sparse();
        let mut inside = self.0.lock();
        if !inside.waiting.is_empty() {
            return Poll::Ready(());
        }
        match &mut inside.owner {
            Some(owner) => owner.clone_from(context.waker()),
            None => inside.owner = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Returns once something waits; see [`Mailbox::poll_arrival`].
    pub(crate) async fn arrival(&self, batch: &mut Vec<T>) {
        poll_fn(|context| self.poll_arrival(batch, context)).await;
    }

    fn change(&self, post: impl FnOnce(&mut Vec<T>)) {
        let owner = {
            let mut inside = self.0.lock();
            post(&mut inside.waiting);
            if inside.waiting.is_empty() { None } else { inside.owner.take() }
        };
        if let Some(owner) = owner {
            owner.wake();
        }
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

    /// Exchanges `batch`, which must be empty, for everything that waits; where nothing does, waits for it, at the longest
    /// for `patience`. What a peak made of `batch` is given back before the wait.
    pub(crate) fn wait(&self, batch: &mut Vec<T>, patience: Option<std::time::Duration>) {
        assert!(batch.is_empty(), "what was taken before is not worked off");
        batch.shrink_if_sparse();
        let mut waiting = self.waiting.lock();
        match patience {
            Some(patience) if waiting.is_empty() => {
                self.arrived.wait_for(&mut waiting, patience);
            }
            Some(_) => {}
            None => self.arrived.wait_while(&mut waiting, |waiting| waiting.is_empty()),
        }
        std::mem::swap(&mut *waiting, batch);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    impl<T> Mailbox<T> {
        /// How many items wait, and for how many there is room.
        pub(in crate::server) fn size(&self) -> (usize, usize) {
            let inside = self.0.lock();
            (inside.waiting.len(), inside.waiting.capacity())
        }
    }

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Owner(AtomicUsize);

    impl Wake for Owner {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn an_owner_is_woken_once_and_only_while_it_waits() {
        let (mailbox, owner) = (Mailbox::new(), Arc::new(Owner::default()));
        let (waker, mut batch) = (Waker::from(Arc::clone(&owner)), Vec::new());
        let mut context = Context::from_waker(&waker);
        let woken = || owner.0.load(Ordering::Relaxed);
        mailbox.post(1);
        assert!(mailbox.poll_arrival(&mut batch, &mut context).is_ready(), "something waits");
        mailbox.take(&mut batch);
        assert_eq!((std::mem::take(&mut batch), woken()), (vec![1], 0));
        assert!(mailbox.poll_arrival(&mut batch, &mut context).is_pending());
        mailbox.post_all([]);
        assert_eq!(woken(), 0, "nothing has come");
        mailbox.post_all([2, 3]);
        mailbox.post_list(&mut vec![4]);
        assert_eq!(woken(), 1, "for all that comes before it looks");
        mailbox.take(&mut batch);
        assert_eq!(std::mem::take(&mut batch), [2, 3, 4]);
        assert!(mailbox.poll_arrival(&mut batch, &mut context).is_pending());
        mailbox.take(&mut batch);
        let mut list = Vec::with_capacity(1000);
        list.push(5);
        mailbox.post_list(&mut list);
        assert_eq!(woken(), 1, "something else has woken it already");
        assert!(list.capacity() >= 1000 && mailbox.size().1 < 100, "the room is not handed over with it");
        mailbox.take(&mut batch);
        batch.clear();
        assert!(mailbox.poll_arrival(&mut batch, &mut context).is_pending());
        mailbox.wake();
        mailbox.wake();
        assert_eq!(woken(), 2);
    }

    #[test]
    fn what_a_peak_took_is_given_back_before_the_owner_waits() {
        const PEAK: usize = 1_000_000;
        let mailbox = Mailbox::new();
        let mut context = Context::from_waker(Waker::noop());
        let mut batch = Vec::new();
        for _ in 0..3 {
            mailbox.post_all(0..PEAK as u64);
            mailbox.take(&mut batch);
            assert_eq!(batch.len(), PEAK);
            batch.clear();
            assert!(mailbox.poll_arrival(&mut batch, &mut context).is_pending());
            let room = batch.capacity() + mailbox.size().1;
            assert!(room * size_of::<u64>() <= 1 << 20, "room for {room}");
        }
        // In use it keeps its room.
        mailbox.post_all(0..1000);
        mailbox.take(&mut batch);
        batch.clear();
        assert!(mailbox.poll_arrival(&mut batch, &mut context).is_pending());
        assert!(batch.capacity() >= 1000);
    }
}

//! How much of a connection's published work may wait for queues and store before its socket is not read any more
//! (DESIGN section 3): each batch travels with a ticket, and the bytes are free again when the last owner that
//! worked on the batch drops it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Bytes of one connection that are on their way.
#[derive(Debug)]
pub(crate) struct Budget {
    in_flight: AtomicUsize,
    /// Told whenever a ticket came back.
    returned: Notify,
}

impl Budget {
    pub(crate) fn new() -> Arc<Budget> {
        Arc::new(Budget { in_flight: AtomicUsize::new(0), returned: Notify::new() })
    }

    /// Takes `bytes` out of the budget until the ticket is dropped.
    pub(crate) fn ticket(self: &Arc<Budget>, bytes: usize) -> Ticket {
        self.in_flight.fetch_add(bytes, Ordering::Relaxed);
        Ticket { budget: Arc::clone(self), bytes }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Returns once less may be in flight than before.
    pub(crate) async fn returned(&self) {
        self.returned.notified().await;
    }
}

/// A batch's share of its connection's budget.
#[derive(Debug)]
pub struct Ticket {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.budget.in_flight.fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.returned.notify_one();
    }
}

//! What is to be sent to clients and was not taken by their sockets, counted over all connections: how much of it each
//! may have follows from what is free. So many clients that do not read have less each, and what all of them together have
//! beyond a little each is bounded. What is written is the connections' tasks'.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Bytes that may wait for all clients together, give or take one message each.
const POOL: usize = 256 << 20;
/// Of what is free: what may wait for one client before nothing more of what it sends is acted on (4 MiB where nothing
/// waits for others), and before direct replies to it are dropped (16 MiB). A client asks for its answers itself and
/// loses nothing by it; replies come from others, whom it may not hold up.
const OF_INPUT: usize = 64;
const OF_REPLIES: usize = 16;
/// What a client may always have waiting.
const LEAST: usize = 64 << 10;

/// Bytes that wait for all clients.
#[derive(Debug, Default)]
pub(crate) struct Unwritten(AtomicUsize);

impl Unwritten {
    /// How many bytes they are.
    pub(super) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn share(&self, part: usize) -> usize {
        (POOL.saturating_sub(self.0.load(Ordering::Relaxed)) / part).max(LEAST)
    }
}

/// Bytes that wait for one client.
#[derive(Debug)]
pub(crate) struct Backlog {
    of_all: Arc<Unwritten>,
    /// In its connection's output, as of the end of the last turn.
    output: AtomicUsize,
    /// In direct replies that its connection was not told of yet.
    replies: AtomicUsize,
    dropped_replies: AtomicU64,
}

impl Backlog {
    pub(crate) fn new(of_all: Arc<Unwritten>) -> Backlog {
        let (output, replies, dropped_replies) = Default::default();
        Backlog { of_all, output, replies, dropped_replies }
    }

    /// How much may wait before nothing more of what the client sends is acted on.
    pub(crate) fn limit(&self) -> usize {
        self.of_all.share(OF_INPUT)
    }

    /// So much waits in the output. Told by the connection's task alone.
    pub(crate) fn set_output(&self, bytes: usize) {
        let before = self.output.load(Ordering::Relaxed);
        if before != bytes {
            self.output.store(bytes, Ordering::Relaxed);
            self.of_all.0.fetch_add(bytes, Ordering::Relaxed);
            self.of_all.0.fetch_sub(before, Ordering::Relaxed);
        }
    }

    /// Whether a direct reply of so many bytes may be sent on its way; where not, it counts as dropped.
    pub(crate) fn admits_reply(&self, bytes: usize) -> bool {
        let waiting = self.output.load(Ordering::Relaxed) + self.replies.load(Ordering::Relaxed);
        if waiting >= self.of_all.share(OF_REPLIES) {
            self.dropped_replies.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        self.replies.fetch_add(bytes, Ordering::Relaxed);
        self.of_all.0.fetch_add(bytes, Ordering::Relaxed);
        true
    }

    /// A direct reply has arrived; from now on it is in the output.
    pub(crate) fn reply_arrived(&self, bytes: usize) {
        self.replies.fetch_sub(bytes, Ordering::Relaxed);
        self.of_all.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// How many direct replies were dropped because the client did not read.
    pub(crate) fn dropped_replies(&self) -> u64 {
        self.dropped_replies.load(Ordering::Relaxed)
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        let waiting = *self.output.get_mut() + *self.replies.get_mut();
        self.of_all.0.fetch_sub(waiting, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: usize = 1 << 20;

    #[test]
    fn what_a_client_does_not_read_is_bounded_and_counted_until_it_is_gone() {
        let all = Arc::new(Unwritten::default());
        let stuck = Backlog::new(Arc::clone(&all));
        let admitted = (0..100).filter(|_| stuck.admits_reply(MESSAGE)).count();
        assert!((14..=16).contains(&admitted), "{admitted} MiB");
        assert_eq!(stuck.dropped_replies(), 100 - admitted as u64);
        for _ in 0..admitted {
            stuck.reply_arrived(MESSAGE);
        }
        stuck.set_output(admitted * MESSAGE);
        assert!(!stuck.admits_reply(1), "what was heard waits in the output now");
        stuck.set_output(MESSAGE);
        assert!(stuck.admits_reply(1));
        drop(stuck);
        assert_eq!(all.bytes(), 0);
    }

    #[test]
    fn many_clients_that_do_not_read_leave_room_for_others() {
        let all = Arc::new(Unwritten::default());
        let stuck: Vec<Backlog> = (0..1000).map(|_| Backlog::new(Arc::clone(&all))).collect();
        assert_eq!(stuck[0].limit(), 4 << 20);
        for client in &stuck {
            while client.admits_reply(64 << 10) {}
        }
        let waiting = all.bytes();
        assert!(waiting <= POOL + 2 * LEAST * stuck.len(), "{waiting} bytes wait for all of them together");
        let reader = Backlog::new(Arc::clone(&all));
        assert!(reader.limit() >= LEAST && reader.admits_reply(MESSAGE), "whoever reads gets its replies");
    }
}

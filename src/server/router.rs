//! How an owner's words get into the mailboxes of others. What is for several connections is grouped first, so that each is
//! looked up once and woken once per batch. Where the mailboxes are is known to `mailboxes`.

use std::collections::HashMap;

use tracing::warn;

use super::log_limit::LogLimit;
use super::mailboxes::Mailboxes;
use super::owners::{Carrier, CatalogInput, ShardInput, StoreRequest};
use crate::model::consuming::Delivery;
use crate::model::event::SessionEvent;
use crate::model::ids::{ConnectionId, ShardIndex};
use crate::model::sparse::ShrinkIfSparse;

/// Bytes of room that a router keeps for the events of the next batch.
const KEPT_ROOM: usize = 1 << 20;

/// A client that does not read may be sent direct replies without end.
static DROPPED_REPLIES: LogLimit = LogLimit::new(5);

/// One owner's way to the others. It is cheap to make, and takes memory only once there are events for connections.
pub(crate) struct Router<'a> {
    mailboxes: &'a Mailboxes,
    groups: Groups<SessionEvent>,
}

impl<'a> Router<'a> {
    pub(crate) fn new(mailboxes: &'a Mailboxes) -> Router<'a> {
        Router { mailboxes, groups: Groups::new() }
    }
}

impl Carrier for Router<'_> {
    fn tell_shard(&mut self, shard: ShardIndex, input: ShardInput) {
        self.mailboxes.shard(shard).post(input);
    }

    fn tell_catalog(&mut self, inputs: impl Iterator<Item = CatalogInput>) {
        let mut inputs = inputs.peekable();
        // Most turns have nothing for it, and all owners share its lock.
        if inputs.peek().is_some() {
            self.mailboxes.catalog().post_all(inputs);
        }
    }

    fn ask_store(&mut self, request: StoreRequest) {
        self.mailboxes.store().post(request);
    }

    fn tell_connections(&mut self, events: &mut Vec<(ConnectionId, SessionEvent)>) {
        let connections = self.mailboxes.connections();
        self.groups.each(events, |connection, events| {
            connections.with(connection, |inbox| inbox.mailbox.post_list(events));
        });
    }

    /// What is for a client that has too much waiting is dropped, as it would be had the client gone: it may not hold up
    /// whoever replies to it and to others.
    fn reply_directly(&mut self, replies: &mut Vec<(ConnectionId, Delivery)>) {
        replies.sort_by_key(|(connection, _)| *connection);
        let mut replies = replies.drain(..).peekable();
        while let Some((connection, first)) = replies.next() {
            let rest = std::iter::from_fn(|| {
                replies.next_if(|(next, _)| *next == connection).map(|(_, reply)| reply)
            });
            let mut run = std::iter::once(first).chain(rest);
            let mut dropped = 0;
            self.mailboxes.connections().with(connection, |inbox| {
                let admitted = run.by_ref().filter(|reply| {
                    let admitted = inbox.backlog.admits_reply(reply.message.footprint());
                    dropped += usize::from(!admitted);
                    admitted
                });
                inbox.mailbox.post_all(admitted.map(SessionEvent::Deliver));
            });
            // Those for a connection that has gone.
            run.for_each(drop);
            for _ in 0..dropped {
                if let Some(kept_back) = DROPPED_REPLIES.permit() {
                    warn!(
                        connection = connection.number(),
                        kept_back,
                        "a direct reply is dropped: too much waits for its client, which does not read"
                    );
                }
            }
        }
    }
}

/// Sorts what is for several receivers by receiver.
struct Groups<T> {
    /// Where in `lists` a receiver's is.
    places: HashMap<ConnectionId, usize, foldhash::fast::FixedState>,
    lists: Vec<(ConnectionId, Vec<T>)>,
    /// Empty lists with room, at most [`KEPT_ROOM`] bytes of it in all.
    spare: Vec<Vec<T>>,
    /// Bytes of room in `spare`.
    spare_room: usize,
}

impl<T> Groups<T> {
    fn new() -> Groups<T> {
        Groups { places: HashMap::default(), lists: Vec::new(), spare: Vec::new(), spare_room: 0 }
    }

    /// Takes all of `items` and hands each receiver's, in order, to `give`, which may leave what is not wanted.
    fn each(&mut self, items: &mut Vec<(ConnectionId, T)>, mut give: impl FnMut(ConnectionId, &mut Vec<T>)) {
        let mut last: Option<(ConnectionId, usize)> = None;
        for (receiver, item) in items.drain(..) {
            let place = match last {
                Some((same, place)) if same == receiver => place,
                _ => *self.places.entry(receiver).or_insert_with(|| {
                    let list = self.spare.pop().unwrap_or_default();
                    self.spare_room -= bytes_of_room(&list);
                    self.lists.push((receiver, list));
                    self.lists.len() - 1
                }),
            };
            self.lists[place].1.push(item);
            last = Some((receiver, place));
        }
        self.places.clear();
        self.places.shrink_if_sparse();
        for (receiver, mut list) in self.lists.drain(..) {
            give(receiver, &mut list);
            list.clear();
            let room = bytes_of_room(&list);
            if room > 0 && self.spare_room + room <= KEPT_ROOM {
                self.spare_room += room;
                self.spare.push(list);
            }
        }
        self.lists.shrink_if_sparse();
    }
}

/// A list in `spare` counts with its own place there, so that many small ones are bounded, too.
fn bytes_of_room<T>(list: &Vec<T>) -> usize {
    if list.capacity() == 0 { 0 } else { list.capacity() * size_of::<T>() + size_of::<Vec<T>>() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake, Waker};

    use parking_lot::Mutex;

    use super::super::connections::Inbox;
    use super::super::mailbox::ThreadMailbox;
    use super::*;
    use crate::model::event::ConfirmToken;

    /// An owner that is as quick as can be: whenever it is woken it takes what there is and waits again.
    struct Owner {
        inbox: Arc<Inbox>,
        heard: Mutex<Vec<SessionEvent>>,
        woken: AtomicUsize,
    }

    impl Owner {
        fn look(self: &Arc<Self>) {
            let mut events = Vec::new();
            self.inbox.mailbox.take(&mut events);
            self.heard.lock().append(&mut events);
            let waker = Waker::from(Arc::clone(self));
            let arrival = self.inbox.mailbox.poll_arrival(&mut events, &mut Context::from_waker(&waker));
            assert!(arrival.is_pending());
        }
    }

    impl Wake for Owner {
        fn wake(self: Arc<Self>) {
            self.woken.fetch_add(1, Ordering::Relaxed);
            self.look();
        }
    }

    fn confirm(sequence: u64) -> SessionEvent {
        SessionEvent::Confirm { token: ConfirmToken { channel: 1, epoch: 0, sequence }, accepted: true }
    }

    #[test]
    fn events_arrive_in_order_and_wake_each_connection_once_however_they_are_mixed() {
        const CONNECTIONS: u64 = 5;
        const EACH: u64 = 1000;
        let mailboxes = Mailboxes::new(1, Arc::new(ThreadMailbox::new()));
        let mut router = Router::new(&mailboxes);
        let open: Vec<_> = (0..CONNECTIONS).map(|_| mailboxes.connections().register()).collect();
        let gone = mailboxes.connections().register().0;
        mailboxes.connections().unregister(gone);
        let owners: Vec<_> = open
            .iter()
            .map(|(_, inbox)| {
                let (inbox, heard) = (Arc::clone(inbox), Mutex::default());
                Arc::new(Owner { inbox, heard, woken: AtomicUsize::new(0) })
            })
            .collect();
        for owner in &owners {
            owner.look();
        }
        for batch in 1..4 {
            let mixed = (0..EACH).flat_map(|sequence| {
                open.iter().map(|(id, _)| *id).chain([gone]).map(move |id| (id, confirm(sequence)))
            });
            let mut events: Vec<_> = mixed.collect();
            router.tell_connections(&mut events);
            assert!(events.is_empty());
            for owner in &owners {
                let heard = std::mem::take(&mut *owner.heard.lock());
                let sequences = heard.iter().map(|event| match event {
                    SessionEvent::Confirm { token, .. } => token.sequence,
                    other => unreachable!("{other:?}"),
                });
                assert!(sequences.eq(0..EACH));
                assert_eq!(owner.woken.load(Ordering::Relaxed), batch);
            }
        }
    }

    #[test]
    fn each_receiver_is_handed_its_own_once_and_the_room_for_it_is_bounded() {
        let mut groups = Groups::new();
        for receivers in [1, 100_000, 3, 200_000, 7] {
            let mut items: Vec<_> =
                (0..200_000_u64).map(|item| (ConnectionId(item % receivers), item)).collect();
            let mut handed = 0;
            groups.each(&mut items, |receiver, items| {
                assert!(items.is_sorted() && items.iter().all(|item| item % receivers == receiver.0));
                handed += 1;
                if receiver.0 % 2 == 0 {
                    items.clear();
                }
            });
            assert_eq!(handed, receivers);
            let room: usize = groups.spare.iter().map(bytes_of_room).sum();
            assert!(room == groups.spare_room && room <= KEPT_ROOM, "{room}");
            let tables = (groups.lists.capacity() + groups.places.capacity()) * 32;
            assert!(
                tables <= 4 << 20 && groups.spare.capacity() * size_of::<Vec<u64>>() <= KEPT_ROOM,
                "{tables}"
            );
        }
    }
}

//! The connections that are open now: where each hears of others, how many they are, and what all of them are told. Their
//! tasks come and go here; what is sent to them comes through the router.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};

use super::mailbox::Mailbox;
use super::unwritten::{Backlog, Unwritten};
use crate::model::event::{Alarms, SessionEvent};
use crate::model::fault::Fault;
use crate::model::ids::{ConnectionId, NodeNumber};
use crate::model::question::{ConnectionAnswer, ConnectionQuestion};
use crate::model::sparse::ShrinkIfSparse;

/// Published bytes that may be on their way over all connections, and at the least and the most per connection.
const IN_FLIGHT: usize = 128 << 20;
const LEAST_PER_CONNECTION: usize = 128 << 10;
const MOST_PER_CONNECTION: usize = 8 << 20;

/// Into how many parts the table of connections is divided, so that no lock of it is everybody's.
const PARTS: usize = 64;

/// What others have for a connection, and how much of all that it has still to send.
pub(crate) struct Inbox {
    pub(crate) mailbox: Mailbox<SessionEvent>,
    pub(crate) backlog: Backlog,
    /// Who waits for answers, in the order of the questions in the mailbox.
    pub(crate) askers: Mutex<VecDeque<ConnectionAsker>>,
}

/// Where the answer to a question about a connection goes, and the place it takes among those under way. What is dropped
/// without an answer is of a connection that has gone.
pub(crate) struct ConnectionAsker {
    pub(crate) answer: oneshot::Sender<Option<ConnectionAnswer>>,
    pub(crate) place: Arc<OwnedSemaphorePermit>,
}

impl Inbox {
    /// Asks the connection.
    pub(crate) fn ask(&self, question: ConnectionQuestion, asker: ConnectionAsker) {
        let mut askers = self.askers.lock();
        askers.push_back(asker);
        // Under the lock, so that both are in the same order.
        self.mailbox.post(SessionEvent::Asked(question));
    }

    /// The connection has gone: nobody is answered any more. To be called once it is not found any more.
    pub(crate) fn give_up(&self) {
        self.askers.lock().clear();
    }

    /// Gives the answer to whoever asked first.
    pub(crate) fn answer(&self, said: Option<ConnectionAnswer>) {
        let asker = self.askers.lock().pop_front();
        if let Some(ConnectionAsker { answer, place }) = asker {
            // Whoever asked may have given up waiting.
            let _ = answer.send(said);
            drop(place);
        }
    }
}

type Table = HashMap<ConnectionId, Arc<Inbox>, foldhash::fast::FixedState>;

/// A part of the table. No two share a cache line (nor the pair of lines that is fetched at once): even to read takes the
/// lock by writing to it.
#[derive(Default)]
#[repr(align(128))]
struct Part(RwLock<Table>);

pub(crate) struct Connections {
    parts: [Part; PARTS],
    open: AtomicUsize,
    /// Somebody was the last one.
    emptied: Notify,
    unwritten: Arc<Unwritten>,
    alarms: Mutex<Alarms>,
    next: AtomicU64,
    stopping: AtomicBool,
}

impl Connections {
    pub(super) fn new() -> Connections {
        Connections {
            parts: std::array::from_fn(|_| Part::default()),
            open: AtomicUsize::new(0),
            emptied: Notify::new(),
            unwritten: Arc::default(),
            alarms: Mutex::default(),
            next: AtomicU64::new(1),
            stopping: AtomicBool::new(false),
        }
    }

    /// Gives a new connection its id and where it hears of others.
    pub(crate) fn register(&self) -> (ConnectionId, Arc<Inbox>) {
        let id = ConnectionId::new(NodeNumber::ALONE, self.next.fetch_add(1, Ordering::Relaxed));
        let backlog = Backlog::new(Arc::clone(&self.unwritten));
        let askers = Mutex::default();
        let inbox = Arc::new(Inbox { mailbox: Mailbox::new(), backlog, askers });
        self.part(id).write().insert(id, Arc::clone(&inbox));
        // After it is known: then it hears of every alarm from now on, and of those before by this.
        let alarms = self.alarms.lock();
        if alarms.reason().is_some() {
            inbox.mailbox.post(SessionEvent::Alarm(*alarms));
        }
        drop(alarms);
        self.open.fetch_add(1, Ordering::Relaxed);
        (id, inbox)
    }

    pub(crate) fn unregister(&self, id: ConnectionId) {
        let mut table = self.part(id).write();
        let inbox = table.remove(&id);
        table.shrink_if_sparse();
        drop(table);
        if inbox.is_some() && self.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.emptied.notify_waiters();
        }
    }

    /// Returns once no connection is open.
    pub(super) async fn emptied(&self) {
        loop {
            let mut emptied = pin!(self.emptied.notified());
            // Who leaves from here on is heard of.
            emptied.as_mut().enable();
            if self.open.load(Ordering::Relaxed) == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Has all close that are open now.
    pub(super) fn close_all(&self, fault: &Fault) {
        self.for_each(|inbox| inbox.mailbox.post(SessionEvent::Close(fault.clone())));
    }

    /// Does something with what a connection hears by. Not with one that is gone.
    pub(super) fn with(&self, id: ConnectionId, act: impl FnOnce(&Inbox)) {
        if let Some(inbox) = self.part(id).read().get(&id) {
            act(inbox);
        }
    }

    /// Tells all connections, and who is bound to come, what the broker runs short of.
    pub(super) fn set_alarms(&self, alarms: Alarms) {
        let mut known = self.alarms.lock();
        *known = alarms;
        // Under the lock, so that nobody hears of an older alarm last.
        self.for_each(|inbox| inbox.mailbox.post(SessionEvent::Alarm(alarms)));
    }

    /// Bytes that wait for clients to take them.
    pub(super) fn unwritten(&self) -> usize {
        self.unwritten.bytes()
    }

    /// What the broker runs short of.
    pub(crate) fn alarms(&self) -> Alarms {
        *self.alarms.lock()
    }

    /// Tells all connections, and who is bound to come, that the broker stops.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Whoever waits has looked before; whoever looks now, or begins to wait, sees it.
        self.for_each(|inbox| inbox.mailbox.wake());
    }

    /// Whether the broker stops. Whoever waits for that looks after it has begun to wait for its mailbox.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// How much one connection may have in flight, by how many share the whole.
    pub(crate) fn in_flight_limit(&self) -> usize {
        let share = IN_FLIGHT / self.open.load(Ordering::Relaxed).max(1);
        share.clamp(LEAST_PER_CONNECTION, MOST_PER_CONNECTION)
    }

    fn for_each(&self, act: impl Fn(&Inbox)) {
        for part in &self.parts {
            part.0.read().values().for_each(|inbox| act(inbox));
        }
    }

    /// Ids are given in a row, so connections are spread evenly.
    #[allow(clippy::cast_possible_truncation, reason = "a remainder below 64")]
    fn part(&self, id: ConnectionId) -> &RwLock<Table> {
        &self.parts[(id.0 % PARTS as u64) as usize].0
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::model::holdings::Holdings;

    impl Connections {
        fn holdings(&self, into: &mut Holdings) {
            let Connections { parts, open, unwritten, emptied: _, alarms: _, next: _, stopping: _ } = self;
            for part in parts {
                let table = part.0.read();
                into.in_use("connections: a part of the table", &*table);
                for inbox in table.values() {
                    into.in_transit("connections: to one of them", &inbox.mailbox.size());
                }
            }
            into.in_use("connections: open", &open.load(Ordering::Relaxed));
            into.in_use("connections: bytes that wait for clients", &unwritten.bytes());
        }
    }

    #[test]
    fn nothing_is_held_of_connections_that_have_gone() {
        let all = Connections::new();
        let opened: Vec<_> = (0..100_000).map(|_| all.register()).collect();
        for (id, inbox) in &opened {
            inbox.backlog.set_output(1000);
            all.with(*id, |inbox| inbox.mailbox.post(SessionEvent::Alarm(Alarms::default())));
        }
        let largest = all.parts.iter().map(|part| part.0.read().len()).max();
        assert!(largest < Some(2 * opened.len() / PARTS), "they are spread: {largest:?}");
        assert!(all.in_flight_limit() < MOST_PER_CONNECTION && all.unwritten.bytes() == 100_000_000);
        for (id, inbox) in opened {
            all.unregister(id);
            drop(inbox);
            all.with(id, |_| unreachable!("it is gone"));
        }
        let mut holdings = Holdings::default();
        all.holdings(&mut holdings);
        let left: Vec<_> = holdings.iter().filter(|held| held.len > 0 || held.capacity > 100_000).collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(all.in_flight_limit(), MOST_PER_CONNECTION);
    }

    /// What a connection's task does when it has nothing to do.
    fn poll_stop(all: &Connections, inbox: &Inbox) -> Poll<()> {
        let mut context = Context::from_waker(Waker::noop());
        let arrival = inbox.mailbox.poll_arrival(&mut Vec::new(), &mut context);
        if all.is_stopping() { Poll::Ready(()) } else { arrival }
    }

    #[test]
    fn all_hear_of_alarms_and_of_the_end_also_those_who_come_later() {
        let all = Connections::new();
        let (_, before) = all.register();
        assert!(poll_stop(&all, &before).is_pending());
        all.set_alarms(Alarms { memory: true, disk: false });
        let (_, after) = all.register();
        for inbox in [&before, &after] {
            let mut events = Vec::new();
            inbox.mailbox.take(&mut events);
            assert!(matches!(events[..], [SessionEvent::Alarm(alarms)] if alarms.memory), "{events:?}");
            assert!(poll_stop(&all, inbox).is_pending());
        }
        all.stop();
        let (_, late) = all.register();
        for inbox in [&before, &after, &late] {
            assert!(poll_stop(&all, inbox).is_ready());
        }
    }
}

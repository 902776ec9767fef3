//! Somebody who only wants to work during an attack: publishes with confirm and takes back, on a schedule. A round trip
//! is measured from the moment it was due, and those that were due before it was over count with what was left of it: that
//! is what others would have waited who come on the same schedule. So a stall counts as what it is.

use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::client::Client;
use crate::wire::{self, Message, Queue};

/// How often a round trip begins.
const EVERY: Duration = Duration::from_millis(5);
/// How long the last round trip may take.
const LAST_ROUND: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    seen: Mutex<Seen>,
}

/// What it has seen so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Round trips that no alarm held up, and what others would have waited meanwhile, in microseconds.
    micros: Vec<u64>,
    /// When the slowest of them was over, since the bystander began.
    pub(crate) slowest_at: Duration,
    /// How long it was blocked by an alarm, over all.
    pub(crate) blocked: Duration,
    /// All round trips.
    rounds: usize,
}

impl Seen {
    pub(crate) fn count(&self) -> usize {
        self.micros.len()
    }

    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        Duration::from_micros(sorted.get(at).copied().unwrap_or(0))
    }
}

pub(crate) struct Bystander {
    shared: Arc<Shared>,
    socket: TcpStream,
    thread: Option<JoinHandle<()>>,
}

impl Bystander {
    /// It works on queues of different shards, one of them with what has to be on disk.
    pub(crate) fn start(port: u16) -> Bystander {
        let shared = Arc::new(Shared::default());
        let client = Client::open(port);
        let (socket, its) = (client.socket(), Arc::clone(&shared));
        let thread = std::thread::spawn(move || work(client, &its));
        Bystander { shared, socket, thread: Some(thread) }
    }

    /// How many round trips are over.
    pub(crate) fn rounds(&self) -> usize {
        self.shared.seen.lock().rounds
    }

    /// Has it finish what it does, and tell.
    pub(crate) fn stop(mut self) -> Result<Seen, String> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let since = Instant::now();
        while !self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            if since.elapsed() > LAST_ROUND {
                let _ = self.socket.shutdown(Shutdown::Both);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let ended = self.thread.take().map(JoinHandle::join);
        if matches!(ended, Some(Err(_))) {
            return Err("the bystander was not served".into());
        }
        Ok(std::mem::take(&mut *self.shared.seen.lock()))
    }
}

fn work(mut client: Client, shared: &Shared) {
    client.ask(&wire::select_confirms(1), wire::CONFIRM_SELECT_OK);
    let rounds: Vec<[Vec<u8>; 2]> = (0..4)
        .map(|number| {
            let (name, durable) = (format!("bystander-{number}"), number % 2 == 0);
            let queue = Queue { name: &name, durable, exclusive: true, ..Queue::default() };
            client.ask(&queue.declare(1), wire::QUEUE_DECLARE_OK);
            let message = Message { key: &name, persistent: durable, body: 100, ..Message::default() };
            [message.publish(1), wire::get(1, &name, true)]
        })
        .collect();
    let since = Instant::now();
    let (mut due, mut slowest) = (since, Duration::ZERO);
    for [publish, get] in rounds.iter().cycle() {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let blockings = client.blockings;
        client.ask(publish, wire::ACK);
        client.ask(get, wire::GET_OK);
        client.hear_content();
        let took = due.elapsed();
        let others = u32::try_from(took.as_micros() / EVERY.as_micros()).unwrap_or(u32::MAX - 1);
        due += EVERY * (others + 1);
        let mut seen = shared.seen.lock();
        seen.rounds += 1;
        if client.blockings > blockings {
            // An alarm is no stall; what was due meanwhile is not counted.
            seen.blocked += took;
            due = due.max(Instant::now());
        } else {
            if took > slowest {
                slowest = took;
                seen.slowest_at = since.elapsed();
            }
            let waited = (0..=others).map(|other| took - EVERY * other);
            seen.micros.extend(waited.map(|waited| u64::try_from(waited.as_micros()).unwrap_or(u64::MAX)));
        }
    }
}

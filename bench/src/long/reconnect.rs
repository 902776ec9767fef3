//! Clients that all come back at once, as after a network failure: each declares again what it uses, all of which is
//! there.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use leveret_codec::method::amqp::{AMQPClass, exchange, queue};

use crate::flow::{CHANNEL, exchange_declare, queue_declare};
use crate::job::Job;
use crate::meter::Meter;
use crate::outcome::Outcome;
use crate::stats::Metric;
use crate::wire::{Connection, Inbox};

/// Enough for the answers to declarations.
const INBOX_BYTES: usize = 16 * 1024;

/// What the clients declare.
#[derive(Debug)]
struct Storm<'a> {
    job: &'a Job<'a>,
    clients: usize,
    /// Queues of each client, and as many bindings.
    queues: usize,
    exchange: String,
}

/// How long all clients took together.
#[derive(Clone, Copy, Debug, Default)]
struct Took {
    /// From the first connection to the last answer.
    back: Duration,
    /// From when all were connected.
    declaring: Duration,
    /// CPU seconds of the broker while they declared.
    cpu: Option<f64>,
}

/// Storms, one after the other, until the window is over; one at the least.
pub(crate) fn run(clients: usize, queues: usize, job: &Job<'_>) -> Result<Outcome> {
    let storm = Storm { job, clients, queues, exchange: format!("bench.{}.reconnect", std::process::id()) };
    job.tell("declaring");
    let measured = storm.come_back().and_then(|_| storm.measure());
    job.tell("deleting");
    let deleted = storm.delete();
    let outcome = measured?;
    deleted.map(|()| outcome)
}

impl Storm<'_> {
    fn measure(&self) -> Result<Outcome> {
        let length = Duration::from_secs_f64(self.job.seconds);
        let started = Instant::now();
        let mut all = Vec::new();
        while all.is_empty() || started.elapsed() < length {
            self.job.tell(&format!("{} times", all.len()));
            all.push(self.come_back()?);
        }
        let mut outcome = Outcome::default();
        let sum = |part: fn(&Took) -> Duration| all.iter().map(part).sum::<Duration>().as_secs_f64();
        outcome.put(Metric::BackSeconds, sum(|took| took.back) / all.len() as f64);
        let declared = (self.clients * (1 + 2 * self.queues) * all.len()) as f64;
        outcome.put(Metric::DeclaredAgain, declared / sum(|took| took.declaring));
        if let Some(cpu) = all.iter().map(|took| took.cpu).sum::<Option<f64>>() {
            outcome.put(Metric::DeclaredAgainPerCpu, declared / cpu);
        }
        Ok(outcome)
    }

    /// All clients connect, declare what they use, and go.
    fn come_back(&self) -> Result<Took> {
        self.all_at_once(|connection, client| self.declare(connection, client))
    }

    /// All clients connect, do something when all are connected, and go.
    fn all_at_once(&self, act: impl Fn(&mut Connection, usize) -> Result<()> + Sync) -> Result<Took> {
        let (connected, done) = (Barrier::new(self.clients + 1), Barrier::new(self.clients + 1));
        let client = |client| {
            let connection = Connection::open_with(self.job.uri, Inbox::with_capacity(INBOX_BYTES));
            connected.wait();
            let acted =
                connection.and_then(|mut connection| act(&mut connection, client).map(|()| connection));
            done.wait();
            acted?.close()
        };
        let client = &client;
        let started = Instant::now();
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..self.clients).map(|n| scope.spawn(move || client(n))).collect();
            connected.wait();
            let (acting, meter) = (Instant::now(), Meter::start(self.job.pid));
            done.wait();
            let (back, declaring) = (started.elapsed(), acting.elapsed());
            let usage = meter.and_then(Meter::stop);
            for client in clients {
                client.join().map_err(|_| anyhow!("a thread panicked"))??;
            }
            Ok(Took { back, declaring, cpu: usage?.broker.map(|broker| broker.cpu) })
        })
    }

    /// All in one go, and then all answers: what a connection asks is worked off in order in any case, and a round trip for
    /// each would be most of what is measured.
    fn declare(&self, connection: &mut Connection, client: usize) -> Result<()> {
        let exchange = exchange_declare(&self.exchange, "direct");
        connection.outbox.method(CHANNEL, &AMQPClass::Exchange(exchange::AMQPMethod::Declare(exchange)));
        for n in 0..self.queues {
            let name = self.queue(client, n);
            let declare = queue::AMQPMethod::Declare(queue_declare(&name));
            connection.outbox.method(CHANNEL, &AMQPClass::Queue(declare));
            let bind = queue::Bind {
                queue: name.as_str().into(),
                exchange: self.exchange.as_str().into(),
                routing_key: name.into(),
                ..queue::Bind::default()
            };
            connection.outbox.method(CHANNEL, &AMQPClass::Queue(queue::AMQPMethod::Bind(bind)));
        }
        connection.flush()?;
        for n in 0..=2 * self.queues {
            match (n, connection.answer(CHANNEL)?) {
                (0, AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(_)))
                | (1.., AMQPClass::Queue(queue::AMQPMethod::DeclareOk(_) | queue::AMQPMethod::BindOk(_))) => {
                }
                (_, other) => bail!("not the answer to a declaration: {other:?}"),
            }
        }
        Ok(())
    }

    fn queue(&self, client: usize, n: usize) -> String {
        format!("{}.{client}.{n}", self.exchange)
    }

    /// The exchange goes with its last binding.
    fn delete(&self) -> Result<()> {
        self.all_at_once(|connection, client| {
            (0..self.queues).try_for_each(|n| {
                let queue = self.queue(client, n).into();
                let delete = queue::Delete { queue, ..queue::Delete::default() };
                connection.call(CHANNEL, &AMQPClass::Queue(queue::AMQPMethod::Delete(delete))).map(drop)
            })
        })
        .map(drop)
    }
}

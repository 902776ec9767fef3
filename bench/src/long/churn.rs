//! Opened and closed, again and again: connections with a channel, channels, exclusive queues.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use leveret_codec::method::amqp::{AMQPClass, channel, queue};

use crate::flow::CHANNEL;
use crate::job::Job;
use crate::outcome::Outcome;
use crate::stats::Metric;
use crate::target::Uri;
use crate::wire::Connection;

/// One turn of a phase, on a connection that stays.
type Turn = fn(&mut Connection, client: usize) -> Result<()>;

pub(crate) fn run(clients: usize, job: &Job<'_>) -> Result<Outcome> {
    let length = Duration::from_secs_f64(job.seconds / 3.0);
    let mut outcome = Outcome::default();
    job.tell("connections");
    let connections = phase(clients, length, |_| Ok(()), |(), _| Connection::open(job.uri)?.close())?;
    outcome.put(Metric::ConnectionRate, connections);
    job.tell("channels");
    outcome.put(Metric::ChannelRate, lasting(clients, length, job.uri, open_and_close_channel)?);
    job.tell("queues");
    outcome.put(Metric::QueueRate, lasting(clients, length, job.uri, declare_and_delete_queue)?);
    Ok(outcome)
}

fn lasting(clients: usize, length: Duration, uri: &Uri, turn: Turn) -> Result<f64> {
    phase(clients, length, |_| Connection::open(uri), turn)
}

/// Lets every client take turns until the time is over; turns per second of all together.
fn phase<S>(
    clients: usize,
    length: Duration,
    prepare: impl Fn(usize) -> Result<S> + Sync,
    turn: impl Fn(&mut S, usize) -> Result<()> + Sync,
) -> Result<f64> {
    let take_turns = |client| -> Result<f64> {
        let mut state = prepare(client)?;
        let started = Instant::now();
        let mut turns = 0u32;
        while started.elapsed() < length {
            turn(&mut state, client)?;
            turns += 1;
        }
        Ok(f64::from(turns) / started.elapsed().as_secs_f64())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|client| scope.spawn(move || take_turns(client))).collect();
        let mut total = 0.0;
        for thread in threads {
            total += thread.join().map_err(|_| anyhow!("a thread panicked"))??;
        }
        Ok(total)
    })
}

fn open_and_close_channel(connection: &mut Connection, _client: usize) -> Result<()> {
    connection.open_channel(CHANNEL + 1)?;
    let close = channel::Close { reply_code: 200, ..channel::Close::default() };
    connection.call(CHANNEL + 1, &AMQPClass::Channel(channel::AMQPMethod::Close(close))).map(drop)
}

pub(super) fn declare_and_delete_queue(connection: &mut Connection, client: usize) -> Result<()> {
    let name = format!("bench.{}.churn.{client}", std::process::id());
    let declare =
        queue::Declare { queue: name.as_str().into(), exclusive: true, ..queue::Declare::default() };
    connection.call(CHANNEL, &AMQPClass::Queue(queue::AMQPMethod::Declare(declare)))?;
    let delete = queue::Delete { queue: name.into(), ..queue::Delete::default() };
    connection.call(CHANNEL, &AMQPClass::Queue(queue::AMQPMethod::Delete(delete))).map(drop)
}

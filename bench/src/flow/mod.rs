//! Publishers and consumers at the same time, measured over a window in the middle of the run.

mod confirms;
mod consumer;
mod progress;
mod publisher;
mod topology;

use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::baseline;
use crate::format;
use crate::job::Job;
use crate::meter::{Meter, Usage};
use crate::outcome::Outcome;
use crate::stats::{Latencies, Metric, Unit};
use crate::wire::{Connection, Ring};
use crate::workload::{Beside, Flow};

pub(crate) use consumer::Consumer;
pub(crate) use progress::{Counts, Progress};
pub(crate) use publisher::Publisher;
pub(crate) use topology::{
    CHANNEL, Declared, exchange_declare, message_count, prefetch, queue_declare, subscribe,
};

/// Bytes of bodies that may be on their way from publishers to consumers.
const AHEAD_BYTES: u64 = 64 << 20;
/// Deliveries that may be on their way.
const AHEAD: (u64, u64) = (64, 100_000);
/// Where nobody consumes, a run ends early with so many messages in the queue.
const MOST_STORED: u64 = 50_000_000;
/// What was published and does not arrive within this time of silence is lost.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often counters and memory are looked at.
const SAMPLE: Duration = Duration::from_millis(100);

/// Declares, measures, deletes.
pub(crate) fn run(flow: &Flow, job: &Job<'_>) -> Result<Outcome> {
    run_beside(flow, job, || Ok(()))
}

/// The same beside something else, which begins once all is declared.
pub(crate) fn run_beside(flow: &Flow, job: &Job<'_>, begin: impl FnOnce() -> Result<()>) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    measure_beside(flow, job, &mut outcome)?;
    job.tell("declaring");
    let mut control = Connection::open(job.uri)?;
    let declared = Declared::declare(&mut control, flow.topology)?;
    let measured = begin().and_then(|()| measure(flow, job, &declared, &mut outcome));
    job.tell("deleting");
    let deleted = declared.delete(&mut control).context("deleting what was declared");
    measured?;
    deleted?;
    control.close()?;
    if flow.topology.bindings() > 0 {
        outcome.put(Metric::BindSeconds, declared.binding.as_secs_f64());
    }
    Ok(outcome)
}

fn measure(flow: &Flow, job: &Job<'_>, declared: &Declared, outcome: &mut Outcome) -> Result<()> {
    let ahead =
        if flow.consumers == 0 { u64::MAX } else { (AHEAD_BYTES / flow.body as u64).clamp(AHEAD.0, AHEAD.1) };
    let progress = Progress::new(flow.topology.copies(), ahead);
    std::thread::scope(|scope| {
        let consumers = start_consumers(scope, flow, job, declared, &progress)?;
        let publishers = start_publishers(scope, flow, job, declared, &progress);
        let window = publishers.and_then(|publishers| Window::of(flow, job, &progress, publishers));
        let arrived = match &window {
            Ok(_) if flow.consumers > 0 => progress.wait_until_delivered(PATIENCE),
            _ => Ok(()),
        };
        progress.stop();
        let consumed = join(consumers);
        let window = window?;
        let mut latencies = consumed?;
        arrived?;
        latencies.add(&window.confirms);
        window.report(flow, outcome);
        outcome.put_latencies(&latencies);
        Ok(())
    })
}

/// What happened between the first and the last reading of the counters.
struct Window {
    counts: Counts,
    usage: Usage,
    /// Latencies of confirms.
    confirms: Latencies,
}

impl Window {
    /// Waits out the warm-up, measures, and ends the publishers.
    fn of(
        flow: &Flow,
        job: &Job<'_>,
        progress: &Progress,
        publishers: Vec<ScopedJoinHandle<'_, Result<Latencies>>>,
    ) -> Result<Window> {
        let mut warming = Meter::start(job.pid)?;
        watch(job, progress, &mut warming, (job.seconds / 5.0).min(0.5))?;
        progress.measure(true);
        let before = progress.counts();
        let mut meter = Meter::start(job.pid)?;
        watch(job, progress, &mut meter, job.seconds)?;
        let measured = if flow.consumers > 0 || flow.unconfirmed.is_some() {
            (progress.counts(), meter.stop()?, join_publishers(progress, publishers)?)
        } else {
            // Nothing tells what the broker has worked on but the answer each publisher waits for at its end.
            let confirms = join_publishers(progress, publishers)?;
            (progress.counts(), meter.stop()?, confirms)
        };
        let (after, usage, confirms) = measured;
        Ok(Window { counts: after.since(before), usage, confirms })
    }

    fn report(&self, flow: &Flow, outcome: &mut Outcome) {
        let messages = match (flow.unconfirmed, flow.consumers) {
            (Some(_), _) => self.counts.confirmed,
            (None, 0) => self.counts.published,
            (None, _) => self.counts.delivered,
        };
        outcome.put_rate(messages, &self.usage);
        outcome.put_memory(&self.usage);
        if flow.persistent {
            outcome.put_written(self.counts.published * flow.body as u64, &self.usage);
        }
    }
}

fn join_publishers(
    progress: &Progress,
    publishers: Vec<ScopedJoinHandle<'_, Result<Latencies>>>,
) -> Result<Latencies> {
    progress.stop_publishing();
    let joined = join(publishers);
    progress.measure(false);
    joined
}

/// Sleeps through `seconds` of a run, sampling memory and telling the rate.
fn watch(job: &Job<'_>, progress: &Progress, meter: &mut Meter, seconds: f64) -> Result<()> {
    let from = progress.counts();
    let length = Duration::from_secs_f64(seconds);
    while meter.elapsed() < length && progress.consuming() {
        std::thread::sleep(SAMPLE.min(length.saturating_sub(meter.elapsed())));
        meter.sample()?;
        let counts = progress.counts();
        tell_rate(job, counts.since(from), meter.elapsed());
        if counts.delivered == 0 && counts.published > MOST_STORED {
            return Ok(());
        }
    }
    Ok(())
}

/// Shows how fast it goes and how far it is.
pub(crate) fn tell_rate(job: &Job<'_>, counts: Counts, elapsed: Duration) {
    let messages = counts.delivered.max(counts.published);
    let rate = format::value(Unit::Count, messages as f64 / elapsed.as_secs_f64());
    let total = format::value(Unit::Count, messages as f64);
    job.tell(&format!("{:.1} s, {total} messages, {rate}/s", elapsed.as_secs_f64()));
}

fn start_consumers<'scope, 'env: 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    flow: &Flow,
    job: &Job<'_>,
    declared: &Declared,
    progress: &'env Progress,
) -> Result<Vec<ScopedJoinHandle<'scope, Result<Latencies>>>> {
    let mut consumers = Vec::new();
    for queues in deal(&declared.queues, flow.consumers) {
        let connection = Connection::open(job.uri)?;
        consumers.push(Consumer::new(progress, connection, &queues, flow.acks, flow.pace.is_some())?);
    }
    Ok(consumers.into_iter().map(|consumer| start(scope, progress, || consumer.run())).collect())
}

fn start_publishers<'scope, 'env: 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    flow: &Flow,
    job: &Job<'_>,
    declared: &'env Declared,
    progress: &'env Progress,
) -> Result<Vec<ScopedJoinHandle<'scope, Result<Latencies>>>> {
    let mut publishers = Vec::new();
    for n in 0..flow.publishers {
        let connection = Connection::open(job.uri)?;
        let mut templates = declared.templates(flow.body, flow.persistent);
        // Each publisher begins at another queue.
        let first = n * templates.len() / flow.publishers;
        templates.rotate_left(first);
        let ring = Ring::new(&templates, CHANNEL, connection.frame_max);
        let publisher = Publisher::new(progress, connection, ring, flow.unconfirmed, u64::MAX)?;
        publishers.push(match flow.pace {
            Some(per_second) => {
                publisher.paced(Duration::from_secs(flow.publishers as u64) / per_second.max(1))
            }
            None => publisher,
        });
    }
    let queue = declared.first_queue();
    Ok(publishers.into_iter().map(|publisher| start(scope, progress, || publisher.run(queue))).collect())
}

/// Runs `work` in a thread. Where it fails, all others are told to stop.
pub(crate) fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    progress: &'scope Progress,
    work: impl FnOnce() -> Result<T> + Send + 'scope,
) -> ScopedJoinHandle<'scope, Result<T>> {
    scope.spawn(|| {
        let done = work();
        if done.is_err() {
            progress.stop();
        }
        done
    })
}

/// Waits for all threads; the first error, or all latencies together.
pub(crate) fn join(threads: Vec<ScopedJoinHandle<'_, Result<Latencies>>>) -> Result<Latencies> {
    let mut all = Ok(Latencies::default());
    for thread in threads {
        let done = thread.join().unwrap_or_else(|_| Err(anyhow!("a thread of the generator panicked")));
        match (&mut all, done) {
            (Ok(sum), Ok(latencies)) => sum.add(&latencies),
            (Ok(_), Err(error)) => all = Err(error),
            (Err(_), _) => {}
        }
    }
    all
}

/// Deals queues out among consumers: each queue gets one, and each consumer at least one queue.
fn deal(queues: &[String], consumers: usize) -> Vec<Vec<&str>> {
    let mut dealt = vec![Vec::new(); consumers];
    for n in 0..queues.len().max(consumers) {
        if let Some(hand) = dealt.get_mut(n % consumers.max(1)) {
            hand.push(queues[n % queues.len()].as_str());
        }
    }
    dealt
}

fn measure_beside(flow: &Flow, job: &Job<'_>, outcome: &mut Outcome) -> Result<()> {
    let seconds = (job.seconds / 6.0).min(1.0);
    match (flow.beside, job.disk) {
        (Beside::Disk, Some(folder)) => {
            job.tell("syncing a file");
            outcome.put(Metric::SyncP50, baseline::sync_p50(folder, seconds)?);
        }
        (Beside::Redb, Some(folder)) => {
            job.tell("storing blobs in redb");
            let together = flow.unconfirmed.unwrap_or(1);
            outcome.put(Metric::RedbRate, baseline::redb_rate(folder, together, flow.body, seconds)?);
        }
        (Beside::Loopback, _) => {
            job.tell("copying over loopback");
            let bytes = baseline::plain_copy(flow.body, seconds)?;
            outcome.put(Metric::PlainCopy, bytes / flow.body as f64);
        }
        (Beside::Disk | Beside::Redb | Beside::Nothing, _) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|n| n.to_string()).collect()
    }

    #[test]
    fn every_queue_has_a_consumer_and_every_consumer_a_queue() {
        let queues = names(5);
        assert_eq!(deal(&queues, 2), [vec!["0", "2", "4"], vec!["1", "3"]]);
        let queue = names(1);
        assert_eq!(deal(&queue, 3), [vec!["0"], vec!["0"], vec!["0"]]);
        assert!(deal(&queues, 0).is_empty());
    }
}

//! A queue is filled, then drained.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::flow::{CHANNEL, Consumer, Declared, Progress, Publisher, join, message_count, start, tell_rate};
use crate::job::Job;
use crate::meter::{Meter, Usage};
use crate::outcome::Outcome;
use crate::stats::Metric;
use crate::wire::{Connection, Ring};
use crate::workload::{Backlog, Topology};

/// A phase that takes longer is given up.
const LONGEST_PHASE: Duration = Duration::from_secs(1800);
const SAMPLE: Duration = Duration::from_millis(50);

pub(crate) fn run(backlog: &Backlog, job: &Job<'_>) -> Result<Outcome> {
    let mut control = Connection::open(job.uri)?;
    let declared = Declared::declare(&mut control, Topology::Queues(1))?;
    let measured = fill_and_drain(backlog, job, &mut control, &declared);
    let deleted = declared.delete(&mut control).context("deleting the queue");
    let outcome = measured?;
    deleted?;
    control.close()?;
    Ok(outcome)
}

fn fill_and_drain(
    backlog: &Backlog,
    job: &Job<'_>,
    control: &mut Connection,
    declared: &Declared,
) -> Result<Outcome> {
    let filled = fill(backlog, job, declared)?;
    let stored = message_count(control, declared.first_queue())?;
    ensure!(stored == backlog.messages, "{stored} of {} messages are in the queue", backlog.messages);
    let drained = drain(backlog, job, declared)?;
    let mut outcome = Outcome::default();
    outcome.put_rate(backlog.messages, &drained);
    outcome.put(Metric::FillRate, backlog.messages as f64 / filled.seconds);
    if let Some(broker) = filled.broker {
        outcome.put(Metric::FillPerCpu, backlog.messages as f64 / broker.cpu);
    }
    outcome.put_memory(&most_memory(filled, drained));
    if backlog.persistent {
        outcome.put_written(backlog.messages * backlog.body as u64, &filled);
    }
    Ok(outcome)
}

/// Publishes the messages and waits until the broker has taken them all.
pub(crate) fn fill(backlog: &Backlog, job: &Job<'_>, declared: &Declared) -> Result<Usage> {
    let progress = Progress::new(1, u64::MAX);
    let connection = Connection::open(job.uri)?;
    let templates = declared.templates(backlog.body, backlog.persistent);
    let ring = Ring::new(&templates, CHANNEL, connection.frame_max);
    let publisher = Publisher::new(&progress, connection, ring, backlog.unconfirmed, backlog.messages)?;
    std::thread::scope(|scope| {
        let mut meter = Meter::start(job.pid)?;
        let thread = start(scope, &progress, || publisher.run(declared.first_queue()));
        let watched = wait(job, &progress, &mut meter, || thread.is_finished());
        progress.stop();
        join(vec![thread])?;
        watched?;
        meter.stop()
    })
}

fn drain(backlog: &Backlog, job: &Job<'_>, declared: &Declared) -> Result<Usage> {
    let progress = Progress::new(1, u64::MAX);
    let connection = Connection::open(job.uri)?;
    std::thread::scope(|scope| {
        let mut meter = Meter::start(job.pid)?;
        let queues = [declared.first_queue()];
        let consumer = Consumer::new(&progress, connection, &queues, backlog.acks, false)?;
        let thread = start(scope, &progress, || consumer.until(backlog.messages).run());
        let watched = wait(job, &progress, &mut meter, || thread.is_finished());
        progress.stop();
        join(vec![thread])?;
        watched?;
        meter.stop()
    })
}

/// Watches a phase until it is done.
fn wait(job: &Job<'_>, progress: &Progress, meter: &mut Meter, mut done: impl FnMut() -> bool) -> Result<()> {
    let mut looked = 0u32;
    while !done() {
        // Short looks first: a small backlog is over within one long one.
        std::thread::sleep(SAMPLE.min(Duration::from_millis(1) * (looked + 1)));
        looked += 1;
        meter.sample()?;
        tell_rate(job, progress.counts(), meter.elapsed());
        ensure!(meter.elapsed() < LONGEST_PHASE, "given up after {} s", LONGEST_PHASE.as_secs());
    }
    Ok(())
}

fn most_memory(mut one: Usage, other: Usage) -> Usage {
    if let (Some(one), Some(other)) = (&mut one.broker, other.broker) {
        one.memory.resident = one.memory.resident.max(other.memory.resident);
        one.memory.anonymous = one.memory.anonymous.max(other.memory.anonymous);
    }
    one
}

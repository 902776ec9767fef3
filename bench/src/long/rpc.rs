//! Clients that call others: each makes an exclusive queue for its answer and drops it, so many times a second, while
//! messages flow that have nothing to do with it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Scope;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::churn::declare_and_delete_queue;
use crate::flow;
use crate::job::Job;
use crate::outcome::Outcome;
use crate::stats::{Latencies, Metric};
use crate::target::Uri;
use crate::wire::{Connection, Inbox};
use crate::workload::Flow;

/// Enough for the answers to declarations.
const INBOX_BYTES: usize = 16 * 1024;
/// Between two calls of a client.
const INTERVAL: Duration = Duration::from_millis(100);

/// Runs the flow; its latencies are those of the clients' queues, declared and deleted.
pub(crate) fn run(clients: usize, flow: &Flow, job: &Job<'_>) -> Result<Outcome> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut calling = Vec::new();
        let outcome = flow::run_beside(flow, job, || {
            calling = start(scope, clients, job.uri, &stop)?;
            Ok(())
        });
        stop.store(true, Ordering::Relaxed);
        let mut latencies = Latencies::default();
        for client in calling {
            latencies.add(&client.join().map_err(|_| anyhow!("a thread panicked"))??);
        }
        let mut outcome = outcome?;
        outcome.put(Metric::QueueTurnP50, latencies.micros(0.5));
        outcome.put(Metric::QueueTurnP99, latencies.micros(0.99));
        Ok(outcome)
    })
}

type Client<'scope> = std::thread::ScopedJoinHandle<'scope, Result<Latencies>>;

fn start<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    clients: usize,
    uri: &'env Uri,
    stop: &'env AtomicBool,
) -> Result<Vec<Client<'scope>>> {
    let open = |_| Connection::open_with(uri, Inbox::with_capacity(INBOX_BYTES));
    let connections: Vec<_> = (0..clients).map(open).collect::<Result<_>>()?;
    let call = |(client, connection)| scope.spawn(move || call(connection, client, clients, stop));
    Ok(connections.into_iter().enumerate().map(call).collect())
}

/// Calls until told to stop, each client at moments of its own. A call that comes late is as late as it was due: what
/// holds it up does not hide.
fn call(mut connection: Connection, client: usize, clients: usize, stop: &AtomicBool) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    let part = client as f64 / clients.max(1) as f64;
    let mut due = Instant::now() + INTERVAL.mul_f64(part);
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        declare_and_delete_queue(&mut connection, client)?;
        latencies.record(due.elapsed());
        due += INTERVAL;
    }
    connection.close()?;
    Ok(latencies)
}

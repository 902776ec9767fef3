//! Connections that do nothing: what each costs the broker in memory.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::job::{Job, Ran};
use crate::meter::memory;
use crate::outcome::Outcome;
use crate::stats::Metric;
use crate::target::Uri;
use crate::wire::{Connection, Inbox};

/// Threads that open and close.
const THREADS: u64 = 4;
/// Enough for what a broker says at the start of a connection.
const INBOX_BYTES: usize = 16 * 1024;
/// Open files the generator needs for itself.
const SPARE_FILES: u64 = 64;

pub(crate) fn run(connections: u64, job: &Job<'_>) -> Result<Ran> {
    let Some(pid) = job.pid else {
        return Ok(Ran::Skipped("the broker's process id was not given (@PID)"));
    };
    raise_file_limit(connections + SPARE_FILES)?;
    let before = memory(pid)?;
    let started = Instant::now();
    job.tell("opening");
    let open = open_all(job.uri, connections)?;
    let seconds = started.elapsed().as_secs_f64();
    job.tell("settling");
    std::thread::sleep(Duration::from_secs_f64(job.seconds.min(2.0)));
    let after = memory(pid)?;
    job.tell("closing");
    close_all(open)?;

    let mut outcome = Outcome::default();
    outcome.put(Metric::EmptyResident, before.resident as f64);
    let grown = after.resident.saturating_sub(before.resident);
    outcome.put(Metric::PerConnection, grown as f64 / connections as f64);
    outcome.put(Metric::Resident, after.resident as f64);
    outcome.put(Metric::Anonymous, after.anonymous as f64);
    outcome.put(Metric::OpenedRate, connections as f64 / seconds);
    Ok(Ran::Done(outcome))
}

fn open_all(uri: &Uri, connections: u64) -> Result<Vec<Connection>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|n| {
                let share = connections / THREADS + u64::from(n < connections % THREADS);
                let open = move |_| Connection::open_with(uri, Inbox::with_capacity(INBOX_BYTES));
                scope.spawn(move || (0..share).map(open).collect::<Result<Vec<_>>>())
            })
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            all.append(&mut thread.join().map_err(|_| anyhow!("a thread panicked"))??);
        }
        Ok(all)
    })
}

fn close_all(mut open: Vec<Connection>) -> Result<()> {
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for n in 0..usize::try_from(THREADS).unwrap_or(1) {
            let share = open.len().div_ceil(usize::try_from(THREADS).unwrap_or(1) - n);
            let part = open.split_off(open.len() - share);
            threads.push(scope.spawn(move || part.into_iter().try_for_each(Connection::close)));
        }
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
    })
}

fn raise_file_limit(wanted: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    ensure!(
        limit.maximum.is_none_or(|maximum| maximum >= wanted),
        "{wanted} open files are needed here and {} are allowed (ulimit -Hn)",
        limit.maximum.unwrap_or(0)
    );
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum })?;
    Ok(())
}

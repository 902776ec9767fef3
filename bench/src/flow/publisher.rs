//! A publisher: one connection and one thread that writes encoded messages as fast as it may.

use std::io::Write;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::confirms::Unconfirmed;
use super::progress::Progress;
use super::topology::{confirm_select, message_count};
use crate::stats::Latencies;
use crate::wire::{Connection, Event, Ring, event};

#[derive(Debug)]
pub(crate) struct Publisher<'a> {
    progress: &'a Progress,
    connection: Connection,
    ring: Ring,
    /// At most so many unconfirmed; None: no confirms.
    window: Option<usize>,
    pace: Option<Pace>,
    /// Stops by itself after so many messages.
    limit: u64,
    sent: u64,
    unconfirmed: Unconfirmed,
    latencies: Latencies,
}

/// A fixed number of messages per second.
#[derive(Clone, Copy, Debug)]
struct Pace {
    interval: Duration,
    started: Instant,
}

impl<'a> Publisher<'a> {
    pub(crate) fn new(
        progress: &'a Progress,
        mut connection: Connection,
        ring: Ring,
        window: Option<usize>,
        limit: u64,
    ) -> Result<Publisher<'a>> {
        if window.is_some() {
            confirm_select(&mut connection)?;
        }
        Ok(Publisher {
            progress,
            connection,
            ring,
            window,
            pace: None,
            limit,
            sent: 0,
            unconfirmed: Unconfirmed::default(),
            latencies: Latencies::default(),
        })
    }

    /// Publishes one message per `interval`, and writes into each when it was due: a publisher that is held up does
    /// not hide the time its messages waited.
    pub(crate) fn paced(mut self, interval: Duration) -> Publisher<'a> {
        self.pace = Some(Pace { interval, started: Instant::now() });
        self
    }

    /// Publishes until told to stop, then waits until the broker has taken all of it: the confirms, or an answer about
    /// `queue` on the same channel. Returns the latencies of the confirms.
    pub(crate) fn run(mut self, queue: &str) -> Result<Latencies> {
        // The default of 50 microseconds would be most of what a paced run measures.
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).context("timer slack")?;
        if let Some(pace) = &mut self.pace {
            pace.started = Instant::now();
        }
        while self.progress.publishing() && self.sent < self.limit {
            self.step()?;
        }
        while self.unconfirmed.len() > 0 {
            self.read_confirms()?;
        }
        message_count(&mut self.connection, queue)?;
        self.connection.close()?;
        Ok(self.latencies)
    }

    /// Publishes what may be published now, or waits for one thing that stands in the way.
    fn step(&mut self) -> Result<()> {
        let unconfirmed = self.window.map_or(usize::MAX, |window| window - self.unconfirmed.len());
        if unconfirmed == 0 {
            return self.read_confirms();
        }
        let room = self.progress.room();
        if room == 0 {
            self.progress.wait_for_room();
            return Ok(());
        }
        let left = usize::try_from(self.limit - self.sent).unwrap_or(usize::MAX);
        let most = unconfirmed.min(room).min(left);
        match self.pace {
            None => self.publish(self.ring.available(most)),
            Some(pace) => match pace.due(self.sent) {
                0 => {
                    pace.sleep_until_due(self.sent);
                    Ok(())
                }
                due => {
                    let count = self.ring.available(most.min(due));
                    let (progress, sent) = (self.progress, self.sent);
                    self.ring.stamp(count, |n| progress.nanos(pace.due_at(sent + n as u64)));
                    self.publish(count)
                }
            },
        }
    }

    fn publish(&mut self, count: usize) -> Result<()> {
        let now = Instant::now();
        let written = self.connection.stream.write_all(self.ring.take(count));
        if let Err(error) = written {
            // The broker has probably said why before it stopped reading.
            self.connection.stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            while self.connection.read().unwrap_or(false) {
                self.read_events()?;
            }
            return Err(error).context("publishing");
        }
        self.sent += count as u64;
        if self.window.is_some() {
            self.unconfirmed.sent(count, now);
        }
        self.progress.add_published(count);
        Ok(())
    }

    fn read_confirms(&mut self) -> Result<()> {
        ensure!(self.connection.read()?, "no confirm came");
        self.read_events()
    }

    fn read_events(&mut self) -> Result<()> {
        let measuring = self.progress.is_measuring();
        let now = Instant::now();
        let mut confirmed = 0;
        while let Some(frame) = self.connection.inbox.next()? {
            if let Event::Confirm { tag, multiple } = event(&frame)? {
                let latencies = &mut self.latencies;
                confirmed += self.unconfirmed.confirm(tag, multiple, |sent| {
                    if measuring {
                        latencies.record(now.saturating_duration_since(sent));
                    }
                });
            }
        }
        self.progress.add_confirmed(confirmed);
        Ok(())
    }
}

impl Pace {
    /// How many messages after the first `sent` are due.
    fn due(self, sent: u64) -> usize {
        let passed = self.started.elapsed().as_nanos() / self.interval.as_nanos().max(1) + 1;
        usize::try_from(passed.saturating_sub(u128::from(sent))).unwrap_or(usize::MAX)
    }

    fn due_at(self, message: u64) -> Instant {
        let nanos = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX).saturating_mul(message);
        self.started + Duration::from_nanos(nanos)
    }

    fn sleep_until_due(self, message: u64) {
        std::thread::sleep(self.due_at(message).saturating_duration_since(Instant::now()));
    }
}

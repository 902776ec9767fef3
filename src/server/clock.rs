//! The one place that asks for the time. The broker's time is the wall time at its start and monotonic from there: a clock
//! that is set neither makes messages immortal, nor lets them expire early, nor stops heartbeats. What people read
//! (x-death, events, since when a client is connected) is stamped with the wall clock's time, which the view is told.
//!
//! On disk a queue's times are the wall clock's of when a message came (`queue::wall_clock`). So while the broker runs,
//! nothing is due sooner or later because the clock was set; and once it has been started again, neither is what came after
//! that. What had come before it is: by as much as the clock was set, for its times were written by the old one.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::catalog::view::View;
use crate::model::ids::Timestamp;

/// How often the wall clock is looked at: a stamp is wrong for so long at the most.
const LOOK: Duration = Duration::from_secs(1);
/// By less than so many milliseconds nobody sets a clock: what two readings differ by is not told.
const LEAST_STEP: u64 = 100;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    epoch_millis: u64,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock { started: Instant::now(), epoch_millis: wall_millis() }
    }

    /// Never goes back.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.epoch_millis.saturating_add(millis(self.started.elapsed())))
    }

    /// When `time` will be, for a timer. Far futures are cut to a day; whoever waits looks again then.
    pub(crate) fn instant(&self, time: Timestamp) -> tokio::time::Instant {
        let wait =
            Duration::from_millis(time.0.saturating_sub(self.now().0)).min(Duration::from_secs(86_400));
        // A timer may fire within the millisecond before its time, when nothing is due yet.
        tokio::time::Instant::now() + wait + Duration::from_millis(1)
    }

    /// By how many milliseconds the wall clock is ahead of [`Clock::now`].
    fn wall_ahead(&self) -> i64 {
        let (wall, now) = (wall_millis(), self.now().0);
        let apart = i64::try_from(wall.abs_diff(now)).unwrap_or(i64::MAX);
        if wall < now { -apart } else { apart }
    }
}

/// Tells the view how far the wall clock is ahead, as long as the broker runs.
pub(super) async fn follow_wall_clock(clock: Clock, view: Arc<View>, stop: CancellationToken) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => {
                let ahead = clock.wall_ahead();
                if ahead.abs_diff(view.wall_ahead()) >= LEAST_STEP {
                    view.set_wall_ahead(ahead);
                }
            }
            () = stop.cancelled() => return,
        }
    }
}

/// Since the epoch; 0 before it.
fn wall_millis() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock of a broker that started when the wall clock showed another time than it does now.
    fn set_since(by: i64) -> Clock {
        let clock = Clock::new();
        Clock { epoch_millis: clock.epoch_millis.saturating_add_signed(-by), ..clock }
    }

    #[tokio::test]
    async fn stamps_follow_a_clock_that_is_set_and_the_brokers_time_does_not() {
        for by in [7_200_000, -7_200_000] {
            let (clock, view, stop) = (set_since(by), View::new(), CancellationToken::new());
            let started = clock.now();
            let following = tokio::spawn(follow_wall_clock(clock, Arc::clone(&view), stop.clone()));
            while view.wall_time(Timestamp(10_000_000)) == Timestamp(10_000_000) {
                tokio::task::yield_now().await;
            }
            let ahead = i64::try_from(view.wall_time(Timestamp(10_000_000)).0).unwrap() - 10_000_000;
            assert!((ahead - by).abs() < 60_000, "{ahead} instead of {by}");
            assert!(clock.now() >= started && clock.now().0 - started.0 < 60_000);
            stop.cancel();
            following.await.unwrap();
        }
    }
}

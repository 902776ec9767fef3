//! The one place that asks for the time. Wall time at the start, monotonic from there: a clock that is set back
//! neither makes messages immortal nor stops heartbeats.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::ids::Timestamp;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    epoch_millis: u64,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { started: Instant::now(), epoch_millis: millis(since_epoch) }
    }

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
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! The one timer of a task whose deadline moves with every turn: it is set anew only where the deadline has come nearer, or
//! once it has fired. To set a timer takes a lock that all timers of the process share; to look at one takes none.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Sleep, sleep_until};

use super::clock::Clock;
use crate::model::ids::Timestamp;

pub(super) struct Timer {
    clock: Clock,
    /// Made when the first deadline is waited for.
    sleep: Option<Pin<Box<Sleep>>>,
    /// When it fires, until it has.
    set_for: Option<Timestamp>,
}

impl Timer {
    pub(super) fn new(clock: Clock) -> Timer {
        Timer { clock, sleep: None, set_for: None }
    }

    /// Ready once `deadline` has come, or within two milliseconds after it; without one, never. The task may be woken at
    /// a deadline that it waited for before, and finds that this one has not come.
    pub(super) fn poll(&mut self, deadline: Option<Timestamp>, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        if self.set_for.is_none_or(|set_for| deadline < set_for) {
            self.set(deadline);
        }
        while let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(context));
            self.set_for = None;
            if deadline <= self.clock.now() {
                break;
            }
            self.set(deadline);
        }
        Poll::Ready(())
    }

    fn set(&mut self, deadline: Timestamp) {
        let at = self.clock.instant(deadline);
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(at),
            None => self.sleep = Some(Box::pin(sleep_until(at))),
        }
        self.set_for = Some(deadline);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// When the timer fires next in the tokio runtime, if it is set.
    fn fires(timer: &Timer) -> Option<tokio::time::Instant> {
        timer.sleep.as_ref().map(|sleep| sleep.deadline())
    }

    #[tokio::test]
    async fn a_deadline_that_moves_away_does_not_touch_the_timer_and_is_kept() {
        let clock = Clock::new();
        let mut timer = Timer::new(clock);
        let mut context = Context::from_waker(std::task::Waker::noop());
        let in_millis = |millis| Some(clock.now().plus_millis(millis));
        assert!(timer.poll(None, &mut context).is_pending() && timer.sleep.is_none(), "nothing is set");
        assert!(timer.poll(in_millis(60), &mut context).is_pending());
        let set = fires(&timer);
        for later in 61..1000 {
            assert!(timer.poll(in_millis(later), &mut context).is_pending());
        }
        assert_eq!(fires(&timer), set, "no deadline was nearer");
        let deadline = in_millis(120);
        poll_fn(|context| timer.poll(deadline, context)).await;
        assert!(deadline.is_some_and(|deadline| deadline <= clock.now()), "not at the first one");
    }

    #[tokio::test]
    async fn a_deadline_that_comes_nearer_is_met() {
        let clock = Clock::new();
        let mut timer = Timer::new(clock);
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(timer.poll(Some(clock.now().plus_millis(3_600_000)), &mut context).is_pending());
        let began = clock.now();
        for passed in [began, began.plus_millis(20), Timestamp(0), began.plus_millis(30)] {
            let met = poll_fn(|context| timer.poll(Some(passed), context));
            timeout(Duration::from_secs(20), met).await.expect("it is met");
            assert!(passed <= clock.now());
        }
        assert!(clock.now().0 - began.0 < 10_000);
        assert!(timer.poll(None, &mut context).is_pending());
    }
}

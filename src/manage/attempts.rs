//! Logins by protocol: how many were tried, and how they went. Those of AMQP are counted by who is connected, those of this API here.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::catalog::gone_connections::Churn;

/// How many there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    succeeded: u64,
    failed: u64,
}

/// Logins to this API, and what there was when they were all to be forgotten.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    succeeded: AtomicU64,
    failed: AtomicU64,
    /// By AMQP and over HTTP.
    forgotten: Mutex<[Count; 2]>,
}

impl Attempts {
    pub(super) fn add(&self, has_succeeded: bool) {
        let count = if has_succeeded { &self.succeeded } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Those since the start, or since they were forgotten.
    pub(super) fn described(&self, churn: Churn) -> Value {
        let forgotten = *self.forgotten.lock();
        let all = self.counts(churn).into_iter().zip(forgotten).zip(["amqp091", "http"]);
        let described = all.map(|((now, then), protocol)| {
            // They may have been forgotten since what is told was counted.
            let succeeded = now.succeeded.saturating_sub(then.succeeded);
            let failed = now.failed.saturating_sub(then.failed);
            json!({
                "protocol": protocol,
                "auth_attempts": succeeded + failed,
                "auth_attempts_failed": failed,
                "auth_attempts_succeeded": succeeded,
            })
        });
        described.collect()
    }

    /// Counts from 0 again. What metrics say is not concerned.
    pub(super) fn forget(&self, churn: Churn) {
        let mut forgotten = self.forgotten.lock();
        *forgotten = self.counts(churn);
    }

    fn counts(&self, churn: Churn) -> [Count; 2] {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            Count { succeeded: churn.logins_succeeded, failed: churn.logins_failed },
            Count { succeeded: of(&self.succeeded), failed: of(&self.failed) },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_before_others_had_it_forgotten_is_nothing() {
        let attempts = Attempts::default();
        let earlier = Churn::default();
        attempts.forget(Churn { logins_succeeded: 3, logins_failed: 2, ..earlier });
        let described = attempts.described(earlier);
        assert_eq!((&described[0]["auth_attempts"], &described[1]["auth_attempts"]), (&json!(0), &json!(0)));
    }
}

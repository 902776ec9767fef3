//! Who is connected to the management API, and who makes room where there are too many. What they ask for is not seen
//! here.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Who is connected.
pub(super) struct Guests {
    /// How many may be. Who comes then takes the place of the one not heard of for the longest time, so that clients
    /// who only hold on to their connections keep nobody out.
    most: usize,
    /// How long one who just came may take before it is heard of.
    patience: Duration,
    present: Mutex<Vec<Arc<Guest>>>,
}

pub(super) struct Guest {
    /// When it was last heard of, and until when it is waited for.
    heard: Mutex<(Instant, Instant)>,
    shown_out: Notify,
}

impl Guests {
    pub(super) fn new(most: usize, patience: Duration) -> Guests {
        Guests { most, patience, present: Mutex::default() }
    }

    pub(super) fn admit(&self) -> Arc<Guest> {
        let now = Instant::now();
        let guest =
            Arc::new(Guest { heard: Mutex::new((now, now + self.patience)), shown_out: Notify::new() });
        let mut present = self.present.lock();
        if present.len() >= self.most {
            let silent = (0..present.len()).min_by_key(|&at| present[at].heard.lock().0);
            if let Some(silent) = silent {
                present.swap_remove(silent).shown_out.notify_one();
            }
        }
        present.push(Arc::clone(&guest));
        guest
    }

    pub(super) fn leave(&self, guest: &Arc<Guest>) {
        self.present.lock().retain(|other| !Arc::ptr_eq(other, guest));
    }
}

impl Guest {
    /// It was heard of, and is waited for from now on.
    pub(super) fn wait_for(&self, patience: Duration) {
        let now = Instant::now();
        *self.heard.lock() = (now, now + patience);
    }

    pub(super) fn deadline(&self) -> Instant {
        self.heard.lock().1
    }

    /// Returns once it has to make room for another.
    pub(super) async fn shown_out(&self) {
        self.shown_out.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_was_silent_for_the_longest_time_makes_room() {
        const MOST: usize = 256;
        const PATIENCE: Duration = Duration::from_secs(15);
        let guests = Guests::new(MOST, PATIENCE);
        let first = guests.admit();
        let second = guests.admit();
        let others: Vec<_> = (2..MOST).map(|_| guests.admit()).collect();
        first.wait_for(PATIENCE);
        guests.admit();
        let shown_out = tokio::time::timeout(PATIENCE, second.shown_out.notified()).await;
        assert!(shown_out.is_ok());
        guests.leave(&second);
        guests.leave(&others[0]);
        guests.admit();
        assert_eq!(guests.present.lock().len(), MOST);
        let is_in = guests.present.lock().iter().any(|guest| Arc::ptr_eq(guest, &first));
        assert!(is_in, "who was heard of stays");
    }
}

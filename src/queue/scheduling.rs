//! Scheduled delivery: a message that a client publishes may ask not to be ready before a time. Until then it waits where what
//! is retried does (`waiting.rs`), and then it stands where its arrival put it.

use std::sync::Arc;

use super::Queue;
use super::effects::{Pushed, QueueEffects};
use super::entry::{Entry, Returns, Stored};
use super::held::Held;
use crate::model::delay;
use crate::model::ids::Timestamp;
use crate::model::message::{Message, Origin};

impl Queue {
    /// Until when a message waits that comes in now, in a queue with scheduled delivery. Dead letters never do.
    pub(super) fn scheduled(&self, now: Timestamp, message: &Message) -> Option<Timestamp> {
        if message.origin() != Origin::Client {
            return None;
        }
        let wall = self.wall_clock.stored(self.next_position, Some(now))?;
        let until = delay::scheduled(message.properties(), wall);
        self.wall_clock.read(self.next_position, until)
    }

    /// Takes in a message that is not ready before then. Its time to live begins then, too.
    #[cold]
    pub(super) fn take_in_for_later(
        &mut self,
        message: Arc<Message>,
        until: Timestamp,
        fx: &mut QueueEffects,
    ) -> Pushed {
        // What names a time is delivered as it came.
        let message = if delay::has_delay(&message) { Arc::new(delay::released(&message)) } else { message };
        let durable = self.must_survive(&message);
        let (lane, position) = (self.lane_of(&message), self.next_position);
        let entry = Entry {
            position,
            expiry: self.expiry_of(until, &message),
            message,
            returns: Returns::default(),
            stored: if durable { Stored::Durable } else { Stored::No },
            indexed: false,
        };
        self.next_position = position.next();
        if durable {
            let not_before = self.wall_clock.stored(position, Some(until)).unwrap_or(until);
            self.put_until(lane, &entry, not_before, fx);
        }
        self.wait(position, Held::of(entry, lane, true), until, fx);
        if durable { Pushed::Stored } else { Pushed::Accepted }
    }
}

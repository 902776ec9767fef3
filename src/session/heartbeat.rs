//! Heartbeats both ways (semantics section 3): ours after silence on our side, and the count of the intervals in
//! which nothing was heard from the peer.

use crate::model::ids::Timestamp;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Nothing was sent for a while: send a heartbeat.
    Send,
    /// The peer was silent for two intervals in a row: it is gone.
    PeerGone,
}

/// Looks twice per interval whether something was sent, and once whether something was heard.
#[derive(Debug)]
pub(super) struct Heartbeats {
    interval_ms: u64,
    look_at_sent: Timestamp,
    look_at_heard: Timestamp,
    sent: bool,
    /// A heartbeat was the answer to the last look. What is sent until the next one may be that heartbeat, and
    /// does not spare another.
    beating: bool,
    heard: bool,
    silent_intervals: u8,
}

impl Heartbeats {
    /// None where heartbeats are off (an interval of 0).
    pub(super) fn new(now: Timestamp, interval_seconds: u16) -> Option<Heartbeats> {
        let interval_ms = u64::from(interval_seconds) * 1000;
        (interval_ms > 0).then(|| Heartbeats {
            interval_ms,
            look_at_sent: now.plus_millis(interval_ms / 2),
            look_at_heard: now.plus_millis(interval_ms),
            sent: false,
            beating: false,
            heard: false,
            silent_intervals: 0,
        })
    }

    pub(super) fn interval_ms(&self) -> u64 {
        self.interval_ms
    }

    pub(super) fn note_sent(&mut self) {
        self.sent = !self.beating;
    }

    /// Any byte counts (semantics 3.2).
    pub(super) fn note_heard(&mut self) {
        self.heard = true;
    }

    pub(super) fn next_deadline(&self) -> Timestamp {
        self.look_at_sent.min(self.look_at_heard)
    }

    /// `listening`: the peer's socket is being read; its silence says nothing otherwise.
    pub(super) fn tick(&mut self, now: Timestamp, listening: bool) -> Due {
        if now >= self.look_at_heard {
            self.look_at_heard = now.plus_millis(self.interval_ms);
            let silent = listening && !self.heard;
            self.heard = false;
            self.silent_intervals = if silent { self.silent_intervals + 1 } else { 0 };
            if self.silent_intervals >= 2 {
                return Due::PeerGone;
            }
        }
        if now >= self.look_at_sent {
            self.look_at_sent = now.plus_millis(self.interval_ms / 2);
            self.beating = !std::mem::take(&mut self.sent);
            if self.beating {
                return Due::Send;
            }
        }
        Due::Nothing
    }
}

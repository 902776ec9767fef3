//! Between memory and the store: which ready messages are paged out to keep the window, what is fetched back, what an
//! answer means. Memory keeps the head of each lane; the newest go first.

use super::Queue;
use super::effects::QueueEffects;
use super::entry::{Entry, Stored};
use super::lane::InFlight;
use crate::model::ids::{Position, PositionRange, Timestamp};
use crate::model::op::{self, Fetch, Fetched, StoredEntry, Wants};

/// Fetches ask for a quarter of the window of what is stored, and for no less and no more than these bytes.
const LEAST_FETCHED: usize = 64 * 1024;
const MOST_FETCHED: usize = 8 * 1024 * 1024;

/// Messages spilled in one go from before the spans.
const SPILLED_TOGETHER: usize = 4096;

/// How many messages beyond those that have just come leave memory in one call: a window may become much smaller.
pub(super) const PAGED_OUT: usize = 4096;

/// A queue in use has this much memory, however small its window is, so that it does not read the same messages again
/// and again.
pub(super) const FLOOR: usize = 2 * LEAST_FETCHED;

impl Queue {
    /// An answer of the store. Messages come into memory; the pump that follows delivers them.
    pub fn loaded(&mut self, now: Timestamp, fetched: Fetched, fx: &mut QueueEffects) {
        if let Wants::Times { .. } = fetched.fetch.wants {
            return self.looked_ahead(now, fetched);
        }
        self.dead_letters_loaded(&fetched, fx);
        let Some(lane) = self.ready.lanes.get_mut(usize::from(fetched.fetch.lane)) else { return };
        let Some(in_flight) = lane.in_flight.take_if(|asked| asked.fetch == fetched.fetch) else { return };
        self.fetches -= 1;
        // What is needed and was not read is asked for again.
        if !in_flight.is_stale && fetched.through >= fetched.fetch.range.first {
            self.load(fetched, in_flight.left);
        }
    }

    /// Asks for the front of a lane's spans, if nothing was asked for yet.
    pub(super) fn fetch_front(&mut self, lane: op::Lane, fx: &mut QueueEffects) {
        let Some(spans) = self.ready.lanes.get(usize::from(lane)).map(|lane| &lane.spans) else { return };
        if let Some(range) = spans.front_range() {
            self.fetch(lane, range, fx);
        }
    }

    /// Keeps memory within the window, and the head of the lane that is being served filled. Only after something was
    /// `served`: otherwise what is fetched ahead could be paged out and fetched again for ever. Of what `came` before the
    /// call everything leaves that has to. Returns how many others did, and whether there may be more of them.
    pub(super) fn balance_memory(
        &mut self,
        served: bool,
        came: usize,
        fx: &mut QueueEffects,
    ) -> (usize, bool) {
        let in_use = !self.consumers.is_empty() || !self.gets.is_empty() || self.drops_head();
        let floor = if in_use { FLOOR } else { 0 };
        let (stored, all) = (self.window.stored.max(floor), self.window.all.max(floor));
        let (let_go, has_more) = self.balance_unacked();
        let most = came.saturating_add(PAGED_OUT);
        let mut paged = 0;
        if self.ready.stored_memory() > stored {
            paged = self.page_out(stored, in_use, most, fx);
        } else if self.ready.memory() > all {
            paged = self.page_out(all, in_use, most, fx);
        }
        if served {
            self.fetch_ahead(stored, fx);
        }
        (paged.saturating_sub(came) + let_go, paged == most || has_more)
    }

    fn fetch_ahead(&mut self, stored: usize, fx: &mut QueueEffects) {
        let low = (stored / 4).min(MOST_FETCHED);
        if let Some(lane) = self.ready.highest()
            && self.ready.lanes[usize::from(lane)].front_bytes() < low
        {
            self.fetch_front(lane, fx);
        }
    }

    /// Pages out the newest messages of all lanes, then, down to three quarters of the window, what stands before the spans:
    /// the lowest lane first. A queue in use keeps the next message to be delivered or dropped. A lane that waits for a
    /// fetch keeps what stands before the place it will be read to. Returns how many messages left, which are `most` where
    /// there may be more.
    fn page_out(&mut self, window: usize, in_use: bool, most: usize, fx: &mut QueueEffects) -> usize {
        let highest = op::Lane::try_from(self.ready.lanes.len().saturating_sub(1)).unwrap_or(op::Lane::MAX);
        let mut paged = 0;
        for lane in 0..=highest {
            while paged < most
                && let Some(mut entry) = self.ready.page_tail(lane)
            {
                self.spill(lane, &mut entry, fx);
                paged += 1;
            }
            if paged == most || self.ready.memory() <= window {
                return paged;
            }
        }
        let next = self.ready.highest();
        for lane in 0..=highest {
            let kept = usize::from(in_use && next == Some(lane));
            loop {
                let piece = (most - paged).min(SPILLED_TOGETHER);
                let left = self.page_front(lane, window - window / 4, kept, piece, fx);
                paged += left;
                if paged == most {
                    return paged;
                }
                if left < piece {
                    break;
                }
            }
        }
        paged
    }

    /// Pages out the newest messages before a lane's spans, `most` of them at the most: as many as are stored together
    /// well. Returns how many.
    fn page_front(
        &mut self,
        lane: op::Lane,
        memory: usize,
        kept: usize,
        most: usize,
        fx: &mut QueueEffects,
    ) -> usize {
        let mut paged = Vec::new();
        while paged.len() < most
            && self.ready.memory() > memory
            && self.ready.lanes[usize::from(lane)].may_page_front(kept)
        {
            paged.extend(self.ready.page_front(lane));
        }
        let count = paged.len();
        // They come newest first, and are stored in the order in which they will be read.
        for mut entry in paged.into_iter().rev() {
            self.spill(lane, &mut entry, fx);
        }
        count
    }

    /// Has the store keep a message that leaves memory, if it does not already.
    pub(super) fn spill(&mut self, lane: op::Lane, entry: &mut Entry, fx: &mut QueueEffects) {
        if entry.stored == Stored::No {
            entry.stored = Stored::Spilled;
            self.put(lane, entry, fx);
        }
    }

    fn fetch(&mut self, number: op::Lane, range: PositionRange, fx: &mut QueueEffects) {
        let max_bytes = self.most_fetched();
        let lane = &mut self.ready.lanes[usize::from(number)];
        if lane.in_flight.is_some() {
            return;
        }
        let fetch = Fetch { queue: self.id.queue, lane: number, range, max_bytes, wants: Wants::All };
        lane.in_flight = Some(InFlight { fetch: fetch.clone(), left: Vec::new(), is_stale: false });
        self.fetches += 1;
        fx.fetches.push(fetch);
    }

    /// How many bytes of messages one fetch brings, about.
    pub(super) fn most_fetched(&self) -> usize {
        (self.window.stored / 4).clamp(LEAST_FETCHED, MOST_FETCHED)
    }

    /// Messages from the front of the spans come into memory.
    fn load(&mut self, fetched: Fetched, mut left: Vec<PositionRange>) {
        let Fetched { fetch, mut entries, through, .. } = fetched;
        let lane = &self.ready.lanes[usize::from(fetch.lane)];
        if lane.spans.first() != Some(fetch.range.first) {
            // Purged since.
            return;
        }
        left.sort_unstable();
        entries.retain(|found| {
            found.position <= through && !self.is_elsewhere(fetch.lane, found.position, &left)
        });
        self.ready.with_spans(fetch.lane, |lane| {
            for found in &entries {
                lane.spans.take_front(found.position, found.message.body().len() as u64);
            }
            lane.spans.advance(through);
        });
        self.ready.left_spans(fetch.lane, PositionRange { first: fetch.range.first, last: through });
        for found in entries {
            let entry = self.entry_of(found);
            self.ready.push_loaded(fetch.lane, entry);
        }
        self.ready.rejoin(fetch.lane);
    }

    /// Whether a message the store still has is not ready in its lane's spans: it is in memory or has left since.
    /// `left` is sorted.
    pub(super) fn is_elsewhere(&self, lane: op::Lane, position: Position, left: &[PositionRange]) -> bool {
        let at = left.partition_point(|range| range.first <= position);
        self.unacked.contains(position)
            || self.dead_letters.contains(position)
            || self.waiting.contains(position)
            || self.ready.lanes[usize::from(lane)].is_returned(position)
            || at.checked_sub(1).is_some_and(|at| left[at].contains(position))
    }

    fn entry_of(&self, found: StoredEntry) -> Entry {
        let durable = self.must_survive(&found.message);
        Entry::loaded(found, durable, &self.wall_clock)
    }
}

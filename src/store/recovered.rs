//! What is stored, as queues want to know it at a start: spans of ready messages, and what waits. How it is found on disk is
//! `recovery.rs`.

use super::error::StoreError;
use super::index::{EntrySource, Index, Run};
use super::run::RunKey;
use crate::model::ids::{Position, PositionRange};
use crate::model::op::{RecoveredQueue, Span, StoredWait};

/// Runs are reported as spans of about this many messages.
const SPAN_MESSAGES: u64 = 4096;

impl Index {
    /// All queues of which something is stored.
    pub(super) fn recovered(&self, source: &mut impl EntrySource) -> Result<Vec<RecoveredQueue>, StoreError> {
        let mut recovered = Vec::new();
        for (&queue, runs) in &self.queues {
            let mut found =
                RecoveredQueue { queue, next_position: runs.next_position, ..RecoveredQueue::default() };
            for (&lane, runs) in &runs.lanes {
                let mut known = Spans::default();
                for (&(first, number), run) in &runs.runs {
                    let waits = self.waits(RunKey { queue, lane, number }, source)?;
                    let bytes = waits.iter().map(|wait| u64::from(wait.body)).sum();
                    known.add(first, run, waits.len() as u64, bytes);
                    found.waiting.extend(waits);
                }
                if !known.0.is_empty() {
                    found.lanes.push((lane, known.0));
                }
            }
            if !found.lanes.is_empty() || !found.waiting.is_empty() {
                recovered.push(found);
            }
        }
        Ok(recovered)
    }

    /// What of a run waits. Of one with damaged entries nothing is known to.
    fn waits(&self, key: RunKey, source: &mut impl EntrySource) -> Result<Vec<StoredWait>, StoreError> {
        let Some(delta) = self.run_deltas.get(&key.number).filter(|delta| delta.has_waits()) else {
            return Ok(Vec::new());
        };
        let Some(entries) = source.entries(key)? else { return Ok(Vec::new()) };
        let waits = delta.requeued.waits().filter(|(place, _)| !delta.settled.contains(u64::from(*place)));
        let waits = waits.filter_map(|(place, not_before)| {
            let entry = entries.get(place as usize)?;
            let (position, expires_at, body) =
                (Position(entry.position), entry.meta.expires_at, entry.body_len);
            Some(StoredWait { lane: key.lane, position, not_before, expires_at, body })
        });
        Ok(waits.collect())
    }
}

/// Runs, in order, joined to spans: always where they overlap, and up to a useful size where they do not.
#[derive(Default)]
struct Spans(Vec<Span>);

impl Spans {
    /// Adds a run of which so many messages, with bodies of so many bytes, wait.
    fn add(&mut self, first: u64, run: &Run, waiting: u64, waiting_bytes: u64) {
        let count = u64::from(run.live).saturating_sub(waiting);
        if count == 0 {
            return;
        }
        let range = PositionRange { first: Position(first), last: Position(run.last) };
        let bytes = run.live_bytes.saturating_sub(waiting_bytes);
        let next = Span { range, count, bytes, earliest_expiry: run.earliest };
        match self.0.last_mut() {
            Some(span) if span.range.last.0 >= first || span.count + next.count <= SPAN_MESSAGES => {
                span.range.last = span.range.last.max(next.range.last);
                span.count += next.count;
                span.bytes += next.bytes;
                span.earliest_expiry =
                    [span.earliest_expiry, next.earliest_expiry].into_iter().flatten().min();
            }
            _ => self.0.push(next),
        }
    }
}

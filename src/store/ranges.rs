//! Sets and maps over numbers that come in runs: what is settled of a run of messages, which runs have a tombstone,
//! how each message came back. A run of equals costs one entry however long it is.

use super::wire::{self, Reader, put_varint};
use crate::model::ids::Timestamp;
use crate::model::op::{Attempts, Return};

/// No message waits until later than this, in milliseconds since 1970, so that the distance of any two times fits.
const LATEST: u64 = i64::MAX as u64;

/// A set of numbers as disjoint runs, in order, never touching each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RangeSet {
    runs: Vec<(u64, u64)>,
}

impl RangeSet {
    /// Adds `first..=last` and calls `added` for each part that was not there.
    pub(super) fn insert(&mut self, first: u64, last: u64, mut added: impl FnMut(u64, u64)) {
        if last < first {
            return;
        }
        // The common case: behind everything, or growing the last run.
        if self.runs.last().is_none_or(|run| run.1 < first) {
            added(first, last);
            match self.runs.last_mut() {
                Some(run) if run.1 + 1 == first => run.1 = last,
                _ => self.runs.push((first, last)),
            }
            return;
        }
        let from = self.runs.partition_point(|run| run.1.saturating_add(1) < first);
        let to = self.runs.partition_point(|run| run.0 <= last.saturating_add(1));
        let mut merged = (first, last);
        let mut next = Some(first);
        for run in &self.runs[from..to] {
            if let Some(gap) = next.filter(|&gap| gap < run.0 && gap <= last) {
                added(gap, last.min(run.0 - 1));
            }
            next = next.and_then(|gap| run.1.checked_add(1).map(|after| gap.max(after)));
            merged = (merged.0.min(run.0), merged.1.max(run.1));
        }
        if let Some(gap) = next.filter(|&gap| gap <= last) {
            added(gap, last);
        }
        self.runs.splice(from..to, [merged]);
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        let at = self.runs.partition_point(|run| run.1 < number);
        self.runs.get(at).is_some_and(|run| run.0 <= number)
    }

    /// The runs in order, both ends included.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.runs.iter().copied()
    }

    /// How many numbers are in it.
    pub(super) fn len(&self) -> u64 {
        self.runs.iter().map(|run| run.1 - run.0 + 1).sum()
    }

    /// How many runs it takes to say so.
    pub(super) fn parts(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.runs.len() as u64);
        let mut before = 0;
        for &(first, last) in &self.runs {
            put_varint(out, first - before);
            put_varint(out, last - first);
            before = last;
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Option<RangeSet> {
        let mut set = RangeSet::default();
        let mut before = 0u64;
        for _ in 0..reader.varint()? {
            let first = before.checked_add(reader.varint()?)?;
            before = first.checked_add(reader.varint()?)?;
            set.insert(first, before, |_, _| ());
        }
        Some(set)
    }
}

/// How each of a set of small keys came back; neighbours of which the same is to be said share one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Returns {
    runs: Vec<(u32, u32, Return)>,
}

impl Returns {
    pub(super) fn set(&mut self, key: u32, count: Return) {
        let at = self.runs.partition_point(|run| run.1 < key);
        let mut parts = [None; 3];
        let mut until = at;
        if let Some(&(first, last, old)) = self.runs.get(at).filter(|run| run.0 <= key) {
            if old == count {
                return;
            }
            parts[0] = (first < key).then(|| (first, key - 1, old));
            parts[2] = (key < last).then(|| (key + 1, last, old));
            until = at + 1;
        }
        parts[1] = Some((key, key, count));
        self.runs.splice(at..until, parts.into_iter().flatten());
        let own = at + usize::from(parts[0].is_some());
        self.join(own);
        if let Some(before) = own.checked_sub(1) {
            self.join(before);
        }
    }

    /// Joins the entry with the next where they touch and agree.
    fn join(&mut self, at: usize) {
        if let (Some(&left), Some(&right)) = (self.runs.get(at), self.runs.get(at + 1))
            && left.1 + 1 == right.0
            && left.2 == right.2
        {
            self.runs[at].1 = right.1;
            self.runs.remove(at + 1);
        }
    }

    pub(super) fn get(&self, key: u32) -> Option<Return> {
        let at = self.runs.partition_point(|run| run.1 < key);
        self.runs.get(at).filter(|run| run.0 <= key).map(|run| run.2)
    }

    /// Whether some of them wait.
    pub(super) fn has_waits(&self) -> bool {
        self.waits().next().is_some()
    }

    /// Those that wait, in order, and until when.
    pub(super) fn waits(&self) -> impl Iterator<Item = (u32, Timestamp)> + '_ {
        let waiting = self.runs.iter().filter(|(_, _, with)| with.not_before > Timestamp(0));
        waiting.flat_map(|&(first, last, with)| (first..=last).map(move |key| (key, with.not_before)))
    }

    /// `with_waits`: until when each waits is there, too: by how much that is later or earlier than of the one before, for
    /// those that came back together wait for about as long.
    pub(super) fn encode(&self, out: &mut Vec<u8>, with_waits: bool) {
        put_varint(out, self.runs.len() as u64);
        let (mut before, mut until) = (0, 0);
        for &(first, last, Return { attempts, not_before }) in &self.runs {
            put_varint(out, u64::from(first - before));
            put_varint(out, u64::from(last - first));
            put_attempts(out, attempts);
            if with_waits {
                if not_before == Timestamp(0) {
                    put_varint(out, 0);
                } else {
                    put_varint(
                        out,
                        wire::zigzag(not_before.0.wrapping_sub(until).cast_signed()).saturating_add(1),
                    );
                    until = not_before.0;
                }
            }
            before = last;
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>, with_waits: bool) -> Option<Returns> {
        let mut returns = Returns::default();
        let (mut before, mut until) = (0u32, 0u64);
        for at in 0..reader.varint()? {
            let first = before.checked_add(reader.varint32()?)?;
            let last = first.checked_add(reader.varint32()?)?;
            if at > 0 && first <= before {
                return None;
            }
            let attempts = attempts(reader)?;
            let step = if with_waits { reader.varint()? } else { 0 };
            if let Some(step) = step.checked_sub(1) {
                // Nothing waits for longer than a time can be told; what says so is no row of ours.
                until = until.checked_add_signed(wire::unzigzag(step)).filter(|until| *until <= LATEST)?;
            }
            let not_before = Timestamp(if step > 0 { until } else { 0 });
            returns.runs.push((first, last, Return { attempts, not_before }));
            before = last;
        }
        Some(returns)
    }
}

/// Appends both counts: one byte where nothing was counted.
fn put_attempts(out: &mut Vec<u8>, attempts: Attempts) {
    put_varint(out, (u64::from(attempts.failed) << 1) | u64::from(attempts.acquired > 0));
    if attempts.acquired > 0 {
        put_varint(out, u64::from(attempts.acquired));
    }
}

/// What [`put_attempts`] wrote.
fn attempts(reader: &mut Reader<'_>) -> Option<Attempts> {
    let first = reader.varint()?;
    let acquired = if first & 1 == 1 { reader.varint32()? } else { 0 };
    Some(Attempts { acquired, failed: u32::try_from(first >> 1).ok()? })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_range_set_is_a_set(inserts in proptest::collection::vec((0u64..60, 0u64..8), 0..40)) {
            let mut set = RangeSet::default();
            let mut naive = BTreeSet::new();
            for (first, more) in inserts {
                let mut added = Vec::new();
                set.insert(first, first + more, |from, to| added.extend(from..=to));
                let fresh: Vec<u64> = (first..=first + more).filter(|&number| naive.insert(number)).collect();
                prop_assert_eq!(added, fresh);
            }
            prop_assert_eq!(set.len(), naive.len() as u64);
            for number in 0..70 {
                prop_assert_eq!(set.contains(number), naive.contains(&number));
            }
            prop_assert!(set.runs.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
            let mut bytes = Vec::new();
            set.encode(&mut bytes);
            prop_assert_eq!(RangeSet::decode(&mut Reader(&bytes)), Some(set));
        }

        #[test]
        fn returns_are_a_map(
            sets in proptest::collection::vec((0u32..30, 0u32..3, 0u32..3, 0u64..3), 0..60),
            with_waits: bool,
        ) {
            let mut counts = Returns::default();
            let mut naive = BTreeMap::new();
            for (key, acquired, failed, until) in sets {
                let not_before = Timestamp(if with_waits { until } else { 0 });
                let count = Return { attempts: Attempts { acquired, failed }, not_before };
                counts.set(key, count);
                naive.insert(key, count);
            }
            for key in 0..40 {
                prop_assert_eq!(counts.get(key), naive.get(&key).copied());
            }
            prop_assert!(counts.runs.windows(2).all(|p| p[0].1 + 1 < p[1].0 || p[0].2 != p[1].2));
            let mut bytes = Vec::new();
            let waits: Vec<_> = naive.iter().map(|(&key, with)| (key, with.not_before)).collect();
            let waits: Vec<_> = waits.into_iter().filter(|(_, until)| *until > Timestamp(0)).collect();
            prop_assert_eq!(counts.waits().collect::<Vec<_>>(), waits);
            counts.encode(&mut bytes, with_waits);
            prop_assert_eq!(Returns::decode(&mut Reader(&bytes), with_waits), Some(counts));
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes: Vec<u8>) {
            let _ = RangeSet::decode(&mut Reader(&bytes));
            let _ = Returns::decode(&mut Reader(&bytes), false);
            let _ = Returns::decode(&mut Reader(&bytes), true);
        }
    }

    #[test]
    fn the_ends_of_the_number_line_are_no_special_case() {
        let mut set = RangeSet::default();
        set.insert(u64::MAX - 1, u64::MAX, |_, _| ());
        set.insert(0, 0, |_, _| ());
        let mut added = Vec::new();
        set.insert(u64::MAX, u64::MAX, |first, last| added.push((first, last)));
        assert!(added.is_empty());
        set.insert(0, u64::MAX, |first, last| added.push((first, last)));
        assert_eq!(added, [(1, u64::MAX - 2)]);
    }
}

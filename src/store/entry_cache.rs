//! The entries of the runs used last: some decoded, and more of them as they are written, for runs in which messages expire
//! and are looked for in no order. What a run is, and where its entries lie, is not known here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::run::{self, Entry, Header};
use crate::model::holdings::Holdings;

/// Decoded entries (about 50 bytes each).
const DECODED: usize = 64 * 1024;
/// Bytes of entries as they are written, of which a message that expires has about 13.
const ENCODED: usize = 16 << 20;

/// What was used last, by number of the run, up to a weight of all together.
#[derive(Debug)]
struct LruCache<T> {
    values: HashMap<u64, Used<T>>,
    by_use: BTreeMap<u64, u64>,
    uses: u64,
    weight: usize,
    most: usize,
}

#[derive(Debug)]
struct Used<T> {
    at: u64,
    weight: usize,
    value: T,
}

impl<T> LruCache<T> {
    fn new(most: usize) -> LruCache<T> {
        LruCache { values: HashMap::new(), by_use: BTreeMap::new(), uses: 0, weight: 0, most }
    }

    fn get(&mut self, number: u64) -> Option<&T> {
        let used = self.values.get_mut(&number)?;
        self.by_use.remove(&used.at);
        self.uses += 1;
        used.at = self.uses;
        self.by_use.insert(self.uses, number);
        Some(&used.value)
    }

    fn insert(&mut self, number: u64, value: T, weight: usize) {
        self.uses += 1;
        self.weight += weight;
        self.by_use.insert(self.uses, number);
        if let Some(old) = self.values.insert(number, Used { at: self.uses, weight, value }) {
            self.by_use.remove(&old.at);
            self.weight -= old.weight;
        }
        while self.weight > self.most {
            let Some((_, oldest)) = self.by_use.pop_first() else { break };
            self.weight -= self.values.remove(&oldest).map_or(0, |gone| gone.weight);
        }
    }

    fn holdings(&self, [values, order, weight]: [&'static str; 3], into: &mut Holdings) {
        into.declared(values, &self.values);
        into.declared(order, &self.by_use);
        into.declared(weight, &self.weight);
    }
}

#[derive(Debug)]
pub(super) struct EntryCache {
    decoded: LruCache<Arc<[Entry]>>,
    encoded: LruCache<(Header, Bytes)>,
}

impl Default for EntryCache {
    fn default() -> EntryCache {
        EntryCache { decoded: LruCache::new(DECODED), encoded: LruCache::new(ENCODED) }
    }
}

impl EntryCache {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let EntryCache { decoded, encoded } = self;
        let names =
            ["store: runs in memory", "store: their order of use", "store: entries of runs in memory"];
        decoded.holdings(names, into);
        let names = [
            "store: runs in memory as written",
            "store: the order of use of these",
            "store: bytes of entries in memory",
        ];
        encoded.holdings(names, into);
    }

    pub(super) fn get(&mut self, number: u64) -> Option<Arc<[Entry]>> {
        if let Some(entries) = self.decoded.get(number) {
            return Some(Arc::clone(entries));
        }
        let (header, bytes) = self.encoded.get(number)?;
        let entries: Arc<[Entry]> = run::decode_entries(header, bytes)?.into();
        self.insert(number, Arc::clone(&entries));
        Some(entries)
    }

    /// A single entry is not worth its place.
    pub(super) fn insert(&mut self, number: u64, entries: Arc<[Entry]>) {
        if entries.len() > 1 {
            let weight = entries.len();
            self.decoded.insert(number, entries, weight);
        }
    }

    /// Keeps what is written of the entries of a run in which something expires.
    pub(super) fn keep_encoded(&mut self, number: u64, header: Header, bytes: Bytes) {
        if header.earliest.is_some() {
            let weight = bytes.len() + size_of::<(Header, Bytes)>();
            self.encoded.insert(number, (header, bytes), weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Timestamp;
    use crate::model::op::EntryMeta;

    fn entry(position: u64, expires_at: Option<Timestamp>) -> Entry {
        let meta = EntryMeta { expires_at, ..EntryMeta::default() };
        Entry { position, offset: 0, len: 0, body_len: 0, meta, durable: true }
    }

    #[test]
    fn the_cache_forgets_what_was_used_longest_ago() {
        let many: Arc<[Entry]> = vec![entry(0, None); DECODED / 4].into();
        let mut cache = EntryCache::default();
        for number in 1..=4 {
            cache.insert(number, Arc::clone(&many));
        }
        assert!(cache.get(1).is_some());
        cache.insert(5, Arc::clone(&many));
        assert!(cache.get(2).is_none() && cache.get(1).is_some() && cache.get(5).is_some());
        cache.insert(5, many);
        assert!(cache.get(3).is_some(), "the same run again takes no room");
    }

    #[test]
    fn entries_of_what_expires_are_kept_as_they_are_written_when_they_are_forgotten() {
        let mut cache = EntryCache::default();
        for (number, time) in [(1, Some(Timestamp(1_800_000_000_000))), (2, None)] {
            let entries: Vec<_> = (1..=1000).map(|position| entry(position, time)).collect();
            let encoded = run::encode(7, 1 << 20, &entries);
            cache.keep_encoded(number, encoded.header, encoded.chunked.unwrap());
        }
        let found = cache.get(1).unwrap();
        assert!(found.len() == 1000 && found[999].position == 1000);
        assert!(cache.get(2).is_none(), "what does not expire is not looked for in no order");
        assert!(cache.encoded.weight < 14 * 1000);
        for number in 3..2000 {
            let bytes = Bytes::from(vec![0; 64 << 10]);
            let (header, _) = cache.encoded.get(1).cloned().unwrap();
            cache.keep_encoded(number, header, bytes);
        }
        assert!(cache.encoded.weight <= ENCODED);
    }
}

//! Packs the messages of a commit into blobs and runs. A record is written once however many queues it went to;
//! the runs that follow from that are cut wherever the blob changes. Pure.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use bytes::{Bytes, BytesMut};
use foldhash::HashMap as FoldMap;

use super::changes::NewBlob;
use super::error::StoreError;
use super::record;
use super::run::{Entry, MOST_ENTRIES, RunKey};
use super::wire;
use crate::model::ids::{Position, QueueId};
use crate::model::message::Message;
use crate::model::op::{EntryMeta, Lane};

/// Blobs end at about this many bytes; only one message that is larger makes a larger one.
const BLOB_BYTES: u64 = (1 << 20) - 32;
/// Records, and envelopes of larger ones, up to this size are copied together.
const COPIED: usize = 4096;
/// The size of the pieces they are copied into.
const ARENA: usize = 64 * 1024;

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) blob: u64,
    pub(super) offset: u32,
    pub(super) len: u32,
    pub(super) body_len: u32,
}

/// The record of a message.
#[derive(Clone, Debug)]
pub(super) enum Record<'a> {
    Message(&'a Arc<Message>),
    /// It is stored already.
    Stored(Location),
    /// As it was read from where it lay, to be copied forward.
    Raw {
        from: Location,
        pieces: Vec<Bytes>,
    },
}

/// A message for a queue.
#[derive(Clone, Debug)]
pub(super) struct Item<'a> {
    pub(super) queue: QueueId,
    pub(super) lane: Lane,
    pub(super) position: Position,
    pub(super) meta: EntryMeta,
    pub(super) durable: bool,
    /// It begins a run, because something else lies between it and the one before.
    pub(super) apart: bool,
    pub(super) record: Record<'a>,
}

/// A run to be written.
#[derive(Debug)]
pub(super) struct NewRun {
    pub(super) key: RunKey,
    pub(super) blob: u64,
    pub(super) entries: Vec<Entry>,
}

/// What the items came to.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub(super) blobs: Vec<NewBlob>,
    pub(super) runs: Vec<NewRun>,
}

/// What makes two items share a record: the message's address, or where it lay.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Identity {
    Message(usize),
    Raw(u64, u32),
}

/// Packs items, in their order. `numbers` gives out the next number for a blob or run. `written` hears where each
/// message that was not stored before now lies.
pub(super) fn pack<'a>(
    items: impl Iterator<Item = Item<'a>>,
    numbers: &mut impl FnMut() -> u64,
    mut written: impl FnMut(&Arc<Message>, Location),
) -> Result<Packed, StoreError> {
    let mut blobs = BlobWriter::default();
    let mut known: FoldMap<Identity, Location> = HashMap::default();
    let mut open: FoldMap<(QueueId, Lane), NewRun> = HashMap::default();
    let mut runs = Vec::new();
    for item in items {
        let location = match &item.record {
            Record::Stored(location) => *location,
            Record::Message(message) => {
                let identity = Identity::Message(Arc::as_ptr(message) as usize);
                match known.get(&identity) {
                    Some(location) => *location,
                    None => {
                        let location = blobs.add_message(message, numbers)?;
                        known.insert(identity, location);
                        written(message, location);
                        location
                    }
                }
            }
            Record::Raw { from, pieces } => *known
                .entry(Identity::Raw(from.blob, from.offset))
                .or_insert_with(|| blobs.add_raw(*from, pieces, numbers)),
        };
        let entry = Entry {
            position: item.position.0,
            offset: location.offset,
            len: location.len,
            body_len: location.body_len,
            meta: item.meta,
            durable: item.durable,
        };
        let mut begin = || NewRun {
            key: RunKey { queue: item.queue, lane: item.lane, number: numbers() },
            blob: location.blob,
            entries: Vec::new(),
        };
        let run = open.entry((item.queue, item.lane)).or_insert_with(&mut begin);
        if !continues(run, &item, location.blob) {
            runs.push(std::mem::replace(run, begin()));
        }
        run.entries.push(entry);
    }
    runs.extend(open.into_values());
    runs.sort_unstable_by_key(|run| run.key.number);
    Ok(Packed { blobs: blobs.finish(), runs })
}

fn continues(run: &NewRun, item: &Item<'_>, blob: u64) -> bool {
    run.entries.last().is_none_or(|last| {
        run.blob == blob && !item.apart && run.entries.len() < MOST_ENTRIES && last.position < item.position.0
    })
}

/// Puts blobs together, the newest at the end.
#[derive(Default)]
struct BlobWriter {
    blobs: Vec<NewBlob>,
    records: usize,
    arena: BytesMut,
}

impl BlobWriter {
    fn add_message(
        &mut self,
        message: &Message,
        numbers: &mut impl FnMut() -> u64,
    ) -> Result<Location, StoreError> {
        let len = record::record_len(message)?;
        let body_len: u32 = wire::fitted(message.body().len());
        let location = self.place(len, body_len, numbers);
        record::put_header(&mut self.arena, message);
        self.append(message.envelope(), message.envelope().len() <= COPIED);
        for slice in message.body().slices() {
            self.append(slice, len as usize <= COPIED);
        }
        Ok(location)
    }

    fn add_raw(&mut self, from: Location, pieces: &[Bytes], numbers: &mut impl FnMut() -> u64) -> Location {
        let location = self.place(from.len, from.body_len, numbers);
        for piece in pieces {
            self.append(piece, from.len as usize <= COPIED);
        }
        location
    }

    /// Makes room for a record at the end of the newest blob, or in a new one.
    fn place(&mut self, len: u32, body_len: u32, numbers: &mut impl FnMut() -> u64) -> Location {
        let fits = self.blobs.last().is_some_and(|blob| blob.len + u64::from(len) <= BLOB_BYTES);
        if !fits || self.records == MOST_ENTRIES {
            self.seal_arena();
            self.blobs.push(NewBlob { number: numbers(), ..NewBlob::default() });
            self.records = 0;
        }
        self.records += 1;
        if self.arena.capacity() - self.arena.len() < COPIED * 2 {
            self.seal_arena();
            self.arena = BytesMut::with_capacity(ARENA);
        }
        // A fresh blob has room for any record: its length is a u32.
        let (blob, offset) = self.blobs.last_mut().map_or((0, 0), |blob| {
            let offset = blob.len;
            blob.len += u64::from(len);
            (blob.number, offset)
        });
        Location { blob, offset: wire::fitted(offset), len, body_len }
    }

    fn append(&mut self, bytes: &Bytes, copy: bool) {
        if copy {
            self.arena.extend_from_slice(bytes);
        } else if !bytes.is_empty() {
            self.seal_arena();
            if let Some(blob) = self.blobs.last_mut() {
                blob.segments.push(bytes.clone());
            }
        }
    }

    fn seal_arena(&mut self) {
        if let Some(blob) = self.blobs.last_mut().filter(|_| !self.arena.is_empty()) {
            blob.segments.push(self.arena.split().freeze());
        }
    }

    fn finish(mut self) -> Vec<NewBlob> {
        self.seal_arena();
        self.blobs
    }
}

/// Where messages that may still be alive were just written, so that a message that reaches another queue in a
/// later commit is not written again. Bounded; what is forgotten is written twice, which is only a waste.
#[derive(Debug, Default)]
pub(super) struct Recent {
    by_address: FoldMap<usize, (Weak<Message>, Location)>,
    order: VecDeque<usize>,
}

impl Recent {
    /// Most messages remembered.
    const MOST: usize = 8192;

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn note(&mut self, message: &Arc<Message>, location: Location) {
        let address = Arc::as_ptr(message) as usize;
        // The weak reference keeps the address from being used for another message while it is noted here.
        if self.by_address.insert(address, (Arc::downgrade(message), location)).is_none() {
            self.order.push_back(address);
        }
        while self.order.len() > Self::MOST {
            if let Some(oldest) = self.order.pop_front() {
                self.by_address.remove(&oldest);
            }
        }
    }

    pub(super) fn find(&self, message: &Arc<Message>) -> Option<Location> {
        self.by_address.get(&(Arc::as_ptr(message) as usize)).map(|(_, location)| *location)
    }

    pub(super) fn clear(&mut self) {
        *self = Recent::default();
    }
}

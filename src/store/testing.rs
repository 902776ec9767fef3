//! Words the tests of this room share.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use leveret_codec::properties::Properties;

use crate::model::ids::{Position, PositionRange, QueueId, Timestamp};
use crate::model::message::{Body, Message, Origin};
use crate::model::op::{Attempts, EntryMeta, Fetch, Fetched, Lane, Op, Return, Wants};

/// What a test counts where it counts something.
pub(super) const COUNTED: Attempts = Attempts { acquired: 5, failed: 3 };

pub(super) fn message(body: &[u8]) -> Arc<Message> {
    let body = Body::whole(Bytes::copy_from_slice(body));
    let mut arena = BytesMut::new();
    Arc::new(Message::new(&mut arena, b"", b"key", Properties::default(), body, Origin::Client))
}

pub(super) fn body_of(message: &Message) -> Vec<u8> {
    message.body().slices().flat_map(|slice| slice.to_vec()).collect()
}

pub(super) fn put(queue: u64, position: u64, message: &Arc<Message>) -> Op {
    put_in(queue, 0, position, message)
}

pub(super) fn put_in(queue: u64, lane: Lane, position: u64, message: &Arc<Message>) -> Op {
    Op::Put {
        queue: QueueId(queue),
        lane,
        position: Position(position),
        message: Arc::clone(message),
        meta: EntryMeta::default(),
        durable: true,
    }
}

pub(super) fn range(queue: u64, first: u64, last: u64) -> Op {
    let range = PositionRange { first: Position(first), last: Position(last) };
    Op::Remove { queue: QueueId(queue), range }
}

pub(super) fn requeue(queue: u64, position: u64, attempts: Attempts) -> Op {
    requeue_to_wait(queue, position, attempts, 0)
}

/// It comes back and waits until then.
pub(super) fn requeue_to_wait(queue: u64, position: u64, attempts: Attempts, until: u64) -> Op {
    let with = Return { attempts, not_before: Timestamp(until) };
    Op::Requeue { queue: QueueId(queue), position: Position(position), with }
}

pub(super) fn fetch(queue: u64, first: u64, last: u64, max_bytes: usize) -> Fetch {
    let range = PositionRange { first: Position(first), last: Position(last) };
    Fetch { queue: QueueId(queue), lane: 0, range, max_bytes, wants: Wants::All }
}

pub(super) fn positions(fetched: &Fetched) -> Vec<u64> {
    fetched.entries.iter().map(|entry| entry.position.0).collect()
}

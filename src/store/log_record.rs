//! The operations of a commit as the bytes of a log record, and back. The record's frame and checksum are the log's.

use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::log::Logged;
use super::wire::{self, Reader, put_varint};
use crate::model::ids::{Position, PositionRange, QueueId, Timestamp};
use crate::model::message::{Body, Message, Origin};
use crate::model::op::{Attempts, CatalogOp, EntryMeta, Op, Return};

const PUT: u8 = 0;
const REMOVE: u8 = 1;
const REQUEUE: u8 = 2;
const DELETE_QUEUE: u8 = 3;
const CATALOG_PUT: u8 = 4;
const CATALOG_DELETE: u8 = 5;
/// A requeue with counts, and one with counts after which the message waits.
const REQUEUE_COUNTED: u8 = 6;
const REQUEUE_TO_WAIT: u8 = 7;

/// Flags of a put.
const EXPIRES: u8 = 1;
const REDELIVERED: u8 = 2;
/// The message is that of the put before.
const SAME: u8 = 4;
const DEAD_LETTERED: u8 = 8;
const COUNTED: u8 = 16;
const READDRESSED: u8 = 32;
/// The message waits.
const WAITS: u8 = 64;

/// Appends the operations to `out`. False, with some of them, as soon as `out` is longer than `most`, or a message waits that
/// may not. What is only spilled to bound memory is left out: it does not outlive the process.
pub(super) fn encode(
    out: &mut Vec<u8>,
    most: usize,
    may_wait: bool,
    ops: &[Op],
    catalog: &[CatalogOp],
) -> bool {
    let mut before: Option<&Arc<Message>> = None;
    for op in ops {
        match op {
            Op::Put { durable: false, .. } => {}
            Op::Put { queue, lane, position, message, meta, durable: true } => {
                let same = before.is_some_and(|before| Arc::ptr_eq(before, message));
                let waits = meta.not_before > Timestamp(0);
                if waits && !may_wait {
                    return false;
                }
                out.push(PUT);
                out.push(flags(message, *meta, same));
                put_varint(out, queue.0);
                out.push(*lane);
                put_varint(out, position.0);
                if meta.attempts != Attempts::NONE {
                    put_attempts(out, meta.attempts);
                }
                if let Some(expires_at) = meta.expires_at {
                    put_varint(out, expires_at.0);
                }
                if waits {
                    put_varint(out, meta.not_before.0);
                }
                if !same {
                    put_message(out, message);
                }
                before = Some(message);
            }
            Op::Remove { queue, range } => {
                out.push(REMOVE);
                put_varint(out, queue.0);
                put_varint(out, range.first.0);
                put_varint(out, range.last.0);
            }
            Op::Requeue { queue, position, with: Return { attempts, not_before } } => {
                let kind = match (*attempts, *not_before) {
                    (Attempts::NONE, Timestamp(0)) => REQUEUE,
                    (_, Timestamp(0)) => REQUEUE_COUNTED,
                    _ if may_wait => REQUEUE_TO_WAIT,
                    _ => return false,
                };
                out.push(kind);
                put_varint(out, queue.0);
                put_varint(out, position.0);
                if kind != REQUEUE {
                    put_attempts(out, *attempts);
                }
                if kind == REQUEUE_TO_WAIT {
                    put_varint(out, not_before.0);
                }
            }
            Op::DeleteQueue { queue } => {
                out.push(DELETE_QUEUE);
                put_varint(out, queue.0);
            }
        }
        if out.len() > most {
            return false;
        }
    }
    for op in catalog {
        let (kind, key, value) = match op {
            CatalogOp::Put { key, value } => (CATALOG_PUT, key, Some(value)),
            CatalogOp::Delete { key } => (CATALOG_DELETE, key, None),
        };
        out.push(kind);
        for bytes in std::iter::once(key).chain(value) {
            put_varint(out, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
    }
    out.len() <= most
}

fn flags(message: &Message, meta: EntryMeta, same: bool) -> u8 {
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    flag(meta.expires_at.is_some(), EXPIRES)
        | flag(meta.redelivered, REDELIVERED)
        | flag(same, SAME)
        | flag(meta.attempts != Attempts::NONE, COUNTED)
        | flag(message.origin() != Origin::Client, DEAD_LETTERED)
        | flag(message.origin() == Origin::Readdressed, READDRESSED)
        | flag(meta.not_before > Timestamp(0), WAITS)
}

fn put_attempts(out: &mut Vec<u8>, attempts: Attempts) {
    put_varint(out, u64::from(attempts.acquired));
    put_varint(out, u64::from(attempts.failed));
}

fn put_message(out: &mut Vec<u8>, message: &Message) {
    // Both are at most 255, as the shortstr they came from.
    out.push(wire::fitted(message.exchange().len()));
    out.push(wire::fitted(message.routing_key().len()));
    put_varint(out, message.envelope().len() as u64);
    put_varint(out, message.body().len() as u64);
    out.extend_from_slice(message.envelope());
    for slice in message.body().slices() {
        out.extend_from_slice(slice);
    }
}

/// The operations of a record; None where they are not what [`encode`] writes. Messages share the bytes.
pub(super) fn decode(mut bytes: Bytes) -> Option<Logged> {
    let mut logged = Logged::default();
    let mut before: Option<Arc<Message>> = None;
    while !bytes.is_empty() {
        match bytes.get_u8() {
            PUT => logged.ops.push(put(&mut bytes, &mut before)?),
            REMOVE => {
                let queue = QueueId(number(&mut bytes)?);
                let (first, last) = (Position(number(&mut bytes)?), Position(number(&mut bytes)?));
                logged.ops.push(Op::Remove { queue, range: PositionRange { first, last } });
            }
            kind @ (REQUEUE | REQUEUE_COUNTED | REQUEUE_TO_WAIT) => {
                let (queue, position) = (QueueId(number(&mut bytes)?), Position(number(&mut bytes)?));
                let attempts = if kind == REQUEUE { Attempts::NONE } else { attempts(&mut bytes)? };
                let not_before = if kind == REQUEUE_TO_WAIT { number(&mut bytes)? } else { 0 };
                let with = Return { attempts, not_before: Timestamp(not_before) };
                logged.ops.push(Op::Requeue { queue, position, with });
            }
            DELETE_QUEUE => logged.ops.push(Op::DeleteQueue { queue: QueueId(number(&mut bytes)?) }),
            CATALOG_PUT => logged
                .catalog
                .push(CatalogOp::Put { key: text(&mut bytes)?.to_vec(), value: text(&mut bytes)?.to_vec() }),
            CATALOG_DELETE => logged.catalog.push(CatalogOp::Delete { key: text(&mut bytes)?.to_vec() }),
            _ => return None,
        }
    }
    Some(logged)
}

fn put(bytes: &mut Bytes, before: &mut Option<Arc<Message>>) -> Option<Op> {
    let flags = byte(bytes)?;
    let queue = QueueId(number(bytes)?);
    let lane = byte(bytes)?;
    let position = Position(number(bytes)?);
    let attempts = if flags & COUNTED != 0 { attempts(bytes)? } else { Attempts::NONE };
    let expires_at = if flags & EXPIRES != 0 { Some(Timestamp(number(bytes)?)) } else { None };
    let redelivered = flags & REDELIVERED != 0;
    let not_before = Timestamp(if flags & WAITS != 0 { number(bytes)? } else { 0 });
    let meta = EntryMeta { expires_at, attempts, redelivered, not_before };
    if flags & SAME == 0 {
        let origin = Origin::of(flags & DEAD_LETTERED != 0, flags & READDRESSED != 0);
        *before = Some(Arc::new(message(bytes, origin)?));
    }
    Some(Op::Put { queue, lane, position, message: Arc::clone(before.as_ref()?), meta, durable: true })
}

fn attempts(bytes: &mut Bytes) -> Option<Attempts> {
    let acquired = u32::try_from(number(bytes)?).ok()?;
    Some(Attempts { acquired, failed: u32::try_from(number(bytes)?).ok()? })
}

fn message(bytes: &mut Bytes, origin: Origin) -> Option<Message> {
    let (exchange_len, routing_key_len) = (byte(bytes)?, byte(bytes)?);
    let (envelope_len, body_len) = (number(bytes)?, number(bytes)?);
    let envelope = take(bytes, envelope_len)?;
    let body = Body::whole(take(bytes, body_len)?);
    Message::from_stored(envelope, exchange_len, routing_key_len, body, origin)
}

fn byte(bytes: &mut Bytes) -> Option<u8> {
    bytes.try_get_u8().ok()
}

fn number(bytes: &mut Bytes) -> Option<u64> {
    let mut reader = Reader(bytes);
    let number = reader.varint()?;
    let read = bytes.len() - reader.0.len();
    bytes.advance(read);
    Some(number)
}

fn text(bytes: &mut Bytes) -> Option<Bytes> {
    let len = number(bytes)?;
    take(bytes, len)
}

fn take(bytes: &mut Bytes, len: u64) -> Option<Bytes> {
    let len = usize::try_from(len).ok().filter(|&len| len <= bytes.len())?;
    Some(bytes.split_to(len))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use leveret_codec::properties::Properties;

    use super::*;

    #[test]
    fn where_a_message_comes_from_and_its_bcc_come_back() {
        for origin in [Origin::Client, Origin::DeadLettered, Origin::Readdressed] {
            let properties = Properties::trusted(b"\x20\0\0\0\0\x05\x03BCCV");
            let made = Message::new(&mut BytesMut::new(), b"x", b"k", properties, Body::default(), origin);
            let put = super::super::testing::put(1, 1, &Arc::new(made));
            let mut record = Vec::new();
            assert!(encode(&mut record, 1000, false, &[put], &[]));
            let logged = decode(record.into()).expect("what was encoded");
            let [Op::Put { message, .. }] = &logged.ops[..] else { panic!("{logged:?}") };
            assert_eq!((message.origin(), message.has_bcc()), (origin, true));
        }
    }
}

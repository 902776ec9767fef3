//! What attackers say, encoded once and sent many times.

use leveret_codec::method::amqp::{AMQPClass, basic, channel, confirm, connection, exchange, queue, tx};
use leveret_codec::properties::{Field, Properties, encode_short_string};
use leveret_codec::table::{AMQPValue, FieldTable, encode, short_string};

use crate::support::frames::{frame, method, table};

/// What both sides agree on: the most bytes of a frame.
pub(crate) const FRAME_MAX: u32 = 131_072;
/// The most body that fits a frame.
const BODY_FRAME: usize = FRAME_MAX as usize - 8;

/// A method and its answer, as class and number.
pub(crate) type Id = (u16, u16);

pub(crate) const TUNE: Id = (10, 30);
pub(crate) const OPEN_OK: Id = (10, 41);
pub(crate) const CONNECTION_CLOSE: Id = (10, 50);
pub(crate) const BLOCKED: Id = (10, 60);
pub(crate) const UNBLOCKED: Id = (10, 61);
pub(crate) const CHANNEL_OPEN_OK: Id = (20, 11);
pub(crate) const CHANNEL_CLOSE: Id = (20, 40);
pub(crate) const CHANNEL_CLOSE_OK: Id = (20, 41);
pub(crate) const EXCHANGE_DECLARE_OK: Id = (40, 11);
pub(crate) const EXCHANGE_DELETE_OK: Id = (40, 21);
pub(crate) const QUEUE_DECLARE_OK: Id = (50, 11);
pub(crate) const QUEUE_BIND_OK: Id = (50, 21);
pub(crate) const QUEUE_DELETE_OK: Id = (50, 41);
pub(crate) const QOS_OK: Id = (60, 11);
pub(crate) const CONSUME_OK: Id = (60, 21);
pub(crate) const CANCEL_OK: Id = (60, 31);
pub(crate) const RETURN: Id = (60, 50);
pub(crate) const DELIVER: Id = (60, 60);
pub(crate) const GET_OK: Id = (60, 71);
pub(crate) const GET_EMPTY: Id = (60, 72);
pub(crate) const ACK: Id = (60, 80);
pub(crate) const CONFIRM_SELECT_OK: Id = (85, 11);
pub(crate) const TX_SELECT_OK: Id = (90, 11);

pub(crate) fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

pub(crate) fn start_ok(user: &str, password: &str) -> Vec<u8> {
    let capabilities = table(vec![
        ("connection.blocked", AMQPValue::Boolean(true)),
        ("basic.nack", AMQPValue::Boolean(true)),
    ]);
    let start_ok = connection::StartOk {
        client_properties: table(vec![("capabilities", AMQPValue::FieldTable(capabilities))]),
        mechanism: short_string("PLAIN"),
        response: format!("\0{user}\0{password}").into(),
        locale: short_string("en_US"),
    };
    method(0, &AMQPClass::Connection(connection::AMQPMethod::StartOk(start_ok)))
}

/// tune-ok with a heartbeat of so many seconds, and the open of `/`.
pub(crate) fn tune_and_open(heartbeat: u16) -> Vec<u8> {
    let tune_ok = connection::TuneOk { channel_max: 2047, frame_max: FRAME_MAX, heartbeat };
    let open = connection::Open { virtual_host: short_string("/") };
    let mut bytes = method(0, &AMQPClass::Connection(connection::AMQPMethod::TuneOk(tune_ok)));
    bytes.extend(method(0, &AMQPClass::Connection(connection::AMQPMethod::Open(open))));
    bytes
}

pub(crate) fn close_connection() -> Vec<u8> {
    let close = connection::Close { reply_code: 200, ..connection::Close::default() };
    method(0, &AMQPClass::Connection(connection::AMQPMethod::Close(close)))
}

pub(crate) fn open_channel(channel: u16) -> Vec<u8> {
    method(channel, &AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})))
}

pub(crate) fn close_channel(channel: u16) -> Vec<u8> {
    let close = channel::Close { reply_code: 200, ..channel::Close::default() };
    method(channel, &AMQPClass::Channel(channel::AMQPMethod::Close(close)))
}

pub(crate) fn declare_exchange(channel: u16, name: &str, kind: &str) -> Vec<u8> {
    let declare = exchange::Declare {
        exchange: short_string(name),
        kind: short_string(kind),
        ..exchange::Declare::default()
    };
    method(channel, &AMQPClass::Exchange(exchange::AMQPMethod::Declare(declare)))
}

pub(crate) fn delete_exchange(channel: u16, name: &str) -> Vec<u8> {
    let delete = exchange::Delete { exchange: short_string(name), ..exchange::Delete::default() };
    method(channel, &AMQPClass::Exchange(exchange::AMQPMethod::Delete(delete)))
}

/// A queue to be declared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue<'a> {
    pub(crate) name: &'a str,
    pub(crate) passive: bool,
    pub(crate) durable: bool,
    pub(crate) exclusive: bool,
    pub(crate) arguments: Vec<(&'a str, AMQPValue)>,
}

impl Queue<'_> {
    pub(crate) fn declare(self, channel: u16) -> Vec<u8> {
        let declare = queue::Declare {
            queue: short_string(self.name),
            passive: self.passive,
            durable: self.durable,
            exclusive: self.exclusive,
            arguments: table(self.arguments),
            ..queue::Declare::default()
        };
        method(channel, &AMQPClass::Queue(queue::AMQPMethod::Declare(declare)))
    }
}

pub(crate) fn bind(channel: u16, queue: &str, exchange: &str, key: &str, nowait: bool) -> Vec<u8> {
    let bind = queue::Bind {
        queue: short_string(queue),
        exchange: short_string(exchange),
        routing_key: short_string(key),
        nowait,
        ..queue::Bind::default()
    };
    method(channel, &AMQPClass::Queue(queue::AMQPMethod::Bind(bind)))
}

pub(crate) fn delete_queue(channel: u16, queue: &str) -> Vec<u8> {
    let delete = queue::Delete { queue: short_string(queue), ..queue::Delete::default() };
    method(channel, &AMQPClass::Queue(queue::AMQPMethod::Delete(delete)))
}

pub(crate) fn consume(channel: u16, queue: &str, tag: &str, no_ack: bool) -> Vec<u8> {
    let consume = basic::Consume {
        queue: short_string(queue),
        consumer_tag: short_string(tag),
        no_ack,
        ..basic::Consume::default()
    };
    method(channel, &AMQPClass::Basic(basic::AMQPMethod::Consume(consume)))
}

pub(crate) fn cancel(channel: u16, tag: &str) -> Vec<u8> {
    let cancel = basic::Cancel { consumer_tag: short_string(tag), nowait: false };
    method(channel, &AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)))
}

pub(crate) fn get(channel: u16, queue: &str, no_ack: bool) -> Vec<u8> {
    let get = basic::Get { queue: short_string(queue), no_ack };
    method(channel, &AMQPClass::Basic(basic::AMQPMethod::Get(get)))
}

pub(crate) fn qos(channel: u16, prefetch_count: u16) -> Vec<u8> {
    let qos = basic::Qos { prefetch_count, ..basic::Qos::default() };
    method(channel, &AMQPClass::Basic(basic::AMQPMethod::Qos(qos)))
}

/// Everything up to this tag.
pub(crate) fn ack(channel: u16, delivery_tag: u64) -> Vec<u8> {
    let ack = basic::Ack { delivery_tag, multiple: true };
    method(channel, &AMQPClass::Basic(basic::AMQPMethod::Ack(ack)))
}

/// Everything there is, and not back to its queue.
pub(crate) fn discard_all(channel: u16) -> Vec<u8> {
    let nack = basic::Nack { delivery_tag: 0, multiple: true, requeue: false };
    method(channel, &AMQPClass::Basic(basic::AMQPMethod::Nack(nack)))
}

pub(crate) fn select_confirms(channel: u16) -> Vec<u8> {
    let select = confirm::Select { nowait: false };
    method(channel, &AMQPClass::Confirm(confirm::AMQPMethod::Select(select)))
}

pub(crate) fn select_tx(channel: u16) -> Vec<u8> {
    method(channel, &AMQPClass::Tx(tx::AMQPMethod::Select(tx::Select {})))
}

/// tx.commit or tx.rollback, and its answer.
pub(crate) fn end_tx(channel: u16, commits: bool) -> (Vec<u8>, Id) {
    let (end, answer) = if commits {
        (tx::AMQPMethod::Commit(tx::Commit {}), (90, 21))
    } else {
        (tx::AMQPMethod::Rollback(tx::Rollback {}), (90, 31))
    };
    (method(channel, &AMQPClass::Tx(end)), answer)
}

/// A publish.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message<'a> {
    pub(crate) exchange: &'a str,
    pub(crate) key: &'a str,
    pub(crate) mandatory: bool,
    pub(crate) persistent: bool,
    pub(crate) reply_to: Option<&'a str>,
    pub(crate) headers: Option<FieldTable>,
    pub(crate) body: usize,
}

impl Message<'_> {
    /// All of it.
    pub(crate) fn publish(&self, channel: u16) -> Vec<u8> {
        let mut bytes = self.begin(channel);
        let body = vec![b'x'; self.body];
        bytes.extend(body.chunks(BODY_FRAME).flat_map(|part| frame(3, channel, part)));
        bytes
    }

    /// The method and the header, which announces the body.
    pub(crate) fn begin(&self, channel: u16) -> Vec<u8> {
        let publish = basic::Publish {
            exchange: short_string(self.exchange),
            routing_key: short_string(self.key),
            mandatory: self.mandatory,
            ..basic::Publish::default()
        };
        let mut bytes = method(channel, &AMQPClass::Basic(basic::AMQPMethod::Publish(publish)));
        let properties = Properties::default().with(&[
            (Field::Headers, self.headers.as_ref().map(encode)),
            (Field::DeliveryMode, Some(vec![if self.persistent { 2 } else { 1 }])),
            (Field::ReplyTo, self.reply_to.map(|address| encode_short_string(address.as_bytes()))),
        ]);
        let mut header = vec![0, 60, 0, 0];
        header.extend((self.body as u64).to_be_bytes());
        header.extend(properties);
        bytes.extend(frame(2, channel, &header));
        bytes
    }
}

/// A piece of a body that was begun.
pub(crate) fn body_part(channel: u16) -> Vec<u8> {
    frame(3, channel, &[b'x'; BODY_FRAME])
}

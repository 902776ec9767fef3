//! The client's side of the wire: methods and publishes to bytes, bytes to what the broker says.

use std::collections::BTreeMap;

use leveret_codec::frame::{FrameKind, decode};
use leveret_codec::method::amqp::{AMQPClass, basic, parse_class};
use leveret_codec::method::parse_content_header;
use leveret_codec::properties::{Field, Properties, encode_short_string};
use leveret_codec::table::{AMQPValue, encode, short_string};

use crate::frames::{frame, method, table};

/// Bodies longer than this go in several frames.
const BODY_FRAME: usize = 4_000;

/// The header that says how much later a message is to come.
pub(crate) const DELAY: &str = "x-delay";
/// The queue that is none: whoever consumes from it gets direct replies.
pub(crate) const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// What a client gives a message.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) exchange: &'a str,
    pub(crate) routing_key: &'a str,
    pub(crate) mandatory: bool,
    pub(crate) persistent: bool,
    pub(crate) priority: Option<u8>,
    pub(crate) expiration: Option<u64>,
    pub(crate) delay: Option<u64>,
    /// The client wants a reply by the direct way.
    pub(crate) asks: bool,
    pub(crate) body: &'a [u8],
}

pub(crate) fn publish_bytes(channel: u16, message: &Outgoing<'_>) -> Vec<u8> {
    let publish = basic::Publish {
        exchange: short_string(message.exchange),
        routing_key: short_string(message.routing_key),
        mandatory: message.mandatory,
        ..basic::Publish::default()
    };
    let mut bytes = method(channel, &AMQPClass::Basic(basic::AMQPMethod::Publish(publish)));
    let mode = if message.persistent { 2 } else { 1 };
    let expiration = message.expiration.map(|millis| encode_short_string(millis.to_string().as_bytes()));
    let properties = Properties::default().with(&[
        (
            Field::Headers,
            message.delay.map(|millis| {
                encode(&table(vec![(DELAY, AMQPValue::LongInt(i32::try_from(millis).unwrap_or(i32::MAX)))]))
            }),
        ),
        (Field::ReplyTo, message.asks.then(|| encode_short_string(REPLY_TO.as_bytes()))),
        (Field::DeliveryMode, Some(vec![mode])),
        (Field::Priority, message.priority.map(|priority| vec![priority])),
        (Field::Expiration, expiration),
        (Field::AppId, Some(encode_short_string(b"simulation"))),
    ]);
    let mut header = vec![0, 60, 0, 0];
    header.extend((message.body.len() as u64).to_be_bytes());
    header.extend(properties);
    bytes.extend(frame(2, channel, &header));
    for part in message.body.chunks(BODY_FRAME) {
        bytes.extend(frame(3, channel, part));
    }
    bytes
}

/// Something the broker said on a channel.
#[derive(Debug)]
pub(crate) enum Received {
    Method(AMQPClass),
    Content(basic::AMQPMethod, Content),
}

#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) properties: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug)]
struct Partial {
    method: basic::AMQPMethod,
    size: Option<u64>,
    content: Content,
}

/// Puts together what arrives on one connection.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    bytes: Vec<u8>,
    partial: BTreeMap<u16, Partial>,
}

impl Reader {
    pub(crate) fn take(&mut self, bytes: impl Iterator<Item = u8>) {
        self.bytes.extend(bytes);
    }

    /// All that is complete, by channel, in order.
    pub(crate) fn said(&mut self) -> Result<Vec<(u16, Received)>, String> {
        let bytes = std::mem::take(&mut self.bytes);
        let (mut said, mut at) = (Vec::new(), 0);
        while let Some(frame) = decode(&bytes[at..], 0).map_err(|error| format!("unsound frame: {error}"))? {
            at += frame.wire_len();
            if let Some(item) = self.frame(frame.kind, frame.channel, frame.payload)? {
                said.push((frame.channel, item));
            }
        }
        self.bytes = bytes[at..].to_vec();
        Ok(said)
    }

    fn frame(&mut self, kind: FrameKind, channel: u16, payload: &[u8]) -> Result<Option<Received>, String> {
        match kind {
            FrameKind::Heartbeat => return Ok(None),
            FrameKind::Method => {
                if self.partial.contains_key(&channel) {
                    return Err(format!("a method within the content of channel {channel}"));
                }
                let (_, class) = parse_class(payload).map_err(|_| "unreadable method".to_owned())?;
                use basic::AMQPMethod::{Deliver, GetOk, Return};
                return match class {
                    AMQPClass::Basic(method @ (Deliver(_) | GetOk(_) | Return(_))) => {
                        let partial = Partial { method, size: None, content: Content::default() };
                        self.partial.insert(channel, partial);
                        Ok(None)
                    }
                    other => Ok(Some(Received::Method(other))),
                };
            }
            FrameKind::Header | FrameKind::Body => {}
        }
        let partial = self.partial.get_mut(&channel).ok_or("content without its method")?;
        match partial.size {
            None => {
                let header = parse_content_header(payload).ok_or("unreadable content header")?;
                partial.size = Some(header.body_size);
                partial.content.properties = header.properties.to_vec();
            }
            Some(_) => partial.content.body.extend(payload),
        }
        if partial.size != Some(partial.content.body.len() as u64) {
            return Ok(None);
        }
        let done = self.partial.remove(&channel).ok_or("content without its method")?;
        Ok(Some(Received::Content(done.method, done.content)))
    }
}

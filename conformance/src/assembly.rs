//! What is read of a connection, and how frames of a channel are put together to events, a method with its content. What is waited for, and on which channel, is
//! decided in `connection`.

use std::collections::{HashMap, VecDeque};

use leveret_codec::frame::FrameKind;
use leveret_codec::method::amqp::{AMQPClass, basic};
use leveret_codec::method::{Method, MethodId, method_id, parse_content_header, parse_method};

use crate::outcome::{Step, fail};

/// What a read ended with.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    Frame {
        kind: FrameKind,
        channel: u16,
        payload: Vec<u8>,
    },
    /// Bytes that are no frame: a protocol header.
    ProtocolHeader([u8; 8]),
    End,
    Timeout,
}

/// What came from the broker on a channel.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) channel: u16,
    pub(crate) id: MethodId,
    pub(crate) method: AMQPClass,
    pub(crate) content: Option<Content>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    /// Flags and list as on the wire.
    pub(crate) properties: Vec<u8>,
    pub(crate) body: Vec<u8>,
    /// The payload lengths of the body frames.
    pub(crate) frames: Vec<usize>,
}

/// The events of a connection that nobody has taken, and those that are not complete.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    events: VecDeque<Event>,
    /// Methods whose content is not complete, with the body bytes still missing (None: the header too).
    partial: HashMap<u16, (Event, Option<u64>)>,
}

impl Assembly {
    /// Takes out the first complete event of a channel; those of channel 0 concern all.
    pub(crate) fn next(&mut self, channel: u16) -> Option<Event> {
        let at = self.events.iter().position(|event| event.channel == channel || event.channel == 0);
        at.and_then(|at| self.events.remove(at))
    }

    /// Takes a frame in; complete events go to the queue. Frames out of order are a failure.
    pub(crate) fn take(&mut self, kind: FrameKind, channel: u16, payload: &[u8]) -> Step {
        match kind {
            FrameKind::Heartbeat => Ok(()),
            FrameKind::Method => self.method(channel, payload),
            FrameKind::Header => self.header(channel, payload),
            FrameKind::Body => self.body(channel, payload),
        }
    }

    fn method(&mut self, channel: u16, payload: &[u8]) -> Step {
        if self.partial.contains_key(&channel) {
            return fail(format!("channel {channel}: a method in the middle of a content"));
        }
        let method = match parse_method(payload) {
            Ok(method) => plain(method),
            Err(error) => return fail(format!("the broker sent a method that cannot be read: {error}")),
        };
        let id = method_id(payload).unwrap_or(MethodId::NONE);
        let event = Event { channel, id, method, content: None };
        if matches!((id.class, id.method), (60, 50 | 60 | 71)) {
            self.partial.insert(channel, (event, None));
        } else {
            self.events.push_back(event);
        }
        Ok(())
    }

    fn header(&mut self, channel: u16, payload: &[u8]) -> Step {
        let (Some((event, left @ None)), Some(header)) =
            (self.partial.get_mut(&channel), parse_content_header(payload))
        else {
            return fail(format!("channel {channel}: a content header out of order"));
        };
        *left = Some(header.body_size);
        event.content = Some(Content { properties: header.properties.to_vec(), ..Content::default() });
        self.finish(channel);
        Ok(())
    }

    fn body(&mut self, channel: u16, payload: &[u8]) -> Step {
        let Some((Event { content: Some(content), .. }, Some(left))) = self.partial.get_mut(&channel) else {
            return fail(format!("channel {channel}: a body frame out of order"));
        };
        match left.checked_sub(payload.len() as u64) {
            Some(less) => *left = less,
            None => return fail(format!("channel {channel}: more body than announced")),
        }
        content.frames.push(payload.len());
        content.body.extend_from_slice(payload);
        self.finish(channel);
        Ok(())
    }

    fn finish(&mut self, channel: u16) {
        if self.partial.get(&channel).is_some_and(|(_, left)| *left == Some(0))
            && let Some((event, _)) = self.partial.remove(&channel)
        {
            self.events.push_back(event);
        }
    }
}

/// The codec's fast methods as the others are.
fn plain(method: Method<'_>) -> AMQPClass {
    let method = match method {
        Method::Other(class) => return *class,
        Method::Ack { delivery_tag, multiple } => {
            basic::AMQPMethod::Ack(basic::Ack { delivery_tag, multiple })
        }
        Method::Nack { delivery_tag, multiple, requeue } => {
            basic::AMQPMethod::Nack(basic::Nack { delivery_tag, multiple, requeue })
        }
        Method::Reject { delivery_tag, requeue } => {
            basic::AMQPMethod::Reject(basic::Reject { delivery_tag, requeue })
        }
        Method::Publish(publish) => basic::AMQPMethod::Publish(basic::Publish {
            exchange: lossy(publish.exchange),
            routing_key: lossy(publish.routing_key),
            mandatory: publish.mandatory,
            immediate: publish.immediate,
        }),
    };
    AMQPClass::Basic(method)
}

/// No broker sends basic.publish; one that does is shown all the same.
fn lossy(text: &[u8]) -> leveret_codec::table::ShortString {
    leveret_codec::table::short_string(&String::from_utf8_lossy(text))
}

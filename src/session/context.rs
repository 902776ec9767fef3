//! What a session has around it: the broker, the output, the bounds, the time.

use std::sync::Arc;

use leveret_codec::method::amqp::AMQPClass;
use leveret_codec::table::ShortString;
use leveret_codec::write::Output;

use crate::model::ids::{ChannelNumber, Timestamp};

use super::end::Tally;
use super::failure::Failure;
use super::limits::SessionLimits;

#[derive(Debug)]
pub(super) struct Context<P> {
    pub port: P,
    pub output: Output,
    pub limits: Arc<SessionLimits>,
    /// As negotiated; the offer, until then.
    pub frame_max: u32,
    pub now: Timestamp,
    pub tally: Tally,
}

impl<P> Context<P> {
    pub(super) fn say(&mut self, channel: ChannelNumber, method: &AMQPClass) {
        self.output.method(channel, method);
    }

    /// connection.close with the code, text and method of a failure.
    pub(super) fn say_connection_close(&mut self, failure: &Failure) {
        use leveret_codec::method::amqp::connection::{AMQPMethod, Close};
        let close = Close {
            reply_code: failure.fault.code.number(),
            reply_text: short(&failure.fault.text()),
            class_id: failure.method.class,
            method_id: failure.method.method,
        };
        self.say(0, &AMQPClass::Connection(AMQPMethod::Close(close)));
    }

    /// channel.close with the code, text and method of a failure.
    pub(super) fn say_channel_close(&mut self, channel: ChannelNumber, failure: &Failure) {
        use leveret_codec::method::amqp::channel::{AMQPMethod, Close};
        let close = Close {
            reply_code: failure.fault.code.number(),
            reply_text: short(&failure.fault.text()),
            class_id: failure.method.class,
            method_id: failure.method.method,
        };
        self.say(channel, &AMQPClass::Channel(AMQPMethod::Close(close)));
    }
}

/// A short string for the wire. All names and texts of ours are at most 255 bytes; a longer one goes out empty.
pub(super) fn short(text: &str) -> ShortString {
    ShortString::try_new(text).unwrap_or_default()
}

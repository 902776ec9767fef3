//! The way out: frames written one behind the other into a buffer, with large bodies kept as the slices they are,
//! so that one vectored write sends them without a copy.

use std::collections::VecDeque;
use std::io::IoSlice;

use amq_protocol::protocol::{AMQPClass, gen_class};
use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::frame::{END, FrameKind, OVERHEAD};
use crate::growing::generate;
use crate::properties::Properties;

/// Body slices from this size on are sent from where they are; smaller ones are copied behind their frame header.
const SENT_IN_PLACE: usize = 4096;

/// A message to be written: what deliver, return and get-ok have in common.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a, B> {
    pub properties: Properties<'a>,
    pub body_len: usize,
    /// The slices of the body, in order.
    pub body: B,
}

/// Bytes to be sent, in order.
#[derive(Debug, Default)]
pub struct Output {
    /// What comes before `tail`.
    sealed: VecDeque<Bytes>,
    tail: BytesMut,
    len: usize,
}

impl Output {
    /// How many bytes wait to be sent.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes bytes as they are (a protocol header).
    pub fn raw(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Writes a method frame.
    pub fn method(&mut self, channel: u16, method: &AMQPClass) {
        self.frame(FrameKind::Method, channel, &generate(gen_class(method)));
    }

    /// Writes a heartbeat frame.
    pub fn heartbeat(&mut self) {
        self.frame(FrameKind::Heartbeat, 0, &[]);
    }

    /// Writes `basic.deliver` (60, 60) with its content.
    #[allow(clippy::too_many_arguments)]
    pub fn deliver<'a>(
        &mut self,
        channel: u16,
        consumer_tag: &str,
        delivery_tag: u64,
        redelivered: bool,
        exchange: &[u8],
        routing_key: &[u8],
        content: Content<'_, impl Iterator<Item = &'a Bytes>>,
        frame_max: u32,
    ) {
        let len = 4 + (1 + consumer_tag.len()) + 8 + 1 + (1 + exchange.len()) + (1 + routing_key.len());
        self.method_header(channel, 60, 60, len);
        short_string(&mut self.tail, consumer_tag.as_bytes());
        self.tail.put_u64(delivery_tag);
        self.tail.put_u8(u8::from(redelivered));
        short_string(&mut self.tail, exchange);
        short_string(&mut self.tail, routing_key);
        self.tail.put_u8(END);
        self.content(channel, content, frame_max);
    }

    /// Writes `basic.get-ok` (60, 71) with its content.
    #[allow(clippy::too_many_arguments)]
    pub fn get_ok<'a>(
        &mut self,
        channel: u16,
        delivery_tag: u64,
        redelivered: bool,
        exchange: &[u8],
        routing_key: &[u8],
        message_count: u32,
        content: Content<'_, impl Iterator<Item = &'a Bytes>>,
        frame_max: u32,
    ) {
        let len = 4 + 8 + 1 + (1 + exchange.len()) + (1 + routing_key.len()) + 4;
        self.method_header(channel, 60, 71, len);
        self.tail.put_u64(delivery_tag);
        self.tail.put_u8(u8::from(redelivered));
        short_string(&mut self.tail, exchange);
        short_string(&mut self.tail, routing_key);
        self.tail.put_u32(message_count);
        self.tail.put_u8(END);
        self.content(channel, content, frame_max);
    }

    /// Writes `basic.return` (60, 50) with its content.
    #[allow(clippy::too_many_arguments)]
    pub fn basic_return<'a>(
        &mut self,
        channel: u16,
        reply_code: u16,
        reply_text: &str,
        exchange: &[u8],
        routing_key: &[u8],
        content: Content<'_, impl Iterator<Item = &'a Bytes>>,
        frame_max: u32,
    ) {
        let len = 4 + 2 + (1 + reply_text.len()) + (1 + exchange.len()) + (1 + routing_key.len());
        self.method_header(channel, 60, 50, len);
        self.tail.put_u16(reply_code);
        short_string(&mut self.tail, reply_text.as_bytes());
        short_string(&mut self.tail, exchange);
        short_string(&mut self.tail, routing_key);
        self.tail.put_u8(END);
        self.content(channel, content, frame_max);
    }

    /// Writes `basic.ack` (60, 80), a confirm.
    pub fn ack(&mut self, channel: u16, delivery_tag: u64, multiple: bool) {
        self.confirm(channel, 80, delivery_tag, u8::from(multiple));
    }

    /// Writes `basic.nack` (60, 120), a negative confirm.
    pub fn nack(&mut self, channel: u16, delivery_tag: u64, multiple: bool) {
        self.confirm(channel, 120, delivery_tag, u8::from(multiple));
    }

    /// The bytes to send next, as slices of at most `slices.len()` pieces. Returns how many were filled.
    pub fn chunks<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let waiting = self.sealed.iter().map(|bytes| &bytes[..]).chain(std::iter::once(&self.tail[..]));
        let mut filled = 0;
        for (slot, bytes) in slices.iter_mut().zip(waiting.filter(|bytes| !bytes.is_empty())) {
            *slot = IoSlice::new(bytes);
            filled += 1;
        }
        filled
    }

    /// Drops the first `sent` bytes.
    pub fn advance(&mut self, mut sent: usize) {
        self.len -= sent;
        while sent > 0 {
            let Some(first) = self.sealed.front_mut() else {
                self.tail.advance(sent);
                break;
            };
            if sent < first.len() {
                first.advance(sent);
                return;
            }
            sent -= first.len();
            self.sealed.pop_front();
        }
        if self.len == 0 {
            self.tail.clear();
        }
    }

    /// Gives the memory of an emptied buffer back.
    pub fn release(&mut self) {
        if self.len == 0 {
            *self = Output::default();
        }
    }

    fn confirm(&mut self, channel: u16, method: u16, delivery_tag: u64, bits: u8) {
        self.method_header(channel, 60, method, 4 + 8 + 1);
        self.tail.put_u64(delivery_tag);
        self.tail.put_u8(bits);
        self.tail.put_u8(END);
    }

    fn method_header(&mut self, channel: u16, class: u16, method: u16, payload_len: usize) {
        self.frame_header(FrameKind::Method, channel, payload_len);
        self.len += 1 + payload_len;
        self.tail.reserve(payload_len + 1);
        self.tail.put_u16(class);
        self.tail.put_u16(method);
    }

    fn frame(&mut self, kind: FrameKind, channel: u16, payload: &[u8]) {
        self.frame_header(kind, channel, payload.len());
        self.tail.extend_from_slice(payload);
        self.tail.put_u8(END);
        self.len += payload.len() + 1;
    }

    fn frame_header(&mut self, kind: FrameKind, channel: u16, payload_len: usize) {
        self.tail.reserve(OVERHEAD + payload_len.min(SENT_IN_PLACE));
        self.tail.put_u8(kind as u8);
        self.tail.put_u16(channel);
        self.tail.put_u32(u32::try_from(payload_len).unwrap_or(u32::MAX));
        self.len += OVERHEAD - 1;
    }

    /// Header frame and body frames, split by `frame_max` (0: no bound; semantics.md 2.7).
    fn content<'a>(
        &mut self,
        channel: u16,
        content: Content<'_, impl Iterator<Item = &'a Bytes>>,
        frame_max: u32,
    ) {
        let raw = content.properties.raw();
        let payload_len = 12 + raw.len();
        self.frame_header(FrameKind::Header, channel, payload_len);
        self.len += payload_len + 1;
        self.tail.reserve(payload_len + 1);
        self.tail.put_u16(60);
        self.tail.put_u16(0);
        self.tail.put_u64(content.body_len as u64);
        self.tail.extend_from_slice(raw);
        self.tail.put_u8(END);

        let most = match usize::try_from(frame_max).unwrap_or(usize::MAX) {
            0 => usize::MAX,
            max => max.saturating_sub(OVERHEAD).max(1),
        };
        let mut left = content.body_len;
        let mut room = 0;
        for slice in content.body {
            let mut slice = slice.clone();
            while !slice.is_empty() {
                if room == 0 {
                    room = left.min(most);
                    left -= room;
                    self.frame_header(FrameKind::Body, channel, room);
                }
                let part = slice.split_to(slice.len().min(room));
                room -= part.len();
                self.body_part(part);
                if room == 0 {
                    self.tail.put_u8(END);
                    self.len += 1;
                }
            }
        }
    }

    fn body_part(&mut self, part: Bytes) {
        self.len += part.len();
        if part.len() < SENT_IN_PLACE {
            self.tail.extend_from_slice(&part);
        } else {
            let before = self.tail.split().freeze();
            if !before.is_empty() {
                self.sealed.push_back(before);
            }
            self.sealed.push_back(part);
        }
    }
}

fn short_string(buffer: &mut BytesMut, text: &[u8]) {
    let text = &text[..text.len().min(255)];
    buffer.put_u8(u8::try_from(text.len()).unwrap_or(u8::MAX));
    buffer.extend_from_slice(text);
}

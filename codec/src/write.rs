//! The way out: frames written one behind the other into a buffer, with large bodies kept as the slices they are,
//! so that one vectored write sends them without a copy.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

use amq_protocol::protocol::{AMQPClass, gen_class};
use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::frame::{END, FrameKind, OVERHEAD};
use crate::growing::generate_into;
use crate::properties::Properties;

/// Body slices from this size on are sent from where they are; smaller ones are copied behind their frame header.
const SENT_IN_PLACE: usize = 4096;

/// The class of everything that carries content.
const BASIC: u16 = 60;

/// Bytes of class and method.
const METHOD_ID: usize = 4;
/// Bytes of a content header before its properties: class, weight and the size of the body.
const HEADER: usize = 12;

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
    /// What comes before `tail`. No piece is empty.
    sealed: VecDeque<Bytes>,
    /// Bytes in `sealed`.
    sealed_len: usize,
    tail: BytesMut,
}

impl Output {
    /// How many bytes wait to be sent.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sealed_len + self.tail.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes bytes as they are (a protocol header).
    pub fn raw(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
    }

    /// Writes a method frame.
    pub fn method(&mut self, channel: u16, method: &AMQPClass) {
        self.frame(FrameKind::Method, channel, |tail| generate_into(tail, gen_class(method)));
    }

    /// Writes a heartbeat frame.
    pub fn heartbeat(&mut self) {
        self.frame(FrameKind::Heartbeat, 0, |_| {});
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
        let texts = [consumer_tag.as_bytes(), exchange, routing_key].map(short);
        let arguments = texts.map(|text| 1 + text.len()).iter().sum::<usize>() + 9;
        self.with_content(channel, 60, arguments, content, frame_max, |to| {
            put_text(to, texts[0]);
            to.put_u64(delivery_tag);
            to.put_u8(u8::from(redelivered));
            put_text(to, texts[1]);
            put_text(to, texts[2]);
        });
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
        let texts = [exchange, routing_key].map(short);
        let arguments = texts.map(|text| 1 + text.len()).iter().sum::<usize>() + 13;
        self.with_content(channel, 71, arguments, content, frame_max, |to| {
            to.put_u64(delivery_tag);
            to.put_u8(u8::from(redelivered));
            put_text(to, texts[0]);
            put_text(to, texts[1]);
            to.put_u32(message_count);
        });
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
        let texts = [reply_text.as_bytes(), exchange, routing_key].map(short);
        let arguments = texts.map(|text| 1 + text.len()).iter().sum::<usize>() + 2;
        self.with_content(channel, 50, arguments, content, frame_max, |to| {
            to.put_u16(reply_code);
            texts.iter().for_each(|text| put_text(to, text));
        });
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

    /// Drops the first `sent` bytes, of which there are no more than [`Output::len`].
    pub fn advance(&mut self, mut sent: usize) {
        assert!(sent <= self.len(), "{sent} of {} bytes were sent", self.len());
        while let Some(first) = self.sealed.front_mut() {
            let part = sent.min(first.len());
            first.advance(part);
            self.sealed_len -= part;
            sent -= part;
            if !first.is_empty() {
                return;
            }
            self.sealed.pop_front();
        }
        self.tail.advance(sent);
    }

    /// Gives the memory of an emptied buffer back.
    pub fn release(&mut self) {
        if self.is_empty() {
            *self = Output::default();
        }
    }

    fn confirm(&mut self, channel: u16, method: u16, delivery_tag: u64, bits: u8) {
        let mut to = grow(&mut self.tail, OVERHEAD + METHOD_ID + 9);
        put_method_head(&mut to, channel, method, 9);
        to.put_u64(delivery_tag);
        to.put_u8(bits);
        to.put_u8(END);
    }

    /// Writes a frame whose payload goes into the tail, and counts it afterwards.
    fn frame(&mut self, kind: FrameKind, channel: u16, payload: impl FnOnce(&mut BytesMut)) {
        let start = self.tail.len();
        put_frame_head(&mut self.tail, kind, channel, 0);
        let payload_start = self.tail.len();
        payload(&mut self.tail);
        let len = size(self.tail.len() - payload_start);
        self.tail[start + 3..payload_start].copy_from_slice(&len.to_be_bytes());
        self.tail.put_u8(END);
    }

    /// Writes a method of class basic, whose arguments take so many bytes, the header frame and the body frames, split by
    /// `frame_max` (semantics 2.7); 0: no bound. An empty body has no body frame (semantics 2.4). What is copied is written
    /// into room that is made once: this is most of what a delivery costs.
    fn with_content<'a>(
        &mut self,
        channel: u16,
        method: u16,
        arguments: usize,
        content: Content<'_, impl Iterator<Item = &'a Bytes>>,
        frame_max: u32,
        put_arguments: impl FnOnce(&mut &mut [u8]),
    ) {
        let Content { properties, body_len, body } = content;
        let most = match usize::try_from(frame_max).unwrap_or(usize::MAX) {
            // What the size field can count.
            0 => u32::MAX as usize,
            max => max.saturating_sub(OVERHEAD).max(1),
        };
        let properties = properties.raw();
        let is_copied = body_len < SENT_IN_PLACE && body_len <= most;
        let copied = if is_copied && body_len > 0 { OVERHEAD + body_len } else { 0 };
        let head = OVERHEAD + METHOD_ID + arguments + OVERHEAD + HEADER + properties.len();
        let mut to = grow(&mut self.tail, head + copied);
        put_method_head(&mut to, channel, method, arguments);
        put_arguments(&mut to);
        to.put_u8(END);
        put_frame_head(&mut to, FrameKind::Header, channel, HEADER + properties.len());
        to.put_u16(BASIC);
        to.put_u16(0);
        to.put_u64(body_len as u64);
        to.put_slice(properties);
        to.put_u8(END);
        if is_copied {
            put_body(to, channel, body_len, body);
        } else {
            self.body(channel, body_len, body, most);
        }
    }

    /// The body in frames of `most` bytes each at most.
    fn body<'a>(
        &mut self,
        channel: u16,
        body_len: usize,
        body: impl Iterator<Item = &'a Bytes>,
        most: usize,
    ) {
        let mut left = body_len;
        let mut room = 0;
        for slice in body {
            let mut at = 0;
            while at < slice.len() {
                if room == 0 {
                    assert!(left > 0, "more body than its length of {body_len}");
                    room = left.min(most);
                    left -= room;
                    put_frame_head(&mut self.tail, FrameKind::Body, channel, room);
                }
                let end = slice.len().min(at + room);
                room -= end - at;
                self.body_part(slice, at..end);
                at = end;
                if room == 0 {
                    self.tail.put_u8(END);
                }
            }
        }
        // Otherwise the peer would take the next frames for the rest of this body.
        assert!(left == 0 && room == 0, "less body than its length of {body_len}");
    }

    fn body_part(&mut self, slice: &Bytes, part: Range<usize>) {
        if part.len() < SENT_IN_PLACE {
            self.tail.extend_from_slice(&slice[part]);
        } else {
            let before = self.tail.split().freeze();
            self.seal(before);
            self.seal(slice.slice(part));
        }
    }

    fn seal(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.sealed_len += bytes.len();
            self.sealed.push_back(bytes);
        }
    }
}

/// Room for so many bytes at the end.
fn grow(tail: &mut BytesMut, len: usize) -> &mut [u8] {
    let start = tail.len();
    tail.resize(start + len, 0);
    &mut tail[start..]
}

fn put_frame_head(to: &mut impl BufMut, kind: FrameKind, channel: u16, payload_len: usize) {
    to.put_u8(kind as u8);
    to.put_u16(channel);
    to.put_u32(size(payload_len));
}

/// What comes before the arguments of a method of class basic.
fn put_method_head(to: &mut impl BufMut, channel: u16, method: u16, arguments: usize) {
    put_frame_head(to, FrameKind::Method, channel, METHOD_ID + arguments);
    to.put_u16(BASIC);
    to.put_u16(method);
}

/// A body that is copied whole, in one frame, into what was left for it.
fn put_body<'a>(mut to: &mut [u8], channel: u16, body_len: usize, body: impl Iterator<Item = &'a Bytes>) {
    if body_len > 0 {
        put_frame_head(&mut to, FrameKind::Body, channel, body_len);
    }
    let end = usize::from(body_len > 0);
    for slice in body {
        assert!(slice.len() + end <= to.len(), "more body than its length of {body_len}");
        to.put_slice(slice);
    }
    assert!(to.len() == end, "less body than its length of {body_len}");
    to.fill(END);
}

/// A text as a short string holds it: 255 bytes at most, as many as the length octet counts.
fn short(text: &[u8]) -> &[u8] {
    &text[..text.len().min(255)]
}

fn put_text(to: &mut &mut [u8], text: &[u8]) {
    to.put_u8(u8::try_from(text.len()).unwrap_or(u8::MAX));
    to.put_slice(text);
}

/// A length as the size field of a frame; the frames of one method or header never come near its end.
fn size(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use amq_protocol::protocol::{AMQPClass, channel};

    use super::*;

    fn content(slices: &[Bytes]) -> Content<'static, impl Iterator<Item = &Bytes>> {
        let body_len = slices.iter().map(Bytes::len).sum();
        Content { properties: Properties::default(), body_len, body: slices.iter() }
    }

    fn returned(output: &mut Output, slices: &[Bytes], frame_max: u32) {
        output.basic_return(1, 312, "NO_ROUTE", b"", b"k", content(slices), frame_max);
    }

    fn pieces(output: &Output) -> Vec<Vec<u8>> {
        let mut slices = [IoSlice::new(&[]); 16];
        let filled = output.chunks(&mut slices);
        slices[..filled].iter().map(|slice| slice.to_vec()).collect()
    }

    fn flat(output: &Output) -> Vec<u8> {
        pieces(output).concat()
    }

    #[test]
    fn frames_are_written_byte_for_byte() {
        let mut output = Output::default();
        output.raw(b"AMQP");
        output.heartbeat();
        output.ack(2, 5, true);
        output.nack(2, 6, false);
        output.method(3, &AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {})));
        let expected = [
            &b"AMQP"[..],
            b"\x08\0\0\0\0\0\0\xce",
            b"\x01\0\x02\0\0\0\x0d\0\x3c\0\x50\0\0\0\0\0\0\0\x05\x01\xce",
            b"\x01\0\x02\0\0\0\x0d\0\x3c\0\x78\0\0\0\0\0\0\0\x06\0\xce",
            b"\x01\0\x03\0\0\0\x04\0\x14\0\x29\xce",
        ]
        .concat();
        assert_eq!(flat(&output), expected);
        assert_eq!(output.len(), expected.len());
    }

    #[test]
    fn a_large_body_is_sent_from_where_it_is() {
        let body = Bytes::from(vec![7; SENT_IN_PLACE]);
        let mut output = Output::default();
        returned(&mut output, std::slice::from_ref(&body), 0);
        returned(&mut output, &[body.slice(1..)], 0);
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(output.chunks(&mut slices), 3);
        assert_eq!(slices[1].as_ptr(), body.as_ptr());
        assert!(slices[2].len() > SENT_IN_PLACE, "a smaller one is copied beside its frame header");
        assert_eq!(output.chunks(&mut slices[..2]), 2, "no more than there is room for");
    }

    #[test]
    fn a_body_is_split_so_that_no_frame_exceeds_the_limit() {
        for slices in [
            vec![Bytes::from_static(b"abcdefg")],
            vec![Bytes::from_static(b"ab"), Bytes::from_static(b"cdefg")],
        ] {
            let mut output = Output::default();
            returned(&mut output, &slices, 11);
            let bodies = b"\x03\0\x01\0\0\0\x03abc\xce\x03\0\x01\0\0\0\x03def\xce\x03\0\x01\0\0\0\x01g\xce";
            assert!(flat(&output).ends_with(bodies));
        }
    }

    #[test]
    fn an_empty_body_has_no_frame() {
        for slices in [vec![], vec![Bytes::new()]] {
            let mut output = Output::default();
            returned(&mut output, &slices, 4096);
            assert!(flat(&output).ends_with(b"\x02\0\x01\0\0\0\x0e\0\x3c\0\0\0\0\0\0\0\0\0\0\0\0\xce"));
        }
    }

    #[test]
    fn what_was_sent_is_dropped_from_the_front() {
        let mut output = Output::default();
        output.raw(b"first");
        returned(&mut output, &[Bytes::from(vec![7; 2 * SENT_IN_PLACE])], 0);
        output.raw(b"last");
        let whole = flat(&output);
        assert!(pieces(&output).len() >= 3);
        for step in [1, 3, 50, SENT_IN_PLACE, 0] {
            output.advance(step);
            assert_eq!(flat(&output), whole[whole.len() - output.len()..], "after {step} more");
        }
        output.advance(output.len());
        assert!(output.is_empty() && pieces(&output).is_empty());
        output.raw(b"again");
        assert_eq!(flat(&output), b"again");
    }

    #[test]
    fn a_release_gives_back_only_what_is_empty() {
        let mut output = Output::default();
        output.raw(&[0; 1000]);
        output.release();
        assert_eq!(output.len(), 1000);
        output.advance(1000);
        output.release();
        assert_eq!(output.tail.capacity(), 0);
    }

    #[test]
    fn texts_are_cut_to_what_their_length_octet_counts() {
        let mut output = Output::default();
        let long = "x".repeat(300);
        output.deliver(1, &long, 1, false, long.as_bytes(), long.as_bytes(), content(&[]), 0);
        let bytes = flat(&output);
        let method = crate::frame::decode(&bytes, 0).unwrap().unwrap();
        assert_eq!(method.payload.len(), 4 + 256 + 8 + 1 + 256 + 256);
        assert!(crate::method::parse_method(method.payload).is_ok());
    }

    #[test]
    #[should_panic(expected = "of 5 bytes were sent")]
    fn no_more_than_all_can_be_sent() {
        let mut output = Output::default();
        output.raw(b"12345");
        output.advance(6);
    }

    #[test]
    #[should_panic(expected = "more body than its length")]
    fn a_body_longer_than_announced_is_a_bug() {
        let slices = [Bytes::from_static(b"abc")];
        let short = Content { body_len: 2, ..content(&slices) };
        Output::default().basic_return(1, 312, "", b"", b"", short, 0);
    }

    #[test]
    #[should_panic(expected = "less body than its length")]
    fn a_body_shorter_than_announced_is_a_bug() {
        let slices = [Bytes::from_static(b"abc")];
        let long = Content { body_len: 4, ..content(&slices) };
        Output::default().basic_return(1, 312, "", b"", b"", long, 0);
    }
}

//! A consumer: one connection and one thread that reads deliveries, counts them and acks them.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use leveret_codec::frame::{Frame, FrameKind};
use leveret_codec::method::{MethodId, method_id, parse_content_header};

use super::progress::Progress;
use super::topology::{CHANNEL, prefetch, subscribe};
use crate::stats::Latencies;
use crate::wire::{Connection, event};
use crate::workload::Acks;

/// How often a consumer without deliveries looks whether it is to stop.
const LOOK_UP: Duration = Duration::from_millis(20);
const DELIVER: MethodId = MethodId { class: 60, method: 60 };

#[derive(Debug)]
pub(crate) struct Consumer<'a> {
    progress: &'a Progress,
    connection: Connection,
    acks: Acks,
    /// Bodies begin with the time they were due.
    stamped: bool,
    tally: Tally,
    /// The last tag that was acked.
    acked: u64,
    /// Stops by itself after so many messages.
    limit: u64,
    latencies: Latencies,
}

/// Follows method, header and body frames and knows when a message is whole.
#[derive(Debug, Default)]
struct Tally {
    /// The last delivery's tag.
    tag: u64,
    /// Bytes of its body that have not come.
    missing: u64,
    /// The first 8 bytes of its body.
    stamp: u64,
}

impl<'a> Consumer<'a> {
    /// Subscribes to the queues. Deliveries come from here on.
    pub(crate) fn new(
        progress: &'a Progress,
        mut connection: Connection,
        queues: &[&str],
        acks: Acks,
        stamped: bool,
    ) -> Result<Consumer<'a>> {
        if let Acks::Every { prefetch: count, .. } = acks {
            prefetch(&mut connection, count)?;
        }
        for queue in queues {
            subscribe(&mut connection, queue, acks == Acks::Automatic);
        }
        connection.flush()?;
        connection.stream.set_read_timeout(Some(LOOK_UP))?;
        Ok(Consumer {
            progress,
            connection,
            acks,
            stamped,
            tally: Tally::default(),
            acked: 0,
            limit: u64::MAX,
            latencies: Latencies::default(),
        })
    }

    /// Stops by itself after so many messages.
    pub(crate) fn until(mut self, limit: u64) -> Consumer<'a> {
        self.limit = limit;
        self
    }

    /// Consumes until told to stop. Returns the latencies of stamped messages.
    pub(crate) fn run(mut self) -> Result<Latencies> {
        while self.progress.consuming() && self.progress.counts().delivered < self.limit {
            if self.connection.read()? {
                self.take()?;
            }
        }
        if self.acks != Acks::Automatic && self.tally.tag > self.acked {
            self.connection.outbox.ack(CHANNEL, self.tally.tag, true);
            self.connection.flush()?;
        }
        self.connection.close()?;
        Ok(self.latencies)
    }

    /// Works through what one read has brought.
    fn take(&mut self) -> Result<()> {
        let measured = self.stamped && self.progress.is_measuring();
        let now = if measured { self.progress.nanos(Instant::now()) } else { 0 };
        let mut delivered = 0;
        while let Some(frame) = self.connection.inbox.next()? {
            if !self.tally.frame(&frame)? {
                continue;
            }
            delivered += 1;
            if measured {
                self.latencies.record(Duration::from_nanos(now.saturating_sub(self.tally.stamp)));
            }
            if let Acks::Every { messages, .. } = self.acks
                && self.tally.tag.saturating_sub(self.acked) >= u64::from(messages)
            {
                self.acked = self.tally.tag;
                self.connection.outbox.ack(CHANNEL, self.acked, messages > 1);
            }
        }
        self.connection.flush()?;
        self.progress.add_delivered(delivered);
        Ok(())
    }
}

impl Tally {
    /// True: with this frame a message is whole.
    fn frame(&mut self, frame: &Frame<'_>) -> Result<bool> {
        match frame.kind {
            FrameKind::Method if method_id(frame.payload) == Some(DELIVER) => {
                let Some(tag) = delivery_tag(frame.payload) else { bail!("basic.deliver is too short") };
                self.tag = tag;
            }
            FrameKind::Header => {
                let Some(header) = parse_content_header(frame.payload) else { bail!("short content header") };
                self.missing = header.body_size;
                self.stamp = 0;
                return Ok(self.missing == 0);
            }
            FrameKind::Body => {
                if let (0, Some(first)) = (self.stamp, frame.payload.first_chunk::<8>()) {
                    self.stamp = u64::from_be_bytes(*first);
                }
                self.missing = self.missing.saturating_sub(frame.payload.len() as u64);
                return Ok(self.missing == 0);
            }
            FrameKind::Method | FrameKind::Heartbeat => {
                event(frame)?;
            }
        }
        Ok(false)
    }
}

/// The tag behind class, method and consumer tag.
fn delivery_tag(payload: &[u8]) -> Option<u64> {
    let tag_at = 5 + usize::from(*payload.get(4)?);
    payload.get(tag_at..)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: FrameKind, payload: &[u8]) -> Frame<'_> {
        Frame { kind, channel: 1, payload }
    }

    fn header(size: u64) -> Vec<u8> {
        let mut payload = vec![0, 60, 0, 0];
        payload.extend_from_slice(&size.to_be_bytes());
        payload.extend_from_slice(&[0, 0]);
        payload
    }

    #[test]
    fn a_message_is_whole_with_the_last_byte_of_its_body() {
        let mut tally = Tally::default();
        let mut deliver = vec![0, 60, 0, 60, 3];
        deliver.extend_from_slice(b"tag\0\0\0\0\0\0\x01\x02\0");
        assert!(!tally.frame(&frame(FrameKind::Method, &deliver)).unwrap());
        assert_eq!(tally.tag, 258);
        assert!(!tally.frame(&frame(FrameKind::Header, &header(20))).unwrap());
        assert!(!tally.frame(&frame(FrameKind::Body, b"\0\0\0\0\0\0\0\x09abc")).unwrap());
        assert!(tally.frame(&frame(FrameKind::Body, b"123456789")).unwrap());
        assert_eq!(tally.stamp, 9);
        assert!(tally.frame(&frame(FrameKind::Header, &header(0))).unwrap());
    }

    #[test]
    fn cut_off_frames_are_errors() {
        let mut tally = Tally::default();
        assert!(tally.frame(&frame(FrameKind::Method, &[0, 60, 0, 60, 9, 1])).is_err());
        assert!(tally.frame(&frame(FrameKind::Header, &[0, 60])).is_err());
    }
}

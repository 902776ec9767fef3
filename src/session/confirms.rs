//! The unconfirmed publishes of a channel in confirm mode, and what is said of them to the publisher: each exactly
//! once, acks as `multiple` where nothing before them is open (semantics 9.20 to 9.22). Whether a publish is
//! durable is known elsewhere.

use std::collections::VecDeque;

use leveret_codec::write::Output;

use crate::model::holdings::Holdings;
use crate::model::ids::ChannelNumber;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Publish {
    /// Confirms that are still to come.
    waiting: u32,
    refused: bool,
    reported: bool,
}

#[derive(Debug)]
pub(super) struct Confirms {
    /// The sequence number of the first in the window.
    first: u64,
    window: VecDeque<Publish>,
    /// Became complete since the last flush.
    complete: Vec<u64>,
    /// How many in the window were said already.
    said: usize,
}

impl Default for Confirms {
    fn default() -> Confirms {
        Confirms { first: 1, window: VecDeque::new(), complete: Vec::new(), said: 0 }
    }
}

impl Confirms {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Confirms { first: _, window, complete, said: _ } = self;
        into.in_transit("channel: unconfirmed", window);
        into.in_transit("channel: confirms to be said", complete);
    }

    /// The sequence number the next publish will have.
    pub(super) fn next_sequence(&self) -> u64 {
        self.first + self.window.len() as u64
    }

    /// A publish that so many confirms will come for; 0: it is done.
    pub(super) fn published(&mut self, waiting: usize) {
        if waiting == 0 {
            self.complete.push(self.next_sequence());
        }
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        self.window.push_back(Publish { waiting, ..Publish::default() });
    }

    /// One of the awaited confirms. What nobody waits for is passed over.
    pub(super) fn confirm(&mut self, sequence: u64, accepted: bool) {
        let Some(publish) = self.at(sequence).filter(|publish| publish.waiting > 0) else { return };
        publish.waiting -= 1;
        publish.refused |= !accepted;
        if publish.waiting == 0 {
            self.complete.push(sequence);
        }
    }

    /// Whether all publishes were told of.
    pub(super) fn is_settled(&self) -> bool {
        self.window.is_empty()
    }

    /// How many publishes nothing was said of yet.
    pub(super) fn unconfirmed(&self) -> u64 {
        (self.window.len() - self.said) as u64
    }

    /// Whether there is something to say.
    pub(super) fn is_dirty(&self) -> bool {
        !self.complete.is_empty()
    }

    /// Says what became complete. Refusals first and one by one, so that no `multiple` ack covers them.
    /// Returns how many of it were accepted.
    pub(super) fn flush(&mut self, channel: ChannelNumber, output: &mut Output) -> u64 {
        let mut complete = std::mem::take(&mut self.complete);
        complete.sort_unstable();
        for &sequence in &complete {
            if let Some(publish) = self.at(sequence).filter(|publish| publish.refused) {
                publish.reported = true;
                self.said += 1;
                output.nack(channel, sequence, false);
            }
        }
        let mut accepted = self.flush_front(channel, output);
        for &sequence in &complete {
            if let Some(publish) = self.at(sequence).filter(|publish| !publish.reported) {
                publish.reported = true;
                self.said += 1;
                accepted += 1;
                output.ack(channel, sequence, false);
            }
        }
        complete.clear();
        self.complete = complete;
        accepted
    }

    /// Acks the run of complete publishes at the front in one and forgets it. Returns how many it acked.
    fn flush_front(&mut self, channel: ChannelNumber, output: &mut Output) -> u64 {
        let (mut last, mut acks) = (0, 0);
        while let Some(publish) = self.window.front().filter(|publish| publish.waiting == 0) {
            if publish.reported {
                self.said -= 1;
            } else {
                (last, acks) = (self.first, acks + 1);
            }
            self.window.pop_front();
            self.first += 1;
        }
        if acks > 0 {
            output.ack(channel, last, acks > 1);
        }
        acks
    }

    fn at(&mut self, sequence: u64) -> Option<&mut Publish> {
        let index = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        self.window.get_mut(index)
    }
}

//! What exchanges of type x-recent-history remember, and how it reaches those who are bound later (semantics 5.28).
//! A history is bounded by count and by bytes and stays in memory; what is persistent in it is in the store too, and is
//! read back once after a start.

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;

use super::Shard;
use crate::model::command::ShardCommand;
use crate::model::holdings::Holdings;
use crate::model::ids::{Destination, Position, PositionRange, QueueId, QueueRef, Timestamp};
use crate::model::message::Message;
use crate::model::op::{EntryMeta, Fetch, Fetched, Op, RecoveredQueue, Wants};
use crate::model::settings::QueueSettings;
use crate::model::sparse::ShrinkIfSparse;
use crate::queue::QueueEffects;
use crate::routing::cc;
use crate::routing::{Envelope, route};

/// What one exchange may remember, in bytes, however many messages it may.
const MOST_BYTES: usize = 16 << 20;

#[derive(Debug)]
struct RememberedMessage {
    position: Position,
    message: Arc<Message>,
    stored: bool,
}

/// What an exchange remembered when something was bound to it, on its way there. It names the messages rather than holding
/// them, so that a binding costs the same however much is remembered; what is forgotten meanwhile is not sent any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replay {
    history: QueueId,
    to: Destination,
    /// What has not been sent.
    rest: PositionRange,
}

/// The messages of one exchange, oldest first.
#[derive(Debug)]
pub(super) struct History {
    id: QueueId,
    /// Of messages.
    length: u64,
    durable: bool,
    next: Position,
    kept: VecDeque<RememberedMessage>,
    bytes: usize,
    /// What the store has from before and is still being read.
    unread: Option<PositionRange>,
    /// Those who wait for it.
    waiting: Vec<Destination>,
}

impl History {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let History { id: _, length: _, durable: _, next: _, kept, bytes, unread, waiting } = self;
        into.declared("history: messages", kept);
        into.declared("history: bytes", bytes);
        into.in_transit("history: unread", unread);
        into.in_transit("history: waiting", waiting);
    }

    pub(super) fn new(id: QueueId, settings: &QueueSettings, found: &RecoveredQueue) -> History {
        let spans = || found.lanes.iter().flat_map(|(_, spans)| spans).map(|span| span.range);
        let first = spans().map(|range| range.first).min();
        let last = spans().map(|range| range.last).max();
        let unread = first.zip(last).map(|(first, last)| PositionRange { first, last });
        History {
            id,
            length: settings.max_length.unwrap_or(0),
            durable: settings.durable,
            next: found.next_position.max(unread.map_or(Position(1), |range| range.last.next())),
            kept: VecDeque::new(),
            bytes: 0,
            unread,
            waiting: Vec::new(),
        }
    }

    /// What has to be read next.
    pub(super) fn fetch(&self) -> Option<Fetch> {
        Some(Fetch { queue: self.id, lane: 0, range: self.unread?, max_bytes: MOST_BYTES, wants: Wants::All })
    }

    /// Ends it with all it holds.
    pub(super) fn delete(self, ops: &mut Vec<Op>) {
        if self.durable {
            ops.push(Op::DeleteQueue { queue: self.id });
        }
    }

    fn remember(&mut self, message: Arc<Message>, ops: &mut Vec<Op>) {
        let stored = self.durable && message.is_persistent();
        let position = self.next;
        self.next = position.next();
        if stored {
            let (queue, message, meta) = (self.id, Arc::clone(&message), EntryMeta::default());
            ops.push(Op::Put { queue, lane: 0, position, message, meta, durable: true });
        }
        self.bytes += message.footprint();
        self.kept.push_back(RememberedMessage { position, message, stored });
        self.forget_oldest(ops);
    }

    fn forget_oldest(&mut self, ops: &mut Vec<Op>) {
        while self.kept.len() as u64 > self.length || self.bytes > MOST_BYTES {
            let Some(oldest) = self.kept.pop_front() else { return };
            self.bytes -= oldest.message.footprint();
            if oldest.stored {
                ops.push(Op::Remove { queue: self.id, range: PositionRange::single(oldest.position) });
            }
        }
    }

    /// What has to be sent to what is bound now; None where nothing is remembered.
    fn replay(&self, to: Destination) -> Option<Replay> {
        let (first, last) = (self.kept.front()?.position, self.kept.back()?.position);
        Some(Replay { history: self.id, to, rest: PositionRange { first, last } })
    }

    /// The oldest message in this range.
    fn oldest_in(&self, range: PositionRange) -> Option<&RememberedMessage> {
        let at = self.kept.partition_point(|kept| kept.position < range.first);
        self.kept.get(at).filter(|kept| kept.position <= range.last)
    }

    /// Takes what the store read, and asks for the rest. Returns those who have waited for all of it.
    pub(super) fn loaded(&mut self, fetched: Fetched, fx: &mut QueueEffects) -> Vec<Destination> {
        self.take_read(fetched, &mut fx.ops);
        let rest = self.fetch();
        let waiting = if rest.is_none() { std::mem::take(&mut self.waiting) } else { Vec::new() };
        fx.fetches.extend(rest);
        waiting
    }

    /// All that was read is older than what came since the start.
    fn take_read(&mut self, fetched: Fetched, ops: &mut Vec<Op>) {
        let Some(unread) = self.unread.filter(|unread| *unread == fetched.fetch.range) else { return };
        let since_start = self.kept.iter().position(|kept| kept.position > unread.last);
        let newer = self.kept.split_off(since_start.unwrap_or(self.kept.len()));
        for found in fetched.entries {
            self.bytes += found.message.footprint();
            self.kept.push_back(RememberedMessage {
                position: found.position,
                message: found.message,
                stored: true,
            });
        }
        self.kept.extend(newer);
        let rest = PositionRange { first: fetched.through.next(), last: unread.last };
        self.unread = (fetched.through >= unread.first && rest.first <= rest.last).then_some(rest);
        self.forget_oldest(ops);
    }
}

impl Shard {
    /// An exchange with a history was sent a message.
    pub(super) fn remember(&mut self, history: QueueRef, message: Arc<Message>) {
        if history.shard == self.index {
            self.remember_here(history.queue, message);
        } else {
            self.credit.spend(history.shard, &message);
            let from = Some(self.index);
            let command = ShardCommand::Remember { history: history.queue, message, from };
            self.out.to_shards.push((history.shard, command));
        }
    }

    /// The same of an exchange whose history is here.
    pub(super) fn remember_here(&mut self, history: QueueId, message: Arc<Message>) {
        if let Some(history) = self.queues.history_mut(history) {
            history.remember(message, &mut self.fx.ops);
        }
    }

    /// Sends what is remembered to a new destination.
    pub(super) fn replay(&mut self, now: Timestamp, history: QueueId, to: Destination) {
        let Some(history) = self.queues.history_mut(history) else { return };
        if history.unread.is_some() {
            history.waiting.push(to);
            return;
        }
        self.replays.extend(history.replay(to));
        self.go_on_replaying(now);
    }

    /// Sends what is remembered to those who were bound since, as much of it as a turn has time for.
    pub(super) fn go_on_replaying(&mut self, now: Timestamp) {
        while self.go_on_forwarding(now)
            && let Some(Replay { history, to, rest }) = self.replays.front_mut()
            && self.steps.may_move_dead_letter()
        {
            let next = self.queues.history(*history).and_then(|history| history.oldest_in(*rest));
            let Some(RememberedMessage { position, message, .. }) = next else {
                self.replays.pop_front();
                self.replays.shrink_if_sparse();
                continue;
            };
            rest.first = position.next();
            let (message, to) = (Arc::clone(message), *to);
            self.send_again(now, &message, to);
        }
    }

    fn send_again(&mut self, now: Timestamp, message: &Arc<Message>, to: Destination) {
        let mut targets: SmallVec<[QueueRef; 2]> = SmallVec::new();
        let mut histories = SmallVec::new();
        match to {
            Destination::Queue(queue) => targets.push(queue),
            Destination::Exchange(exchange) => {
                let keys = cc::routing_keys(message);
                let keys: SmallVec<[&[u8]; 4]> = keys.iter().map(Vec::as_slice).collect();
                let envelope =
                    Envelope { keys: &keys, properties: message.properties(), draw: self.next_draw() };
                let walked = route(&*self.view.read(), exchange, envelope, &mut targets);
                self.steps.searched(walked.effort);
                histories = walked.histories;
            }
        }
        for history in histories {
            self.remember(history, Arc::clone(message));
        }
        self.forward(now, Arc::clone(message), targets, None);
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use leveret_codec::properties::Properties;

    use super::*;
    use crate::catalog::view::View;
    use crate::model::command::{Origin as CommandOrigin, QueueLabel};
    use crate::model::ids::ShardIndex;
    use crate::model::message::{Body, Origin};
    use crate::model::settings::QueueRole;
    use crate::shard::ShardEffects;

    const HISTORY: QueueId = QueueId(1);
    /// Queues of another shard, so that what is sent to them can be counted.
    const ELSEWHERE: ShardIndex = ShardIndex::alone(1);

    fn shard_that_remembers(most: u64) -> Shard {
        let mut shard = Shard::new(ShardIndex::alone(0), 2, View::new(), 1 << 20);
        let label = QueueLabel { vhost: "/".into(), name: "".into() };
        let settings =
            QueueSettings { role: QueueRole::Remembers, max_length: Some(most), ..QueueSettings::default() };
        shard.add(Timestamp(0), HISTORY, label, Arc::new(settings), RecoveredQueue::default());
        shard
    }

    fn remember(shard: &mut Shard, count: usize) {
        for _ in 0..count {
            let (properties, body, origin) = (Properties::default(), Body::default(), Origin::Client);
            let message = Message::new(&mut BytesMut::new(), b"x", b"k", properties, body, origin);
            shard.remember_here(HISTORY, Arc::new(message));
        }
    }

    fn bind(shard: &mut Shard, queues: std::ops::Range<u64>) {
        for queue in queues {
            let to = QueueRef { queue: QueueId(queue), shard: ELSEWHERE };
            shard.replay(Timestamp(0), HISTORY, Destination::Queue(to));
        }
    }

    /// How many messages reach other shards in this turn. They take them in at once.
    fn sent(shard: &mut Shard) -> usize {
        let mut fx = ShardEffects::default();
        shard.finish_turn(Timestamp(0), &mut fx);
        for (to, command) in &fx.to_shards {
            let ShardCommand::DeadLetter { message, .. } = command else { panic!("{command:?}") };
            let credit = ShardCommand::Credit { from: *to, messages: 1, bytes: message.footprint() };
            shard.handle(Timestamp(0), CommandOrigin::Shard(*to), credit);
        }
        fx.to_shards.len()
    }

    #[test]
    fn a_binding_waits_with_one_entry_for_all_that_is_remembered() {
        let mut shard = shard_that_remembers(10_000);
        remember(&mut shard, 10_000);
        bind(&mut shard, 100..150);
        assert!(shard.replays.len() <= 50, "{} entries for 50 bindings", shard.replays.len());
        let mut all = 0;
        while shard.has_more() {
            all += sent(&mut shard);
        }
        assert_eq!((all, shard.replays.len()), (50 * 10_000, 0));
    }

    #[test]
    fn what_was_forgotten_or_came_after_the_binding_is_not_sent_again() {
        let mut shard = shard_that_remembers(10_000);
        remember(&mut shard, 10_000);
        bind(&mut shard, 100..101);
        let mut all = sent(&mut shard);
        assert!(all < 4_000, "a turn sends a part: {all}");
        remember(&mut shard, 4_000);
        while shard.has_more() {
            all += sent(&mut shard);
        }
        assert!((6_000..10_000).contains(&all), "{all}");
    }
}

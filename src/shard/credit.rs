//! What may be on its way from this shard to the others: dead letters, and what the broker sends besides. Each message costs
//! credit until the other shard has taken it in, which it tells at the end of that turn, whatever it waits for itself; so
//! a storm of dead letters is as fast as the slowest who gets them, and two shards that send to each other never wait in a
//! circle. A message is sent where credit is left, however large it is. Who has to wait is decided in `forwarding.rs`.

use super::Shard;
use crate::model::by_shard::ByShard;
use crate::model::command::ShardCommand;
use crate::model::holdings::Holdings;
use crate::model::ids::ShardIndex;
use crate::model::message::Message;

/// Messages that may be under way to one other shard.
pub(super) const MOST_MESSAGES: usize = 4096;
/// Bytes of these, and the part of the shard's memory for messages that they are if that is less.
const MOST_BYTES: usize = 4 << 20;
const MEMORY_SHARE: usize = 16;

/// How many bytes of messages a shard with so many bytes of memory may have under way to each of the others, the last message
/// not counted.
#[must_use]
pub fn credit_bytes(memory: usize) -> usize {
    (memory / MEMORY_SHARE).clamp(1, MOST_BYTES)
}

/// Messages, and the bytes of their footprints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amount {
    messages: usize,
    bytes: usize,
}

/// Credit that was spent with other shards, and what they are owed.
#[derive(Debug)]
pub(super) struct Credit {
    /// Bytes that may be under way to one shard, and that may wait to be sent to any of them.
    most_bytes: usize,
    /// What is under way to others.
    spent: ByShard<Amount>,
    /// To how many of them there is no more credit.
    exhausted: usize,
    /// What came from others in this turn.
    taken_in: ByShard<Amount>,
}

impl Credit {
    /// Of a shard with so many bytes of memory for messages.
    pub(super) fn new(memory: usize) -> Credit {
        let (spent, taken_in) = (ByShard::default(), ByShard::default());
        Credit { most_bytes: credit_bytes(memory), spent, exhausted: 0, taken_in }
    }

    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Credit { most_bytes: _, spent, exhausted, taken_in } = self;
        let messages =
            |amounts: &ByShard<Amount>| amounts.iter().map(|(_, amount)| amount.messages).sum::<usize>();
        into.in_transit("credit: spent", &messages(spent));
        into.in_transit("credit: shards that have none left for this one", exhausted);
        into.in_transit("credit: owed", &messages(taken_in));
    }

    pub(super) fn most_bytes(&self) -> usize {
        self.most_bytes
    }

    /// The shard has so many bytes of memory for messages.
    pub(super) fn set_memory(&mut self, memory: usize) {
        self.most_bytes = credit_bytes(memory);
        self.exhausted = self.spent.iter().filter(|&(_, &spent)| self.is_over(spent)).count();
    }

    /// Whether one of the shards has as much under way to it as may be.
    pub(super) fn is_exhausted(&self) -> bool {
        self.exhausted > 0
    }

    /// A message leaves for another shard.
    pub(super) fn spend(&mut self, to: ShardIndex, message: &Message) {
        let spent = *self.spent.of(to);
        let (messages, bytes) = (spent.messages + 1, spent.bytes + message.footprint());
        self.set_spent(to, Amount { messages, bytes });
    }

    /// Another shard has taken in so much.
    pub(super) fn give_back(&mut self, from: ShardIndex, messages: usize, bytes: usize) {
        let spent = *self.spent.of(from);
        let messages = spent.messages.saturating_sub(messages);
        let bytes = spent.bytes.saturating_sub(bytes);
        self.set_spent(from, Amount { messages, bytes });
    }

    /// A message of another shard has come in.
    pub(super) fn take_in(&mut self, from: ShardIndex, message: &Message) {
        let taken_in = self.taken_in.of(from);
        taken_in.messages += 1;
        taken_in.bytes += message.footprint();
    }

    fn set_spent(&mut self, shard: ShardIndex, amount: Amount) {
        let is_over = self.is_over(amount);
        let before = std::mem::replace(self.spent.of(shard), amount);
        let was_over = self.is_over(before);
        self.exhausted = self.exhausted + usize::from(is_over) - usize::from(was_over);
    }

    fn is_over(&self, amount: Amount) -> bool {
        amount.messages >= MOST_MESSAGES || amount.bytes >= self.most_bytes
    }
}

impl Shard {
    /// Gives the others their credit back for what came in this turn.
    pub(super) fn give_credit_back(&mut self) {
        for (shard, Amount { messages, bytes }) in self.credit.taken_in.drain() {
            let credit = ShardCommand::Credit { from: self.index, messages, bytes };
            self.out.to_shards.push((shard, credit));
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use leveret_codec::properties::Properties;

    use super::*;
    use crate::model::message::{Body, Origin};

    const OTHER: ShardIndex = ShardIndex::alone(1);

    fn message() -> Message {
        let (properties, body, origin) = (Properties::default(), Body::default(), Origin::Client);
        Message::new(&mut BytesMut::new(), b"x", b"k", properties, body, origin)
    }

    #[test]
    fn credit_is_spent_by_messages_or_bytes_and_given_back() {
        let message = message();
        let mut credit = Credit::new(1 << 30);
        assert_eq!(credit.most_bytes(), MOST_BYTES);
        for _ in 0..MOST_MESSAGES {
            assert!(!credit.is_exhausted());
            credit.spend(OTHER, &message);
        }
        assert!(credit.is_exhausted());
        credit.spend(ShardIndex::alone(2), &message);
        credit.give_back(ShardIndex::alone(2), 1, message.footprint());
        assert!(credit.is_exhausted(), "it is another shard's");
        credit.give_back(OTHER, 1, message.footprint());
        assert!(!credit.is_exhausted());
        credit.set_memory(2 * MEMORY_SHARE * message.footprint());
        assert!(credit.is_exhausted(), "there is less memory than before");
        credit.give_back(OTHER, MOST_MESSAGES - 2, (MOST_MESSAGES - 2) * message.footprint());
        assert!(!credit.is_exhausted());
        credit.spend(OTHER, &message);
        assert!(credit.is_exhausted());
        credit.give_back(OTHER, 2, 2 * message.footprint());
        let mut holdings = Holdings::default();
        credit.holdings(&mut holdings);
        assert!(holdings.iter().all(|holding| holding.len == 0), "{holdings:?}");
    }
}

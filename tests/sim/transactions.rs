//! Transactions are whole: what a tx.commit sent and settled, over however many queues, is there as a whole or not at
//! all, whatever happened before the commit was answered.
//!
//! Of a commit that was not answered nobody knows what became of it. So the ledger looks for signs: a message of it that
//! came after a restart, or a settled one that never came again, say that it was carried out; a message that was never
//! seen, or a settled one that came again, say that it was not. It must not have both.

use crate::model::{ChannelSerial, CopyKey, Fate, MessageId, Model, Path, Violation};

/// A commit that was sent.
#[derive(Debug)]
pub(crate) struct Transaction {
    channel: ChannelSerial,
    /// How often the broker had been restarted.
    life: u32,
    published: Vec<MessageId>,
    /// What it acked of what is known to be on disk, and how often that had been delivered.
    acked: Vec<(CopyKey, u32)>,
}

impl Model {
    /// A client sends a commit. To be told before what is in it is.
    pub(crate) fn commit_sent(&mut self, channel: ChannelSerial, published: Vec<MessageId>, acked: &[u64]) {
        let held = acked.iter().filter_map(|&tag| self.holdings.get(&(channel, tag)));
        let acked = held.filter_map(|holding| {
            let is_safe = self.messages.get(&holding.copy.0).is_some_and(|one| one.fate == Fate::Promised);
            let copy = self.copies.get(&holding.copy).filter(|copy| is_safe && !copy.maybe_gone)?;
            Some((holding.copy.clone(), copy.deliveries))
        });
        let acked = acked.collect();
        self.transactions.push(Transaction { channel, life: self.life, published, acked });
    }

    /// Whether somebody waits for the answer to a commit.
    pub(crate) fn commits(&self) -> bool {
        let is_open = |channel| self.channels.get(channel).is_some_and(|state| state.open);
        self.transactions.iter().any(|transaction| is_open(&transaction.channel))
    }

    /// The oldest commit of a channel is answered.
    pub(crate) fn transaction_answered(&mut self, channel: ChannelSerial) {
        if let Some(at) = self.transactions.iter().position(|transaction| transaction.channel == channel) {
            self.transactions.remove(at);
        }
    }

    /// All queues are drained: no transaction was carried out in part.
    pub(crate) fn check_transactions(&mut self) -> Result<(), Violation> {
        for transaction in std::mem::take(&mut self.transactions) {
            let (mut done, mut undone) = (None, None);
            for &id in &transaction.published {
                match self.sign_of_publish(&transaction, id) {
                    Some(true) => done = Some(format!("message {id} is there")),
                    Some(false) => undone = Some(format!("message {id} is not there")),
                    None => {}
                }
            }
            for (key, deliveries) in &transaction.acked {
                match self.sign_of_ack(key, *deliveries) {
                    Some(true) => done = Some(format!("the ack of {key:?} was kept")),
                    Some(false) => undone = Some(format!("the ack of {key:?} was not kept")),
                    None => {}
                }
            }
            self.figures.transactions += u64::from(done.is_some() || undone.is_some());
            if let (Some(done), Some(undone)) = (done, undone) {
                return Err(format!(
                    "half of a transaction was carried out: {done}, {undone}: {transaction:?}"
                ));
            }
        }
        Ok(())
    }

    fn sign_of_publish(&self, transaction: &Transaction, id: MessageId) -> Option<bool> {
        let message = self.messages.get(&id)?;
        let signs = message.sent.targets.iter().filter_map(|&queue| {
            let key = (id, queue, Path::new());
            let copy = self.copies.get(&key)?;
            if copy.deliveries > 0 {
                let lasts = copy.last_life > transaction.life || transaction.life == self.life;
                return lasts.then_some(true);
            }
            (self.must_stay(&key) && copy.end.is_none()).then_some(false)
        });
        signs.min()
    }

    fn sign_of_ack(&self, key: &CopyKey, deliveries: u32) -> Option<bool> {
        let (copy, message) = (self.copies.get(key)?, self.messages.get(&key.0)?);
        let has_timeout = self.topology.queues[key.1].consumer_timeout.is_some();
        if !key.2.is_empty() || message.sent.delay.is_some() || has_timeout {
            return None;
        }
        if copy.deliveries > deliveries {
            return Some(false);
        }
        // It would have come again, had it been there.
        self.must_stay(key).then_some(true)
    }

    /// Nothing but a consumer takes this copy away.
    fn must_stay(&self, key: &CopyKey) -> bool {
        let (id, queue, _) = key;
        let Some(message) = self.messages.get(id) else { return false };
        let (plan, state) = (&self.topology.queues[*queue], &self.queues[*queue]);
        let failures = self.copies.get(key).map_or(0, |copy| copy.failures);
        plan.is_permanent()
            && plan.keeps(message.sent.persistent)
            && plan.consumer_timeout.is_none()
            && plan.ttl.is_none()
            && message.sent.expiration.is_none()
            && plan.max_length.is_none()
            && plan.limit().is_none_or(|limit| failures + 3 < limit)
            && *id > state.leaked
    }
}

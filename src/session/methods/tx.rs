//! Class tx (semantics section 14): publishes were routed when they came; commit submits them, settles, and
//! answers once all of it is confirmed. After a crash all of a transaction is there or nothing (RabbitMQ promises that for
//! no more than one queue).

use leveret_codec::method::MethodId;
use leveret_codec::method::amqp::AMQPClass;
use leveret_codec::method::amqp::tx::{AMQPMethod, CommitOk, RollbackOk, SelectOk};

use crate::model::event::ConfirmToken;
use crate::model::fault::Fault;
use crate::model::port::BrokerPort;
use crate::session::channel::ChannelMode;
use crate::session::channel_context::ChannelContext;
use crate::session::failure::unimplemented;
use crate::session::pending_request::{PendingRequest, RequestKind};
use crate::session::transaction::Transaction;

/// tx.commit.
pub(in crate::session) const COMMIT: MethodId = MethodId { class: 90, method: 20 };

impl<P: BrokerPort> ChannelContext<'_, P> {
    pub(in crate::session) fn tx_method(&mut self, method: &AMQPMethod) -> Result<(), Fault> {
        match method {
            AMQPMethod::Select(_) => self.tx_select(),
            AMQPMethod::Commit(_) => self.commit(),
            AMQPMethod::Rollback(_) => self.rollback(),
            AMQPMethod::SelectOk(_) | AMQPMethod::CommitOk(_) | AMQPMethod::RollbackOk(_) => {
                Err(unimplemented())
            }
        }
    }

    fn tx_select(&mut self) -> Result<(), Fault> {
        match self.channel.mode {
            ChannelMode::Plain => self.channel.mode = ChannelMode::Transaction(Transaction::default()),
            ChannelMode::Transaction(_) => {}
            ChannelMode::Confirm(_) => {
                return Err(Fault::precondition("cannot switch from confirm to tx mode"));
            }
        }
        self.say(&AMQPClass::Tx(AMQPMethod::SelectOk(SelectOk {})));
        Ok(())
    }

    /// Publishes first, settlements after them, then a barrier: commit-ok means that all of it is durable.
    fn commit(&mut self) -> Result<(), Fault> {
        let transaction = self.take_transaction()?;
        let mut waiting = 0;
        for (kept, sequence) in transaction.publishes.into_iter().zip(1..) {
            if !kept.routed.is_unroutable() {
                let token = self.token(sequence);
                waiting += self.out.port.submit(kept.routed, Some(token));
            } else {
                self.not_routed(&kept.routed.message, kept.mandatory);
            }
        }
        for (entries, settlement) in transaction.settlements {
            self.settle(&entries, settlement);
        }
        let barrier = self.token(0);
        waiting += self.out.port.barrier(barrier);
        let kind = RequestKind::Commit { waiting, refused: false };
        let pending = PendingRequest { channel: self.number, method: COMMIT, nowait: false, kind };
        self.shared.pending = Some(pending);
        self.finish_commit()
    }

    /// One of the confirms of a commit came.
    pub(in crate::session) fn commit_confirmed(&mut self, accepted: bool) -> Result<(), Fault> {
        match &mut self.shared.pending {
            Some(PendingRequest { channel, kind: RequestKind::Commit { waiting, refused }, .. })
                if *channel == self.number =>
            {
                *waiting = waiting.saturating_sub(1);
                *refused |= !accepted;
            }
            _ => return Ok(()),
        }
        self.finish_commit()
    }

    /// Answers tx.commit when nothing is waited for any more; 406 where a queue refused a publish (semantics 14.3).
    fn finish_commit(&mut self) -> Result<(), Fault> {
        let Some(PendingRequest { kind: RequestKind::Commit { waiting: 0, refused }, .. }) =
            self.shared.pending
        else {
            return Ok(());
        };
        self.shared.pending = None;
        if refused {
            return Err(Fault::precondition("partial tx completion"));
        }
        self.say(&AMQPClass::Tx(AMQPMethod::CommitOk(CommitOk {})));
        Ok(())
    }

    /// Drops the publishes; what was acked is unacked again, and not redelivered (semantics 14.2).
    fn rollback(&mut self) -> Result<(), Fault> {
        let transaction = self.take_transaction()?;
        let entries = transaction.settlements.into_iter().flat_map(|(entries, _)| entries);
        self.channel.unacked.restore(entries);
        self.say(&AMQPClass::Tx(AMQPMethod::RollbackOk(RollbackOk {})));
        Ok(())
    }

    fn take_transaction(&mut self) -> Result<Transaction, Fault> {
        match &mut self.channel.mode {
            ChannelMode::Transaction(transaction) => {
                self.shared.held.subtract(transaction.bytes);
                Ok(std::mem::take(transaction))
            }
            ChannelMode::Plain | ChannelMode::Confirm(_) => {
                Err(Fault::precondition("channel is not transactional"))
            }
        }
    }

    fn token(&self, sequence: u64) -> ConfirmToken {
        ConfirmToken { channel: self.number, epoch: self.channel.epoch, sequence }
    }
}

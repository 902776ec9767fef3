//! basic.ack, nack, reject, recover (semantics section 11): delivery tags become runs of positions.

use crate::model::consuming::Settlement;
use crate::model::fault::Fault;
use crate::model::ids::ConsumerNumber;
use crate::model::port::BrokerPort;

use super::channel::ChannelMode;
use super::channel_context::{ChannelContext, Gathered, Shared};
use super::unacked::{AdjacentRange, Unacked, UnknownTag, runs};

impl Shared {
    /// Hands over what was gathered.
    pub(super) fn flush_settlement<P: BrokerPort>(&mut self, port: &mut P) {
        if let Some(Gathered { run, settlement }) = self.gathered.take() {
            port.settle(run.queue, run.consumer, run.range, settlement);
        }
    }
}

impl Shared {
    /// Adds acks to what a consumer has got, which is looked up where acks of another one come.
    fn count_acks(&mut self, acked: Option<(ConsumerNumber, u64)>) {
        if let Some((consumer, count)) = acked
            && let Some(consumer) = self.consumers.get_mut(&consumer)
        {
            consumer.counts.acked += count;
        }
    }
}

impl<P: BrokerPort> ChannelContext<'_, P> {
    /// 406 where the tag is not outstanding (semantics 11.1); so do nack and reject.
    pub(super) fn ack(&mut self, tag: u64, multiple: bool) -> Result<(), Fault> {
        self.settle_tag(tag, multiple, Settlement::Ack)
    }

    pub(super) fn nack(&mut self, tag: u64, multiple: bool, requeue: bool) -> Result<(), Fault> {
        let settlement = if requeue { Settlement::Requeue { failed: false } } else { Settlement::Discard };
        self.settle_tag(tag, multiple, settlement)
    }

    pub(super) fn reject(&mut self, tag: u64, requeue: bool) -> Result<(), Fault> {
        let settlement = if requeue { Settlement::Requeue { failed: true } } else { Settlement::Discard };
        self.settle_tag(tag, false, settlement)
    }

    /// basic.recover and recover-async: requeues all that is unacked (semantics 11.4).
    pub(super) fn recover(&mut self, requeue: bool) -> Result<(), Fault> {
        if !requeue {
            return Err(Fault::not_implemented("requeue=false"));
        }
        let entries = self.channel.unacked.take_through(0).unwrap_or_default();
        self.settle(&entries, Settlement::Requeue { failed: false });
        Ok(())
    }

    /// Carries a settlement out.
    pub(super) fn settle(&mut self, entries: &[Unacked], settlement: Settlement) {
        self.flush_settlement();
        self.out.tally.settled += entries.len() as u64;
        let port = &mut self.out.port;
        let (counts, shared) = (&mut self.channel.counts, &mut *self.shared);
        runs(entries, |run| {
            port.settle(run.queue, run.consumer, run.range, settlement);
            if settlement == Settlement::Ack {
                shared.count_acks(counts.acked(run.consumer, run.len()));
            }
        });
        self.channel.shared_prefetch.used -= entries.iter().filter(|entry| entry.counted).count();
        self.adapt_pause();
    }

    /// Hands over what was gathered; before anything that must come after it.
    pub(super) fn flush_settlement(&mut self) {
        self.shared.flush_settlement(&mut self.out.port);
    }

    /// Settles one delivery. Clients ack one by one and in order: the run grows until something else comes.
    fn gather(&mut self, entry: Unacked, settlement: Settlement) {
        self.out.tally.settled += 1;
        if settlement == Settlement::Ack {
            self.shared.count_acks(self.channel.counts.acked(entry.consumer, 1));
        }
        let grown = self
            .shared
            .gathered
            .as_mut()
            .is_some_and(|gathered| gathered.settlement == settlement && gathered.run.grow(&entry));
        if !grown {
            self.flush_settlement();
            self.shared.gathered = Some(Gathered { run: AdjacentRange::of(&entry), settlement });
        }
        self.channel.shared_prefetch.used -= usize::from(entry.counted);
        self.adapt_pause();
    }

    fn settle_tag(&mut self, tag: u64, multiple: bool, settlement: Settlement) -> Result<(), Fault> {
        let unknown = |_: UnknownTag| Fault::precondition(format!("unknown delivery tag {tag}"));
        if !multiple && !matches!(self.channel.mode, ChannelMode::Transaction(_)) {
            let entry = self.channel.unacked.take(tag).map_err(unknown)?;
            self.gather(entry, settlement);
            return Ok(());
        }
        let entries = if multiple {
            self.channel.unacked.take_through(tag).map_err(unknown)?
        } else {
            vec![self.channel.unacked.take(tag).map_err(unknown)?]
        };
        match &mut self.channel.mode {
            ChannelMode::Transaction(transaction) => transaction.keep_settlement(entries, settlement),
            ChannelMode::Plain | ChannelMode::Confirm(_) => self.settle(&entries, settlement),
        }
        Ok(())
    }
}

//! The promises that no single delivery shows: one confirm per publish, nothing left lying, nothing lost in the end.

use leveret::model::ids::Timestamp;

use crate::model::{ChannelSerial, CopyKey, Fate, How, MessageId, Model, Path, Reason, Violation};
use crate::oracle::require;
use crate::topology::{Full, QueueNumber};

impl Model {
    /// The broker confirms publishes of a channel, or refuses them.
    pub(crate) fn confirmed(
        &mut self,
        channel: ChannelSerial,
        sequence: u64,
        multiple: bool,
        accepted: bool,
    ) -> Result<(), Violation> {
        let Some(state) = self.channels.get_mut(&channel) else {
            return Err(format!("a confirm for channel {channel}, which is not known"));
        };
        require(sequence <= state.last_sequence, || format!("confirm {sequence} of nothing that was sent"))?;
        require(multiple || state.unconfirmed.contains_key(&sequence), || {
            format!("publish {sequence} of channel {channel} is confirmed twice")
        })?;
        let first = if multiple { 0 } else { sequence };
        let done: Vec<u64> =
            state.unconfirmed.range(first..=sequence).map(|(sequence, _)| *sequence).collect();
        require(!done.is_empty(), || format!("confirm {sequence} of channel {channel} confirms nothing"))?;
        let ids: Vec<MessageId> =
            done.iter().filter_map(|sequence| state.unconfirmed.remove(sequence)).collect();
        ids.into_iter().try_for_each(|id| self.check_confirm(id, accepted))
    }

    fn check_confirm(&mut self, id: MessageId, accepted: bool) -> Result<(), Violation> {
        let Some(message) = self.messages.get_mut(&id) else { return Ok(()) };
        let publisher = self.channels.get(&message.sent.channel);
        require(!publisher.is_some_and(|channel| channel.unroutable.contains(&id)), || {
            format!("message {id} is confirmed before it is returned")
        })?;
        if accepted {
            message.fate = Fate::Promised;
            self.figures.confirmed += 1;
            for &queue in &message.sent.targets {
                if let Some(copy) = self.copies.get_mut(&(id, queue, Path::new())) {
                    copy.maybe_refused = false;
                }
            }
            return Ok(());
        }
        self.figures.refused += 1;
        message.fate = Fate::Refused;
        let targets = message.sent.targets.clone();
        let rejects = |queue: &QueueNumber| self.topology.queues[*queue].full != Full::DropHead;
        require(targets.iter().any(rejects), || {
            format!("publish {id} is refused, and no queue of it refuses")
        })?;
        for queue in targets {
            if let Some(copy) = self.copies.get_mut(&(id, queue, Path::new())) {
                require(copy.deliveries == 0 || !rejects(&queue) || message.sent.targets.len() > 1, || {
                    format!("publish {id} is refused after it was delivered")
                })?;
                copy.maybe_refused = true;
            }
        }
        Ok(())
    }

    /// A mandatory message comes back to its publisher.
    pub(crate) fn returned(&mut self, channel: ChannelSerial, id: MessageId) -> Result<(), Violation> {
        let returned = self.channels.get_mut(&channel).is_some_and(|state| state.unroutable.remove(&id));
        require(returned, || format!("message {id} is returned though it has queues, or for the second time"))
    }

    /// Nothing is on its way: every publish on an open channel has its confirm, or was returned.
    pub(crate) fn check_quiet(&self) -> Result<(), Violation> {
        self.check_consumer_timeouts()?;
        self.check_replies()?;
        for (serial, channel) in self.channels.iter().filter(|(_, channel)| channel.open) {
            if let Some((sequence, id)) = channel.unconfirmed.first_key_value() {
                return Err(format!(
                    "publish {sequence} (message {id}) of channel {serial} is never confirmed"
                ));
            }
            if let Some(id) = channel.unroutable.first() {
                return Err(format!("message {id} reaches nobody and is never returned"));
            }
        }
        if let Some((serial, _)) = self.consumers.iter().find(|(_, one)| one.alive && one.dismissed) {
            return Err(format!("consumer {serial} is never told that its queue is gone"));
        }
        Ok(())
    }

    /// Nothing is on its way, and this is how many ready messages a queue says it has: within its limit, and none while
    /// a consumer could take them.
    pub(crate) fn check_ready(&self, queue: QueueNumber, ready: u64) -> Result<(), Violation> {
        let plan = &self.topology.queues[queue];
        // What is requeued may overfill a queue that rejects.
        let limit = plan.max_length.filter(|_| plan.full == Full::DropHead);
        require(limit.is_none_or(|max| ready <= max), || {
            format!("queue {queue} holds {ready} ready messages with a limit of {:?}", plan.max_length)
        })?;
        let has_room = |held: u32, prefetch: u32| prefetch == 0 || held < prefetch;
        let idle = self.consumers.iter().find(|(_, consumer)| {
            let channel = self.channels.get(&consumer.channel);
            let free = channel.is_some_and(|channel| has_room(channel.held, channel.prefetch));
            consumer.queue == queue && consumer.alive && free && has_room(consumer.held, consumer.prefetch)
        });
        match idle.filter(|_| ready > 0 && !plan.single_active) {
            Some((serial, _)) => {
                Err(format!("consumer {serial} could take what queue {queue} has ready: {ready} messages"))
            }
            None => Ok(()),
        }
    }

    /// All queues are drained: every message is accounted for.
    pub(crate) fn check_end(&mut self, now: Timestamp) -> Result<(), Violation> {
        for (id, message) in &self.messages {
            for &queue in &message.sent.targets {
                self.account(now, &(*id, queue, Path::new())).map_err(|lost| {
                    format!("message {id} ({:?}) of queue {queue} is lost: {lost}", message.fate)
                })?;
            }
        }
        self.check_transactions()
    }

    /// Whether a copy ended as it may: acked, dropped, or as a dead letter that is accounted for in its turn.
    fn account(&self, now: Timestamp, key: &CopyKey) -> Result<(), Violation> {
        let (id, queue, path) = key;
        let Some(message) = self.messages.get(id) else { return Err("never sent".into()) };
        let (plan, copy) = (&self.topology.queues[*queue], self.copies.get(key));
        if !plan.is_permanent() {
            return Ok(());
        }
        let end = copy.and_then(|copy| copy.end.map(|end| end.how));
        if matches!(end, Some(How::Ack | How::Purged)) || *id <= self.queues[*queue].leaked {
            return Ok(());
        }
        let restarted = message.life < self.life;
        let refused = message.fate == Fate::Refused && path.is_empty();
        let dead_lettered = refused
            && plan.full == Full::RejectAndDeadLetter
            && plan.dead_letters.is_some()
            && message.sent.targets.len() == 1
            && !restarted;
        if copy.is_some_and(|copy| copy.maybe_gone || copy.maybe_refused) && !dead_lettered {
            return Ok(());
        }
        if !path.is_empty() && restarted && !message.sent.persistent {
            return Ok(());
        }
        let reasons = match end {
            Some(_) => vec![Reason::Rejected],
            None if dead_lettered => vec![Reason::MaxLength],
            None => vec![Reason::Rejected, Reason::Expired, Reason::MaxLength, Reason::DeliveryLimit],
        };
        let mut why = format!("{copy:?}");
        for reason in reasons.into_iter().filter(|&reason| self.may_die(now, key, reason)) {
            let Some(dead_letters) = plan.dead_letters else { return Ok(()) };
            let mut path = path.clone();
            path.push((*queue, reason));
            match self.account(now, &(*id, dead_letters.target, path)) {
                Ok(()) => return Ok(()),
                Err(lost) => why = format!("as {reason:?} dead letter in {}: {lost}", dead_letters.target),
            }
        }
        Err(why)
    }
}

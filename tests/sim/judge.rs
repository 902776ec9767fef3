//! The promises, one by one: whether a delivery, a confirm, a death or the end of it all is within them.

use leveret::model::ids::Timestamp;

use crate::model::{
    ChannelSerial, ConsumerSerial, CopyKey, End, Fate, Holding, How, Message, MessageId, Model, Path, Reason,
    Violation,
};
use crate::topology::{Full, QueueNumber};

/// Who gets a delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receiver {
    pub(crate) channel: ChannelSerial,
    pub(crate) tag: u64,
    /// None: a get.
    pub(crate) consumer: Option<ConsumerSerial>,
    pub(crate) queue: QueueNumber,
    pub(crate) no_ack: bool,
}

/// What a delivery says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) id: MessageId,
    pub(crate) path: Path,
    pub(crate) redelivered: bool,
    pub(crate) delivery_count: Option<u32>,
}

fn require(holds: bool, broken: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(broken()) }
}

impl Model {
    /// A client got a message.
    pub(crate) fn delivered(&mut self, now: Timestamp, to: Receiver, seen: &Seen) -> Result<(), Violation> {
        self.figures.delivered += 1;
        self.figures.redelivered += u64::from(seen.redelivered);
        self.figures.dead_letters += u64::from(!seen.path.is_empty());
        self.judge_tag(to)?;
        self.judge_origin(now, to.queue, seen)?;
        let key: CopyKey = (seen.id, to.queue, seen.path.clone());
        self.judge_copy(&key, seen)?;
        self.judge_count(&key, seen)?;
        if let Some(consumer) = to.consumer {
            self.judge_order(consumer, &key, seen)?;
            self.judge_single_active(consumer, to.queue)?;
            self.judge_prefetch(consumer, to)?;
        }
        let copy = self.copies.entry(key.clone()).or_default();
        copy.deliveries += 1;
        copy.maybe_gone = false;
        if to.no_ack {
            copy.end = Some(End { how: How::Ack, by: to.channel, sure: false });
        } else {
            copy.end = None;
            copy.holder = Some(to.channel);
            let holding = Holding { copy: key, consumer: to.consumer };
            self.holdings.insert((to.channel, to.tag), holding);
        }
        Ok(())
    }

    fn judge_tag(&mut self, to: Receiver) -> Result<(), Violation> {
        let channel = self.channels.entry(to.channel).or_default();
        let expected = channel.last_tag + 1;
        channel.last_tag = to.tag;
        require(to.tag == expected, || format!("delivery tag {} where {expected} was due", to.tag))
    }

    /// The message was sent, to this queue or one whose dead letters lead here, and is here by right.
    fn judge_origin(&self, now: Timestamp, queue: QueueNumber, seen: &Seen) -> Result<(), Violation> {
        let id = seen.id;
        let Some(message) = self.messages.get(&id) else {
            return Err(format!("message {id} is invented: it was never sent"));
        };
        let first = seen.path.first().map_or(queue, |(first, _)| *first);
        require(message.sent.targets.contains(&first), || {
            format!("message {id} is invented: it was never sent to queue {first}")
        })?;
        if message.fate == Fate::Refused && message.sent.targets.len() == 1 && seen.path.is_empty() {
            return Err(format!("message {id} was refused and is delivered nevertheless"));
        }
        for (at, &(from, reason)) in seen.path.iter().enumerate() {
            let to = seen.path.get(at + 1).map_or(queue, |(next, _)| *next);
            let target = self.topology.queues[from].dead_letters.map(|letters| letters.target);
            require(target == Some(to), || {
                format!("dead letter {id} of queue {from} came to queue {to}, where {target:?} is configured")
            })?;
            let before = seen.path[..at].to_vec();
            require(self.may_die(now, &(id, from, before), reason), || {
                format!("dead letter {id} of queue {from} claims {reason:?}, which cannot be")
            })?;
        }
        Ok(())
    }

    /// Whether a copy may have died of this by now.
    fn may_die(&self, now: Timestamp, key: &CopyKey, reason: Reason) -> bool {
        let (id, queue, path) = key;
        let Some(message) = self.messages.get(id) else { return false };
        let (plan, copy) = (&self.topology.queues[*queue], self.copies.get(key));
        match reason {
            Reason::Rejected => copy.is_some_and(|copy| copy.rejected),
            Reason::Expired => {
                let own = message.sent.expiration.filter(|_| path.is_empty());
                let ttl = [plan.ttl, own].into_iter().flatten().min();
                ttl.is_some_and(|ttl| message.at.plus_millis(ttl) <= now)
            }
            Reason::MaxLength => plan.max_length.is_some_and(|max| {
                let refused = plan.full == Full::RejectAndDeadLetter && message.fate != Fate::Promised;
                let dropped = plan.full == Full::DropHead && self.queues[*queue].published > max;
                refused || dropped
            }),
            Reason::DeliveryLimit => plan.limit().is_some_and(|limit| {
                copy.is_some_and(|copy| copy.failures > limit) || self.is_loose(*queue, message)
            }),
        }
    }

    /// Whether something may have happened to this message in this queue that no client saw.
    fn is_loose(&self, queue: QueueNumber, message: &Message) -> bool {
        let state = &self.queues[queue];
        state.disturbed || message.sent.id < state.clean_from || message.life < self.life
    }

    /// Dead letters may come twice once there was a restart: a source lets go only when the target is safe.
    fn is_lenient(&self, key: &CopyKey) -> bool {
        !key.2.is_empty() && self.messages.get(&key.0).is_some_and(|message| message.life < self.life)
    }

    /// Nobody holds it, it was not settled, and it says so if it was delivered before.
    fn judge_copy(&self, key: &CopyKey, seen: &Seen) -> Result<(), Violation> {
        let (id, queue, _) = key;
        let Some(message) = self.messages.get(id) else { return Ok(()) };
        let (deliveries, holder, end) =
            self.copies.get(key).map_or((0, None, None), |copy| (copy.deliveries, copy.holder, copy.end));
        if !self.is_lenient(key) {
            require(holder.is_none(), || {
                format!("message {id} of queue {queue} is delivered while channel {holder:?} holds it")
            })?;
            require(end.is_none(), || format!("message {id} of queue {queue} is delivered after {end:?}"))?;
            require(deliveries == 0 || seen.redelivered, || {
                format!("message {id} of queue {queue} comes again and is not marked as redelivered")
            })?;
        }
        require(!seen.redelivered || deliveries > 0 || self.is_loose(*queue, message), || {
            format!("message {id} of queue {queue} is marked as redelivered and was never delivered")
        })
    }

    /// x-delivery-count, and the delivery limit.
    fn judge_count(&self, key: &CopyKey, seen: &Seen) -> Result<(), Violation> {
        let (id, queue, path) = key;
        let (plan, Some(message)) = (&self.topology.queues[*queue], self.messages.get(id)) else {
            return Ok(());
        };
        let failures = self.copies.get(key).map_or(0, |copy| copy.failures);
        if message.life == self.life && plan.limit().is_some_and(|limit| failures > limit) {
            return Err(format!("message {id} of queue {queue} comes again after {failures} failures"));
        }
        // A dead letter may carry the count of the queue it comes from no more.
        let exact = path.is_empty() && !self.is_loose(*queue, message);
        let expected = Some(failures).filter(|&failures| failures > 0 && plan.counts_deliveries());
        require(!exact || seen.delivery_count == expected, || {
            format!("message {id} of queue {queue} has count {:?}, not {expected:?}", seen.delivery_count)
        })
    }

    /// What one channel sent to one queue arrives in that order, unless it comes again.
    fn judge_order(&mut self, consumer: ConsumerSerial, key: &CopyKey, seen: &Seen) -> Result<(), Violation> {
        let (id, queue, path) = key;
        let Some(message) = self.messages.get(id) else { return Ok(()) };
        let shared_prefetch = self.consumers.values().any(|other| {
            other.queue == *queue
                && self.channels.get(&other.channel).is_some_and(|channel| channel.prefetch > 0)
        });
        let in_order = !seen.redelivered && !self.is_loose(*queue, message) && !shared_prefetch;
        if !path.is_empty() || !(in_order || self.draining) {
            return Ok(());
        }
        let stream = (message.sent.channel, self.topology.queues[*queue].lane(message.sent.priority));
        let Some(consumer) = self.consumers.get_mut(&consumer) else { return Ok(()) };
        let newest = consumer.newest.insert(stream, *id);
        require(newest.is_none_or(|newest| newest < *id), || {
            format!("message {id} of queue {queue} comes after {newest:?} of the same channel: out of order")
        })
    }

    /// As long as the first consumer of such a queue is there, no other gets anything.
    fn judge_single_active(&self, consumer: ConsumerSerial, queue: QueueNumber) -> Result<(), Violation> {
        let Some(own) = self.consumers.get(&consumer) else { return Ok(()) };
        let earlier = self.consumers.iter().find(|(_, other)| {
            let first = other.confirmed_at.is_some_and(|at| at < own.asked_at);
            other.queue == queue && other.alive && first
        });
        match earlier.filter(|_| self.topology.queues[queue].single_active) {
            Some((first, _)) => Err(format!(
                "consumer {consumer} of queue {queue} is served while {first} is the single active one"
            )),
            None => Ok(()),
        }
    }

    fn judge_prefetch(&mut self, serial: ConsumerSerial, to: Receiver) -> Result<(), Violation> {
        let Some(consumer) = self.consumers.get_mut(&serial) else {
            return Err(format!("a delivery to consumer {serial}, which nobody asked for"));
        };
        if to.no_ack {
            return Ok(());
        }
        consumer.held += 1;
        require(consumer.prefetch == 0 || consumer.held <= consumer.prefetch, || {
            format!("consumer {serial} holds {} with a prefetch of {}", consumer.held, consumer.prefetch)
        })?;
        let channel = self.channels.entry(to.channel).or_default();
        channel.held += 1;
        require(channel.prefetch == 0 || channel.held <= channel.prefetch, || {
            format!("channel {} holds {} with a prefetch of {}", to.channel, channel.held, channel.prefetch)
        })
    }

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
        ids.into_iter().try_for_each(|id| self.judge_confirm(id, accepted))
    }

    fn judge_confirm(&mut self, id: MessageId, accepted: bool) -> Result<(), Violation> {
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
    pub(crate) fn judge_quiet(&self) -> Result<(), Violation> {
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
        Ok(())
    }

    /// Nothing is on its way, and this is how many ready messages a queue says it has: within its limit, and none while
    /// a consumer could take them.
    pub(crate) fn judge_ready(&self, queue: QueueNumber, ready: u64) -> Result<(), Violation> {
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
    pub(crate) fn judge_end(&self, now: Timestamp) -> Result<(), Violation> {
        for (id, message) in &self.messages {
            for &queue in &message.sent.targets {
                self.account(now, &(*id, queue, Path::new())).map_err(|lost| {
                    format!("message {id} ({:?}) of queue {queue} is lost: {lost}", message.fate)
                })?;
            }
        }
        Ok(())
    }

    /// Whether a copy ended as it may: acked, dropped, or as a dead letter that is accounted for in its turn.
    fn account(&self, now: Timestamp, key: &CopyKey) -> Result<(), Violation> {
        let (id, queue, path) = key;
        let Some(message) = self.messages.get(id) else { return Err("never sent".into()) };
        let (plan, copy) = (&self.topology.queues[*queue], self.copies.get(key));
        let end = copy.and_then(|copy| copy.end.map(|end| end.how));
        if end == Some(How::Ack) || *id <= self.queues[*queue].leaked {
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
            let Some(letters) = plan.dead_letters else { return Ok(()) };
            let mut path = path.clone();
            path.push((*queue, reason));
            match self.account(now, &(*id, letters.target, path)) {
                Ok(()) => return Ok(()),
                Err(lost) => why = format!("as {reason:?} dead letter in {}: {lost}", letters.target),
            }
        }
        Err(why)
    }
}

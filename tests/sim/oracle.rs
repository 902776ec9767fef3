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
    pub(crate) acquired_count: Option<u32>,
}

pub(crate) fn require(holds: bool, broken: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(broken()) }
}

impl Model {
    /// A client got a message.
    pub(crate) fn delivered(&mut self, now: Timestamp, to: Receiver, seen: &Seen) -> Result<(), Violation> {
        self.figures.delivered += 1;
        self.figures.redelivered += u64::from(seen.redelivered);
        let is_delayed = self.messages.get(&seen.id).is_some_and(|message| message.sent.delay.is_some());
        self.figures.delayed += u64::from(is_delayed);
        self.figures.dead_letters += u64::from(!seen.path.is_empty());
        self.tag_passed(to.channel, to.tag)?;
        self.check_origin(now, to.queue, seen)?;
        let key: CopyKey = (seen.id, to.queue, seen.path.clone());
        let checked = self.check_copy(&key, seen).and_then(|()| self.check_count(&key, seen));
        if checked.is_err() && self.may_be_stale(&key, to) {
            if let Some(consumer) = to.consumer {
                self.check_prefetch(consumer, to)?;
            }
            let holding = Holding { copy: key, consumer: to.consumer };
            self.holdings.insert((to.channel, to.tag), holding);
            return Ok(());
        }
        checked?;
        self.check_wait(now, &key)?;
        self.check_priority(&key)?;
        if let Some(consumer) = to.consumer {
            self.check_order(consumer, &key, seen)?;
            self.check_single_active(consumer, to.queue)?;
            self.check_prefetch(consumer, to)?;
        }
        let since = self.earliest(to.consumer);
        let copy = self.copies.entry(key.clone()).or_default();
        copy.deliveries += 1;
        copy.last_life = self.life;
        copy.maybe_gone = false;
        if to.no_ack {
            copy.end = Some(End { how: How::Ack, by: to.channel, sure: false, in_time: true });
        } else {
            copy.end = None;
            copy.holder = Some((to.channel, to.tag));
            copy.held_since = since;
            copy.last_channel = to.channel;
            let holding = Holding { copy: key, consumer: to.consumer };
            self.holdings.insert((to.channel, to.tag), holding);
        }
        Ok(())
    }

    /// What came back has waited for as long as its queue has it wait.
    fn check_wait(&mut self, now: Timestamp, key: &CopyKey) -> Result<(), Violation> {
        let Some(copy) = self.copies.get(key).filter(|copy| copy.not_before > Timestamp(0)) else {
            return Ok(());
        };
        self.figures.retried += 1;
        let until = copy.not_before;
        require(until <= now, || {
            format!(
                "message {} of queue {} comes again before its wait is over, which is at {until:?}",
                key.0, key.1
            )
        })
    }

    /// Delivery tags have no gaps.
    pub(crate) fn tag_passed(&mut self, channel: ChannelSerial, tag: u64) -> Result<(), Violation> {
        let channel = self.channels.entry(channel).or_default();
        let expected = channel.last_tag + 1;
        channel.last_tag = tag;
        require(tag == expected, || format!("delivery tag {tag} where {expected} was due"))
    }

    /// The message was sent, to this queue or one whose dead letters lead here, and is here by right.
    fn check_origin(&self, now: Timestamp, queue: QueueNumber, seen: &Seen) -> Result<(), Violation> {
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
        let due = message.sent.delay.map(|delay| message.at.plus_millis(delay));
        require(due.is_none_or(|due| due <= now), || {
            format!("message {id} comes before its delay is over, which is at {due:?}")
        })?;
        for (at, &(from, reason)) in seen.path.iter().enumerate() {
            let to = seen.path.get(at + 1).map_or(queue, |(next, _)| *next);
            let target = self.topology.queues[from].dead_letters.map(|dead_letters| dead_letters.target);
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
    pub(crate) fn may_die(&self, now: Timestamp, key: &CopyKey, reason: Reason) -> bool {
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

    /// Dead letters and what was delayed may come twice once there was a restart: a source lets go only when the target is
    /// safe.
    fn is_lenient(&self, key: &CopyKey) -> bool {
        self.messages.get(&key.0).is_some_and(|message| {
            message.life < self.life && (!key.2.is_empty() || message.sent.delay.is_some())
        })
    }

    /// Nobody holds it, it was not settled, and it says so if it was delivered before.
    fn check_copy(&self, key: &CopyKey, seen: &Seen) -> Result<(), Violation> {
        let (id, queue, _) = key;
        let Some(message) = self.messages.get(id) else { return Ok(()) };
        let (deliveries, holder, end) =
            self.copies.get(key).map_or((0, None, None), |copy| (copy.deliveries, copy.holder, copy.end));
        if !self.is_lenient(key) {
            let is_over = self.may_be_timed_out(key);
            require(holder.is_none() || is_over, || {
                format!("message {id} of queue {queue} is delivered while channel {holder:?} holds it")
            })?;
            require(end.is_none_or(|end| is_over && !end.in_time), || {
                format!("message {id} of queue {queue} is delivered after {end:?}")
            })?;
            require(deliveries == 0 || seen.redelivered, || {
                format!("message {id} of queue {queue} comes again and is not marked as redelivered")
            })?;
        }
        let is_loose = self.is_loose(*queue, message) || self.has_consumer_timeouts();
        require(!seen.redelivered || deliveries > 0 || is_loose, || {
            format!("message {id} of queue {queue} is marked as redelivered and was never delivered")
        })
    }

    /// x-delivery-count, and the delivery limit.
    fn check_count(&self, key: &CopyKey, seen: &Seen) -> Result<(), Violation> {
        let (id, queue, path) = key;
        let (plan, Some(message)) = (&self.topology.queues[*queue], self.messages.get(id)) else {
            return Ok(());
        };
        let failures = self.copies.get(key).map_or(0, |copy| copy.failures);
        // What was rejected after its consumer timeout was no failure.
        let failures_are_known =
            message.life == self.life && plan.consumer_timeout.is_none() && !self.may_be_timed_out(key);
        if failures_are_known && plan.limit().is_some_and(|limit| failures > limit) {
            return Err(format!("message {id} of queue {queue} comes again after {failures} failures"));
        }
        let before = self.copies.get(key).map_or(0, |copy| copy.deliveries);
        let counts =
            failures_are_known && path.is_empty() && plan.counts_deliveries() && message.sent.delay.is_none();
        let seen_counts = (seen.delivery_count.unwrap_or(0), seen.acquired_count.unwrap_or(0));
        require(!counts || (seen_counts.0 >= failures && seen_counts.1 >= before), || {
            format!(
                "message {id} of queue {queue} has counts {seen_counts:?}, and failed {failures} of {before} times"
            )
        })?;
        // A dead letter may carry the count of the queue it comes from no more.
        let exact = path.is_empty() && !self.may_be_timed_out(key) && !self.is_loose(*queue, message);
        let expected = Some(failures).filter(|&failures| failures > 0 && plan.counts_deliveries());
        require(!exact || seen.delivery_count == expected, || {
            format!("message {id} of queue {queue} has count {:?}, not {expected:?}", seen.delivery_count)
        })?;
        let expected = Some(before).filter(|&before| before > 0 && plan.counts_deliveries());
        require(!exact || seen.acquired_count == expected, || {
            format!(
                "message {id} of queue {queue} was taken {:?} times, not {expected:?}",
                seen.acquired_count
            )
        })
    }

    /// What one channel sent to one queue arrives in that order, unless it comes again.
    fn check_order(&mut self, consumer: ConsumerSerial, key: &CopyKey, seen: &Seen) -> Result<(), Violation> {
        let (id, queue, path) = key;
        let Some(message) = self.messages.get(id) else { return Ok(()) };
        let shared_prefetch = self.consumers.values().any(|other| {
            other.queue == *queue
                && self.channels.get(&other.channel).is_some_and(|channel| channel.prefetch > 0)
        });
        let in_order = !seen.redelivered
            && !self.is_loose(*queue, message)
            && !shared_prefetch
            && message.sent.delay.is_none();
        let is_draining = self.draining && message.sent.delay.is_none();
        if !path.is_empty() || !(in_order || is_draining) {
            return Ok(());
        }
        let stream = (message.sent.channel, self.topology.queues[*queue].lane(message.sent.priority));
        let Some(consumer) = self.consumers.get_mut(&consumer) else { return Ok(()) };
        let newest = consumer.newest.insert(stream, *id);
        require(newest.is_none_or(|newest| newest < *id), || {
            format!("message {id} of queue {queue} comes after {newest:?} of the same channel: out of order")
        })
    }

    /// A queue that is drained gives the highest priority first.
    fn check_priority(&mut self, key: &CopyKey) -> Result<(), Violation> {
        let (id, queue, _) = key;
        let Some(message) = self.messages.get(id).filter(|_| self.draining) else { return Ok(()) };
        let lane = self.topology.queues[*queue].lane(message.sent.priority);
        let before = self.drained.replace((*queue, lane)).filter(|(before, _)| before == queue);
        require(before.is_none_or(|(_, before)| lane <= before), || {
            format!(
                "message {id} of queue {queue} comes after {before:?} and is of a higher priority: {lane}"
            )
        })
    }

    /// As long as the first consumer of such a queue is there, no other gets anything.
    fn check_single_active(&self, consumer: ConsumerSerial, queue: QueueNumber) -> Result<(), Violation> {
        let Some(own) = self.consumers.get(&consumer) else { return Ok(()) };
        let earlier = self.consumers.iter().find(|(_, other)| {
            let first = other.confirmed_at.is_some_and(|at| at < own.asked_at);
            let is_over = self.may_be_over(queue, other.since) || self.may_time_out(other.channel);
            other.queue == queue && other.alive && first && !is_over
        });
        match earlier.filter(|_| self.topology.queues[queue].single_active) {
            Some((first, _)) => Err(format!(
                "consumer {consumer} of queue {queue} is served while {first} is the single active one"
            )),
            None => Ok(()),
        }
    }

    fn check_prefetch(&mut self, serial: ConsumerSerial, to: Receiver) -> Result<(), Violation> {
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
}

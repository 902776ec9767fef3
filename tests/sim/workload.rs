//! What clients do while a seed is busy: publish, consume, get, settle in every way, commit, cancel, close, crash.

use leveret::model::ids::Timestamp;
use leveret_codec::method::amqp::{AMQPClass, basic, channel, connection, queue, tx};
use leveret_codec::table::short_string;

use crate::broker::Broker;
use crate::client::{ChannelMode, Client, Expected};
use crate::connection::Gone;
use crate::model::{How, Model, Sent};
use crate::random::Random;
use crate::reading::body;
use crate::topology::{FANOUT, Full, LATER};
use crate::wire::{Outgoing, publish_bytes};

/// What surrounds a client when it acts.
pub(crate) struct Around<'a> {
    pub(crate) broker: &'a mut Broker,
    pub(crate) model: &'a mut Model,
    pub(crate) random: &'a mut Random,
    pub(crate) now: Timestamp,
}

impl Client {
    /// Does something, and says what.
    pub(crate) fn act(&mut self, around: &mut Around<'_>) -> String {
        let Some(link) = &self.link else {
            let connection = around.broker.connect(around.now, around.random);
            self.connect(around.broker, connection);
            return "connects".into();
        };
        if link.closing {
            return String::new();
        }
        let number = u16::try_from(around.random.between(1, 3)).unwrap_or(1);
        let Some(channel) = link.channels.get(&number) else {
            let mode = around.random.pick(&[
                ChannelMode::Plain,
                ChannelMode::Confirm,
                ChannelMode::Confirm,
                ChannelMode::Transaction,
            ]);
            let shared = around.random.pick(&[0, 0, 0, 1, 4]);
            self.open_channel(around.broker, around.model, number, mode, shared);
            return format!("opens channel {number}, {mode:?}, shared prefetch {shared}");
        };
        if channel.closing {
            return String::new();
        }
        if !self.addresses.is_empty() && around.random.percent(10) {
            return self.reply(around);
        }
        match around.random.between(0, 999) {
            0..375 => self.publish_some(around, number),
            375..380 => self.declare_own(around, number),
            380..400 => self.ask_for_replies(around, number),
            400..480 => self.start_consumer(around, number),
            480..539 => self.get(around, number),
            539 => self.purge(around, number),
            540..900 => self.settle_some(around, number),
            900..935 => self.end_transaction(around, number),
            935..940 => self.recover(around, number),
            940..965 => self.cancel(around, number),
            965..980 => self.close_channel(around, number),
            980..987 => self.close_connection(around),
            _ => {
                let gone = around.random.pick(&[Gone::Closed, Gone::Reset]);
                self.drop_link(around.broker, around.model, gone);
                format!("crashes, {gone:?}")
            }
        }
    }

    fn publish_some(&mut self, around: &mut Around<'_>, number: u16) -> String {
        let count = around.random.pick(&[1, 1, 3, 10]);
        (0..count).map(|_| self.publish(around, number)).collect::<Vec<_>>().join(", ")
    }

    fn publish(&mut self, around: &mut Around<'_>, number: u16) -> String {
        let Around { broker, model, random, now } = around;
        let Some(channel) = self.channel(number) else { return String::new() };
        let publishable = model.topology.publishable();
        let mut delay = None;
        let (exchange, key, targets) = match random.below(12) {
            0 => (String::new(), "nowhere".to_owned(), Vec::new()),
            1..=2 => (FANOUT.to_owned(), String::new(), model.topology.fanout()),
            3 => {
                let takes = |queue: &usize| model.topology.queues[*queue].takes_delayed();
                let takers: Vec<usize> = publishable.iter().copied().filter(takes).collect();
                let Some(&queue) = takers.first() else { return String::new() };
                delay = random.percent(90).then(|| random.between(1, 500));
                (LATER.to_owned(), model.topology.queues[queue].name.clone(), vec![queue])
            }
            4 => {
                let Some(queue) = model.temporary(random.below(8)) else { return String::new() };
                (String::new(), model.topology.queues[queue].name.clone(), vec![queue])
            }
            _ => {
                let queue = random.pick(&publishable);
                (String::new(), model.topology.queues[queue].name.clone(), vec![queue])
            }
        };
        // A refused commit closes the channel; that is for the unit tests of the session.
        let refusing = targets.iter().any(|&queue| model.topology.queues[queue].full != Full::DropHead);
        if channel.mode == ChannelMode::Transaction && (refusing || targets.is_empty()) {
            return String::new();
        }
        let confirm = (channel.mode == ChannelMode::Confirm).then(|| {
            channel.sequence += 1;
            channel.sequence
        });
        let sent = Sent {
            id: model.issue(),
            channel: channel.serial,
            confirm,
            targets,
            persistent: random.percent(80),
            priority: random.percent(30).then(|| u8::try_from(random.below(12)).unwrap_or(0)),
            expiration: random.percent(7).then(|| random.between(0, 200)),
            delay,
            asks: channel.reply_consumer && random.percent(60),
            size: random.pick(&[0, 10, 100, 100, 900, 5_000]),
        };
        let told = format!("publishes {} to {:?} on {number}", sent.id, sent.targets);
        let bytes = publish_bytes(
            number,
            &Outgoing {
                exchange: &exchange,
                routing_key: &key,
                mandatory: sent.targets.is_empty(),
                persistent: sent.persistent,
                priority: sent.priority,
                expiration: sent.expiration,
                delay: sent.delay,
                asks: sent.asks,
                body: &body(sent.id, sent.size),
            },
        );
        if channel.mode == ChannelMode::Transaction {
            channel.sends.push(sent);
        } else {
            model.published(*now, sent);
        }
        self.write(broker, &bytes);
        told
    }

    fn start_consumer(&mut self, around: &mut Around<'_>, number: u16) -> String {
        let Around { broker, model, random, .. } = around;
        if self.channel(number).is_none_or(|channel| channel.consumers.len() >= 3) {
            return String::new();
        }
        let queue = random.pick(&model.topology.permanent());
        let prefetch = random.pick(&[0, 1, 2, 5]);
        let no_ack = model.topology.without_acks && random.percent(20);
        self.consume(broker, model, number, queue, (prefetch, no_ack));
        format!("consumes from {queue} on {number}, prefetch {prefetch}, no_ack {no_ack}")
    }

    pub(crate) fn get(&mut self, around: &mut Around<'_>, number: u16) -> String {
        let queue = around.random.pick(&around.model.topology.permanent());
        self.get_from(around.broker, around.model, number, queue);
        format!("gets from {queue} on {number}")
    }

    pub(crate) fn get_from(&mut self, broker: &mut Broker, model: &mut Model, number: u16, queue: usize) {
        if let Some(channel) = self.channel(number) {
            model.get_asked(channel.serial, queue);
        }
        let name = short_string(&model.topology.queues[queue].name);
        let get = basic::Get { queue: name, no_ack: false };
        let expected = Expected::Get { queue, no_ack: false };
        self.ask(broker, number, &AMQPClass::Basic(basic::AMQPMethod::Get(get)), expected);
    }

    /// Purges a queue that others are busy with.
    fn purge(&mut self, around: &mut Around<'_>, number: u16) -> String {
        let number_of_queue = around.random.pick(&around.model.topology.permanent());
        around.model.purge_asked(number_of_queue);
        let name = short_string(&around.model.topology.queues[number_of_queue].name);
        let purge = queue::Purge { queue: name, nowait: false };
        self.ask(
            around.broker,
            number,
            &AMQPClass::Queue(queue::AMQPMethod::Purge(purge)),
            Expected::Removed,
        );
        format!("purges {number_of_queue} on {number}")
    }

    fn settle_some(&mut self, around: &mut Around<'_>, number: u16) -> String {
        let random = &mut *around.random;
        let Some(channel) = self.channel(number).filter(|channel| !channel.held.is_empty()) else {
            return String::new();
        };
        let at = random.below(channel.held.len().min(6));
        let tag = channel.held[at];
        let reject = random.percent(20);
        let multiple = !reject && random.percent(30);
        let how = match random.below(10) {
            0..=5 => How::Ack,
            6..=7 => How::Discard,
            _ => How::Requeue { failed: reject },
        };
        // Only basic.reject makes a requeue count.
        let requeue = matches!(how, How::Requeue { .. });
        let method = match how {
            How::Ack => basic::AMQPMethod::Ack(basic::Ack { delivery_tag: tag, multiple }),
            _ if reject => basic::AMQPMethod::Reject(basic::Reject { delivery_tag: tag, requeue }),
            _ => basic::AMQPMethod::Nack(basic::Nack { delivery_tag: tag, multiple, requeue }),
        };
        let multiple = multiple && !matches!(method, basic::AMQPMethod::Reject(_));
        let tags = if multiple { channel.held.drain(..=at).collect() } else { vec![channel.held.remove(at)] };
        let told = format!("settles {tags:?} on {number}: {how:?}");
        if channel.mode == ChannelMode::Transaction {
            channel.settles.push((tags, how));
        } else {
            around.model.settled(channel.serial, &tags, how);
        }
        self.send(around.broker, number, &AMQPClass::Basic(method));
        told
    }

    /// Gives everything back that is held on a channel, and what is on its way to it.
    fn recover(&mut self, around: &mut Around<'_>, number: u16) -> String {
        let Some(channel) = self.channel(number).filter(|channel| channel.mode != ChannelMode::Transaction)
        else {
            return String::new();
        };
        let tags = std::mem::take(&mut channel.held);
        around.model.recovered(channel.serial, &tags);
        let method = AMQPClass::Basic(basic::AMQPMethod::Recover(basic::Recover { requeue: true }));
        self.ask(around.broker, number, &method, Expected::Recover);
        format!("recovers {tags:?} on {number}")
    }

    /// Acks everything that is held on a channel.
    pub(crate) fn ack_all(&mut self, broker: &mut Broker, model: &mut Model, number: u16) {
        let Some(channel) = self.channel(number) else { return };
        let tags = std::mem::take(&mut channel.held);
        let Some(&last) = tags.last() else { return };
        model.settled(channel.serial, &tags, How::Ack);
        let ack = basic::Ack { delivery_tag: last, multiple: true };
        self.send(broker, number, &AMQPClass::Basic(basic::AMQPMethod::Ack(ack)));
    }

    fn end_transaction(&mut self, around: &mut Around<'_>, number: u16) -> String {
        let Around { broker, model, random, now } = around;
        let Some(channel) = self.channel(number).filter(|channel| channel.mode == ChannelMode::Transaction)
        else {
            return String::new();
        };
        let (sends, settles) = (std::mem::take(&mut channel.sends), std::mem::take(&mut channel.settles));
        if random.percent(25) {
            channel.held.extend(settles.into_iter().flat_map(|(tags, _)| tags));
            channel.held.sort_unstable();
            let rollback = AMQPClass::Tx(tx::AMQPMethod::Rollback(tx::Rollback {}));
            self.ask(broker, number, &rollback, Expected::Ok(90, 31));
            return format!("rolls back on {number}");
        }
        let published: Vec<_> = sends.iter().map(|sent| sent.id).collect();
        let serial = channel.serial;
        let acked = settles.iter().filter(|(_, how)| *how == How::Ack).flat_map(|(tags, _)| tags.clone());
        model.commit_sent(serial, published.clone(), &acked.collect::<Vec<_>>());
        sends.into_iter().for_each(|sent| model.published(*now, sent));
        settles.into_iter().for_each(|(tags, how)| model.settled(serial, &tags, how));
        let told = format!("commits {published:?} on {number}");
        let commit = AMQPClass::Tx(tx::AMQPMethod::Commit(tx::Commit {}));
        self.ask(broker, number, &commit, Expected::Commit(published));
        told
    }

    fn cancel(&mut self, around: &mut Around<'_>, number: u16) -> String {
        let Some(channel) = self.channel(number) else { return String::new() };
        let Some((tag, consumer)) = channel.consumers.first_key_value() else { return String::new() };
        let (tag, serial) = (tag.clone(), consumer.serial);
        if around.model.consumers.get(&serial).is_none_or(|consumer| !consumer.alive) {
            return String::new();
        }
        around.model.consumer_cancelled(serial);
        let cancel = basic::Cancel { consumer_tag: short_string(&tag), nowait: false };
        let method = AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel));
        let told = format!("cancels {tag} on {number}");
        self.ask(around.broker, number, &method, Expected::Cancel(tag));
        told
    }

    fn close_channel(&mut self, around: &mut Around<'_>, number: u16) -> String {
        let Some(channel) = self.channel(number) else { return String::new() };
        channel.closing = true;
        around.model.channel_closed(channel.serial);
        let close = channel::Close { reply_code: 200, ..channel::Close::default() };
        self.send(around.broker, number, &AMQPClass::Channel(channel::AMQPMethod::Close(close)));
        format!("closes channel {number}")
    }

    pub(crate) fn close_connection(&mut self, around: &mut Around<'_>) -> String {
        let Some(link) = self.link.as_mut().filter(|link| !link.closing) else { return String::new() };
        link.closing = true;
        for channel in link.channels.values_mut().filter(|channel| !channel.closing) {
            channel.closing = true;
            around.model.channel_closed(channel.serial);
        }
        around.model.owner_gone(&std::mem::take(&mut link.exclusive));
        let close = connection::Close { reply_code: 200, ..connection::Close::default() };
        self.send(around.broker, 0, &AMQPClass::Connection(connection::AMQPMethod::Close(close)));
        "closes its connection".into()
    }
}

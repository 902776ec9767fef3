//! What a client makes of what it hears: deliveries, confirms, answers. All of it goes to the ledger.

use leveret::model::ids::Timestamp;
use leveret_codec::method::amqp::{AMQPClass, basic, channel, queue};

use crate::broker::Broker;
use crate::client::{Client, Expected};
use crate::connection::Gone;
use crate::model::{Model, Violation};
use crate::oracle::Receiver;
use crate::reading::{Arrival, address, message_id, seen};
use crate::replies::REPLIES;
use crate::wire::{Content, Received};

impl Client {
    /// Whether there is something to read, or the broker hung up.
    pub(crate) fn can_read(&self, broker: &Broker) -> bool {
        let connection = self.link.as_ref().and_then(|link| broker.connections.get(&link.connection));
        connection.is_some_and(|connection| !connection.to_client.is_empty() || connection.over)
    }

    /// Reads up to `most` bytes and acts on what is whole. Returns what it heard, for the log.
    pub(crate) fn read(
        &mut self,
        broker: &mut Broker,
        model: &mut Model,
        now: Timestamp,
        most: usize,
    ) -> Result<String, Violation> {
        let Some(link) = &mut self.link else { return Ok(String::new()) };
        let Some(connection) = broker.connections.get_mut(&link.connection) else { return Ok(String::new()) };
        if connection.to_client.is_empty() {
            return self.hung_up(broker, model);
        }
        let count = most.min(connection.to_client.len());
        link.reader.take(connection.to_client.drain(..count));
        let mut heard = String::new();
        let refused = self.refused.len();
        for (number, said) in link.reader.said()? {
            heard.push_str(&summary(number, &said));
            self.receive(model, now, number, said)
                .map_err(|violation| format!("hears {heard}\n{violation}"))?;
        }
        let closed: Vec<u16> = self.refused[refused..].iter().map(|(number, _)| *number).collect();
        for number in closed {
            let ok = channel::AMQPMethod::CloseOk(channel::CloseOk {});
            self.send(broker, number, &AMQPClass::Channel(ok));
        }
        Ok(heard)
    }

    fn hung_up(&mut self, broker: &mut Broker, model: &mut Model) -> Result<String, Violation> {
        let Some(link) = self.link.take() else { return Ok(String::new()) };
        link.channels.values().for_each(|channel| model.channel_lost(channel.serial));
        model.owner_gone(&link.exclusive);
        if let Some(connection) = broker.connections.get_mut(&link.connection) {
            connection.client_gone = Some(Gone::Closed);
        }
        if link.closing || model.stopping {
            Ok("the broker hung up".into())
        } else {
            Err("the broker hung up".into())
        }
    }

    fn receive(
        &mut self,
        model: &mut Model,
        now: Timestamp,
        number: u16,
        said: Received,
    ) -> Result<(), Violation> {
        if number == 0 {
            return self.receive_connection(model, &said);
        }
        let Some(channel) = self.channel(number) else {
            return Err(format!("channel {number} is not open and hears {said:?}"));
        };
        match said {
            Received::Content(basic::AMQPMethod::Return(_), content) => {
                model.returned(channel.serial, message_id(&content)?)
            }
            // What is delivered after the client asked to close is nothing to it.
            Received::Content(..) if channel.closing => Ok(()),
            Received::Content(method, content) => self.receive_message(model, now, number, &method, &content),
            Received::Method(AMQPClass::Basic(basic::AMQPMethod::Ack(ack))) => {
                let serial = channel.serial;
                model.confirmed(serial, ack.delivery_tag, ack.multiple, true)
            }
            Received::Method(AMQPClass::Basic(basic::AMQPMethod::Nack(nack))) => {
                let serial = channel.serial;
                model.confirmed(serial, nack.delivery_tag, nack.multiple, false)
            }
            Received::Method(AMQPClass::Channel(channel::AMQPMethod::Close(close))) => {
                self.channel_refused(model, number, &close)
            }
            Received::Method(AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel))) => {
                let tag = cancel.consumer_tag.as_str();
                let consumer = channel.consumers.remove(tag);
                consumer.map_or(Ok(()), |consumer| model.consumer_dismissed(consumer.serial))
            }
            Received::Method(AMQPClass::Channel(channel::AMQPMethod::CloseOk(_))) if channel.closing => {
                self.link.as_mut().and_then(|link| link.channels.remove(&number));
                Ok(())
            }
            Received::Method(method) => self.receive_answer(model, number, &method),
        }
    }

    fn receive_connection(&mut self, model: &mut Model, said: &Received) -> Result<(), Violation> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let Received::Method(method) = said else { return Err("content on channel 0".into()) };
        let id = (method.get_amqp_class_id(), method.get_amqp_method_id());
        if link.handshake.pop_front() == Some(id) || (link.closing && id == (10, 51)) {
            return Ok(());
        }
        if model.stopping && id == (10, 50) {
            link.closing = true;
            model.owner_gone(&std::mem::take(&mut link.exclusive));
            for channel in link.channels.values_mut() {
                channel.closing = true;
                model.channel_lost(channel.serial);
            }
            return Ok(());
        }
        Err(format!("unexpected on the connection: {method:?}"))
    }

    /// The broker closes a channel, which it may where the client asked for something that could be refused.
    fn channel_refused(
        &mut self,
        model: &mut Model,
        number: u16,
        close: &channel::Close,
    ) -> Result<(), Violation> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let Some(channel) = link.channels.get(&number) else { return Ok(()) };
        self.refused.push((number, close.reply_code));
        let timed_out = close.reply_code == 406 && close.reply_text.as_str().contains("timed out");
        let may_time_out = timed_out && model.may_time_out(channel.serial);
        if may_time_out {
            // What the client said since then was not heard.
            model.figures.timeouts += 1;
            model.channel_lost(channel.serial);
        }
        if channel.closing {
            // Both close it; the client waits for its close-ok.
            return Ok(());
        }
        let Some(channel) = link.channels.remove(&number) else { return Ok(()) };
        if may_time_out {
            return Ok(());
        }
        model.channel_closed(channel.serial);
        match channel.expected.front() {
            Some(Expected::Removed) => Ok(()),
            Some(Expected::Presence(queue)) => model.absent(*queue, close.reply_code),
            expected => Err(format!("channel {number} hears {close:?} where {expected:?} was due")),
        }
    }

    fn receive_message(
        &mut self,
        model: &mut Model,
        now: Timestamp,
        number: u16,
        method: &basic::AMQPMethod,
        content: &Content,
    ) -> Result<(), Violation> {
        let Some(arrival) = Arrival::of(method) else {
            return Err(format!("unexpected content: {method:?}"));
        };
        if let basic::AMQPMethod::GetOk(got) = method {
            self.remaining = Some(got.message_count);
        }
        let Client { link, addresses: answers, peeked, .. } = self;
        let Some(channel) = link.as_mut().and_then(|link| link.channels.get_mut(&number)) else {
            return Ok(());
        };
        if arrival.consumer == Some(REPLIES) {
            return model.replied(channel.serial, arrival.tag, message_id(content)?);
        }
        if arrival.consumer.is_none() && matches!(channel.expected.front(), Some(Expected::Peek)) {
            channel.expected.pop_front();
            peeked.push(message_id(content)?);
            return Ok(());
        }
        let seen = seen(model, arrival.redelivered, arrival.exchange, arrival.routing_key, content)?;
        let (consumer, queue, no_ack) = match arrival.consumer {
            Some(tag) => match channel.consumers.get(tag) {
                Some(consumer) => (Some(consumer.serial), consumer.queue, consumer.no_ack),
                None => return Err(format!("a delivery to consumer {tag}, which is not")),
            },
            None => match channel.expected.pop_front() {
                Some(Expected::Get { queue, no_ack }) => (None, queue, no_ack),
                other => return Err(format!("get-ok where {other:?} was due")),
            },
        };
        if channel.expected.iter().any(|expected| matches!(expected, Expected::Recover)) {
            return model.tag_passed(channel.serial, arrival.tag);
        }
        if let Some(message) = model.messages.get(&seen.id).filter(|message| message.sent.asks) {
            answers.extend(address(content).map(|address| (address, message.sent.channel)));
        }
        let to = Receiver { channel: channel.serial, tag: arrival.tag, consumer, queue, no_ack };
        if !no_ack {
            channel.held.push(arrival.tag);
        }
        model.delivered(now, to, &seen)
    }

    fn receive_answer(
        &mut self,
        model: &mut Model,
        number: u16,
        method: &AMQPClass,
    ) -> Result<(), Violation> {
        let id = (method.get_amqp_class_id(), method.get_amqp_method_id());
        let Some(channel) = self.channel(number).filter(|channel| !channel.closing) else { return Ok(()) };
        let expected = channel.expected.pop_front();
        match (&expected, id) {
            (Some(Expected::Ok(class, number)), _) if (*class, *number) == id => {}
            (Some(Expected::Recover), (60, 111)) => {}
            (Some(Expected::Consume(serial)), (60, 21)) => model.consumer_confirmed(*serial),
            (Some(Expected::Cancel(tag)), (60, 31)) => drop(channel.consumers.remove(tag)),
            (Some(Expected::Get { .. } | Expected::Peek), (60, 72)) => self.got_empty = true,
            (Some(Expected::Commit(published)), (90, 21)) => {
                let is_last = !channel.expected.iter().any(|more| matches!(more, Expected::Commit(_)));
                model.committed(channel.serial, published, is_last);
            }
            (Some(Expected::Removed), (50, 31)) => {
                if let AMQPClass::Queue(queue::AMQPMethod::PurgeOk(ok)) = method {
                    self.removed = Some(ok.message_count);
                }
            }
            (Some(Expected::Removed), (50, 41)) => {
                if let AMQPClass::Queue(queue::AMQPMethod::DeleteOk(ok)) = method {
                    self.removed = Some(ok.message_count);
                }
            }
            (Some(Expected::Own(queue)), (50, 11)) => model.declared(*queue),
            (Some(Expected::Presence(queue)), (50, 11)) => model.present(*queue)?,
            (Some(Expected::Declared(queue)), (50, 11)) => {
                if let AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)) = method {
                    self.counts.push((*queue, ok.message_count));
                }
            }
            _ => {
                return Err(format!("channel {number} hears {method:?} where {expected:?} was due"));
            }
        }
        Ok(())
    }
}

fn summary(number: u16, said: &Received) -> String {
    match said {
        Received::Method(method) => format!("{number}:{method:?} "),
        Received::Content(method, content) => {
            let id = message_id(content).unwrap_or(0);
            format!("{number}:message {id} by {method:?} ")
        }
    }
}

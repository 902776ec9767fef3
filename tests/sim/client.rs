//! A client: one connection with some channels, what it has asked and what it is answered. It speaks real frames and
//! tells the ledger what it does and sees. What it does next is decided in `habits.rs`.

use std::collections::{BTreeMap, VecDeque};

use leveret::model::ids::{ConnectionId, Timestamp};
use leveret_codec::frame::PROTOCOL_HEADER;
use leveret_codec::method::amqp::{AMQPClass, basic, channel, confirm, connection, queue, tx};
use leveret_codec::table::{FieldTable, short_string};

use crate::broker::Broker;
use crate::connection::Gone;
use crate::judge::Receiver;
use crate::model::{ChannelSerial, Consumer, ConsumerSerial, How, MessageId, Model, Sent, Violation};
use crate::reading::{Arrival, message_id, seen};
use crate::topology::QueueNumber;
use crate::wire::{Content, Reader, Said, method_bytes};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Plain,
    Confirm,
    Transaction,
}

/// An answer that is awaited on a channel, in order.
#[derive(Debug)]
pub(crate) enum Expected {
    /// A method of this class and number.
    Ok(u16, u16),
    Consume(ConsumerSerial),
    Cancel(String),
    Get {
        queue: QueueNumber,
        no_ack: bool,
    },
    Commit(Vec<MessageId>),
    Declared(QueueNumber),
}

#[derive(Debug)]
pub(crate) struct OwnConsumer {
    pub(crate) serial: ConsumerSerial,
    pub(crate) queue: QueueNumber,
    pub(crate) no_ack: bool,
}

#[derive(Debug)]
pub(crate) struct OwnChannel {
    pub(crate) serial: ChannelSerial,
    pub(crate) mode: Mode,
    pub(crate) closing: bool,
    pub(crate) sequence: u64,
    /// Delivery tags that may be settled, rising.
    pub(crate) held: Vec<u64>,
    pub(crate) consumers: BTreeMap<String, OwnConsumer>,
    pub(crate) expected: VecDeque<Expected>,
    /// What an open transaction holds.
    pub(crate) sends: Vec<Sent>,
    pub(crate) settles: Vec<(Vec<u64>, How)>,
    /// The prefetch new consumers get.
    pub(crate) prefetch: u16,
}

/// A connection of a client, as long as it lasts.
pub(crate) struct Link {
    pub(crate) connection: ConnectionId,
    reader: Reader,
    pub(crate) channels: BTreeMap<u16, OwnChannel>,
    pub(crate) closing: bool,
    handshake: VecDeque<(u16, u16)>,
}

#[derive(Default)]
pub(crate) struct Client {
    pub(crate) name: usize,
    pub(crate) link: Option<Link>,
    /// Answers to declares: queue, ready messages.
    pub(crate) counts: Vec<(QueueNumber, u32)>,
    /// How many ready messages the last get-ok left, by queue.
    pub(crate) remaining: Option<u32>,
    pub(crate) got_empty: bool,
    serials: u32,
}

impl Client {
    pub(crate) fn new(name: usize) -> Client {
        Client { name, ..Client::default() }
    }

    /// A serial number that no other client gives.
    pub(crate) fn serial(&mut self) -> u32 {
        self.serials += 1;
        u32::try_from(self.name).unwrap_or(0) * 100_000 + self.serials
    }

    /// Connects and says all of the handshake at once.
    pub(crate) fn connect(&mut self, broker: &mut Broker, connection: ConnectionId) {
        let start_ok = connection::StartOk {
            client_properties: FieldTable::default(),
            mechanism: short_string("PLAIN"),
            response: b"\0guest\0guest"[..].into(),
            locale: short_string("en_US"),
        };
        let tune_ok = connection::TuneOk { channel_max: 100, frame_max: 8192, heartbeat: 0 };
        let open = connection::Open { virtual_host: short_string("/") };
        let handshake = VecDeque::from([(10, 10), (10, 30), (10, 41)]);
        let link = Link {
            connection,
            reader: Reader::default(),
            channels: BTreeMap::new(),
            closing: false,
            handshake,
        };
        self.link = Some(link);
        self.write(broker, &PROTOCOL_HEADER);
        for method in [
            connection::AMQPMethod::StartOk(start_ok),
            connection::AMQPMethod::TuneOk(tune_ok),
            connection::AMQPMethod::Open(open),
        ] {
            self.send(broker, 0, &AMQPClass::Connection(method));
        }
    }

    pub(crate) fn open_channel(
        &mut self,
        broker: &mut Broker,
        model: &mut Model,
        number: u16,
        mode: Mode,
        shared_prefetch: u16,
    ) {
        let serial = self.serial();
        model.channel_opened(serial, shared_prefetch.into());
        let mut expected = VecDeque::from([Expected::Ok(20, 11)]);
        self.send(broker, number, &AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})));
        match mode {
            Mode::Plain => {}
            Mode::Confirm => {
                let select = confirm::AMQPMethod::Select(confirm::Select { nowait: false });
                self.send(broker, number, &AMQPClass::Confirm(select));
                expected.push_back(Expected::Ok(85, 11));
            }
            Mode::Transaction => {
                self.send(broker, number, &AMQPClass::Tx(tx::AMQPMethod::Select(tx::Select {})));
                expected.push_back(Expected::Ok(90, 11));
            }
        }
        if shared_prefetch > 0 {
            let qos = basic::Qos { prefetch_count: shared_prefetch, global: true };
            self.send(broker, number, &AMQPClass::Basic(basic::AMQPMethod::Qos(qos)));
            expected.push_back(Expected::Ok(60, 11));
        }
        let channel = OwnChannel {
            serial,
            mode,
            closing: false,
            sequence: 0,
            held: Vec::new(),
            consumers: BTreeMap::new(),
            expected,
            sends: Vec::new(),
            settles: Vec::new(),
            prefetch: 0,
        };
        if let Some(link) = &mut self.link {
            link.channels.insert(number, channel);
        }
    }

    pub(crate) fn consume(
        &mut self,
        broker: &mut Broker,
        model: &mut Model,
        number: u16,
        queue: QueueNumber,
        (prefetch, no_ack): (u16, bool),
    ) {
        let serial = self.serial();
        let tag = format!("c{serial}");
        if self.channel(number).is_some_and(|channel| channel.prefetch != prefetch) {
            let qos = basic::Qos { prefetch_count: prefetch, global: false };
            self.ask(broker, number, &AMQPClass::Basic(basic::AMQPMethod::Qos(qos)), Expected::Ok(60, 11));
        }
        let consume = basic::Consume {
            queue: short_string(&model.topology.queues[queue].name),
            consumer_tag: short_string(&tag),
            no_ack,
            ..basic::Consume::default()
        };
        let asked_at = model.step;
        let Some(channel) = self.channel(number) else { return };
        channel.prefetch = prefetch;
        channel.consumers.insert(tag, OwnConsumer { serial, queue, no_ack });
        let consumer = Consumer {
            channel: channel.serial,
            queue,
            prefetch: prefetch.into(),
            no_ack,
            asked_at,
            confirmed_at: None,
            alive: true,
            held: 0,
            newest: BTreeMap::new(),
        };
        model.consumer_asked(serial, consumer);
        let method = AMQPClass::Basic(basic::AMQPMethod::Consume(consume));
        self.ask(broker, number, &method, Expected::Consume(serial));
    }

    pub(crate) fn declare(&mut self, broker: &mut Broker, model: &Model, queue: QueueNumber, passive: bool) {
        let plan = &model.topology.queues[queue];
        let declare = queue::Declare {
            queue: short_string(&plan.name),
            passive,
            durable: plan.durable,
            arguments: plan.arguments(&model.topology.queues),
            ..queue::Declare::default()
        };
        let method = AMQPClass::Queue(queue::AMQPMethod::Declare(declare));
        self.ask(broker, 1, &method, Expected::Declared(queue));
    }

    /// The network or the client dies.
    pub(crate) fn drop_link(&mut self, broker: &mut Broker, model: &mut Model, gone: Gone) {
        let Some(link) = self.link.take() else { return };
        link.channels.values().for_each(|channel| model.channel_lost(channel.serial));
        if let Some(connection) = broker.connections.get_mut(&link.connection) {
            connection.client_gone = Some(gone);
        }
    }

    pub(crate) fn channel(&mut self, number: u16) -> Option<&mut OwnChannel> {
        self.link.as_mut()?.channels.get_mut(&number)
    }

    pub(crate) fn ask(&mut self, broker: &mut Broker, number: u16, method: &AMQPClass, expected: Expected) {
        if let Some(channel) = self.channel(number) {
            channel.expected.push_back(expected);
        }
        self.send(broker, number, method);
    }

    pub(crate) fn send(&mut self, broker: &mut Broker, channel: u16, method: &AMQPClass) {
        self.write(broker, &method_bytes(channel, method));
    }

    pub(crate) fn write(&mut self, broker: &mut Broker, bytes: &[u8]) {
        let connection = self.link.as_ref().and_then(|link| broker.connections.get_mut(&link.connection));
        if let Some(connection) = connection {
            connection.to_server.extend(bytes);
        }
    }

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
            return self.hung_up(broker);
        }
        let count = most.min(connection.to_client.len());
        link.reader.take(connection.to_client.drain(..count));
        let mut heard = String::new();
        for (number, said) in link.reader.said()? {
            heard.push_str(&summary(number, &said));
            self.hear(model, now, number, said).map_err(|violation| format!("hears {heard}\n{violation}"))?;
        }
        Ok(heard)
    }

    fn hung_up(&mut self, broker: &mut Broker) -> Result<String, Violation> {
        let Some(link) = self.link.take() else { return Ok(String::new()) };
        if let Some(connection) = broker.connections.get_mut(&link.connection) {
            connection.client_gone = Some(Gone::Closed);
        }
        if link.closing { Ok("the broker hung up".into()) } else { Err("the broker hung up".into()) }
    }

    fn hear(&mut self, model: &mut Model, now: Timestamp, number: u16, said: Said) -> Result<(), Violation> {
        if number == 0 {
            return self.hear_connection(&said);
        }
        let Some(channel) = self.channel(number) else {
            return Err(format!("channel {number} is not open and hears {said:?}"));
        };
        match said {
            Said::Content(basic::AMQPMethod::Return(_), content) => {
                model.returned(channel.serial, message_id(&content)?)
            }
            // What is delivered after the client asked to close is nothing to it.
            Said::Content(..) if channel.closing => Ok(()),
            Said::Content(method, content) => self.hear_message(model, now, number, &method, &content),
            Said::Method(AMQPClass::Basic(basic::AMQPMethod::Ack(ack))) => {
                let serial = channel.serial;
                model.confirmed(serial, ack.delivery_tag, ack.multiple, true)
            }
            Said::Method(AMQPClass::Basic(basic::AMQPMethod::Nack(nack))) => {
                let serial = channel.serial;
                model.confirmed(serial, nack.delivery_tag, nack.multiple, false)
            }
            Said::Method(AMQPClass::Channel(channel::AMQPMethod::CloseOk(_))) if channel.closing => {
                self.link.as_mut().and_then(|link| link.channels.remove(&number));
                Ok(())
            }
            Said::Method(method) => self.hear_answer(model, number, &method),
        }
    }

    fn hear_connection(&mut self, said: &Said) -> Result<(), Violation> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let Said::Method(method) = said else { return Err("content on channel 0".into()) };
        let id = (method.get_amqp_class_id(), method.get_amqp_method_id());
        if link.handshake.pop_front() == Some(id) || (link.closing && id == (10, 51)) {
            return Ok(());
        }
        Err(format!("unexpected on the connection: {method:?}"))
    }

    fn hear_message(
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
        let Some(channel) = self.channel(number) else { return Ok(()) };
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
        let to = Receiver { channel: channel.serial, tag: arrival.tag, consumer, queue, no_ack };
        if !no_ack {
            channel.held.push(arrival.tag);
        }
        model.delivered(now, to, &seen)
    }

    fn hear_answer(&mut self, model: &mut Model, number: u16, method: &AMQPClass) -> Result<(), Violation> {
        let id = (method.get_amqp_class_id(), method.get_amqp_method_id());
        let Some(channel) = self.channel(number).filter(|channel| !channel.closing) else { return Ok(()) };
        let expected = channel.expected.pop_front();
        match (&expected, id) {
            (Some(Expected::Ok(class, number)), _) if (*class, *number) == id => {}
            (Some(Expected::Consume(serial)), (60, 21)) => model.consumer_confirmed(*serial),
            (Some(Expected::Cancel(tag)), (60, 31)) => drop(channel.consumers.remove(tag)),
            (Some(Expected::Get { .. }), (60, 72)) => self.got_empty = true,
            (Some(Expected::Commit(published)), (90, 21)) => {
                let is_last = !channel.expected.iter().any(|more| matches!(more, Expected::Commit(_)));
                model.committed(channel.serial, published, is_last);
            }
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

fn summary(number: u16, said: &Said) -> String {
    match said {
        Said::Method(method) => format!("{number}:{method:?} "),
        Said::Content(method, content) => {
            let id = message_id(content).unwrap_or(0);
            format!("{number}:message {id} by {method:?} ")
        }
    }
}

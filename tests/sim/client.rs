//! A client: one connection with some channels, what it has asked and what it is answered. It speaks real frames and
//! tells the ledger what it does and sees. What it does next is decided in `workload.rs`.

use std::collections::{BTreeMap, VecDeque};

use leveret::model::ids::ConnectionId;
use leveret_codec::frame::PROTOCOL_HEADER;
use leveret_codec::method::amqp::{AMQPClass, basic, channel, confirm, connection, queue, tx};
use leveret_codec::table::{AMQPValue, short_string};

use crate::broker::Broker;
use crate::connection::Gone;
use crate::frames::{method as method_frame, table};
use crate::model::{ChannelSerial, Consumer, ConsumerSerial, How, MessageId, Model, Sent};
use crate::topology::{Lifetime, QueueNumber};
use crate::wire::Reader;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChannelMode {
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
    /// What comes before it has been taken back already.
    Recover,
    Get {
        queue: QueueNumber,
        no_ack: bool,
    },
    Commit(Vec<MessageId>),
    Declared(QueueNumber),
    /// The declare of a queue that goes by itself.
    Own(QueueNumber),
    /// A purge or a delete.
    Removed,
    /// A look at a queue that may be gone.
    Presence(QueueNumber),
    /// A get that the ledger knows nothing of.
    Peek,
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
    pub(crate) mode: ChannelMode,
    pub(crate) closing: bool,
    pub(crate) sequence: u64,
    /// Delivery tags that may be settled, rising.
    pub(crate) held: Vec<u64>,
    pub(crate) consumers: BTreeMap<String, OwnConsumer>,
    pub(crate) expected: VecDeque<Expected>,
    /// What an open transaction holds.
    pub(crate) sends: Vec<Sent>,
    pub(crate) settles: Vec<(Vec<u64>, How)>,
    /// It takes direct replies.
    pub(crate) reply_consumer: bool,
    /// The prefetch new consumers get.
    pub(crate) prefetch: u16,
}

/// A connection of a client, as long as it lasts.
pub(crate) struct Link {
    pub(crate) connection: ConnectionId,
    pub(crate) reader: Reader,
    pub(crate) channels: BTreeMap<u16, OwnChannel>,
    pub(crate) closing: bool,
    /// The queues that go with it.
    pub(crate) exclusive: Vec<QueueNumber>,
    pub(crate) handshake: VecDeque<(u16, u16)>,
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
    /// How many messages the last purge or delete took.
    pub(crate) removed: Option<u32>,
    /// Channels that the broker closed, and with which code.
    pub(crate) refused: Vec<(u16, u16)>,
    /// Addresses that wait for a reply, and whose they are.
    pub(crate) addresses: Vec<(String, ChannelSerial)>,
    /// Messages that were only looked at.
    pub(crate) peeked: Vec<MessageId>,
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
        let capabilities = table(vec![("consumer_cancel_notify", AMQPValue::Boolean(true))]);
        let start_ok = connection::StartOk {
            client_properties: table(vec![("capabilities", AMQPValue::FieldTable(capabilities))]),
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
            exclusive: Vec::new(),
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
        mode: ChannelMode,
        shared_prefetch: u16,
    ) {
        let serial = self.serial();
        model.channel_opened(serial, shared_prefetch.into());
        let mut expected = VecDeque::from([Expected::Ok(20, 11)]);
        self.send(broker, number, &AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})));
        match mode {
            ChannelMode::Plain => {}
            ChannelMode::Confirm => {
                let select = confirm::AMQPMethod::Select(confirm::Select { nowait: false });
                self.send(broker, number, &AMQPClass::Confirm(select));
                expected.push_back(Expected::Ok(85, 11));
            }
            ChannelMode::Transaction => {
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
            reply_consumer: false,
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
            since: model.now,
            confirmed_at: None,
            alive: true,
            dismissed: false,
            held: 0,
            newest: BTreeMap::new(),
        };
        model.consumer_asked(serial, consumer);
        let method = AMQPClass::Basic(basic::AMQPMethod::Consume(consume));
        self.ask(broker, number, &method, Expected::Consume(serial));
    }

    pub(crate) fn declare(
        &mut self,
        broker: &mut Broker,
        model: &Model,
        (number, queue): (u16, QueueNumber),
        expected: Expected,
        passive: bool,
    ) {
        let plan = &model.topology.queues[queue];
        let declare = queue::Declare {
            queue: short_string(&plan.name),
            passive,
            durable: plan.durable,
            exclusive: plan.lifetime == Lifetime::Exclusive,
            auto_delete: plan.lifetime == Lifetime::AutoDelete,
            arguments: plan.arguments(&model.topology.queues),
            ..queue::Declare::default()
        };
        let method = AMQPClass::Queue(queue::AMQPMethod::Declare(declare));
        self.ask(broker, number, &method, expected);
    }

    /// The network or the client dies.
    pub(crate) fn drop_link(&mut self, broker: &mut Broker, model: &mut Model, gone: Gone) {
        let Some(link) = self.link.take() else { return };
        link.channels.values().for_each(|channel| model.channel_lost(channel.serial));
        model.owner_gone(&link.exclusive);
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
        self.write(broker, &method_frame(channel, method));
    }

    pub(crate) fn write(&mut self, broker: &mut Broker, bytes: &[u8]) {
        let connection = self.link.as_ref().and_then(|link| broker.connections.get_mut(&link.connection));
        if let Some(connection) = connection {
            connection.to_server.extend(bytes);
        }
    }
}

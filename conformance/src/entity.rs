//! What a case declares and publishes: queues, exchanges, consumers and messages with only what is unusual said.

use crate::wire::{self, Payload, Properties, Table, Value};

/// queue.declare: durable, and nothing else, unless said.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    name: String,
    /// passive, durable, exclusive, auto-delete, no-wait
    bits: [bool; 5],
    arguments: Table,
}

impl Queue {
    pub(crate) fn new(name: &str) -> Queue {
        Queue { name: name.to_owned(), bits: [false, true, false, false, false], arguments: Table::new() }
    }

    /// Of type `classic` or `quorum`.
    pub(crate) fn of(kind: &str, name: &str) -> Queue {
        Queue::new(name).with("x-queue-type", kind)
    }

    pub(crate) fn passive(mut self) -> Queue {
        self.bits[0] = true;
        self
    }

    pub(crate) fn transient(mut self) -> Queue {
        self.bits[1] = false;
        self
    }

    pub(crate) fn exclusive(mut self) -> Queue {
        self.bits[2] = true;
        self
    }

    pub(crate) fn auto_delete(mut self) -> Queue {
        self.bits[3] = true;
        self
    }

    pub(crate) fn nowait(mut self) -> Queue {
        self.bits[4] = true;
        self
    }

    pub(crate) fn with(mut self, name: &str, value: impl Value) -> Queue {
        self.arguments = self.arguments.set(name, value);
        self
    }

    /// An argument encoded by hand, its type octet first.
    pub(crate) fn raw(mut self, name: &str, value: &[u8]) -> Queue {
        self.arguments = self.arguments.raw(name, value);
        self
    }

    pub(crate) fn payload(&self) -> Payload {
        Payload::method(50, 10).short(0).text(&self.name).bits(&self.bits).table(&self.arguments)
    }
}

/// exchange.declare: transient, and nothing else, unless said.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    name: String,
    kind: String,
    /// passive, durable, auto-delete, internal, no-wait
    bits: [bool; 5],
    arguments: Table,
}

impl Exchange {
    pub(crate) fn new(name: &str, kind: &str) -> Exchange {
        Exchange { name: name.to_owned(), kind: kind.to_owned(), bits: [false; 5], arguments: Table::new() }
    }

    pub(crate) fn passive(mut self) -> Exchange {
        self.bits[0] = true;
        self
    }

    pub(crate) fn durable(mut self) -> Exchange {
        self.bits[1] = true;
        self
    }

    pub(crate) fn auto_delete(mut self) -> Exchange {
        self.bits[2] = true;
        self
    }

    pub(crate) fn internal(mut self) -> Exchange {
        self.bits[3] = true;
        self
    }

    pub(crate) fn nowait(mut self) -> Exchange {
        self.bits[4] = true;
        self
    }

    pub(crate) fn with(mut self, name: &str, value: impl Value) -> Exchange {
        self.arguments = self.arguments.set(name, value);
        self
    }

    pub(crate) fn payload(&self) -> Payload {
        let payload = Payload::method(40, 10).short(0).text(&self.name).text(&self.kind);
        payload.bits(&self.bits).table(&self.arguments)
    }
}

/// basic.consume: with acks, and nothing else, unless said.
#[derive(Clone, Debug)]
pub(crate) struct Consume {
    queue: String,
    tag: String,
    /// no-local, no-ack, exclusive, no-wait
    bits: [bool; 4],
    arguments: Table,
}

impl Consume {
    pub(crate) fn new(queue: &str, tag: &str) -> Consume {
        Consume { queue: queue.to_owned(), tag: tag.to_owned(), bits: [false; 4], arguments: Table::new() }
    }

    pub(crate) fn no_local(mut self) -> Consume {
        self.bits[0] = true;
        self
    }

    pub(crate) fn no_ack(mut self) -> Consume {
        self.bits[1] = true;
        self
    }

    pub(crate) fn exclusive(mut self) -> Consume {
        self.bits[2] = true;
        self
    }

    pub(crate) fn nowait(mut self) -> Consume {
        self.bits[3] = true;
        self
    }

    pub(crate) fn with(mut self, name: &str, value: impl Value) -> Consume {
        self.arguments = self.arguments.set(name, value);
        self
    }

    /// An argument encoded by hand, its type octet first.
    pub(crate) fn raw(mut self, name: &str, value: &[u8]) -> Consume {
        self.arguments = self.arguments.raw(name, value);
        self
    }

    pub(crate) fn payload(&self) -> Payload {
        let payload = Payload::method(60, 20).short(0).text(&self.queue).text(&self.tag);
        payload.bits(&self.bits).table(&self.arguments)
    }
}

/// basic.publish with its content.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    exchange: String,
    key: String,
    mandatory: bool,
    immediate: bool,
    properties: Properties,
    body: Vec<u8>,
}

impl Message {
    pub(crate) fn new(exchange: &str, key: &str, body: impl AsRef<[u8]>) -> Message {
        Message {
            exchange: exchange.to_owned(),
            key: key.to_owned(),
            mandatory: false,
            immediate: false,
            properties: Properties::new(),
            body: body.as_ref().to_vec(),
        }
    }

    pub(crate) fn mandatory(mut self) -> Message {
        self.mandatory = true;
        self
    }

    pub(crate) fn immediate(mut self) -> Message {
        self.immediate = true;
        self
    }

    pub(crate) fn with(mut self, properties: Properties) -> Message {
        self.properties = properties;
        self
    }

    /// The method alone.
    pub(crate) fn payload(&self) -> Payload {
        let payload = Payload::method(60, 40).short(0).text(&self.exchange).text(&self.key);
        payload.bits(&[self.mandatory, self.immediate])
    }

    /// Method, header and body, split so that it fits any frame_max.
    pub(crate) fn frames(&self, channel: u16) -> Vec<u8> {
        let header = Payload::header(60, self.body.len() as u64, &self.properties);
        let mut frames = wire::frame(1, channel, &self.payload().0);
        frames.extend(wire::frame(2, channel, &header.0));
        for part in self.body.chunks(4088) {
            frames.extend(wire::frame(3, channel, part));
        }
        frames
    }
}

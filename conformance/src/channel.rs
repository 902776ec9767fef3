//! What a case does on a channel: every method in a line, each answer held against the one expected.

use std::time::{Duration, Instant};

use leveret_codec::method::amqp::{AMQPClass, basic, queue};
use leveret_codec::method::{MethodId, method_id};
use leveret_codec::properties::Properties as Parsed;
use leveret_codec::table::AMQPValue;

use crate::assembly::{Content, Event};
use crate::connection::{Connection, PATIENCE, check_close};
use crate::entity::{Consume, Exchange, Message, Queue};
use crate::outcome::{Step, equal, fail};
use crate::wire::{self, Payload, Table, id};

/// Long enough for what must not arrive to arrive, where it would come at once.
const SILENCE: Duration = Duration::from_millis(250);

/// A channel of a connection; dropping it closes nothing.
#[derive(Clone)]
pub(crate) struct Channel {
    pub(crate) connection: Connection,
    pub(crate) number: u16,
}

/// What queue.declare-ok said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) messages: u32,
    pub(crate) consumers: u32,
}

/// What basic.deliver, get-ok and return have in common, and what is their own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delivery {
    pub(crate) consumer: String,
    pub(crate) tag: u64,
    pub(crate) redelivered: bool,
    pub(crate) exchange: String,
    pub(crate) key: String,
    /// get-ok only.
    pub(crate) messages: u32,
    /// return only.
    pub(crate) code: u16,
    pub(crate) text: String,
    pub(crate) content: Content,
}

impl Delivery {
    pub(crate) fn body(&self) -> &str {
        std::str::from_utf8(&self.content.body).unwrap_or("(no UTF-8)")
    }

    pub(crate) fn properties(&self) -> Step<Parsed<'_>> {
        match Parsed::parse(&self.content.properties) {
            Ok(properties) => Ok(properties),
            Err(error) => fail(format!("properties: {error}")),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Step<Option<AMQPValue>> {
        Ok(self.properties()?.header(name))
    }
}

impl Channel {
    pub(crate) fn open(&self) -> Step {
        self.call(Payload::method(20, 10).text(""), id(20, 11)).map(drop)
    }

    pub(crate) fn send(&self, payload: Payload) {
        self.connection.send(self.number, payload);
    }

    /// Sends a method and reads its answer, which comes before anything else on this channel.
    pub(crate) fn call(&self, payload: Payload, answer: MethodId) -> Step<Event> {
        self.send(payload);
        self.expect(answer)
    }

    pub(crate) fn expect(&self, expected: MethodId) -> Step<Event> {
        match self.connection.event(self.number, PATIENCE)? {
            Some(event) if event.id == expected => Ok(event),
            Some(event) => {
                fail(format!("expected {}.{}, saw {:?}", expected.class, expected.method, event.method))
            }
            None => fail(format!("expected {}.{}, saw nothing", expected.class, expected.method)),
        }
    }

    pub(crate) fn event(&self, patience: Duration) -> Step<Option<Event>> {
        self.connection.event(self.number, patience)
    }

    /// Nothing more comes.
    pub(crate) fn silent(&self) -> Step {
        self.silent_for(SILENCE)
    }

    pub(crate) fn silent_for(&self, patience: Duration) -> Step {
        match self.event(patience)? {
            None => Ok(()),
            Some(event) => fail(format!("expected silence, saw {:?}", event.method)),
        }
    }

    /// channel.close with this code, failing method and text (`*`: anything); answers it.
    pub(crate) fn closes(&self, code: u16, at_fault: MethodId, text: &str) -> Step {
        let Some(event) = self.event(PATIENCE)? else {
            return fail(format!("expected channel.close with {code}, saw nothing"));
        };
        check_close(&event, id(20, 40), code, at_fault, text)?;
        self.send(Payload::method(20, 41));
        Ok(())
    }

    /// Sends a method that closes the channel with this code and text (`*`: anything).
    pub(crate) fn refuses(&self, payload: Payload, code: u16, text: &str) -> Step {
        let at_fault = method_id(&payload.0).unwrap_or(MethodId::NONE);
        self.send(payload);
        self.closes(code, at_fault, text)
    }

    pub(crate) fn close(&self) -> Step {
        self.send(Payload::method(20, 40).short(200).text("OK").short(0).short(0));
        loop {
            match self.event(PATIENCE)? {
                Some(event) if event.id == id(20, 41) => return Ok(()),
                Some(event) if event.id.class == 60 => {}
                Some(event) => return fail(format!("expected channel.close-ok, saw {:?}", event.method)),
                None => return fail("expected channel.close-ok, saw nothing"),
            }
        }
    }

    /// Returns once everything sent before on this channel was worked on.
    pub(crate) fn sync(&self) -> Step {
        self.declare_exchange(&Exchange::new("amq.direct", "direct").passive())
    }

    pub(crate) fn declare(&self, queue: &Queue) -> Step<Declared> {
        self.send(queue.payload());
        self.declared()
    }

    pub(crate) fn declared(&self) -> Step<Declared> {
        match self.expect(id(50, 11))?.method {
            AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)) => Ok(Declared {
                name: ok.queue.to_string(),
                messages: ok.message_count,
                consumers: ok.consumer_count,
            }),
            other => fail(format!("no declare-ok: {other:?}")),
        }
    }

    /// The ready messages and consumers of a queue.
    pub(crate) fn count(&self, queue: &str) -> Step<(u32, u32)> {
        self.declare(&Queue::new(queue).passive()).map(|declared| (declared.messages, declared.consumers))
    }

    /// Waits until a queue has this many ready messages.
    pub(crate) fn becomes(&self, queue: &str, messages: u32) -> Step {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.count(queue)?.0;
            if seen == messages {
                return Ok(());
            }
            if Instant::now() > deadline {
                return fail(format!("{queue} has {seen} ready messages, expected {messages}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn declare_exchange(&self, exchange: &Exchange) -> Step {
        self.call(exchange.payload(), id(40, 11)).map(drop)
    }

    pub(crate) fn bind(&self, queue: &str, exchange: &str, key: &str) -> Step {
        self.bind_with(queue, exchange, key, &Table::new())
    }

    pub(crate) fn bind_with(&self, queue: &str, exchange: &str, key: &str, arguments: &Table) -> Step {
        self.call(bind(queue, exchange, key, arguments), id(50, 21)).map(drop)
    }

    pub(crate) fn unbind(&self, queue: &str, exchange: &str, key: &str) -> Step {
        let payload = Payload::method(50, 50).short(0).text(queue).text(exchange).text(key);
        self.call(payload.table(&Table::new()), id(50, 51)).map(drop)
    }

    /// exchange.bind: what reaches `source` goes on to `destination`.
    pub(crate) fn bind_exchange(&self, destination: &str, source: &str, key: &str) -> Step {
        self.call(bind_exchange(destination, source, key), id(40, 31)).map(drop)
    }

    pub(crate) fn unbind_exchange(&self, destination: &str, source: &str, key: &str) -> Step {
        let payload = Payload::method(40, 40).short(0).text(destination).text(source).text(key);
        self.call(payload.bits(&[false]).table(&Table::new()), id(40, 51)).map(drop)
    }

    /// How many messages went with it.
    pub(crate) fn delete(&self, queue: &str) -> Step<u32> {
        self.send(delete(queue, false, false));
        self.counted(id(50, 41))
    }

    pub(crate) fn purge(&self, queue: &str) -> Step<u32> {
        self.send(Payload::method(50, 30).short(0).text(queue).bits(&[false]));
        self.counted(id(50, 31))
    }

    pub(crate) fn counted(&self, answer: MethodId) -> Step<u32> {
        match self.expect(answer)?.method {
            AMQPClass::Queue(queue::AMQPMethod::DeleteOk(ok)) => Ok(ok.message_count),
            AMQPClass::Queue(queue::AMQPMethod::PurgeOk(ok)) => Ok(ok.message_count),
            other => fail(format!("no count in {other:?}")),
        }
    }

    pub(crate) fn publish(&self, message: &Message) {
        self.connection.write(&message.frames(self.number));
    }

    /// Publishes a body to a queue by the default exchange.
    pub(crate) fn put(&self, queue: &str, body: &str) {
        self.publish(&Message::new("", queue, body));
    }

    pub(crate) fn qos(&self, prefetch: u16, global: bool) -> Step {
        self.call(Payload::method(60, 10).long(0).short(prefetch).bits(&[global]), id(60, 11)).map(drop)
    }

    /// Consumes with acks and these two tags; see [`Consume`] for more.
    pub(crate) fn consume(&self, queue: &str, tag: &str) -> Step {
        self.consume_with(&Consume::new(queue, tag)).map(drop)
    }

    /// The tag of the consumer.
    pub(crate) fn consume_with(&self, consume: &Consume) -> Step<String> {
        match self.call(consume.payload(), id(60, 21))?.method {
            AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(ok)) => Ok(ok.consumer_tag.to_string()),
            other => fail(format!("no consume-ok: {other:?}")),
        }
    }

    pub(crate) fn cancel(&self, tag: &str) -> Step {
        self.call(Payload::method(60, 30).text(tag).bits(&[false]), id(60, 31)).map(drop)
    }

    pub(crate) fn get(&self, queue: &str, no_ack: bool) -> Step<Option<Delivery>> {
        self.send(get(queue, no_ack));
        match self.event(PATIENCE)? {
            Some(event) if event.id == id(60, 72) => Ok(None),
            Some(event) if event.id == id(60, 71) => delivery(event).map(Some),
            Some(event) => fail(format!("expected get-ok or get-empty, saw {:?}", event.method)),
            None => fail("expected get-ok or get-empty, saw nothing"),
        }
    }

    /// A message that must be there now; acked at once.
    pub(crate) fn take(&self, queue: &str) -> Step<Delivery> {
        match self.get(queue, true)? {
            Some(delivery) => Ok(delivery),
            None => fail(format!("{queue} is empty")),
        }
    }

    /// A message that arrives in a while (by a dead-letter exchange, or with a restart of its queue); acked at once.
    pub(crate) fn take_soon(&self, queue: &str) -> Step<Delivery> {
        self.get_soon(queue, true)
    }

    /// The same, to be acked where `no_ack` is false.
    pub(crate) fn get_soon(&self, queue: &str, no_ack: bool) -> Step<Delivery> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(delivery) = self.get(queue, no_ack)? {
                return Ok(delivery);
            }
            if Instant::now() > deadline {
                return fail(format!("nothing arrives in {queue}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The queue has no ready message.
    pub(crate) fn empty(&self, queue: &str) -> Step {
        match self.get(queue, false)? {
            None => Ok(()),
            Some(delivery) => fail(format!("{queue} is not empty: {:?}", delivery.body())),
        }
    }

    pub(crate) fn delivery(&self) -> Step<Delivery> {
        self.expect(id(60, 60)).and_then(delivery)
    }

    /// The bodies of the next deliveries.
    pub(crate) fn bodies(&self, count: usize) -> Step<Vec<String>> {
        (0..count).map(|_| self.delivery().map(|delivery| delivery.body().to_owned())).collect()
    }

    /// basic.return.
    pub(crate) fn returned(&self) -> Step<Delivery> {
        self.expect(id(60, 50)).and_then(delivery)
    }

    pub(crate) fn ack(&self, tag: u64, multiple: bool) {
        self.send(Payload::method(60, 80).long_long(tag).bits(&[multiple]));
    }

    pub(crate) fn nack(&self, tag: u64, multiple: bool, requeue: bool) {
        self.send(Payload::method(60, 120).long_long(tag).bits(&[multiple, requeue]));
    }

    pub(crate) fn reject(&self, tag: u64, requeue: bool) {
        self.send(Payload::method(60, 90).long_long(tag).bits(&[requeue]));
    }

    pub(crate) fn confirm_select(&self) -> Step {
        self.call(Payload::method(85, 10).bits(&[false]), id(85, 11)).map(drop)
    }

    /// Waits until all messages up to `last` are confirmed, each once, and none of them negatively.
    pub(crate) fn confirmed(&self, first: u64, last: u64) -> Step {
        let (acked, nacked) = self.confirms(first, last)?;
        equal("nacks", nacked, vec![])?;
        equal("acks", acked, (first..=last).collect())
    }

    /// The numbers acked and nacked, sorted, once `first..=last` are all settled. A number confirmed twice, or beyond
    /// them, is a failure.
    pub(crate) fn confirms(&self, first: u64, last: u64) -> Step<(Vec<u64>, Vec<u64>)> {
        let mut open: Vec<u64> = (first..=last).collect();
        let (mut acked, mut nacked) = (vec![], vec![]);
        while !open.is_empty() {
            let Some(event) = self.event(PATIENCE)? else { return fail(format!("unconfirmed: {open:?}")) };
            let (tag, multiple, settled) = match event.method {
                AMQPClass::Basic(basic::AMQPMethod::Ack(ack)) => (ack.delivery_tag, ack.multiple, &mut acked),
                AMQPClass::Basic(basic::AMQPMethod::Nack(nack)) => {
                    (nack.delivery_tag, nack.multiple, &mut nacked)
                }
                other => return fail(format!("expected a confirm, saw {other:?}")),
            };
            let before = open.len();
            open.retain(|&number| {
                let hit = number == tag || multiple && number < tag;
                if hit {
                    settled.push(number);
                }
                !hit
            });
            if open.len() == before {
                return fail(format!("{tag} was confirmed out of turn"));
            }
        }
        acked.sort_unstable();
        nacked.sort_unstable();
        Ok((acked, nacked))
    }

    pub(crate) fn tx_select(&self) -> Step {
        self.call(Payload::method(90, 10), id(90, 11)).map(drop)
    }

    pub(crate) fn tx_commit(&self) -> Step {
        self.call(Payload::method(90, 20), id(90, 21)).map(drop)
    }

    pub(crate) fn tx_rollback(&self) -> Step {
        self.call(Payload::method(90, 30), id(90, 31)).map(drop)
    }

    /// Sends any frame on this channel.
    pub(crate) fn frame(&self, kind: u8, payload: &[u8]) {
        self.connection.write(&wire::frame(kind, self.number, payload));
    }
}

pub(crate) fn bind(queue: &str, exchange: &str, key: &str, arguments: &Table) -> Payload {
    let payload = Payload::method(50, 20).short(0).text(queue).text(exchange).text(key);
    payload.bits(&[false]).table(arguments)
}

pub(crate) fn bind_exchange(destination: &str, source: &str, key: &str) -> Payload {
    let payload = Payload::method(40, 30).short(0).text(destination).text(source).text(key);
    payload.bits(&[false]).table(&Table::new())
}

pub(crate) fn delete(queue: &str, if_unused: bool, if_empty: bool) -> Payload {
    Payload::method(50, 40).short(0).text(queue).bits(&[if_unused, if_empty, false])
}

pub(crate) fn delete_exchange(exchange: &str, if_unused: bool) -> Payload {
    Payload::method(40, 20).short(0).text(exchange).bits(&[if_unused, false])
}

pub(crate) fn get(queue: &str, no_ack: bool) -> Payload {
    Payload::method(60, 70).short(0).text(queue).bits(&[no_ack])
}

/// Reads a deliver, get-ok or return.
pub(crate) fn delivery(event: Event) -> Step<Delivery> {
    let content = event.content.unwrap_or_default();
    Ok(match event.method {
        AMQPClass::Basic(basic::AMQPMethod::Deliver(deliver)) => Delivery {
            consumer: deliver.consumer_tag.to_string(),
            tag: deliver.delivery_tag,
            redelivered: deliver.redelivered,
            exchange: deliver.exchange.to_string(),
            key: deliver.routing_key.to_string(),
            content,
            ..Delivery::default()
        },
        AMQPClass::Basic(basic::AMQPMethod::GetOk(ok)) => Delivery {
            tag: ok.delivery_tag,
            redelivered: ok.redelivered,
            exchange: ok.exchange.to_string(),
            key: ok.routing_key.to_string(),
            messages: ok.message_count,
            content,
            ..Delivery::default()
        },
        AMQPClass::Basic(basic::AMQPMethod::Return(returned)) => Delivery {
            code: returned.reply_code,
            text: returned.reply_text.to_string(),
            exchange: returned.exchange.to_string(),
            key: returned.routing_key.to_string(),
            content,
            ..Delivery::default()
        },
        other => return fail(format!("no message: {other:?}")),
    })
}

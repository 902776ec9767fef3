//! Section 12: messages that leave a queue otherwise than by consumers, and where they go then. What the cases share
//! is here: a queue with a dead-letter exchange, and what its dead letters say of their deaths.

pub(super) mod dead_letter;
pub(super) mod deaths;
pub(super) mod length;
pub(super) mod priority;
pub(super) mod ttl;

use leveret_codec::table::{AMQPValue, FieldTable};

use crate::channel::{Channel, Delivery};
use crate::entity::{Exchange, Queue};
use crate::outcome::{Step, fail};
use crate::test::Test;

/// A queue whose dead letters reach another one.
struct Dying {
    channel: Channel,
    /// Where messages die.
    source: String,
    /// The dead-letter exchange, a fanout.
    exchange: String,
    /// Where they go.
    target: String,
}

impl Dying {
    /// `queue` says what is special about the queue where messages die.
    fn new(test: &Test, kind: &str, queue: impl FnOnce(Queue) -> Queue) -> Step<Dying> {
        Dying::named(test, kind, kind, queue)
    }

    fn named(test: &Test, kind: &str, name: &str, queue: impl FnOnce(Queue) -> Queue) -> Step<Dying> {
        let channel = test.channel()?;
        let (source, target) = (test.queue(name), test.queue(&format!("{name}.target")));
        let exchange = test.exchange(&format!("{name}.dlx"));
        channel.declare_exchange(&Exchange::new(&exchange, "fanout"))?;
        channel.declare(&Queue::new(&target))?;
        channel.bind(&target, &exchange, "")?;
        let dying = Queue::of(kind, &source).with("x-dead-letter-exchange", &exchange);
        channel.declare(&queue(dying))?;
        Ok(Dying { channel, source, exchange, target })
    }

    /// Rejects the next message of the source; the dead letter that comes of it.
    fn reject(&self) -> Step<Delivery> {
        self.reject_from(&self.source)?;
        self.channel.take_soon(&self.target)
    }

    /// Rejects a message that arrives in a queue.
    fn reject_from(&self, queue: &str) -> Step {
        for _ in 0..500 {
            if let Some(delivery) = self.channel.get(queue, false)? {
                self.channel.reject(delivery.tag, false);
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        fail(format!("nothing arrives in {queue}"))
    }
}

/// An entry of x-death.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Death {
    queue: String,
    reason: String,
    count: i64,
    exchange: String,
    keys: Vec<String>,
    original_expiration: Option<String>,
}

/// The x-death header of a message, its types checked.
fn deaths(delivery: &Delivery) -> Step<Vec<Death>> {
    match delivery.header("x-death")? {
        Some(AMQPValue::FieldArray(entries)) => entries.as_slice().iter().map(death).collect(),
        other => fail(format!("x-death is {other:?}")),
    }
}

fn death(entry: &AMQPValue) -> Step<Death> {
    let AMQPValue::FieldTable(entry) = entry else {
        return fail(format!("an entry of x-death is {entry:?}"));
    };
    if !matches!(field(entry, "time"), Some(AMQPValue::Timestamp(time)) if *time > 1_500_000_000 && *time < 100_000_000_000)
    {
        return fail(format!("time is {:?}", field(entry, "time")));
    }
    let Some(AMQPValue::LongLongInt(count)) = field(entry, "count") else {
        return fail(format!("count is {:?}", field(entry, "count")));
    };
    let Some(AMQPValue::FieldArray(keys)) = field(entry, "routing-keys") else {
        return fail(format!("routing-keys is {:?}", field(entry, "routing-keys")));
    };
    Ok(Death {
        queue: text(field(entry, "queue"))?,
        reason: text(field(entry, "reason"))?,
        count: *count,
        exchange: text(field(entry, "exchange"))?,
        keys: keys.as_slice().iter().map(|key| text(Some(key))).collect::<Step<_>>()?,
        original_expiration: field(entry, "original-expiration")
            .map(|value| text(Some(value)))
            .transpose()?,
    })
}

fn field<'a>(table: &'a FieldTable, name: &str) -> Option<&'a AMQPValue> {
    table.inner().get(name)
}

/// A long string.
fn text(value: Option<&AMQPValue>) -> Step<String> {
    match value {
        Some(AMQPValue::LongString(text)) => Ok(text.to_string()),
        other => fail(format!("no long string: {other:?}")),
    }
}

/// A header that must be a long string.
fn header(delivery: &Delivery, name: &str) -> Step<String> {
    text(delivery.header(name)?.as_ref())
}

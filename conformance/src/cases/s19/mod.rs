//! Section 19. Here is how a case hears of events: others use the broker meanwhile, so it looks for what concerns names
//! of its own, in any order; fields that it does not name may say anything. The firehose is in `firehose`, the cases of
//! events are in the other rooms.

pub(super) mod administration;
pub(super) mod clients;
pub(super) mod declarations;
pub(super) mod firehose;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use leveret_codec::table::AMQPValue;

use crate::channel::{Channel, Delivery, bind, delivery};
use crate::connection::{Login, PATIENCE};
use crate::entity::{Consume, Queue};
use crate::outcome::{Step, Stop, ensure, fail, fits};
use crate::test::Test;
use crate::wire::{Table, id};

/// Long enough for an event to be told.
const A_WHILE: Duration = Duration::from_millis(500);

/// What was told so far of some kind of event, and not asked for.
struct Events {
    channel: Channel,
    passed: RefCell<VecDeque<Told>>,
}

#[derive(Clone, Debug)]
struct Told {
    key: String,
    /// As [`shown`].
    fields: BTreeMap<String, String>,
    message: Delivery,
}

impl Events {
    /// Hears of events with such keys. Skips the case where the broker has none.
    fn new(test: &Test, keys: &[&str]) -> Step<Events> {
        let channel = test.connect_as(&Login { vhost: "/".into(), ..test.login() })?.channel()?;
        let heard = channel.declare(&Queue::new("").exclusive())?.name;
        for key in keys {
            channel.send(bind(&heard, "amq.rabbitmq.event", key, &Table::new()));
            match channel.event(PATIENCE)? {
                Some(event) if event.id == id(50, 21) => {}
                Some(event) if event.id == id(20, 40) => {
                    return Err(Stop::Skip("the broker has no amq.rabbitmq.event".into()));
                }
                other => return fail(format!("{other:?}")),
            }
        }
        channel.consume_with(&Consume::new(&heard, "events").no_ack())?;
        Ok(Events { channel, passed: RefCell::default() })
    }

    /// The next event with this key in which this field has this value (`*`: anything).
    fn next(&self, key: &str, field: &str, value: &str) -> Step<Told> {
        match self.next_within(PATIENCE, key, field, value)? {
            Some(told) => Ok(told),
            None => {
                let passed = self.passed.borrow();
                let like =
                    passed.iter().filter(|told| told.key == key).filter_map(|told| told.fields.get(field));
                fail(format!("no {key} with {field} = {value}, but {:?}", like.collect::<Vec<_>>()))
            }
        }
    }

    fn next_within(&self, patience: Duration, key: &str, field: &str, value: &str) -> Step<Option<Told>> {
        let is_it =
            |told: &Told| told.key == key && told.fields.get(field).is_some_and(|seen| fits(value, seen));
        let deadline = Instant::now() + patience;
        let at = self.passed.borrow().iter().position(is_it);
        if let Some(told) = at.and_then(|at| self.passed.borrow_mut().remove(at)) {
            return Ok(Some(told));
        }
        while let Some(event) = self.channel.event(deadline.saturating_duration_since(Instant::now()))? {
            let told = Told::read(delivery(event)?)?;
            if is_it(&told) {
                return Ok(Some(told));
            }
            self.passed.borrow_mut().push_back(told);
        }
        Ok(None)
    }

    /// Whether such an event comes in a while.
    fn seen(&self, key: &str, field: &str, value: &str) -> Step<bool> {
        self.next_within(A_WHILE, key, field, value).map(|told| told.is_some())
    }

    fn none(&self, key: &str, field: &str, value: &str) -> Step {
        ensure(!self.seen(key, field, value)?, &format!("{key} with {field} = {value} is told"))
    }
}

impl Told {
    fn read(message: Delivery) -> Step<Told> {
        let headers = message.properties()?.headers().unwrap_or_default();
        let fields = headers.inner().iter().map(|(name, value)| (name.to_string(), shown(value)));
        Ok(Told { key: message.key.clone(), fields: fields.collect(), message })
    }

    /// It has these fields (`*`: anything).
    fn says(&self, fields: &[(&str, &str)]) -> Step<&Told> {
        for (name, value) in fields {
            let seen = self.field(name)?;
            ensure(fits(value, seen), &format!("{}: {name}: expected {value}, saw {seen}", self.key))?;
        }
        Ok(self)
    }

    fn field(&self, name: &str) -> Step<&str> {
        match self.fields.get(name) {
            Some(value) => Ok(value),
            None => fail(format!("{} has no {name}: {:?}", self.key, self.fields)),
        }
    }
}

/// A value: texts as they are, long integers with an `l`, lists in brackets, tables in braces.
fn shown(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        AMQPValue::LongLongInt(number) => format!("{number}l"),
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::FieldArray(items) => {
            let items: Vec<_> = items.as_slice().iter().map(shown).collect();
            format!("[{}]", items.join(" "))
        }
        AMQPValue::FieldTable(table) => {
            let fields = table.inner().iter().map(|(name, value)| format!("{name}={}", shown(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(" "))
        }
        other => format!("{other:?}"),
    }
}

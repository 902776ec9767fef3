//! Where messages go: publishes one at a time with confirms, and looks which of its queues has it.

use std::cell::{Cell, RefCell};

use crate::channel::Channel;
use crate::entity::{Exchange, Message, Queue};
use crate::outcome::{Step, equal};
use crate::test::Test;

/// A channel with confirms, and the queues declared by it.
pub(crate) struct Router<'a> {
    test: &'a Test<'a>,
    pub(crate) channel: Channel,
    queues: RefCell<Vec<String>>,
    published: Cell<u64>,
}

impl<'a> Router<'a> {
    pub(crate) fn new(test: &'a Test<'a>) -> Step<Router<'a>> {
        let channel = test.channel()?;
        channel.confirm_select()?;
        Ok(Router { test, channel, queues: RefCell::default(), published: Cell::default() })
    }

    pub(crate) fn queue(&self, name: &str) -> Step<String> {
        let queue = self.test.queue(name);
        self.channel.declare(&Queue::new(&queue))?;
        self.queues.borrow_mut().push(queue.clone());
        Ok(queue)
    }

    /// A queue bound with this key.
    pub(crate) fn bound(&self, name: &str, exchange: &str, key: &str) -> Step<String> {
        let queue = self.queue(name)?;
        self.channel.bind(&queue, exchange, key)?;
        Ok(queue)
    }

    pub(crate) fn exchange(&self, name: &str, kind: &str) -> Step<String> {
        self.exchange_with(name, kind, |exchange| exchange)
    }

    /// An exchange with something unusual.
    pub(crate) fn exchange_with(
        &self,
        name: &str,
        kind: &str,
        unusual: impl FnOnce(Exchange) -> Exchange,
    ) -> Step<String> {
        let name = self.test.exchange(name);
        self.channel.declare_exchange(&unusual(Exchange::new(&name, kind)))?;
        Ok(name)
    }

    /// Publishes and waits for the confirm.
    pub(crate) fn publish(&self, message: &Message) -> Step {
        let number = self.published.get() + 1;
        self.published.set(number);
        self.channel.publish(message);
        self.channel.confirmed(number, number)
    }

    /// Takes all messages out of the queues: the queues' names, once per message.
    pub(crate) fn collect(&self) -> Step<Vec<String>> {
        let mut holders = vec![];
        for queue in &*self.queues.borrow() {
            while self.channel.get(queue, true)?.is_some() {
                holders.push(queue.clone());
            }
        }
        Ok(holders)
    }

    /// A message goes to these queues, in the order of their declaration, once to each, and to no other.
    pub(crate) fn reaches(&self, message: &Message, queues: &[&String]) -> Step {
        self.publish(message)?;
        let expected = queues.iter().map(ToString::to_string).collect();
        equal("queues with the message", self.collect()?, expected)
    }

    /// The same for an empty message with nothing but a key.
    pub(crate) fn routes(&self, exchange: &str, key: &str, queues: &[&String]) -> Step {
        self.reaches(&Message::new(exchange, key, key), queues)
    }
}

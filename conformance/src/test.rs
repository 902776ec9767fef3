//! What a case is given: the broker to talk to, names of its own, and a trace of the frames it saw.

use std::cell::{Cell, RefCell};

use leveret_codec::method::MethodId;

use crate::channel::{Channel, delete, delete_exchange};
use crate::connection::{Connection, Login, Target};
use crate::outcome::{Step, fail};
use crate::trace::Trace;
use crate::wire::id;

/// One run of one case.
pub(crate) struct Test<'a> {
    pub(crate) target: &'a Target,
    pub(crate) trace: Trace,
    prefix: String,
    queues: RefCell<Vec<String>>,
    exchanges: RefCell<Vec<String>>,
    answer: Cell<Option<&'static str>>,
}

impl<'a> Test<'a> {
    pub(crate) fn new(target: &'a Target) -> Test<'a> {
        Test {
            target,
            trace: Trace::default(),
            prefix: format!("conformance.{:08x}", rand::random::<u32>()),
            queues: RefCell::default(),
            exchanges: RefCell::default(),
            answer: Cell::default(),
        }
    }

    /// A name nobody else has.
    pub(crate) fn unique(&self) -> String {
        format!("conformance.{:08x}", rand::random::<u32>())
    }

    /// A name for a queue nobody else has, another one each time, short enough for the longest reply text to end
    /// before its 255 bytes do; what is declared by it is deleted after the case.
    pub(crate) fn queue(&self, name: &str) -> String {
        self.fresh(&self.queues, name)
    }

    /// The same for an exchange.
    pub(crate) fn exchange(&self, name: &str) -> String {
        self.fresh(&self.exchanges, name)
    }

    fn fresh(&self, taken: &RefCell<Vec<String>>, name: &str) -> String {
        let mut name = format!("{}.{name}", self.prefix);
        let taken = &mut *taken.borrow_mut();
        while taken.contains(&name) {
            name.push('+');
        }
        taken.push(name.clone());
        name
    }

    /// A queue as reply texts print it.
    pub(crate) fn queue_text(&self, name: &str) -> String {
        format!("queue '{name}' in vhost '{}'", self.target.vhost)
    }

    /// An exchange as reply texts print it.
    pub(crate) fn exchange_text(&self, name: &str) -> String {
        format!("exchange '{name}' in vhost '{}'", self.target.vhost)
    }

    pub(crate) fn connect(&self) -> Step<Connection> {
        self.connect_as(&self.login())
    }

    pub(crate) fn connect_as(&self, login: &Login) -> Step<Connection> {
        Connection::login(self.target, &self.trace, login)
    }

    /// A TCP connection on which nothing was sent.
    pub(crate) fn tcp(&self) -> Step<Connection> {
        Connection::tcp(self.target, &self.trace)
    }

    pub(crate) fn login(&self) -> Login {
        Login::of(self.target)
    }

    /// The first channel of a connection of its own.
    pub(crate) fn channel(&self) -> Step<Channel> {
        self.connect()?.channel()
    }

    /// Which of the two answers of a documented difference was seen.
    pub(crate) fn answered(&self, answer: &'static str) {
        self.answer.set(Some(answer));
    }

    pub(crate) fn answer(&self) -> Option<&'static str> {
        self.answer.get()
    }

    /// Deletes what the case declared, whatever became of it.
    pub(crate) fn clean_up(&self) -> Step {
        let (queues, exchanges) = (self.queues.take(), self.exchanges.take());
        if queues.is_empty() && exchanges.is_empty() {
            return Ok(());
        }
        let connection = Connection::login(self.target, &Trace::default(), &self.login())?;
        for queue in queues {
            deleted(&connection, |channel| {
                channel.send(delete(&queue, false, false));
                id(50, 41)
            })?;
        }
        for exchange in exchanges {
            deleted(&connection, |channel| {
                channel.send(delete_exchange(&exchange, false));
                id(40, 21)
            })?;
        }
        connection.close()
    }
}

/// A queue that is still exclusive to a connection goes with it: 405 is no matter here.
fn deleted(connection: &Connection, send: impl FnOnce(&Channel) -> MethodId) -> Step {
    let channel = connection.channel()?;
    let expected = send(&channel);
    match channel.event(crate::connection::PATIENCE)? {
        Some(event) if event.id == expected => channel.close(),
        Some(event) if event.id == id(20, 40) => {
            channel.send(crate::wire::Payload::method(20, 41));
            Ok(())
        }
        other => fail(format!("cleaning up: {other:?}")),
    }
}

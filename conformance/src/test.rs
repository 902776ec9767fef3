//! What a case is given: the broker to talk to, names of its own, and a trace of the frames it saw.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use leveret_codec::frame;
use leveret_codec::method::{MethodId, method_id, parse_method};

use crate::channel::{Channel, delete, delete_exchange};
use crate::connection::{Connection, Input, Login, Target};
use crate::outcome::{Step, fail};
use crate::wire::id;

/// How many frames of a failed case are shown.
const SHOWN: usize = 12;
/// How many characters of each.
const WIDTH: usize = 200;

/// The last frames of a case, in both directions; clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace(Rc<RefCell<VecDeque<String>>>);

impl Trace {
    pub(crate) fn note(&self, line: &str) {
        let lines = &mut *self.0.borrow_mut();
        if lines.len() == SHOWN {
            lines.pop_front();
        }
        lines.push_back(line.chars().take(WIDTH).collect());
    }

    /// Notes what was written: frames by their method or type, anything else as bytes.
    pub(crate) fn sent(&self, mut bytes: &[u8]) {
        while let Ok(Some(found)) = frame::decode(bytes, 0) {
            let method = method_id(found.payload).filter(|_| found.kind == frame::FrameKind::Method);
            match method {
                Some(MethodId { class, method }) => {
                    self.note(&format!("-> {} {class}.{method}", found.channel));
                }
                None => self.note(&format!(
                    "-> {} {:?} of {} bytes",
                    found.channel,
                    found.kind,
                    found.payload.len()
                )),
            }
            bytes = &bytes[found.wire_len()..];
        }
        if !bytes.is_empty() {
            self.note(&format!("-> {} bytes: {:02x?}", bytes.len(), &bytes[..bytes.len().min(24)]));
        }
    }

    pub(crate) fn received(&self, input: &Input) {
        match input {
            Input::Frame { kind: frame::FrameKind::Method, channel, payload } => {
                match parse_method(payload) {
                    Ok(method) => self.note(&format!("<- {channel} {method:?}")),
                    Err(error) => self.note(&format!("<- {channel} {error}")),
                }
            }
            Input::Frame { kind, channel, payload } => {
                self.note(&format!("<- {channel} {kind:?} of {} bytes", payload.len()));
            }
            other => self.note(&format!("<- {other:?}")),
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.borrow().iter().cloned().collect()
    }
}

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

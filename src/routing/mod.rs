//! L2, routing: which destinations a message reaches. One small file per exchange type, the table of bindings,
//! and the walk from exchange to exchange (semantics section 5, section 6). Pure: names, permissions, durability
//! and the default exchange's implicit bindings are the catalog's; nothing here knows a queue beyond its address.
//!
//! A new exchange type is one file that implements [`Matcher`], a variant of [`ExchangeKind`] and its arm in
//! [`ExchangeKind::matcher`].

pub mod cc;
mod consistent_hash;
mod delayed_message;
mod destinations;
mod direct;
mod effort;
mod fanout;
mod hash;
mod headers;
mod keeping;
mod modulus_hash;
mod places;
mod print;
mod random;
mod recent_history;
mod table;
mod topic;
mod value;
mod walk;

#[cfg(test)]
mod tests;

use std::fmt;

use leveret_codec::properties::Properties;
use leveret_codec::table::FieldTable;
use serde::{Deserialize, Serialize};

use crate::model::fault::Fault;
use crate::model::ids::{Destination, Name, QueueRef};
use crate::model::settings::QueueType;

pub use effort::{Effort, MOST_EFFORT};
use keeping::Keeping;
pub use recent_history::{LENGTH as RECENT_HISTORY_LENGTH, length as history_length};
pub use table::BindingPlace;
use table::{BindingTable, Identity};
pub use walk::{Envelope, Exchanges, MOST_PASSED, Walked, route};

/// A destination, and what an exchange type may want to know of it.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    pub destination: Destination,
    pub name: &'a str,
    /// Of a queue.
    pub queue_type: QueueType,
}

/// An end of which nothing matters but where it is.
impl From<Destination> for End<'_> {
    fn from(destination: Destination) -> Self {
        End { destination, name: "", queue_type: QueueType::Classic }
    }
}

/// The type of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExchangeKind {
    Direct,
    Fanout,
    Topic,
    Headers,
    ConsistentHash,
    ModulusHash,
    Random,
    LocalRandom,
    RecentHistory,
    DelayedMessage,
}

const KINDS: [ExchangeKind; 10] = [
    ExchangeKind::Direct,
    ExchangeKind::Fanout,
    ExchangeKind::Topic,
    ExchangeKind::Headers,
    ExchangeKind::ConsistentHash,
    ExchangeKind::ModulusHash,
    ExchangeKind::Random,
    ExchangeKind::LocalRandom,
    ExchangeKind::RecentHistory,
    ExchangeKind::DelayedMessage,
];

impl ExchangeKind {
    /// The type of this name, as `exchange.declare` gives it; None for a type that does not exist (semantics 5.4).
    #[must_use]
    pub fn parse(name: &str) -> Option<ExchangeKind> {
        KINDS.into_iter().find(|kind| kind.as_str() == name)
    }

    /// All there are.
    #[must_use]
    pub fn all() -> [ExchangeKind; KINDS.len()] {
        KINDS
    }

    /// The name clients know the type by.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ExchangeKind::Direct => "direct",
            ExchangeKind::Fanout => "fanout",
            ExchangeKind::Topic => "topic",
            ExchangeKind::Headers => "headers",
            ExchangeKind::ConsistentHash => "x-consistent-hash",
            ExchangeKind::ModulusHash => "x-modulus-hash",
            ExchangeKind::Random => "x-random",
            ExchangeKind::LocalRandom => "x-local-random",
            ExchangeKind::RecentHistory => "x-recent-history",
            ExchangeKind::DelayedMessage => "x-delayed-message",
        }
    }

    /// Whether exchanges of this type keep messages: then each has a queue of its own for them, its internal queue.
    #[must_use]
    pub fn keeps_messages(self) -> bool {
        matches!(self, ExchangeKind::RecentHistory | ExchangeKind::DelayedMessage)
    }

    /// Whether an exchange may have these arguments (406 where not).
    pub fn check(self, arguments: &FieldTable) -> Result<(), Fault> {
        match self {
            ExchangeKind::ConsistentHash => consistent_hash::check(arguments),
            ExchangeKind::RecentHistory => recent_history::length(arguments).map(drop),
            ExchangeKind::DelayedMessage => delayed_message::inner(arguments)?.check(arguments),
            _ => Ok(()),
        }
    }

    /// An index of no bindings. `arguments`: the exchange's, which were checked.
    fn matcher(self, arguments: &FieldTable) -> Box<dyn Matcher> {
        match self {
            ExchangeKind::Direct => Box::new(direct::Direct::default()),
            ExchangeKind::Fanout => Box::new(fanout::Fanout::default()),
            ExchangeKind::Topic => Box::new(topic::Topic::default()),
            ExchangeKind::Headers => Box::new(headers::Headers::default()),
            ExchangeKind::ConsistentHash => Box::new(consistent_hash::ConsistentHash::new(arguments)),
            ExchangeKind::ModulusHash => Box::new(modulus_hash::ModulusHash::default()),
            ExchangeKind::Random => Box::new(random::Random::new(false)),
            ExchangeKind::LocalRandom => Box::new(random::Random::new(true)),
            ExchangeKind::RecentHistory => Box::new(Keeping(ExchangeKind::Fanout.matcher(arguments))),
            ExchangeKind::DelayedMessage => {
                // Arguments were checked before.
                let inner = delayed_message::inner(arguments).unwrap_or(ExchangeKind::Direct);
                Box::new(Keeping(inner.matcher(arguments)))
            }
        }
    }
}

impl fmt::Display for ExchangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A binding as a matcher is shown it.
struct Binding<'a> {
    destination: Destination,
    /// The destination's; only known when the binding is made.
    name: &'a str,
    routing_key: &'a Name,
    arguments: &'a FieldTable,
    /// The arguments as bytes: equal where the arguments are.
    encoded_arguments: &'a [u8],
}

/// Which of a message's routing keys a type tries: its own, and those of CC and BCC (semantics 5.24).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    None,
    /// A type that chooses one destination chooses once.
    First,
    All,
}

/// What a matcher decides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reads {
    keys: Keys,
    /// Not by headers, properties or chance.
    nothing_else: bool,
}

/// What makes an exchange type: an index of bindings that finds the matching ones. The table of bindings sees to it
/// that a binding is inserted once, and that only what was inserted is removed.
trait Matcher: fmt::Debug + Send + Sync {
    /// Whether a binding may be made (406 where not).
    fn check(&self, _end: &End<'_>, _routing_key: &str, _arguments: &FieldTable) -> Result<(), Fault> {
        Ok(())
    }

    fn insert(&mut self, binding: &Binding<'_>);

    fn remove(&mut self, binding: &Binding<'_>);

    /// Reports every destination that matches, some perhaps more than once. `draw` is a random number: a type that
    /// leaves the choice to chance is told what chance said. A type whose search may be long gives up where the
    /// effort is spent.
    fn matches(
        &self,
        routing_key: &[u8],
        properties: Properties<'_>,
        draw: u64,
        effort: &mut Effort,
        found: &mut dyn FnMut(Destination),
    );

    fn reads(&self) -> Reads;

    fn boxed_clone(&self) -> Box<dyn Matcher>;
}

impl Clone for Box<dyn Matcher> {
    fn clone(&self) -> Self {
        self.boxed_clone()
    }
}

/// The bindings of which one exchange is the source.
#[derive(Clone, Debug)]
pub struct ExchangeRoutes {
    kind: ExchangeKind,
    table: BindingTable,
    matcher: Box<dyn Matcher>,
    internal_queue: Option<QueueRef>,
}

impl ExchangeRoutes {
    /// An exchange without bindings. [`ExchangeKind::check`] has let `arguments` in.
    #[must_use]
    pub fn new(kind: ExchangeKind, arguments: &FieldTable) -> ExchangeRoutes {
        ExchangeRoutes {
            kind,
            table: BindingTable::default(),
            matcher: kind.matcher(arguments),
            internal_queue: None,
        }
    }

    /// Where the messages are that the exchange keeps.
    #[must_use]
    pub fn internal_queue(&self) -> Option<QueueRef> {
        self.internal_queue
    }

    /// Gives the exchange the queue for the messages it keeps.
    pub fn set_internal_queue(&mut self, internal_queue: QueueRef) {
        self.internal_queue = Some(internal_queue);
    }

    #[must_use]
    pub fn kind(&self) -> ExchangeKind {
        self.kind
    }

    /// Adds a binding; false where it was there already: destination, routing key and arguments together are what a
    /// binding is known by (semantics 6.1). 406 where the exchange type does not take such a binding (semantics 5.21,
    /// 5.22).
    pub fn bind<'a>(
        &mut self,
        end: impl Into<End<'a>>,
        routing_key: impl Into<Name>,
        arguments: &FieldTable,
    ) -> Result<bool, Fault> {
        let (end, routing_key) = (end.into(), routing_key.into());
        self.matcher.check(&end, &routing_key, arguments)?;
        let identity = Identity::new(routing_key, arguments);
        let new = self.table.insert(end.destination, &identity, arguments);
        if new {
            self.matcher.insert(&identity.binding(end, arguments));
        }
        Ok(new)
    }

    /// Whether it would take a binding: an error as [`ExchangeRoutes::bind`] has it.
    pub fn check(&self, end: &End<'_>, routing_key: &Name, arguments: &FieldTable) -> Result<(), Fault> {
        self.matcher.check(end, routing_key, arguments)
    }

    /// Whether there is this binding.
    #[must_use]
    pub fn has(&self, destination: Destination, routing_key: &str, arguments: &FieldTable) -> bool {
        self.table.contains(destination, &Identity::new(routing_key.into(), arguments))
    }

    /// Removes a binding; false where there was none.
    pub fn unbind(&mut self, destination: Destination, routing_key: &str, arguments: &FieldTable) -> bool {
        let identity = Identity::new(routing_key.into(), arguments);
        let existed = self.table.remove(destination, &identity).is_some();
        if existed {
            self.matcher.remove(&identity.binding(destination.into(), arguments));
        }
        existed
    }

    /// Removes all bindings to a destination and returns how many. The cost is that of the bindings removed, however
    /// many others there are.
    pub fn remove_destination(&mut self, destination: Destination) -> usize {
        let removed = self.table.remove_destination(destination);
        for (identity, arguments) in &removed {
            self.matcher.remove(&identity.binding(destination.into(), arguments));
        }
        removed.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// How many bindings there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// All bindings, by destination, routing key and arguments.
    pub fn bindings(&self) -> impl Iterator<Item = (Destination, &str, &FieldTable)> {
        self.table.iter()
    }

    /// The bindings to one destination; costs no more than what it finds.
    pub fn bindings_to(&self, destination: Destination) -> impl Iterator<Item = (&str, &FieldTable)> {
        self.table.of_destination(destination)
    }

    /// The bindings behind a place, or all, in order; to one destination, or to all. Costs no more than what is taken of it.
    pub fn bindings_after(
        &self,
        last: Option<&BindingPlace>,
        only: Option<Destination>,
    ) -> impl Iterator<Item = (&BindingPlace, &FieldTable)> {
        self.table.after(last, only)
    }

    /// Reports the destinations of all bindings that match, some perhaps more than once.
    pub fn matches(
        &self,
        routing_key: &[u8],
        properties: Properties<'_>,
        draw: u64,
        effort: &mut Effort,
        found: &mut impl FnMut(Destination),
    ) {
        if effort.spend(1) {
            self.matcher.matches(routing_key, properties, draw, effort, found);
        }
    }

    /// Whether exchange and routing keys alone decide where a message goes: then a result may be remembered by them.
    #[must_use]
    pub fn decides_by_keys_alone(&self) -> bool {
        self.matcher.reads().nothing_else
    }

    /// Which routing keys of a message are to be tried.
    #[must_use]
    pub fn keys(&self) -> Keys {
        self.matcher.reads().keys
    }
}

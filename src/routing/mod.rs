//! L2, routing: which destinations a message reaches. One small file per exchange type, the table of bindings,
//! and the walk from exchange to exchange (semantics.md sections 5 and 6). Pure: names, permissions, durability
//! and the default exchange's implicit bindings are the catalog's; nothing here knows a queue beyond its address.
//!
//! A new exchange type is one file that implements [`Matcher`], a variant of [`ExchangeKind`] and its arm in
//! [`ExchangeKind::matcher`].

mod destinations;
mod direct;
mod fanout;
mod headers;
mod print;
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
use crate::model::ids::{ExchangeId, Name, QueueRef};

use table::{BindingTable, Identity};
pub use walk::{Exchanges, route};

/// Where a binding leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Destination {
    Queue(QueueRef),
    Exchange(ExchangeId),
}

/// The type of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExchangeKind {
    Direct,
    Fanout,
    Topic,
    Headers,
}

const KINDS: [ExchangeKind; 4] =
    [ExchangeKind::Direct, ExchangeKind::Fanout, ExchangeKind::Topic, ExchangeKind::Headers];

impl ExchangeKind {
    /// The type of this name, as `exchange.declare` gives it; None for a type that does not exist (5.4).
    #[must_use]
    pub fn parse(name: &str) -> Option<ExchangeKind> {
        KINDS.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The name clients know the type by.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ExchangeKind::Direct => "direct",
            ExchangeKind::Fanout => "fanout",
            ExchangeKind::Topic => "topic",
            ExchangeKind::Headers => "headers",
        }
    }

    fn matcher(self) -> Box<dyn Matcher> {
        match self {
            ExchangeKind::Direct => Box::new(direct::Direct::default()),
            ExchangeKind::Fanout => Box::new(fanout::Fanout::default()),
            ExchangeKind::Topic => Box::new(topic::Topic::default()),
            ExchangeKind::Headers => Box::new(headers::Headers::default()),
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
    routing_key: &'a Name,
    arguments: &'a FieldTable,
    /// The arguments as bytes: equal where the arguments are.
    encoded_arguments: &'a [u8],
}

/// What a matcher decides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reads {
    routing_key: bool,
    headers: bool,
}

/// What makes an exchange type: an index of bindings that finds the matching ones. The table of bindings sees to it
/// that a binding is inserted once, and that only what was inserted is removed.
trait Matcher: fmt::Debug + Send + Sync {
    /// Whether a binding may be made (406 where not).
    fn check(&self, _routing_key: &str, _arguments: &FieldTable) -> Result<(), Fault> {
        Ok(())
    }

    fn insert(&mut self, binding: &Binding<'_>);

    fn remove(&mut self, binding: &Binding<'_>);

    /// Reports every destination that matches, some perhaps more than once.
    fn matches(&self, routing_key: &[u8], properties: Properties<'_>, found: &mut dyn FnMut(Destination));

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
}

impl ExchangeRoutes {
    /// An exchange without bindings.
    #[must_use]
    pub fn new(kind: ExchangeKind) -> ExchangeRoutes {
        ExchangeRoutes { kind, table: BindingTable::default(), matcher: kind.matcher() }
    }

    #[must_use]
    pub fn kind(&self) -> ExchangeKind {
        self.kind
    }

    /// Adds a binding; false where it was there already: destination, routing key and arguments together are what
    /// a binding is known by (6.1). 406 where the exchange type does not take such a binding (5.21, 5.22).
    pub fn bind(
        &mut self,
        destination: Destination,
        routing_key: &str,
        arguments: &FieldTable,
    ) -> Result<bool, Fault> {
        self.matcher.check(routing_key, arguments)?;
        let identity = Identity::new(routing_key, arguments);
        let new = self.table.insert(destination, &identity, arguments);
        if new {
            self.matcher.insert(&identity.binding(destination, arguments));
        }
        Ok(new)
    }

    /// Whether there is this binding.
    #[must_use]
    pub fn has(&self, destination: Destination, routing_key: &str, arguments: &FieldTable) -> bool {
        self.table.contains(destination, &Identity::new(routing_key, arguments))
    }

    /// Removes a binding; false where there was none.
    pub fn unbind(&mut self, destination: Destination, routing_key: &str, arguments: &FieldTable) -> bool {
        let identity = Identity::new(routing_key, arguments);
        let existed = self.table.remove(destination, &identity).is_some();
        if existed {
            self.matcher.remove(&identity.binding(destination, arguments));
        }
        existed
    }

    /// Removes all bindings to a destination and returns how many. The cost is that of the bindings removed, however
    /// many others there are.
    pub fn remove_destination(&mut self, destination: Destination) -> usize {
        let removed = self.table.remove_destination(destination);
        for (identity, arguments) in &removed {
            self.matcher.remove(&identity.binding(destination, arguments));
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

    /// Reports the destinations of all bindings that match, some perhaps more than once.
    pub fn matches(
        &self,
        routing_key: &[u8],
        properties: Properties<'_>,
        found: &mut impl FnMut(Destination),
    ) {
        self.matcher.matches(routing_key, properties, found);
    }

    /// Whether the headers of a message decide where it goes. Where not, exchange and routing key alone do, and a
    /// result may be remembered by them.
    #[must_use]
    pub fn depends_on_headers(&self) -> bool {
        self.matcher.reads().headers
    }

    /// Whether the routing key decides where a message goes.
    #[must_use]
    pub fn depends_on_routing_key(&self) -> bool {
        self.matcher.reads().routing_key
    }
}

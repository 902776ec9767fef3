//! The table of bindings of one exchange: what a binding is known by, and all of them in order. What they match is
//! the exchange type's.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use leveret_codec::table::{FieldTable, encode};

use crate::model::ids::{Destination, Name};

use super::{Binding, End};

/// What a binding of an exchange is known by, besides its destination (semantics 6.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    routing_key: Name,
    /// Encoded, since values have no total order of their own (and NaN does not equal itself). Empty for none.
    arguments: Box<[u8]>,
}

impl Identity {
    pub(super) fn new(routing_key: Name, arguments: &FieldTable) -> Identity {
        let arguments =
            if arguments.inner().is_empty() { Box::default() } else { encode(arguments).into_boxed_slice() };
        Identity { routing_key, arguments }
    }

    #[must_use]
    pub fn routing_key(&self) -> &Name {
        &self.routing_key
    }

    /// The arguments as an AMQP table; empty for none.
    #[must_use]
    pub fn encoded_arguments(&self) -> &[u8] {
        &self.arguments
    }

    pub(super) fn binding<'a>(&'a self, end: End<'a>, arguments: &'a FieldTable) -> Binding<'a> {
        Binding {
            destination: end.destination,
            name: end.name,
            routing_key: &self.routing_key,
            arguments,
            encoded_arguments: &self.arguments,
        }
    }

    /// Comes before all others.
    fn least() -> Identity {
        Identity { routing_key: Arc::from(""), arguments: Box::default() }
    }
}

/// Where a binding stands among those of its exchange.
pub type BindingPlace = (Destination, Identity);

/// One flat map, so that a queue with one binding costs one entry and the bindings of a destination lie together.
#[derive(Clone, Debug, Default)]
pub(super) struct BindingTable(BTreeMap<(Destination, Identity), FieldTable>);

impl BindingTable {
    /// False where the binding was there.
    pub(super) fn insert(
        &mut self,
        destination: Destination,
        identity: &Identity,
        arguments: &FieldTable,
    ) -> bool {
        let new = !self.contains(destination, identity);
        if new {
            self.0.insert((destination, identity.clone()), arguments.clone());
        }
        new
    }

    pub(super) fn contains(&self, destination: Destination, identity: &Identity) -> bool {
        self.0.contains_key(&(destination, identity.clone()))
    }

    pub(super) fn remove(&mut self, destination: Destination, identity: &Identity) -> Option<FieldTable> {
        self.0.remove(&(destination, identity.clone()))
    }

    /// Removes and returns all bindings to a destination.
    pub(super) fn remove_destination(&mut self, destination: Destination) -> Vec<(Identity, FieldTable)> {
        let identities: Vec<Identity> =
            self.range(destination).map(|((_, identity), _)| identity.clone()).collect();
        identities
            .into_iter()
            .filter_map(|identity| self.remove(destination, &identity).map(|arguments| (identity, arguments)))
            .collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Destination, &str, &FieldTable)> {
        self.0
            .iter()
            .map(|((destination, identity), arguments)| (*destination, &*identity.routing_key, arguments))
    }

    pub(super) fn of_destination(
        &self,
        destination: Destination,
    ) -> impl Iterator<Item = (&str, &FieldTable)> {
        self.range(destination).map(|((_, identity), arguments)| (&*identity.routing_key, arguments))
    }

    /// Those behind a place, or all; to one destination, or to all.
    pub(super) fn after(
        &self,
        last: Option<&BindingPlace>,
        only: Option<Destination>,
    ) -> impl Iterator<Item = (&BindingPlace, &FieldTable)> {
        let first = match (last, only) {
            (Some(last), _) => Bound::Excluded(last.clone()),
            (None, Some(only)) => Bound::Included((only, Identity::least())),
            (None, None) => Bound::Unbounded,
        };
        let is_wanted = move |place: &BindingPlace| only.is_none_or(|only| place.0 == only);
        self.0.range((first, Bound::Unbounded)).take_while(move |(place, _)| is_wanted(place))
    }

    fn range(
        &self,
        destination: Destination,
    ) -> impl Iterator<Item = (&(Destination, Identity), &FieldTable)> {
        self.0
            .range((destination, Identity::least())..)
            .take_while(move |((other, _), _)| *other == destination)
    }
}

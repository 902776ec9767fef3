//! The modulus hash exchange: the hash of the routing key decides between all bindings, whose keys say nothing
//! (semantics 5.26).

use leveret_codec::properties::Properties;

use super::hash::hash;
use super::places::Places;
use super::{Binding, Effort, Keys, Matcher, Reads};
use crate::model::ids::Destination;

#[derive(Clone, Debug, Default)]
pub(super) struct ModulusHash(Places);

impl Matcher for ModulusHash {
    fn insert(&mut self, binding: &Binding<'_>) {
        self.0.add(binding.name, binding.destination);
    }

    fn remove(&mut self, binding: &Binding<'_>) {
        self.0.remove(binding.destination);
    }

    fn matches(
        &self,
        routing_key: &[u8],
        _: Properties<'_>,
        _: u64,
        _: &mut Effort,
        found: &mut dyn FnMut(Destination),
    ) {
        self.0.of(hash(routing_key)).into_iter().for_each(found);
    }

    fn reads(&self) -> Reads {
        Reads { keys: Keys::First, nothing_else: true }
    }

    fn boxed_clone(&self) -> Box<dyn Matcher> {
        Box::new(self.clone())
    }
}

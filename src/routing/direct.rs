//! The direct exchange: a binding matches where its key equals the routing key (semantics 5.20).

use std::sync::Arc;

use foldhash::fast::RandomState;
use leveret_codec::properties::Properties;

use super::destinations::Destinations;
use super::{Binding, Effort, Keys, Matcher, Reads};
use crate::model::growing::Growing;
use crate::model::ids::Destination;
use crate::model::sparse::ShrinkIfSparse;

/// Looked up, never walked: the hash decides no order. Its seed is random against keys chosen to collide. A key is shared
/// with the table of bindings, and often with the queue's name.
#[derive(Clone, Debug, Default)]
pub(super) struct Direct(Growing<Arc<[u8]>, Destinations, RandomState>);

impl Matcher for Direct {
    fn insert(&mut self, binding: &Binding<'_>) {
        let key = binding.routing_key.as_bytes();
        match self.0.get_mut(key) {
            Some(destinations) => destinations.add(binding.destination),
            None => {
                let destinations = Destinations::One(binding.destination, 1);
                self.0.insert(binding.routing_key.clone().into(), destinations);
            }
        }
    }

    fn remove(&mut self, binding: &Binding<'_>) {
        let key = binding.routing_key.as_bytes();
        if let Some(destinations) = self.0.get_mut(key) {
            destinations.remove(binding.destination);
            if destinations.is_empty() {
                self.0.remove(key);
                self.0.shrink_if_sparse();
            }
        }
    }

    fn matches(
        &self,
        routing_key: &[u8],
        _: Properties<'_>,
        _: u64,
        _: &mut Effort,
        found: &mut dyn FnMut(Destination),
    ) {
        if let Some(destinations) = self.0.get(routing_key) {
            destinations.report(found);
        }
    }

    fn reads(&self) -> Reads {
        Reads { keys: Keys::All, nothing_else: true }
    }

    fn boxed_clone(&self) -> Box<dyn Matcher> {
        Box::new(self.clone())
    }
}

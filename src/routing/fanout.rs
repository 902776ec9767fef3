//! The fanout exchange: every binding matches (AMQP 0-9-1 section 3.1.3.2).

use leveret_codec::properties::Properties;

use super::destinations::Destinations;
use super::{Binding, Destination, Matcher, Reads};

#[derive(Clone, Debug, Default)]
pub(super) struct Fanout(Destinations);

impl Matcher for Fanout {
    fn insert(&mut self, binding: &Binding<'_>) {
        self.0.add(binding.destination);
    }

    fn remove(&mut self, binding: &Binding<'_>) {
        self.0.remove(binding.destination);
    }

    fn matches(&self, _routing_key: &[u8], _properties: Properties<'_>, found: &mut dyn FnMut(Destination)) {
        self.0.report(found);
    }

    fn reads(&self) -> Reads {
        Reads { routing_key: false, headers: false }
    }

    fn boxed_clone(&self) -> Box<dyn Matcher> {
        Box::new(self.clone())
    }
}

//! The random exchanges: chance decides between all bindings (semantics 5.27). The local one takes classic queues
//! alone; on one node all of them are local.

use leveret_codec::properties::Properties;
use leveret_codec::table::FieldTable;

use super::places::Places;
use super::{Binding, Effort, End, Keys, Matcher, Reads};
use crate::model::fault::Fault;
use crate::model::ids::Destination;
use crate::model::settings::QueueType;

#[derive(Clone, Debug)]
pub(super) struct Random {
    places: Places,
    local: bool,
}

impl Random {
    pub(super) fn new(local: bool) -> Random {
        Random { places: Places::default(), local }
    }
}

impl Matcher for Random {
    fn check(&self, end: &End<'_>, routing_key: &str, _: &FieldTable) -> Result<(), Fault> {
        if !self.local {
            return Ok(());
        }
        if !routing_key.is_empty() {
            return Err(Fault::precondition(format!("Non empty binding '{routing_key}' key not permitted")));
        }
        match (end.destination, end.queue_type) {
            (Destination::Queue(_), QueueType::Classic) => Ok(()),
            (Destination::Queue(_), QueueType::Quorum) => {
                Err(Fault::precondition("Queue type rabbit_quorum_queue not valid for this exchange type"))
            }
            (Destination::Exchange(_), _) => Err(Fault::precondition("Destination not found")),
        }
    }

    fn insert(&mut self, binding: &Binding<'_>) {
        self.places.add(binding.name, binding.destination);
    }

    fn remove(&mut self, binding: &Binding<'_>) {
        self.places.remove(binding.destination);
    }

    fn matches(
        &self,
        _: &[u8],
        _: Properties<'_>,
        draw: u64,
        _: &mut Effort,
        found: &mut dyn FnMut(Destination),
    ) {
        self.places.of(draw).into_iter().for_each(found);
    }

    fn reads(&self) -> Reads {
        Reads { keys: Keys::None, nothing_else: false }
    }

    fn boxed_clone(&self) -> Box<dyn Matcher> {
        Box::new(self.clone())
    }
}

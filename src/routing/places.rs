//! One place for every binding of an exchange, in an order that a restart does not change: what the types that choose
//! one of them choose from. How they choose is theirs.

use crate::model::ids::Destination;

/// A destination has as many places as bindings. Sorted by name: ids of exchanges are given anew at every start.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(Vec<(Box<str>, Destination)>);

impl Places {
    pub(super) fn add(&mut self, name: &str, destination: Destination) {
        let at = self.0.partition_point(|(other, to)| (&**other, *to) < (name, destination));
        self.0.insert(at, (name.into(), destination));
    }

    pub(super) fn remove(&mut self, destination: Destination) {
        if let Some(at) = self.0.iter().position(|(_, to)| *to == destination) {
            self.0.remove(at);
        }
    }

    /// The place that a number falls to; None where there is none.
    pub(super) fn of(&self, number: u64) -> Option<Destination> {
        let places = u64::try_from(self.0.len()).ok().filter(|&places| places > 0)?;
        let at = usize::try_from(number % places).ok()?;
        self.0.get(at).map(|(_, destination)| *destination)
    }
}

//! What a channel in tx mode keeps until commit: publishes that were routed, and settlements (semantics section
//! 14). Its memory is bounded: publishes by what a connection may hold, settlements by what was unacked. Carrying it out is in
//! `methods/tx.rs`.

use crate::model::consuming::Settlement;
use crate::model::fault::Fault;
use crate::model::holdings::Holdings;
use crate::model::port::RoutedPublish;

use super::held::Held;
use super::unacked::Unacked;

/// A publish that waits for its commit.
#[derive(Debug)]
pub(super) struct KeptPublish {
    pub routed: RoutedPublish,
    pub mandatory: bool,
}

#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub publishes: Vec<KeptPublish>,
    pub settlements: Vec<(Vec<Unacked>, Settlement)>,
    /// Bytes of the publishes, which the connection has counted as held.
    pub bytes: usize,
    /// How many deliveries would be settled.
    pub settled: usize,
}

impl Transaction {
    pub(super) fn holdings(&self, into: &mut Holdings) {
        let Transaction { publishes, settlements, bytes, settled: _ } = self;
        into.in_use("transaction: publishes", publishes);
        into.in_use("transaction: settlements", settlements);
        into.in_use("transaction: bytes", bytes);
    }

    /// Keeps a publish. 311 where the connection holds too much.
    pub(super) fn keep(
        &mut self,
        routed: RoutedPublish,
        mandatory: bool,
        held: &mut Held,
    ) -> Result<(), Fault> {
        let bytes = routed.footprint() + size_of::<KeptPublish>();
        held.add(bytes)?;
        self.bytes += bytes;
        self.publishes.push(KeptPublish { routed, mandatory });
        Ok(())
    }

    pub(super) fn keep_settlement(&mut self, entries: Vec<Unacked>, settlement: Settlement) {
        self.settled += entries.len();
        self.settlements.push((entries, settlement));
    }

    /// Every unacked delivery it would settle.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Unacked> {
        self.settlements.iter().flat_map(|(entries, _)| entries)
    }
}

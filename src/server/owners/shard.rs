//! The turn of a shard: works off what it was told, and sends the effects on their way.

use std::collections::VecDeque;

use tracing::warn;

use super::inputs::{Asker, CatalogInput, ShardInput, StoreRequest};
use super::{Carrier, Permit};
use crate::model::command::Origin;
use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, ShardIndex, Timestamp};
use crate::server::LogLimit;
use crate::shard::{Shard, ShardEffects};

static DROPPED: LogLimit = LogLimit::new(1);

pub struct ShardOwner {
    shard: Shard,
    effects: ShardEffects,
    /// Of connections whose commands wait for longer ones.
    behind: Vec<(ConnectionId, Permit)>,
    /// Who waits for answers, in the order in which they were asked.
    askers: VecDeque<Asker>,
    /// What recovery had to undo is said in the first turn.
    first_turn: bool,
    stopped: bool,
}

impl ShardOwner {
    #[must_use]
    pub fn new(shard: Shard) -> ShardOwner {
        let (effects, behind, askers) = (ShardEffects::default(), Vec::new(), VecDeque::new());
        ShardOwner { shard, effects, behind, askers, first_turn: true, stopped: false }
    }

    #[must_use]
    pub fn index(&self) -> ShardIndex {
        self.shard.index()
    }

    /// What it holds.
    pub fn holdings(&self, into: &mut Holdings) {
        let ShardOwner { shard, effects, behind, askers, first_turn: _, stopped: _ } = self;
        shard.holdings(into);
        effects.holdings(into);
        into.in_transit("shard: permits of what waits", behind);
        into.in_transit("shard: askers", askers);
    }

    /// Takes in all of `inputs` and does what is due, or a part of it where that is much. False where there was nothing to
    /// do.
    pub fn turn(&mut self, now: Timestamp, inputs: &mut Vec<ShardInput>, carrier: &mut impl Carrier) -> bool {
        let worked = std::mem::take(&mut self.first_turn) || !inputs.is_empty();
        let (mut permits, mut barriers) = (Vec::new(), Vec::new());
        let shard = &mut self.shard;
        for input in inputs.drain(..) {
            match input {
                ShardInput::Commands { origin, commands, permit } => {
                    shard.handle_all(now, origin, commands);
                    match (origin, permit) {
                        (Origin::Connection(connection), Some(permit)) if shard.is_behind(connection) => {
                            self.behind.push((connection, permit));
                        }
                        // What the catalog sends is where it belongs, and waits for nothing.
                        (Origin::Catalog, permit) => drop(permit),
                        (_, permit) => permits.extend(permit),
                    }
                }
                ShardInput::Durable { sequence } => shard.durable(now, sequence),
                ShardInput::Loaded(fetched) => shard.loaded(now, fetched),
                ShardInput::Drained { connection, bytes } => shard.drained(connection, bytes),
                ShardInput::ConnectionGone(connection) => shard.connection_gone(now, connection),
                ShardInput::MemoryBudget(bytes) => shard.set_memory_budget(bytes),
                ShardInput::Ask { question, asker } => {
                    shard.ask(question);
                    self.askers.push_back(asker);
                }
                ShardInput::Barrier(done) => barriers.push(done),
                ShardInput::Stop => {
                    self.stopped = true;
                    shard.stop();
                }
            }
        }
        let due = shard.next_deadline().is_some_and(|deadline| deadline <= now);
        if due {
            shard.tick(now);
        }
        if worked || due {
            shard.finish_turn(now, &mut self.effects);
            let done = self.behind.extract_if(.., |(connection, _)| !shard.is_behind(*connection));
            permits.extend(done.map(|(_, permit)| permit));
            self.dispatch(permits, carrier);
        }
        // A part of a transaction is not to be the last that the store hears.
        while self.stopped && self.shard.has_begun() {
            self.shard.finish_turn(now, &mut self.effects);
            self.dispatch(Vec::new(), carrier);
        }
        for done in barriers {
            // Whoever asked may have given up waiting.
            let _ = done.send(());
        }
        worked || due
    }

    /// When there is something to do, even where nothing comes.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.first_turn { Some(Timestamp(0)) } else { self.shard.next_deadline() }
    }

    /// It was told to stop.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Sends the effects of a turn to whom they concern. The store comes first, so that what is durable is on its way
    /// while the rest is handed out.
    fn dispatch(&mut self, permits: Vec<Permit>, carrier: &mut impl Carrier) {
        let (shard, effects) = (self.shard.index(), &mut self.effects);
        if !effects.ops.is_empty() || effects.must_sync {
            carrier.ask_store(StoreRequest::Ops {
                shard,
                sequence: effects.sequence,
                ops: std::mem::take(&mut effects.ops),
                must_sync: std::mem::take(&mut effects.must_sync),
                groups: std::mem::take(&mut effects.groups),
                permits,
            });
        }
        for fetch in effects.fetches.drain(..) {
            carrier.ask_store(StoreRequest::Fetch { shard, fetch });
        }
        for (Asker { answer, place }, said) in
            self.askers.drain(..effects.answers.len()).zip(effects.answers.drain(..))
        {
            // Whoever asked may have given up waiting.
            let _ = answer.send(said);
            drop(place);
        }
        carrier.tell_connections(&mut effects.to_connections);
        for (to, command) in effects.to_shards.drain(..) {
            let origin = Origin::Shard(shard);
            carrier.tell_shard(to, ShardInput::Commands { origin, commands: vec![command], permit: None });
        }
        carrier.tell_catalog(effects.to_catalog.drain(..).map(CatalogInput::Command));
        let dropped = std::mem::take(&mut effects.dropped);
        if dropped > 0
            && let Some(kept_back) = DROPPED.permit()
        {
            warn!(
                %shard,
                dropped, kept_back, "messages that the broker sends were dropped, for too many of them wait"
            );
        }
        effects.give_room_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::view::View;
    use crate::model::command::ShardCommand;
    use crate::model::consuming::Delivery;
    use crate::model::event::SessionEvent;
    use crate::model::ids::{ConsumerNumber, QueueId};

    /// Counts what it is given and drops it.
    #[derive(Default)]
    struct Sink {
        events: usize,
    }

    impl Carrier for Sink {
        fn tell_shard(&mut self, _: ShardIndex, _: ShardInput) {}

        fn tell_catalog(&mut self, inputs: impl Iterator<Item = CatalogInput>) {
            inputs.for_each(drop);
        }

        fn ask_store(&mut self, _: StoreRequest) {}

        fn tell_connections(&mut self, events: &mut Vec<(ConnectionId, SessionEvent)>) {
            self.events += events.drain(..).count();
        }

        fn reply_directly(&mut self, replies: &mut Vec<(ConnectionId, Delivery)>) {
            self.events += replies.drain(..).count();
        }
    }

    #[test]
    fn a_large_turn_leaves_no_room_behind() {
        let (index, connection) = (ShardIndex::alone(0), ConnectionId(1));
        let mut owner = ShardOwner::new(Shard::new(index, 1, View::new(), 1 << 20));
        let cancel = ShardCommand::Cancel { queue: QueueId(1), consumer: ConsumerNumber(1) };
        let commands = vec![cancel; 100_000];
        let origin = Origin::Connection(connection);
        let mut sink = Sink::default();
        owner.turn(
            Timestamp(1),
            &mut vec![ShardInput::Commands { origin, commands, permit: None }],
            &mut sink,
        );
        assert_eq!(sink.events, 100_000);
        let mut holdings = Holdings::default();
        owner.holdings(&mut holdings);
        let largest = holdings.iter().max_by_key(|holding| holding.capacity);
        assert!(largest.is_none_or(|holding| holding.capacity < 20_000), "{largest:?}");
    }
}

//! The thread that drives the store: lets it work off what was asked meanwhile, and looks after disk and memory.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::{error, info};

use super::clock::Clock;
use super::guard::Guard;
use super::hub::Hub;
use super::mailbox::ThreadMailbox;
use super::owners::{StoreOwner, StoreRequest};
use crate::store::{Store, StoreError};

/// Starts the thread. It ends after [`StoreRequest::Close`], or with the error after which nothing more may be
/// confirmed; `failed` is called then.
pub(crate) fn spawn(
    store: Box<dyn Store>,
    requests: Arc<ThreadMailbox<StoreRequest>>,
    hub: Arc<Hub>,
    guard: Guard,
    clock: Clock,
    failed: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<Result<(), StoreError>>> {
    thread::Builder::new().name("store".into()).spawn(move || {
        let outcome = run(StoreOwner::new(store), &requests, &hub, guard, clock);
        if let Err(error) = &outcome {
            error!(%error, "the store failed: what was not confirmed yet is unknown, nothing more is confirmed");
            failed();
        }
        outcome
    })
}

fn run(
    mut owner: StoreOwner,
    requests: &ThreadMailbox<StoreRequest>,
    hub: &Hub,
    mut guard: Guard,
    clock: Clock,
) -> Result<(), StoreError> {
    let mut batch = Vec::new();
    while !owner.is_closing() {
        if let Some(alarms) = guard.look() {
            hub.set_alarms(alarms);
        }
        let due = owner.next_deadline().map(|due| Duration::from_millis(due.0.saturating_sub(clock.now().0)));
        requests.wait(&mut batch, due.into_iter().chain([guard.patience()]).min());
        owner.turn(clock.now(), &mut batch, &mut &*hub)?;
    }
    owner.close()?;
    info!("everything is committed, the store is closed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::guard::{Thresholds, UNLIMITED};
    use super::*;
    use crate::model::ids::{ConnectionId, Position, PositionRange, QueueId, ShardIndex};
    use crate::model::op::{Fetch, Group};
    use crate::server::owners::ShardInput;
    use crate::store::MemoryStore;

    fn part(shard: u16, groups: Vec<Group>) -> StoreRequest {
        let (shard, tickets, ops) = (ShardIndex(shard), Vec::new(), Vec::new());
        StoreRequest::Ops { shard, sequence: 1, ops, must_sync: true, groups, tickets }
    }

    /// What a shard is told within this time.
    fn told(hub: &Hub, shard: u16, patience: Duration) -> Vec<ShardInput> {
        let (since, mut inputs) = (Instant::now(), Vec::new());
        while inputs.is_empty() && since.elapsed() < patience {
            thread::sleep(Duration::from_millis(5));
            hub.shard(ShardIndex(shard)).take(&mut inputs);
        }
        inputs
    }

    #[test]
    fn nothing_is_committed_or_read_while_a_transaction_is_here_in_part() {
        let requests = Arc::new(ThreadMailbox::new());
        let hub = Arc::new(Hub::new(2, Arc::clone(&requests)));
        let guard = Guard::new(std::env::temp_dir(), Thresholds::new(0, UNLIMITED));
        let store = Box::new(MemoryStore::new());
        let driver = spawn(store, requests, Arc::clone(&hub), guard, Clock::new(), || ()).expect("a thread");
        let (short, long) = (Duration::from_millis(200), Duration::from_secs(20));
        let group = Group { connection: ConnectionId(1), number: 1, parts: 2 };
        hub.store().post(part(0, vec![group]));
        let range = PositionRange::single(Position(1));
        let fetch = Fetch { queue: QueueId(1), lane: 0, range, max_bytes: 1 };
        hub.store().post(StoreRequest::Fetch { shard: ShardIndex(0), fetch });
        let early = told(&hub, 0, short);
        assert!(early.is_empty(), "{early:?}");
        hub.store().post(part(1, vec![group]));
        for shard in [1, 0] {
            let told = told(&hub, shard, long);
            assert!(matches!(told.first(), Some(ShardInput::Durable { sequence: 1 })), "{told:?}");
        }
        hub.store().post(StoreRequest::Close);
        assert!(driver.join().expect("no panic").is_ok());
    }
}

//! The task that owns one shard: lets it work off what has arrived, and waits for more or for the next deadline.

use std::sync::Arc;

use tokio::time::sleep_until;

use super::clock::Clock;
use super::hub::Hub;
use super::owners::ShardOwner;

pub(crate) async fn run(mut owner: ShardOwner, hub: Arc<Hub>, clock: Clock) {
    let mailbox = hub.shard(owner.index());
    let mut inputs = Vec::new();
    loop {
        mailbox.take(&mut inputs);
        let worked = owner.turn(clock.now(), &mut inputs, &mut &*hub);
        if owner.is_stopped() {
            return;
        }
        if worked {
            // Others get their turn before the next look.
            tokio::task::yield_now().await;
            continue;
        }
        match owner.next_deadline() {
            None => mailbox.arrival().await,
            Some(deadline) => tokio::select! {
                () = mailbox.arrival() => {}
                () = sleep_until(clock.instant(deadline)) => {}
            },
        }
    }
}

//! The task that owns some shards: lets each of them work off what has arrived, and waits for more or for the next deadline.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use super::clock::Clock;
use super::mailboxes::Mailboxes;
use super::owners::{ShardInput, ShardOwner};
use super::router::Router;
use super::timer::Timer;

/// A shard and what it has taken out of its mailbox.
struct Owned {
    shard: ShardOwner,
    inputs: Vec<ShardInput>,
}

/// Runs until all of `shards` were told to stop. None of them waits for another one but for its turn.
pub(crate) async fn run(shards: Vec<ShardOwner>, mailboxes: Arc<Mailboxes>, clock: Clock) {
    let (mut router, mut timer) = (Router::new(&mailboxes), Timer::new(clock));
    let mut owned: Vec<_> = shards.into_iter().map(|shard| Owned { shard, inputs: Vec::new() }).collect();
    loop {
        let mut worked = false;
        for Owned { shard, inputs } in &mut owned {
            mailboxes.shard(shard.index()).take(inputs);
            worked |= shard.turn(clock.now(), inputs, &mut router);
        }
        owned.retain(|owned| !owned.shard.is_stopped());
        if owned.is_empty() {
            return;
        }
        if worked {
            // Others get their turn before the next look.
            tokio::task::yield_now().await;
            continue;
        }
        let deadline = owned.iter().filter_map(|owned| owned.shard.next_deadline()).min();
        poll_fn(|context| {
            let mut arrived = Poll::Pending;
            // All of them are asked: each is to wake the task.
            for Owned { shard, inputs } in &mut owned {
                if mailboxes.shard(shard.index()).poll_arrival(inputs, context).is_ready() {
                    arrived = Poll::Ready(());
                }
            }
            if arrived.is_ready() { arrived } else { timer.poll(deadline, context) }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::super::mailbox::ThreadMailbox;
    use super::*;
    use crate::catalog::view::View;
    use crate::model::ids::{NodeNumber, ShardIndex};
    use crate::shard::Shard;

    const SHARDS: u16 = 3;

    /// A shard says that it has come to a barrier.
    async fn passes(mailboxes: &Mailboxes, shard: ShardIndex) -> bool {
        // The task has nothing to do and waits.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let (done, passed) = oneshot::channel();
        mailboxes.shard(shard).post(ShardInput::Barrier(done));
        matches!(tokio::time::timeout(Duration::from_secs(10), passed).await, Ok(Ok(())))
    }

    #[tokio::test]
    async fn each_shard_of_a_task_is_served_until_the_last_has_stopped() {
        let mailboxes = Arc::new(Mailboxes::new(SHARDS, Arc::new(ThreadMailbox::new())));
        let indices: Vec<_> = ShardIndex::of_node(NodeNumber::ALONE, SHARDS).collect();
        let shard = |&index| ShardOwner::new(Shard::new(index, SHARDS, View::new(), 1 << 20));
        let task =
            tokio::spawn(run(indices.iter().map(shard).collect(), Arc::clone(&mailboxes), Clock::new()));
        for stopped in 0..indices.len() {
            for &index in &indices[stopped..] {
                assert!(passes(&mailboxes, index).await, "{index} after {stopped} have stopped");
            }
            mailboxes.shard(indices[stopped]).post(ShardInput::Stop);
        }
        tokio::time::timeout(Duration::from_secs(20), task).await.expect("it ends").unwrap();
    }
}

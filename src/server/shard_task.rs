//! The task that owns one shard: lets it work off what has arrived, and waits for more or for the next deadline.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use super::clock::Clock;
use super::mailboxes::Mailboxes;
use super::owners::ShardOwner;
use super::router::Router;
use super::timer::Timer;

pub(crate) async fn run(mut owner: ShardOwner, mailboxes: Arc<Mailboxes>, clock: Clock) {
    let mailbox = mailboxes.shard(owner.index());
    let (mut router, mut timer) = (Router::new(&mailboxes), Timer::new(clock));
    let mut inputs = Vec::new();
    loop {
        mailbox.take(&mut inputs);
        let worked = owner.turn(clock.now(), &mut inputs, &mut router);
        if owner.is_stopped() {
            return;
        }
        if worked {
            // Others get their turn before the next look.
            tokio::task::yield_now().await;
            continue;
        }
        let deadline = owner.next_deadline();
        poll_fn(|context| match mailbox.poll_arrival(&mut inputs, context) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => timer.poll(deadline, context),
        })
        .await;
    }
}

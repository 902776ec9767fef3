//! The task that owns the catalog: lets it work off what has arrived, and waits for more.

use std::sync::Arc;

use super::clock::Clock;
use super::mailboxes::Mailboxes;
use super::owners::CatalogOwner;
use super::router::Router;

pub(crate) async fn run(mut owner: CatalogOwner, mailboxes: Arc<Mailboxes>, clock: Clock) {
    let mailbox = mailboxes.catalog();
    let mut router = Router::new(&mailboxes);
    let mut inputs = Vec::new();
    loop {
        mailbox.take(&mut inputs);
        owner.turn(clock.now(), &mut inputs, &mut router);
        if owner.is_stopped() {
            return;
        }
        if owner.has_work() {
            // Others get their turn between its steps.
            tokio::task::yield_now().await;
        } else {
            mailbox.arrival(&mut inputs).await;
        }
    }
}

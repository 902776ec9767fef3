//! The task that owns the catalog: lets it work off what has arrived, and waits for more.

use std::sync::Arc;

use super::clock::Clock;
use super::hub::Hub;
use super::owners::CatalogOwner;
use super::router::Router;

pub(crate) async fn run(mut owner: CatalogOwner, hub: Arc<Hub>, clock: Clock) {
    let mailbox = hub.catalog();
    let mut router = Router::new(&hub);
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

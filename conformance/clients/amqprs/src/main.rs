//! amqprs: the broker's promises through the other Rust client. Here is the list; the promises live in their module.

#[path = "../../shared/checks.rs"]
mod checks;
mod promises;
mod scope;

use anyhow::{Context, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let uri = std::env::args().nth(1).context("usage: leveret-client-amqprs amqp://...")?;
    macro_rules! checks {
        ($($check:ident)*) => {
            $(scope::run(&uri, stringify!($check), |scope| async move { promises::$check(&scope).await }).await;)*
        };
    }
    checks! {
        connect_properties wrong_password work_queue mandatory_return confirm_nack prefetch requeue_redelivers
        dead_letter_rejected channel_recovery connection_recovery direct_reply_to large_message transaction topics
        exchange_binding consumer_cancel_notify properties_round_trip
    }
    println!("end");
    Ok(())
}

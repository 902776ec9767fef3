//! lapin: the broker's promises through the Rust client. Here is the list; the flows and promises live in their modules.

#[path = "../../shared/checks.rs"]
mod checks;
mod promises;
mod scope;
mod tutorials;

use anyhow::{Context, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let uri = std::env::args().nth(1).context("usage: leveret-client-lapin amqp://...")?;
    macro_rules! checks {
        ($($module:ident: $($check:ident)*;)*) => {
            $($(scope::run(&uri, stringify!($check), |scope| async move { $module::$check(&scope).await }).await;)*)*
        };
    }
    checks! {
        tutorials: hello_world work_queues publish_subscribe routing topics rpc publisher_confirms;
        promises: connect_properties mandatory_return confirm_nack prefetch dead_letter_rejected channel_recovery
            connection_recovery direct_reply_to large_message transaction headers_exchange exchange_binding
            ttl_dead_letter priority_queue exclusive_queue inequivalent_declare consumer_cancel_notify
            properties_round_trip;
    }
    println!("end");
    Ok(())
}

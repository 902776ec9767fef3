//! A transaction over several queues, and kills while it is committed: after every one all of it is there or nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lapin::options::{BasicAckOptions, BasicGetOptions, ConfirmSelectOptions};
use support::Broker;
use support::lapin_client::{body, connect, declare, publish, take};

/// How often the broker is killed.
const KILLS: u64 = 6;
const QUEUES: [&str; 4] = ["a", "b", "c", "d"];

/// Commits one transaction after the other, each with a message of its number to every queue, until the broker goes.
async fn commit_on(broker_uri: String, client: u64, committed: Arc<AtomicUsize>) -> lapin::Result<()> {
    let connection = lapin::Connection::connect(&broker_uri, lapin::ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.tx_select().await?;
    for number in 0.. {
        for queue in QUEUES {
            publish(&channel, "", queue, &format!("{client}.{number}")).await?;
        }
        channel.tx_commit().await?;
        committed.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

#[test]
fn a_kill_leaves_transactions_whole() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut broker = Broker::start_with(&["--shards", "4"]);
    runtime.block_on(async {
        let channel = connect(&broker).await.unwrap().create_channel().await.unwrap();
        for queue in QUEUES {
            declare(&channel, queue, &[]).await.unwrap();
        }
    });
    let committed = Arc::new(AtomicUsize::new(0));
    for kill in 0..KILLS {
        let clients: Vec<_> = (0..4)
            .map(|client| runtime.spawn(commit_on(broker.uri(), kill * 4 + client, Arc::clone(&committed))))
            .collect();
        std::thread::sleep(Duration::from_millis(200 + 37 * kill));
        broker.kill_and_restart();
        for client in clients {
            // Some wait for ever for an answer of a broker that has gone.
            client.abort();
            let ended = runtime.block_on(client);
            assert!(!matches!(ended, Ok(Ok(_))), "it goes on until the broker ends");
        }
    }
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    runtime.block_on(async {
        let channel = connect(&broker).await.unwrap().create_channel().await.unwrap();
        for queue in QUEUES {
            while let Some(delivery) = take(&channel, queue).await.unwrap() {
                *found.entry(body(&delivery)).or_default() += 1;
            }
        }
    });
    let partial: Vec<_> = found.iter().filter(|(_, count)| **count != QUEUES.len()).collect();
    assert!(partial.is_empty(), "in part: {partial:?}");
    let committed = committed.load(Ordering::Relaxed);
    assert!(found.len() >= committed && committed > 20, "{} found, {committed} committed", found.len());
}

/// Moves messages from `from` to `to`, each in a transaction of its ack and its publish, until the broker goes.
async fn move_on(broker_uri: String) -> lapin::Result<()> {
    let connection = lapin::Connection::connect(&broker_uri, lapin::ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.tx_select().await?;
    loop {
        let got = channel.basic_get("from".into(), BasicGetOptions { no_ack: false }).await?;
        let Some(message) = got else { return Ok(()) };
        publish(&channel, "", "to", &body(&message.delivery)).await?;
        message.delivery.ack(BasicAckOptions::default()).await?;
        channel.tx_commit().await?;
    }
}

#[test]
fn a_message_that_is_moved_in_a_transaction_is_in_one_place_after_a_kill() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut broker = Broker::start_with(&["--shards", "2"]);
    let messages = 20_000;
    runtime.block_on(async {
        let channel = connect(&broker).await.unwrap().create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        for queue in ["from", "to"] {
            declare(&channel, queue, &[]).await.unwrap();
        }
        for number in 0..messages {
            publish(&channel, "", "from", &number.to_string()).await.unwrap();
        }
        channel.wait_for_confirms().await.unwrap();
    });
    for kill in 0..KILLS {
        let clients: Vec<_> = (0..4).map(|_| runtime.spawn(move_on(broker.uri()))).collect();
        std::thread::sleep(Duration::from_millis(150 + 31 * kill));
        broker.kill_and_restart();
        for client in clients {
            client.abort();
            let _ = runtime.block_on(client);
        }
    }
    let mut found = BTreeMap::new();
    let counts = runtime.block_on(async {
        let channel = connect(&broker).await.unwrap().create_channel().await.unwrap();
        let mut counts = [0; 2];
        for (count, queue) in counts.iter_mut().zip(["from", "to"]) {
            while let Some(delivery) = take(&channel, queue).await.unwrap() {
                *count += 1;
                found.entry(body(&delivery)).or_insert_with(Vec::new).push(queue);
            }
        }
        counts
    });
    let twice: Vec<_> = found.iter().filter(|(_, queues)| queues.len() != 1).collect();
    assert!(twice.is_empty(), "in two places: {twice:?}");
    assert_eq!(counts[0] + counts[1], messages);
    assert!(counts[1] > 20, "{counts:?} were left and moved");
}

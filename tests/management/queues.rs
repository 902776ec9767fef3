//! How much is in queues, as the management API says it: exact after everything that clients have heard of.

use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicNackOptions, BasicQosOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::api::Managed;
use crate::support::lapin_client::{self, consume, declare, next, publish, text};

/// More queues than a shard looks at in a turn, in each of two shards.
const MANY: usize = 2100;

/// A broker, and a channel to it on which publishes are confirmed.
fn connected() -> (Managed, Runtime, Connection, Channel) {
    let (managed, runtime) = (Managed::start(), Runtime::new().unwrap());
    let (connection, channel) = runtime.block_on(async {
        let connection = lapin_client::connect(&managed.broker).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        (connection, channel)
    });
    (managed, runtime, connection, channel)
}

/// Returns once the broker has confirmed it.
async fn published(channel: &Channel, queue: &str, body: &str) {
    publish(channel, "", queue, body).await.unwrap();
    channel.wait_for_confirms().await.unwrap();
}

/// What follows from acks shows once something is answered that came after them.
async fn settled(channel: &Channel, queue: &str) {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), passive, FieldTable::default()).await.unwrap();
}

/// All, ready, unacked, bytes of the ready, and consumers.
fn counts(queue: &Value) -> [u64; 5] {
    ["messages", "messages_ready", "messages_unacknowledged", "message_bytes_ready", "consumers"]
        .map(|field| queue[field].as_u64().unwrap_or_else(|| panic!("{field} of {queue}")))
}

#[test]
fn counts_are_exact_after_what_clients_have_heard_of() {
    for queue_type in ["classic", "quorum"] {
        let (managed, runtime, _connection, channel) = connected();
        let q = || counts(&managed.api.found("queues/%2F/q"));
        runtime.block_on(async {
            declare(&channel, "q", &[("x-queue-type", text(queue_type))]).await.unwrap();
            assert_eq!(q(), [0, 0, 0, 0, 0]);
            for body in ["a", "bcd", "ef"] {
                published(&channel, "q", body).await;
            }
            assert_eq!(q(), [3, 3, 0, 6, 0]);
            assert!(managed.api.found("queues/%2F/q")["memory"].as_u64().unwrap() >= 6);

            channel.basic_qos(2, BasicQosOptions::default()).await.unwrap();
            let mut consumer = consume(&channel, "q", false).await.unwrap();
            let (first, second): (Delivery, Delivery) =
                (next(&mut consumer).await, next(&mut consumer).await);
            assert_eq!(q(), [3, 1, 2, 2, 1]);
            first.acker.ack(BasicAckOptions::default()).await.unwrap();
            let third = next(&mut consumer).await;
            assert_eq!(q(), [2, 0, 2, 0, 1]);
            third.acker.ack(BasicAckOptions::default()).await.unwrap();
            channel
                .basic_cancel(consumer.tag(), lapin::options::BasicCancelOptions::default())
                .await
                .unwrap();
            let requeue = BasicNackOptions { requeue: true, multiple: false };
            second.acker.nack(requeue).await.unwrap();
            settled(&channel, "q").await;
            assert_eq!(q(), [1, 1, 0, 3, 0]);
        });
        let listed = managed.api.found("queues");
        assert_eq!(counts(&listed[0]), [1, 1, 0, 3, 0]);
        assert_eq!(managed.api.found("queues/%2F"), listed);
        assert_eq!(listed[0].get("messages_dlx"), (queue_type == "quorum").then_some(&json!(0)));
    }
}

#[test]
fn a_long_listing_says_of_each_queue_what_is_in_it() {
    let (managed, runtime, _connection, channel) = connected();
    let name = |number: usize| format!("q{number:04}");
    runtime.block_on(async {
        let own = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        for number in 0..MANY {
            channel.queue_declare(name(number).into(), own, FieldTable::default()).await.unwrap();
            for _ in 0..number % 3 {
                publish(&channel, "", &name(number), "x").await.unwrap();
            }
        }
        channel.wait_for_confirms().await.unwrap();
    });
    let listed = managed.api.found("queues");
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), MANY);
    for (number, queue) in listed.iter().enumerate() {
        assert_eq!((&queue["name"], &queue["messages"]), (&json!(name(number)), &json!(number % 3)));
    }
}

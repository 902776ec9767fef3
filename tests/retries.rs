//! Delayed retries and scheduled deliveries through a real client: what waits goes on waiting when the broker is killed or
//! stopped meanwhile (semantics 11.10).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{
    BasicGetOptions, BasicNackOptions, BasicRejectOptions, ConfirmSelectOptions, QueuePurgeOptions,
};
use lapin::types::AMQPValue;
use support::Broker;
use support::lapin_client::{
    arguments, body, connect, declare, persistent, publish, publish_with, take, take_soon, text, with_broker,
};

/// Longer than any test takes, in milliseconds.
const AN_HOUR: i32 = 3_600_000;

fn retrying(queue_type: &str, millis: i32) -> [(&'static str, AMQPValue); 3] {
    [
        ("x-queue-type", text(queue_type)),
        ("x-delayed-retry-type", text("all")),
        ("x-delayed-retry-min", AMQPValue::LongInt(millis)),
    ]
}

/// Publishes one, takes it and gives it back. The one that comes behind it is confirmed, and so what became of the first is on
/// disk as well.
async fn give_back(channel: &Channel, queue: &str) -> lapin::Result<()> {
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    confirmed(channel, queue, "first").await?;
    let first = hold_soon(channel, queue).await?;
    first.acker.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await?;
    confirmed(channel, queue, "second").await
}

async fn confirmed(channel: &Channel, queue: &str, body: &str) -> lapin::Result<()> {
    publish(channel, "", queue, body).await?;
    channel.wait_for_confirms().await.map(drop)
}

/// Gets one that has to be settled, as soon as there is one.
async fn hold_soon(channel: &Channel, queue: &str) -> lapin::Result<Delivery> {
    for _ in 0..1_000 {
        if let Some(got) = channel.basic_get(queue.into(), BasicGetOptions::default()).await? {
            return Ok(got.delivery);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nothing comes to {queue}")
}

fn on_a_runtime<T>(test: impl Future<Output = lapin::Result<T>>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(test).unwrap()
}

#[test]
fn what_waits_goes_on_waiting_after_a_kill_and_after_a_stop() {
    let mut broker = Broker::start();
    on_a_runtime(async {
        let channel = connect(&broker).await?.create_channel().await?;
        for (queue, queue_type) in [("quorum", "quorum"), ("classic", "classic")] {
            declare(&channel, queue, &retrying(queue_type, AN_HOUR)).await?;
            give_back(&channel, queue).await?;
        }
        Ok(())
    });
    broker.kill_and_restart();
    for _ in 0..2 {
        on_a_runtime(async {
            let channel = connect(&broker).await?.create_channel().await?;
            for queue in ["quorum", "classic"] {
                let second = take(&channel, queue).await?.expect("it does not wait");
                assert_eq!(body(&second), "second");
                assert!(take(&channel, queue).await?.is_none(), "the first one waits");
                channel.confirm_select(ConfirmSelectOptions::default()).await?;
                confirmed(&channel, queue, "second").await?;
            }
            Ok(())
        });
        assert!(broker.terminate());
        broker.restart();
    }
    let purged = on_a_runtime(async {
        let channel = connect(&broker).await?.create_channel().await?;
        Ok([
            channel.queue_purge("quorum".into(), QueuePurgeOptions::default()).await?,
            channel.queue_purge("classic".into(), QueuePurgeOptions::default()).await?,
        ])
    });
    assert_eq!(purged, [2, 2]);
}

#[test]
fn a_wait_that_ended_while_the_broker_was_down_is_over() {
    let mut broker = Broker::start();
    on_a_runtime(async {
        let channel = connect(&broker).await?.create_channel().await?;
        declare(&channel, "jobs", &retrying("quorum", 200)).await?;
        give_back(&channel, "jobs").await
    });
    broker.kill_and_restart();
    on_a_runtime(async {
        let channel = connect(&broker).await?.create_channel().await?;
        let mut bodies =
            vec![body(&take_soon(&channel, "jobs").await?), body(&take_soon(&channel, "jobs").await?)];
        bodies.sort_unstable();
        assert_eq!(bodies, ["first", "second"]);
        Ok(())
    });
}

#[test]
fn what_a_framework_rejects_is_retried_by_a_list_of_delays_and_dead_after_the_last() {
    with_broker(|connection| async move {
        let channel = connection.create_channel().await?;
        declare(&channel, "dead", &[]).await?;
        let arguments = [
            ("x-retry-delays", text("20ms,40ms")),
            ("x-retry-rejected", AMQPValue::Boolean(true)),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text("dead")),
        ];
        declare(&channel, "jobs", &arguments).await?;
        publish(&channel, "", "jobs", "poison").await?;
        for _ in 0..3 {
            assert!(take(&channel, "dead").await?.is_none());
            let job = hold_soon(&channel, "jobs").await?;
            job.acker.reject(BasicRejectOptions { requeue: false }).await?;
        }
        let dead = take_soon(&channel, "dead").await?;
        let headers = dead.properties.headers().clone().unwrap_or_default();
        assert_eq!(headers.inner().get("x-first-death-reason"), Some(&text("rejected")));
        assert!(take(&channel, "jobs").await?.is_none());
        Ok(())
    });
}

#[test]
fn a_schedule_outlives_a_kill_and_a_time_that_is_over_by_then_is_now() {
    let mut broker = Broker::start();
    let delayed = |millis: i32| {
        let headers = arguments(&[("x-delay", AMQPValue::LongInt(millis))]);
        persistent().with_headers(headers)
    };
    on_a_runtime(async {
        let channel = connect(&broker).await?.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        declare(&channel, "plans", &[("x-scheduled-delivery", AMQPValue::Boolean(true))]).await?;
        for (body, millis) in [("in an hour", AN_HOUR), ("soon", 200)] {
            publish_with(&channel, "", "plans", body, delayed(millis)).await?;
        }
        channel.wait_for_confirms().await?;
        Ok(())
    });
    broker.kill_and_restart();
    on_a_runtime(async {
        let channel = connect(&broker).await?.create_channel().await?;
        let soon = take_soon(&channel, "plans").await?;
        assert_eq!(body(&soon), "soon");
        let headers = soon.properties.headers().clone().unwrap_or_default();
        assert_eq!(headers.inner().get("x-delay"), Some(&AMQPValue::LongInt(-200)));
        assert!(take(&channel, "plans").await?.is_none());
        let purged = channel.queue_purge("plans".into(), QueuePurgeOptions::default()).await?;
        assert_eq!(purged, 1);
        Ok(())
    });
}

//! The exchange types beyond the four of the specification, through real sockets, and what a kill leaves of them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use lapin::options::{ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, ExchangeKind};
use support::Broker;
use support::lapin_client::{
    arguments, bind, body, connect, declare, persistent, publish, publish_with, take, take_soon, text,
};

/// What was acked, and what an exchange remembers, is on disk soon, and not at once.
const SETTLED: Duration = Duration::from_millis(500);

/// Declares a durable exchange.
async fn exchange(channel: &Channel, name: &str, kind: &str, fields: &[(&str, AMQPValue)]) {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let kind = ExchangeKind::Custom(kind.into());
    channel.exchange_declare(name.into(), kind, options, arguments(fields)).await.expect("declared");
}

fn delayed(millis: i32) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert("x-delay".into(), AMQPValue::LongInt(millis));
    BasicProperties::default().with_headers(headers)
}

#[test]
fn a_confirmed_delayed_message_survives_a_kill() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut broker = Broker::start();
    let published = Instant::now();
    runtime.block_on(async {
        let channel = connect(&broker).await.unwrap().create_channel().await.unwrap();
        exchange(&channel, "later", "x-delayed-message", &[("x-delayed-type", text("direct"))]).await;
        declare(&channel, "jobs", &[]).await.unwrap();
        bind(&channel, "jobs", "later", "job").await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        for (body, millis) in [("second", 3000), ("first", 2000)] {
            let confirm = channel
                .basic_publish(
                    "later".into(),
                    "job".into(),
                    lapin::options::BasicPublishOptions { mandatory: true, ..Default::default() },
                    body.as_bytes(),
                    delayed(millis),
                )
                .await
                .unwrap();
            assert_eq!(confirm.await.unwrap(), Confirmation::Ack(None), "it waits, and is not returned");
        }
    });
    broker.kill_and_restart();
    runtime.block_on(async {
        let channel = connect(&broker).await.unwrap().create_channel().await.unwrap();
        let first = take_soon(&channel, "jobs").await.unwrap();
        assert!(published.elapsed() >= Duration::from_millis(2000), "too early: {:?}", published.elapsed());
        let delay = first.properties.headers().as_ref().and_then(|headers| headers.inner().get("x-delay"));
        assert_eq!((body(&first).as_str(), delay), ("first", Some(&AMQPValue::LongInt(-2000))));
        assert_eq!(body(&take_soon(&channel, "jobs").await.unwrap()), "second");
    });
    // What has been delivered is not kept: the next start would bring it again.
    std::thread::sleep(SETTLED);
    broker.kill_and_restart();
    runtime.block_on(async {
        let channel = connect(&broker).await.unwrap().create_channel().await.unwrap();
        assert!(take(&channel, "jobs").await.unwrap().is_none());
    });
}

#[test]
fn a_history_survives_a_kill() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut broker = Broker::start();
    runtime.block_on(async {
        let channel = connect(&broker).await.unwrap().create_channel().await.unwrap();
        let two = ("x-recent-history-length", AMQPValue::LongInt(2));
        exchange(&channel, "news", "x-recent-history", &[two]).await;
        declare(&channel, "early", &[]).await.unwrap();
        bind(&channel, "early", "news", "").await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        for body in ["1", "2", "3"] {
            publish_with(&channel, "news", "", body, persistent()).await.unwrap();
        }
        channel.wait_for_confirms().await.unwrap();
    });
    std::thread::sleep(SETTLED);
    broker.kill_and_restart();
    runtime.block_on(async {
        let channel = connect(&broker).await.unwrap().create_channel().await.unwrap();
        declare(&channel, "late", &[]).await.unwrap();
        bind(&channel, "late", "news", "").await.unwrap();
        for expected in ["2", "3"] {
            assert_eq!(body(&take_soon(&channel, "late").await.unwrap()), expected);
        }
        publish(&channel, "news", "", "4").await.unwrap();
        assert_eq!(body(&take_soon(&channel, "late").await.unwrap()), "4");
    });
}

#[test]
fn a_key_is_hashed_to_the_same_queue_after_a_kill() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut broker = Broker::start();
    let spread = async |broker: &Broker, declares: bool| {
        let channel = connect(broker).await.unwrap().create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        if declares {
            exchange(&channel, "hashed", "x-consistent-hash", &[]).await;
            for (queue, weight) in [("a", "1"), ("b", "2"), ("c", "3")] {
                declare(&channel, queue, &[]).await.unwrap();
                bind(&channel, queue, "hashed", weight).await.unwrap();
            }
        }
        for number in 0..60 {
            publish(&channel, "hashed", &format!("key {number}"), &number.to_string()).await.unwrap();
        }
        channel.wait_for_confirms().await.unwrap();
        let mut found = Vec::new();
        for queue in ["a", "b", "c"] {
            while let Some(delivery) = take(&channel, queue).await.unwrap() {
                found.push((queue, body(&delivery)));
            }
        }
        found
    };
    let before = runtime.block_on(spread(&broker, true));
    assert_eq!(before.len(), 60);
    std::thread::sleep(SETTLED);
    broker.kill_and_restart();
    assert_eq!(runtime.block_on(spread(&broker, false)), before);
}

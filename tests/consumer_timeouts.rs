//! What a broker takes back, and what it does not let go of, through a real client: deliveries that are held for too
//! long, and dead letters that must arrive.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use futures_lite::StreamExt;
use lapin::types::AMQPValue;
use support::lapin_client::{
    PATIENCE, bind, body, consume, declare, declare_exchange, next, publish, take, take_soon, text,
    with_broker,
};

#[test]
fn a_delivery_held_for_too_long_goes_to_another_consumer() {
    with_broker(|connection| async move {
        let channel = connection.create_channel().await?;
        let arguments = [("x-queue-type", text("quorum")), ("x-consumer-timeout", AMQPValue::LongInt(500))];
        declare(&channel, "jobs", &arguments).await?;
        publish(&channel, "", "jobs", "job").await?;
        let stuck = connection.create_channel().await?;
        let mut first = consume(&stuck, "jobs", false).await?;
        assert!(!next(&mut first).await.redelivered);
        let mut second = consume(&channel, "jobs", false).await?;
        let again = next(&mut second).await;
        assert!(again.redelivered && body(&again) == "job");
        let end = tokio::time::timeout(PATIENCE, first.next()).await.expect("the first hears of it");
        assert!(end.is_none(), "its consumer is cancelled");
        Ok(())
    });
}

#[test]
fn a_dead_letter_that_must_arrive_waits_for_room() {
    with_broker(|connection| async move {
        let channel = connection.create_channel().await?;
        declare_exchange(&channel, "dx", lapin::ExchangeKind::Fanout).await?;
        let at_least_once = [
            ("x-queue-type", text("quorum")),
            ("x-dead-letter-exchange", text("dx")),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
            ("x-message-ttl", AMQPValue::LongInt(1)),
        ];
        declare(&channel, "source", &at_least_once).await?;
        let full = [("x-overflow", text("reject-publish")), ("x-max-length", AMQPValue::LongInt(1))];
        declare(&channel, "full", &full).await?;
        bind(&channel, "full", "dx", "").await?;
        publish(&channel, "", "full", "in the way").await?;
        publish(&channel, "", "source", "letter").await?;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        assert_eq!(body(&take(&channel, "full").await?.expect("it is full")), "in the way");
        assert!(take(&channel, "full").await?.is_none());
        assert_eq!(body(&take_soon(&channel, "full").await?), "letter");
        Ok(())
    });
}

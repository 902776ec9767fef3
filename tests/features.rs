//! What RabbitMQ's users rely on beyond the tutorials, through real sockets: limits, expiry, dead letters, priorities,
//! exclusive and single active consumers, alternate exchanges, transactions, and what a restart keeps.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use futures_lite::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicPublishOptions, BasicQosOptions,
    BasicRejectOptions, ConfirmSelectOptions, ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Confirmation, ExchangeKind};
use support::Broker;
use support::lapin_client::{
    arguments, assert_silent, bind, body, connect, consume, declare, declare_exchange, next, next_body,
    persistent, publish, publish_with, take, take_soon, text, with_broker,
};

/// The first entry of a delivery's x-death header.
fn first_death(delivery: &lapin::message::Delivery) -> FieldTable {
    let headers = delivery.properties.headers().clone().expect("headers");
    match headers.inner().get("x-death") {
        Some(AMQPValue::FieldArray(deaths)) => match deaths.as_slice().first() {
            Some(AMQPValue::FieldTable(death)) => death.clone(),
            other => panic!("x-death holds {other:?}"),
        },
        other => panic!("x-death is {other:?}"),
    }
}

fn reason(delivery: &lapin::message::Delivery) -> AMQPValue {
    first_death(delivery).inner().get("reason").cloned().expect("a reason")
}

/// A queue `name` whose dead letters go to the queue `name.dead`.
async fn declare_with_dead_letters(
    channel: &Channel,
    name: &str,
    fields: &[(&str, AMQPValue)],
) -> lapin::Result<String> {
    let dead = format!("{name}.dead");
    declare(channel, &dead, &[]).await?;
    let mut all = vec![("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text(&dead))];
    all.extend_from_slice(fields);
    declare(channel, name, &all).await?;
    Ok(dead)
}

async fn error_code<T>(outcome: lapin::Result<T>) -> Option<u16> {
    match outcome {
        Ok(_) => None,
        Err(error) => match error.kind() {
            lapin::ErrorKind::ProtocolError(error) => Some(error.get_id()),
            _ => None,
        },
    }
}

#[test]
fn expired_messages_are_dead_lettered_wherever_they_stand() {
    with_broker(|connection| async move {
        let channel = connection.create_channel().await?;
        let dead = declare_with_dead_letters(&channel, "ttl", &[]).await?;
        publish(&channel, "", "ttl", "stays at the head").await?;
        publish_with(&channel, "", "ttl", "expires", persistent().with_expiration("50".into())).await?;
        let dead_letter = take_soon(&channel, &dead).await?;
        assert_eq!((body(&dead_letter).as_str(), reason(&dead_letter)), ("expires", text("expired")));
        assert_eq!(
            dead_letter.properties.expiration(),
            &None,
            "the expiration is gone, or it would expire again"
        );
        assert_eq!(first_death(&dead_letter).inner().get("original-expiration"), Some(&text("50")));
        assert_eq!(body(&take_soon(&channel, "ttl").await?), "stays at the head");
        Ok(())
    });
}

#[test]
fn queue_ttl_and_zero_ttl() {
    with_broker(|connection| async move {
        let channel = connection.create_channel().await?;
        let dead =
            declare_with_dead_letters(&channel, "now", &[("x-message-ttl", AMQPValue::LongInt(0))]).await?;
        publish(&channel, "", "now", "nobody waits").await?;
        assert_eq!(body(&take_soon(&channel, &dead).await?), "nobody waits");
        let mut consumer = consume(&channel, "now", true).await?;
        publish(&channel, "", "now", "somebody waits").await?;
        assert_eq!(next_body(&mut consumer).await, "somebody waits");
        Ok(())
    });
}

#[test]
fn rejected_messages_are_dead_lettered_with_their_history() {
    with_broker(|connection| async move {
        let channel = connection.create_channel().await?;
        let dead = declare_with_dead_letters(&channel, "work", &[]).await?;
        let mut consumer = consume(&channel, "work", false).await?;
        publish(&channel, "", "work", "bad").await?;
        next(&mut consumer).await.reject(BasicRejectOptions { requeue: false }).await?;
        let dead_letter = take_soon(&channel, &dead).await?;
        let death = first_death(&dead_letter);
        assert_eq!(death.inner().get("queue"), Some(&text("work")));
        assert_eq!(death.inner().get("count"), Some(&AMQPValue::LongLongInt(1)));
        assert_eq!(reason(&dead_letter), text("rejected"));
        let headers = dead_letter.properties.headers().clone().unwrap();
        assert_eq!(headers.inner().get("x-first-death-queue"), Some(&text("work")));
        Ok(())
    });
}

#[test]
fn length_limits_drop_the_head_or_refuse_the_newest() {
    with_broker(|connection| async move {
        let channel = connection.create_channel().await?;
        let two = ("x-max-length", AMQPValue::LongInt(2));
        let dead = declare_with_dead_letters(&channel, "head", std::slice::from_ref(&two)).await?;
        for message in ["1", "2", "3"] {
            publish(&channel, "", "head", message).await?;
        }
        let dead_letter = take_soon(&channel, &dead).await?;
        assert_eq!((body(&dead_letter).as_str(), reason(&dead_letter)), ("1", text("maxlen")));
        assert_eq!(body(&take_soon(&channel, "head").await?), "2");

        declare(&channel, "full", &[two, ("x-overflow", text("reject-publish"))]).await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let mut outcomes = Vec::new();
        for message in ["1", "2", "3"] {
            let options = BasicPublishOptions::default();
            let confirm = channel
                .basic_publish("".into(), "full".into(), options, message.as_bytes(), persistent())
                .await?;
            outcomes.push(confirm.await?);
        }
        assert_eq!(outcomes, [Confirmation::Ack(None), Confirmation::Ack(None), Confirmation::Nack(None)]);
        Ok(())
    });
}

#[test]
fn priorities() {
    with_broker(|connection| async move {
        let channel = connection.create_channel().await?;
        declare(&channel, "priorities", &[("x-max-priority", AMQPValue::LongInt(5))]).await?;
        for (message, priority) in [("low", 1), ("none", 0), ("high", 5), ("clipped", 9), ("low too", 1)] {
            publish_with(&channel, "", "priorities", message, persistent().with_priority(priority)).await?;
        }
        for expected in ["high", "clipped", "low", "low too", "none"] {
            assert_eq!(body(&take_soon(&channel, "priorities").await?), expected);
        }
        Ok(())
    });
}

#[test]
fn poison_messages_are_counted_and_dead_lettered() {
    with_broker(|connection| async move {
        let channel = connection.create_channel().await?;
        for (queue, kind) in [("poison.classic", "classic"), ("poison.quorum", "quorum")] {
            let fields = [("x-delivery-limit", AMQPValue::LongInt(2)), ("x-queue-type", text(kind))];
            let dead = declare_with_dead_letters(&channel, queue, &fields).await?;
            let mut consumer = consume(&channel, queue, false).await?;
            publish(&channel, "", queue, "poison").await?;
            for count in 0..=2 {
                let delivery = next(&mut consumer).await;
                let headers = delivery.properties.headers().clone().unwrap_or_default();
                let counted = headers.inner().get("x-delivery-count").cloned();
                assert_eq!(counted, (count > 0).then_some(AMQPValue::LongLongInt(count)), "{queue}");
                delivery.reject(BasicRejectOptions { requeue: true }).await?;
            }
            assert_eq!(reason(&take_soon(&channel, &dead).await?), text("delivery_limit"));
        }
        Ok(())
    });
}

#[test]
fn requeued_messages_go_back_to_their_place() {
    with_broker(|connection| async move {
        let channel = connection.create_channel().await?;
        declare(&channel, "place", &[]).await?;
        for message in ["1", "2", "3", "4"] {
            publish(&channel, "", "place", message).await?;
        }
        let holder = connection.create_channel().await?;
        holder.basic_qos(3, BasicQosOptions::default()).await?;
        let mut consumer = consume(&holder, "place", false).await?;
        let held = [next(&mut consumer).await, next(&mut consumer).await, next(&mut consumer).await];
        held[1].ack(BasicAckOptions::default()).await?;
        holder.close(200, "done".into()).await?;
        for (expected, redelivered) in [("1", true), ("3", true), ("4", false)] {
            let message = take_soon(&channel, "place").await?;
            assert_eq!(body(&message), expected);
            // The fourth may have been on its way when the channel closed.
            assert!(message.redelivered || !redelivered);
        }
        Ok(())
    });
}

#[test]
fn single_active_consumer_fails_over() {
    with_broker(|connection| async move {
        let channel = connection.create_channel().await?;
        declare(&channel, "sac", &[("x-single-active-consumer", AMQPValue::Boolean(true))]).await?;
        let (first, second) = (connection.create_channel().await?, connection.create_channel().await?);
        let mut active = consume(&first, "sac", false).await?;
        let mut waiting = consume(&second, "sac", false).await?;
        publish(&channel, "", "sac", "1").await?;
        publish(&channel, "", "sac", "2").await?;
        assert_eq!((next_body(&mut active).await, next_body(&mut active).await), ("1".into(), "2".into()));
        assert_silent(&mut waiting).await;
        first.close(200, "gone".into()).await?;
        assert_eq!((next_body(&mut waiting).await, next_body(&mut waiting).await), ("1".into(), "2".into()));
        Ok(())
    });
}

#[test]
fn exclusive_queues_are_locked_and_go_with_their_connection() {
    let broker = Broker::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let owner = connect(&broker).await.unwrap();
        let other = connect(&broker).await.unwrap();
        let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let channel = owner.create_channel().await.unwrap();
        channel.queue_declare("mine".into(), exclusive, FieldTable::default()).await.unwrap();
        let outsider = other.create_channel().await.unwrap();
        let refused = outsider.queue_declare("mine".into(), exclusive, FieldTable::default()).await;
        assert_eq!(error_code(refused).await, Some(405));
        owner.close(200, "done".into()).await.unwrap();
        let outsider = other.create_channel().await.unwrap();
        outsider.queue_declare("mine".into(), exclusive, FieldTable::default()).await.unwrap();
    });
}

#[test]
fn consumers_of_a_deleted_queue_are_told() {
    with_broker(|connection| async move {
        let channel = connection.create_channel().await?;
        declare(&channel, "doomed", &[]).await?;
        let mut consumer = consume(&connection.create_channel().await?, "doomed", false).await?;
        channel.queue_delete("doomed".into(), QueueDeleteOptions::default()).await?;
        let end = tokio::time::timeout(support::lapin_client::PATIENCE, consumer.next()).await;
        assert!(matches!(end, Ok(None)), "the consumer ends");
        Ok(())
    });
}

#[test]
fn exchange_to_exchange_headers_and_alternate() {
    with_broker(|connection| async move {
        let channel = connection.create_channel().await?;
        declare_exchange(&channel, "spill", ExchangeKind::Fanout).await?;
        declare(&channel, "spilled", &[]).await?;
        bind(&channel, "spilled", "spill", "").await?;
        channel
            .exchange_declare(
                "front".into(),
                ExchangeKind::Direct,
                ExchangeDeclareOptions::default(),
                arguments(&[("alternate-exchange", text("spill"))]),
            )
            .await?;
        declare_exchange(&channel, "by-headers", ExchangeKind::Headers).await?;
        channel
            .exchange_bind(
                "by-headers".into(),
                "front".into(),
                "go".into(),
                ExchangeBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
        declare(&channel, "red", &[]).await?;
        let red = arguments(&[("x-match", text("all")), ("colour", text("red"))]);
        channel
            .queue_bind("red".into(), "by-headers".into(), "".into(), QueueBindOptions::default(), red)
            .await?;
        let coloured = |colour| persistent().with_headers(arguments(&[("colour", text(colour))]));
        publish_with(&channel, "front", "go", "matches", coloured("red")).await?;
        publish_with(&channel, "front", "elsewhere", "spills", coloured("red")).await?;
        publish_with(&channel, "front", "go", "is dropped", coloured("blue")).await?;
        assert_eq!(body(&take_soon(&channel, "red").await?), "matches");
        assert_eq!(body(&take_soon(&channel, "spilled").await?), "spills");
        assert!(take(&channel, "red").await?.is_none() && take(&channel, "spilled").await?.is_none());
        Ok(())
    });
}

#[test]
fn transactions() {
    with_broker(|connection| async move {
        let channel = connection.create_channel().await?;
        declare(&channel, "tx", &[]).await?;
        let watcher = connection.create_channel().await?;
        channel.tx_select().await?;
        publish(&channel, "", "tx", "rolled back").await?;
        channel.tx_rollback().await?;
        publish(&channel, "", "tx", "committed").await?;
        assert!(take(&watcher, "tx").await?.is_none(), "nothing is there before the commit");
        channel.tx_commit().await?;
        assert_eq!(body(&take_soon(&watcher, "tx").await?), "committed");
        Ok(())
    });
}

#[test]
fn a_shared_prefetch_bounds_all_consumers_of_a_channel() {
    with_broker(|connection| async move {
        let channel = connection.create_channel().await?;
        for queue in ["shared.a", "shared.b"] {
            declare(&channel, queue, &[]).await?;
            for message in ["1", "2", "3"] {
                publish(&channel, "", queue, message).await?;
            }
        }
        let shared = connection.create_channel().await?;
        shared.basic_qos(2, BasicQosOptions { global: true }).await?;
        let mut both =
            [consume(&shared, "shared.a", false).await?, consume(&shared, "shared.b", false).await?];
        let [a, b] = &mut both;
        let mut held = Vec::new();
        for _ in 0..2 {
            tokio::select! { biased; one = next(a) => held.push(one), one = next(b) => held.push(one) }
        }
        assert_silent(a).await;
        assert_silent(b).await;
        held[0].nack(BasicNackOptions { requeue: false, ..BasicNackOptions::default() }).await?;
        tokio::select! { _ = next(a) => {}, _ = next(b) => {} }
        Ok(())
    });
}

#[test]
fn an_exclusive_consumer_is_alone() {
    with_broker(|connection| async move {
        let channel = connection.create_channel().await?;
        declare(&channel, "alone", &[]).await?;
        let exclusive = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
        let _only =
            channel.basic_consume("alone".into(), "".into(), exclusive, FieldTable::default()).await?;
        let second = connection.create_channel().await?;
        assert_eq!(error_code(consume(&second, "alone", false).await).await, Some(403));
        Ok(())
    });
}

#[test]
fn a_kill_keeps_exchanges_bindings_and_queues() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut broker = Broker::start();
    runtime.block_on(async {
        let channel = connect(&broker).await.unwrap().create_channel().await.unwrap();
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel
            .exchange_declare("kept".into(), ExchangeKind::Topic, durable, FieldTable::default())
            .await
            .unwrap();
        declare_exchange(&channel, "forgotten", ExchangeKind::Fanout).await.unwrap();
        declare(&channel, "bound", &[("x-max-priority", AMQPValue::LongInt(3))]).await.unwrap();
        bind(&channel, "bound", "kept", "a.#").await.unwrap();
    });
    broker.kill_and_restart();
    runtime.block_on(async {
        let connection = connect(&broker).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        for (message, priority) in [("low", 0), ("high", 3)] {
            publish_with(&channel, "kept", "a.b", message, persistent().with_priority(priority))
                .await
                .unwrap();
        }
        assert_eq!(body(&take_soon(&channel, "bound").await.unwrap()), "high");
        assert_eq!(body(&take_soon(&channel, "bound").await.unwrap()), "low");
        let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let gone = channel
            .exchange_declare("forgotten".into(), ExchangeKind::Fanout, passive, FieldTable::default())
            .await;
        assert_eq!(error_code(gone).await, Some(404));
    });
}

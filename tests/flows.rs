//! The flows of the RabbitMQ tutorials, through a real socket with lapin: hello world, work queues, publish/subscribe,
//! routing, topics, RPC, publisher confirms. The same flows run from other languages in `conformance/clients`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Consumer, ExchangeKind};
use support::lapin_client::{
    assert_silent, bind, consume, declare, declare_exchange, next, next_body, persistent, publish,
    with_broker,
};

/// A queue of this connection alone, bound to the exchange by each key.
async fn subscribe(channel: &Channel, exchange: &str, keys: &[&str]) -> lapin::Result<Consumer> {
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("".into(), options, FieldTable::default()).await?;
    for key in keys {
        bind(channel, queue.name().as_str(), exchange, key).await?;
    }
    consume(channel, queue.name().as_str(), true).await
}

#[test]
fn hello_world() {
    with_broker(|connection| async move {
        let channel = connection.create_channel().await?;
        declare(&channel, "hello", &[]).await?;
        publish(&channel, "", "hello", "Hello World!").await?;
        let mut consumer = consume(&channel, "hello", true).await?;
        assert_eq!(next_body(&mut consumer).await, "Hello World!");
        Ok(())
    });
}

#[test]
fn work_queue_with_acks_and_prefetch() {
    with_broker(|connection| async move {
        let channel = connection.create_channel().await?;
        declare(&channel, "tasks", &[]).await?;
        let (one, two) = (connection.create_channel().await?, connection.create_channel().await?);
        one.basic_qos(1, BasicQosOptions::default()).await?;
        two.basic_qos(1, BasicQosOptions::default()).await?;
        let mut first = consume(&one, "tasks", false).await?;
        let mut second = consume(&two, "tasks", false).await?;
        for task in ["a", "b", "c"] {
            publish(&channel, "", "tasks", task).await?;
        }
        let (a, b) = (next(&mut first).await, next(&mut second).await);
        let mut busy = [a.data.clone(), b.data.clone()];
        busy.sort();
        assert_eq!(busy, [b"a".to_vec(), b"b".to_vec()]);
        assert_silent(&mut first).await;
        a.ack(BasicAckOptions::default()).await?;
        let c = next(&mut first).await;
        assert_eq!((c.data.as_slice(), c.redelivered), (&b"c"[..], false));
        // The second worker dies with its task unacked: the first gets it, marked.
        two.close(200, "gone".into()).await?;
        c.ack(BasicAckOptions::default()).await?;
        let again = next(&mut first).await;
        assert_eq!((again.data, again.redelivered), (b.data, true));
        Ok(())
    });
}

#[test]
fn publish_subscribe() {
    with_broker(|connection| async move {
        let channel = connection.create_channel().await?;
        declare_exchange(&channel, "logs", ExchangeKind::Fanout).await?;
        let mut one = subscribe(&channel, "logs", &[""]).await?;
        let mut two = subscribe(&channel, "logs", &[""]).await?;
        publish(&channel, "logs", "", "info: to all").await?;
        assert_eq!(next_body(&mut one).await, "info: to all");
        assert_eq!(next_body(&mut two).await, "info: to all");
        Ok(())
    });
}

#[test]
fn routing() {
    with_broker(|connection| async move {
        let channel = connection.create_channel().await?;
        declare_exchange(&channel, "direct_logs", ExchangeKind::Direct).await?;
        let mut errors = subscribe(&channel, "direct_logs", &["error"]).await?;
        let mut all = subscribe(&channel, "direct_logs", &["info", "error"]).await?;
        publish(&channel, "direct_logs", "info", "i").await?;
        publish(&channel, "direct_logs", "error", "e").await?;
        assert_eq!(next_body(&mut errors).await, "e");
        assert_eq!((next_body(&mut all).await, next_body(&mut all).await), ("i".into(), "e".into()));
        assert_silent(&mut errors).await;
        Ok(())
    });
}

#[test]
fn topics() {
    with_broker(|connection| async move {
        let channel = connection.create_channel().await?;
        declare_exchange(&channel, "topic_logs", ExchangeKind::Topic).await?;
        let mut kernel = subscribe(&channel, "topic_logs", &["kern.*"]).await?;
        let mut critical = subscribe(&channel, "topic_logs", &["*.critical", "#.critical.#"]).await?;
        publish(&channel, "topic_logs", "kern.critical", "both").await?;
        publish(&channel, "topic_logs", "cron.warning", "neither").await?;
        assert_eq!(next_body(&mut kernel).await, "both");
        assert_eq!(next_body(&mut critical).await, "both");
        assert_silent(&mut critical).await;
        assert_silent(&mut kernel).await;
        Ok(())
    });
}

#[test]
fn rpc_by_reply_queue_and_by_direct_reply_to() {
    with_broker(|connection| async move {
        let server = connection.create_channel().await?;
        declare(&server, "rpc_queue", &[]).await?;
        let mut requests = consume(&server, "rpc_queue", true).await?;
        let client = connection.create_channel().await?;
        let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let own = client.queue_declare("".into(), options, FieldTable::default()).await?;
        for reply_to in [own.name().as_str(), "amq.rabbitmq.reply-to"] {
            let mut replies = consume(&client, reply_to, true).await?;
            let properties =
                BasicProperties::default().with_reply_to(reply_to.into()).with_correlation_id("30".into());
            let publish = BasicPublishOptions::default();
            client.basic_publish("".into(), "rpc_queue".into(), publish, b"30", properties).await?;
            let request = next(&mut requests).await;
            let reply_key = request.properties.reply_to().clone().expect("a reply-to");
            let properties = BasicProperties::default()
                .with_correlation_id(request.properties.correlation_id().clone().expect("a correlation id"));
            server.basic_publish("".into(), reply_key, publish, b"832040", properties).await?;
            let reply = next(&mut replies).await;
            assert_eq!(reply.data, b"832040");
            assert_eq!(
                reply.properties.correlation_id().as_ref().map(lapin::types::ShortString::as_str),
                Some("30")
            );
        }
        Ok(())
    });
}

#[test]
fn publisher_confirms_and_returns() {
    with_broker(|connection| async move {
        let channel = connection.create_channel().await?;
        declare(&channel, "confirmed", &[]).await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let mut confirms = Vec::new();
        for number in 0..500 {
            let body = number.to_string();
            confirms.push(
                channel
                    .basic_publish("".into(), "confirmed".into(), mandatory, body.as_bytes(), persistent())
                    .await?,
            );
        }
        for confirm in confirms {
            assert_eq!(confirm.await?, Confirmation::Ack(None));
        }
        let returned =
            channel.basic_publish("".into(), "nowhere".into(), mandatory, b"?", persistent()).await?.await?;
        let Confirmation::Ack(Some(returned)) = returned else { panic!("{returned:?}") };
        assert_eq!((returned.reply_code, returned.reply_text.as_str()), (312, "NO_ROUTE"));
        for number in 0..500 {
            let got = channel.basic_get("confirmed".into(), BasicGetOptions { no_ack: true }).await?;
            assert_eq!(got.expect("a message").delivery.data, number.to_string().into_bytes());
        }
        Ok(())
    });
}

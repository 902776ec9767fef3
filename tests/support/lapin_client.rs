//! What tests with lapin have in common: a broker with a connection, short forms of declare, publish and consume.

use std::time::Duration;

use futures_lite::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ExchangeKind};

use super::Broker;

/// How long a delivery that must come may take on a slow day.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long nothing may come before we believe that nothing will.
pub(crate) const SILENCE: Duration = Duration::from_millis(200);

/// Runs a test with a fresh broker and a connection to it.
pub(crate) fn with_broker<F: Future<Output = lapin::Result<()>>>(test: impl FnOnce(Connection) -> F) {
    let broker = Broker::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { test(connect(&broker).await?).await }).unwrap();
}

pub(crate) async fn connect(broker: &Broker) -> lapin::Result<Connection> {
    Connection::connect(&broker.uri(), ConnectionProperties::default()).await
}

/// A table of arguments.
pub(crate) fn arguments(fields: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in fields {
        table.insert((*name).into(), value.clone());
    }
    table
}

pub(crate) fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

pub(crate) fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

/// Declares a durable queue.
pub(crate) async fn declare(
    channel: &Channel,
    name: &str,
    fields: &[(&str, AMQPValue)],
) -> lapin::Result<()> {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.into(), options, arguments(fields)).await?;
    Ok(())
}

pub(crate) async fn declare_exchange(channel: &Channel, name: &str, kind: ExchangeKind) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions::default();
    channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await
}

pub(crate) async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> lapin::Result<()> {
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.into(), exchange.into(), key.into(), options, FieldTable::default()).await
}

/// Publishes and waits for nothing.
pub(crate) async fn publish(channel: &Channel, exchange: &str, key: &str, body: &str) -> lapin::Result<()> {
    publish_with(channel, exchange, key, body, persistent()).await
}

pub(crate) async fn publish_with(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: &str,
    properties: BasicProperties,
) -> lapin::Result<()> {
    let options = BasicPublishOptions::default();
    channel.basic_publish(exchange.into(), key.into(), options, body.as_bytes(), properties).await?;
    Ok(())
}

pub(crate) async fn consume(channel: &Channel, queue: &str, no_ack: bool) -> lapin::Result<Consumer> {
    let options = BasicConsumeOptions { no_ack, ..BasicConsumeOptions::default() };
    channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await
}

/// The next delivery, which must come.
pub(crate) async fn next(consumer: &mut Consumer) -> Delivery {
    tokio::time::timeout(PATIENCE, consumer.next())
        .await
        .expect("a delivery in time")
        .expect("the consumer is open")
        .unwrap()
}

pub(crate) async fn next_body(consumer: &mut Consumer) -> String {
    body(&next(consumer).await)
}

pub(crate) fn body(delivery: &Delivery) -> String {
    String::from_utf8(delivery.data.clone()).unwrap()
}

pub(crate) async fn assert_silent(consumer: &mut Consumer) {
    assert!(tokio::time::timeout(SILENCE, consumer.next()).await.is_err(), "nothing more was to come");
}

/// Takes one message, settled at once; None where the queue is empty.
pub(crate) async fn take(channel: &Channel, queue: &str) -> lapin::Result<Option<Delivery>> {
    let got = channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await?;
    Ok(got.map(|message| message.delivery))
}

/// Takes one message that must come, however long the broker needs to put it there.
pub(crate) async fn take_soon(channel: &Channel, queue: &str) -> lapin::Result<Delivery> {
    let since = std::time::Instant::now();
    loop {
        if let Some(delivery) = take(channel, queue).await? {
            return Ok(delivery);
        }
        assert!(since.elapsed() < PATIENCE, "no message came to {queue}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

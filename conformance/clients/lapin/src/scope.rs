//! What every check needs: a runner that bounds and reports it, connections, and names that it removes. No promises here.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_lite::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions,
    ConfirmSelectOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ExchangeKind,
};

use crate::checks;

const PATIENCE: Duration = Duration::from_secs(10);

/// The connections of one check, and the names it declared.
pub struct Scope {
    uri: String,
    run: String,
    connections: tokio::sync::Mutex<Vec<Connection>>,
    /// Kept open until the connection closes: a channel that is dropped closes itself, in a race with that.
    channels: Mutex<Vec<Channel>>,
    queues: Mutex<Vec<String>>,
    exchanges: Mutex<Vec<String>>,
}

/// Runs one check, cleans up after it, and prints its line.
pub async fn run<F>(uri: &str, name: &str, check: impl FnOnce(Arc<Scope>) -> F)
where
    F: Future<Output = Result<()>>,
{
    let scope = Arc::new(Scope::new(uri));
    checks::report(name, check(scope.clone()), scope.close()).await;
}

impl Scope {
    fn new(uri: &str) -> Self {
        Self {
            uri: uri.to_owned(),
            run: checks::run_word(),
            connections: tokio::sync::Mutex::default(),
            channels: Mutex::default(),
            queues: Mutex::default(),
            exchanges: Mutex::default(),
        }
    }

    /// A connection of its own and a channel on it.
    pub async fn connect(&self, properties: ConnectionProperties) -> Result<Channel> {
        let uri = format!("{}?heartbeat=30", self.uri);
        let connection = Connection::connect(&uri, properties).await?;
        let channel = connection.create_channel().await?;
        self.connections.lock().await.push(connection);
        Ok(self.keep(channel))
    }

    pub async fn channel(&self) -> Result<Channel> {
        self.connect(ConnectionProperties::default()).await
    }

    pub async fn confirm_channel(&self) -> Result<Channel> {
        let channel = self.channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(channel)
    }

    /// Another channel on the connection of the last `connect`.
    pub async fn second_channel(&self) -> Result<Channel> {
        let connections = self.connections.lock().await;
        Ok(self.keep(connections.last().context("no connection yet")?.create_channel().await?))
    }

    fn keep(&self, channel: Channel) -> Channel {
        if let Ok(mut channels) = self.channels.lock() {
            channels.push(channel.clone());
        }
        channel
    }

    pub fn name(&self, suffix: &str) -> String {
        format!("lapin.{}.{suffix}", self.run)
    }

    pub async fn queue(&self, channel: &Channel, suffix: &str, arguments: FieldTable) -> Result<String> {
        let name = self.name(suffix);
        if let Ok(mut queues) = self.queues.lock() {
            queues.push(name.clone());
        }
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(name.as_str().into(), options, arguments).await?;
        Ok(name)
    }

    pub async fn exchange(&self, channel: &Channel, suffix: &str, kind: ExchangeKind) -> Result<String> {
        let name = self.name(suffix);
        if let Ok(mut exchanges) = self.exchanges.lock() {
            exchanges.push(name.clone());
        }
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel.exchange_declare(name.as_str().into(), kind, options, FieldTable::default()).await?;
        Ok(name)
    }

    /// Removes the names even where a connection does not close as it should, which fails the check after that.
    async fn close(&self) -> Result<()> {
        let mut closed = Ok(());
        for connection in self.connections.lock().await.drain(..) {
            if connection.status().connected() {
                closed = closed.and(connection.close(200, "OK".into()).await);
            }
        }
        let connection = Connection::connect(&self.uri, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let queues = self.queues.lock().map(|all| all.clone()).unwrap_or_default();
        for name in queues {
            channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await?;
        }
        let exchanges = self.exchanges.lock().map(|all| all.clone()).unwrap_or_default();
        for name in exchanges {
            channel.exchange_delete(name.as_str().into(), ExchangeDeleteOptions::default()).await?;
        }
        Ok(closed.and(connection.close(200, "OK".into()).await)?)
    }
}

/// An argument or header table.
pub fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

pub fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// Publishes and gives what the broker confirmed (`NotRequested` outside confirm mode).
pub async fn publish(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: &[u8],
    properties: BasicProperties,
) -> Result<Confirmation> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    Ok(channel.basic_publish(exchange.into(), key.into(), options, body, properties).await?.await?)
}

/// Publishes where nothing needs to be routed, with no properties.
pub async fn send(channel: &Channel, exchange: &str, key: &str, body: &str) -> Result<()> {
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    channel.basic_publish(exchange.into(), key.into(), options, body.as_bytes(), properties).await?.await?;
    Ok(())
}

pub async fn consume(channel: &Channel, queue: &str, no_ack: bool) -> Result<Consumer> {
    let options = BasicConsumeOptions { no_ack, ..BasicConsumeOptions::default() };
    Ok(channel.basic_consume(queue.into(), ShortString::default(), options, FieldTable::default()).await?)
}

pub async fn next(consumer: &mut Consumer) -> Result<Delivery> {
    let delivery = tokio::time::timeout(PATIENCE, consumer.next()).await.context("no delivery in time")?;
    Ok(delivery.context("the consumer was cancelled")??)
}

/// Whether nothing arrives for a fifth of a second.
pub async fn is_silent(consumer: &mut Consumer) -> bool {
    tokio::time::timeout(Duration::from_millis(200), consumer.next()).await.is_err()
}

/// The next messages of the queue, acknowledged.
pub async fn take(channel: &Channel, queue: &str, count: usize) -> Result<Vec<Delivery>> {
    let mut consumer = consume(channel, queue, false).await?;
    let mut deliveries = Vec::new();
    while deliveries.len() < count {
        let delivery = next(&mut consumer).await.with_context(|| format!("message from {queue}"))?;
        delivery.acker.ack(BasicAckOptions::default()).await?;
        deliveries.push(delivery);
    }
    channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
    Ok(deliveries)
}

pub fn bodies(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8_lossy(&delivery.data).into_owned()).collect()
}

pub async fn expect_empty(channel: &Channel, queue: &str) -> Result<()> {
    let found = channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await?;
    ensure!(found.is_none(), "{queue} should be empty");
    Ok(())
}

pub async fn temporary_queue(channel: &Channel) -> Result<String> {
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare(ShortString::default(), options, FieldTable::default()).await?;
    Ok(queue.name().to_string())
}

pub async fn bind(
    channel: &Channel,
    queue: &str,
    exchange: &str,
    key: &str,
    arguments: FieldTable,
) -> Result<()> {
    let options = QueueBindOptions::default();
    Ok(channel.queue_bind(queue.into(), exchange.into(), key.into(), options, arguments).await?)
}

/// Checks that the broker refused with this code and a text that contains `part`.
pub fn expect_refused<T>(result: lapin::Result<T>, code: u16, part: &str) -> Result<()> {
    let Err(error) = result else { anyhow::bail!("was accepted, wanted {code}") };
    let lapin::ErrorKind::ProtocolError(refusal) = error.kind() else {
        anyhow::bail!("got {error}, wanted {code}")
    };
    ensure!(refusal.get_id() == code, "got {refusal}, wanted {code}");
    ensure!(refusal.get_message().as_str().contains(part), "{refusal} lacks {part:?}");
    Ok(())
}

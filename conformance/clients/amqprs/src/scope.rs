//! What every check needs: a runner that bounds and reports it, connections, and names that it removes. No promises here.

use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use amqprs::callbacks::{ChannelCallback, ConnectionCallback};
use amqprs::channel::{
    BasicAckArguments, BasicCancelArguments, BasicConsumeArguments, BasicGetArguments, BasicPublishArguments,
    Channel, ConfirmSelectArguments, ConsumerMessage, ExchangeDeclareArguments, ExchangeDeleteArguments,
    QueueDeclareArguments, QueueDeleteArguments,
};
use amqprs::connection::{Connection, OpenConnectionArguments};
use amqprs::{
    Ack, BasicProperties, Cancel, Close, CloseChannel, Deliver, FieldTable, FieldValue, Nack, Return,
};
use anyhow::{Context, Result, bail, ensure};
use async_trait::async_trait;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::checks;

const PATIENCE: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_millis(200);

/// What the broker said by itself, in the order in which the library told it.
#[derive(Debug, PartialEq)]
pub enum Event {
    Ack(u64),
    Nack(u64),
    Returned { code: u16, text: String, key: String, body: Vec<u8> },
    Cancelled(String),
    ChannelClosed(u16, String),
    ConnectionClosed(u16, String),
}

/// Hands every callback of the library to the check.
#[derive(Clone)]
struct Listener(UnboundedSender<Event>);

impl Listener {
    /// A check that has ended listens no more, which is no failure.
    fn tell(&self, event: Event) {
        let _ = self.0.send(event);
    }
}

type Told = std::result::Result<(), amqprs::error::Error>;

#[async_trait]
impl ConnectionCallback for Listener {
    async fn close(&mut self, _: &Connection, close: Close) -> Told {
        self.tell(Event::ConnectionClosed(close.reply_code(), close.reply_text().clone()));
        Ok(())
    }
    async fn blocked(&mut self, _: &Connection, _: String) {}
    async fn unblocked(&mut self, _: &Connection) {}
    async fn secret_updated(&mut self, _: &Connection) {}
}

#[async_trait]
impl ChannelCallback for Listener {
    async fn close(&mut self, _: &Channel, close: CloseChannel) -> Told {
        self.tell(Event::ChannelClosed(close.reply_code(), close.reply_text().clone()));
        Ok(())
    }
    async fn cancel(&mut self, _: &Channel, cancel: Cancel) -> Told {
        self.tell(Event::Cancelled(cancel.consumer_tag().clone()));
        Ok(())
    }
    async fn flow(&mut self, _: &Channel, active: bool) -> std::result::Result<bool, amqprs::error::Error> {
        Ok(active)
    }
    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        self.tell(Event::Ack(ack.delivery_tag()));
    }
    async fn publish_nack(&mut self, _: &Channel, nack: Nack) {
        self.tell(Event::Nack(nack.delivery_tag()));
    }
    async fn publish_return(&mut self, _: &Channel, returned: Return, _: BasicProperties, body: Vec<u8>) {
        let (text, key) = (returned.reply_text().clone(), returned.routing_key().clone());
        self.tell(Event::Returned { code: returned.reply_code(), text, key, body });
    }
}

/// A channel, and what the broker says on it and on its connection.
pub struct Line {
    channel: Channel,
    listener: Listener,
    events: tokio::sync::Mutex<UnboundedReceiver<Event>>,
}

impl Deref for Line {
    type Target = Channel;
    fn deref(&self) -> &Channel {
        &self.channel
    }
}

impl Line {
    pub async fn event(&self) -> Result<Event> {
        let event = tokio::time::timeout(PATIENCE, async { self.events.lock().await.recv().await }).await;
        event.context("the broker said nothing in time")?.context("the library forgot its callbacks")
    }

    /// Publishes a mandatory message.
    pub async fn publish(
        &self,
        exchange: &str,
        key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<()> {
        let arguments = BasicPublishArguments::new(exchange, key).mandatory(true).finish();
        Ok(self.basic_publish(properties, body.to_vec(), arguments).await?)
    }

    pub async fn send(&self, exchange: &str, key: &str, body: &str) -> Result<()> {
        self.publish(exchange, key, body.as_bytes(), BasicProperties::default()).await
    }

    /// The next messages of the queue, acknowledged.
    pub async fn take(&self, queue: &str, count: usize) -> Result<Vec<Delivery>> {
        let mut consumer = self.consume(queue, false).await?;
        let mut deliveries = Vec::new();
        while deliveries.len() < count {
            let delivery = consumer.next().await.with_context(|| format!("message from {queue}"))?;
            self.basic_ack(BasicAckArguments::new(delivery.deliver.delivery_tag(), false)).await?;
            deliveries.push(delivery);
        }
        self.basic_cancel(BasicCancelArguments::new(&consumer.tag)).await?;
        Ok(deliveries)
    }

    pub async fn consume(&self, queue: &str, no_ack: bool) -> Result<Consumer> {
        let arguments = BasicConsumeArguments::new(queue, "").manual_ack(!no_ack).finish();
        let (tag, messages) = self.basic_consume_rx(arguments).await?;
        Ok(Consumer { tag, messages })
    }

    pub async fn expect_empty(&self, queue: &str) -> Result<()> {
        let found = self.basic_get(BasicGetArguments::new(queue)).await?;
        ensure!(found.is_none(), "{queue} should be empty");
        Ok(())
    }

    pub async fn temporary_queue(&self) -> Result<String> {
        let declared = self.queue_declare(QueueDeclareArguments::exclusive_server_named()).await?;
        Ok(declared.context("no declare-ok")?.0)
    }
}

pub struct Consumer {
    pub tag: String,
    messages: UnboundedReceiver<ConsumerMessage>,
}

pub struct Delivery {
    pub deliver: Deliver,
    pub properties: BasicProperties,
    pub body: Vec<u8>,
}

impl Consumer {
    pub async fn next(&mut self) -> Result<Delivery> {
        let message =
            tokio::time::timeout(PATIENCE, self.messages.recv()).await.context("no delivery in time")?;
        let message = message.context("the consumer ended")?;
        let (Some(deliver), Some(properties), Some(body)) =
            (message.deliver, message.basic_properties, message.content)
        else {
            bail!("half a delivery")
        };
        Ok(Delivery { deliver, properties, body })
    }

    pub async fn expect_silence(&mut self, what: &str) -> Result<()> {
        ensure!(tokio::time::timeout(SILENCE, self.messages.recv()).await.is_err(), "{what}");
        Ok(())
    }
}

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

    pub fn arguments(&self) -> Result<OpenConnectionArguments> {
        Ok(self.uri.as_str().try_into()?)
    }

    /// The user that the address names.
    pub fn user(&self) -> &str {
        self.uri.split([':', '/', '@']).find(|part| !part.is_empty() && *part != "amqp").unwrap_or_default()
    }

    /// A connection of its own and a channel on it.
    pub async fn line(&self) -> Result<Line> {
        self.connect(&self.arguments()?).await
    }

    pub async fn connect(&self, arguments: &OpenConnectionArguments) -> Result<Line> {
        let connection = Connection::open(arguments).await?;
        let (sender, events) = unbounded_channel();
        let listener = Listener(sender);
        connection.register_callback(listener.clone()).await?;
        let channel = connection.open_channel(None).await?;
        channel.register_callback(listener.clone()).await?;
        self.connections.lock().await.push(connection);
        Ok(Line { channel: self.keep(channel), listener, events: events.into() })
    }

    pub async fn confirm_line(&self) -> Result<Line> {
        let line = self.line().await?;
        line.confirm_select(ConfirmSelectArguments::default()).await?;
        Ok(line)
    }

    /// The last connection that a check opened.
    pub async fn connection(&self) -> Result<Connection> {
        self.connections.lock().await.last().cloned().context("no connection yet")
    }

    /// Another channel on the connection of the last `connect`, in place of the one in `line`.
    pub async fn reopen(&self, line: Line) -> Result<Line> {
        let channel = self.connection().await?.open_channel(None).await?;
        channel.register_callback(line.listener.clone()).await?;
        Ok(Line { channel: self.keep(channel), ..line })
    }

    fn keep(&self, channel: Channel) -> Channel {
        if let Ok(mut channels) = self.channels.lock() {
            channels.push(channel.clone());
        }
        channel
    }

    pub fn name(&self, suffix: &str) -> String {
        format!("amqprs.{}.{suffix}", self.run)
    }

    pub async fn queue(&self, line: &Line, suffix: &str, arguments: FieldTable) -> Result<String> {
        let name = self.name(suffix);
        if let Ok(mut queues) = self.queues.lock() {
            queues.push(name.clone());
        }
        let declare = QueueDeclareArguments::durable_client_named(&name).arguments(arguments).finish();
        line.queue_declare(declare).await?;
        Ok(name)
    }

    pub async fn exchange(&self, line: &Line, suffix: &str, kind: &str) -> Result<String> {
        let name = self.name(suffix);
        if let Ok(mut exchanges) = self.exchanges.lock() {
            exchanges.push(name.clone());
        }
        line.exchange_declare(ExchangeDeclareArguments::new(&name, kind).durable(true).finish()).await?;
        Ok(name)
    }

    /// Removes the names even where a connection does not close as it should, which fails the check after that.
    async fn close(&self) -> Result<()> {
        let mut closed = Ok(());
        for connection in self.connections.lock().await.drain(..) {
            if connection.is_open() {
                closed = closed.and(end(connection).await);
            }
        }
        let connection = Connection::open(&self.arguments()?).await?;
        let channel = connection.open_channel(None).await?;
        let queues = self.queues.lock().map(|all| all.clone()).unwrap_or_default();
        for name in queues {
            channel.queue_delete(QueueDeleteArguments::new(&name)).await?;
        }
        let exchanges = self.exchanges.lock().map(|all| all.clone()).unwrap_or_default();
        for name in exchanges {
            channel.exchange_delete(ExchangeDeleteArguments::new(&name)).await?;
        }
        channel.close().await?;
        Ok(closed.and(end(connection).await)?)
    }
}

/// Closes a connection. The library's reader gives up when it finds the close under way while it still handles the frame
/// before, so it gets the time to be done with that.
async fn end(connection: Connection) -> Told {
    tokio::time::sleep(Duration::from_millis(5)).await;
    connection.close().await
}

/// An argument or header table.
pub fn table<const N: usize>(entries: [(&str, FieldValue); N]) -> Result<FieldTable> {
    let mut table = FieldTable::new();
    for (name, value) in entries {
        table.insert(name.try_into()?, value);
    }
    Ok(table)
}

pub fn field<'a>(table: &'a FieldTable, name: &str) -> Option<&'a FieldValue> {
    table.get(&name.try_into().ok()?)
}

pub fn bodies(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8_lossy(&delivery.body).into_owned()).collect()
}

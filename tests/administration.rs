//! What administrators change, seen by clients through real sockets: a broker within the test's process, administered
//! by its handle.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use futures_lite::StreamExt;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use leveret::config::{CommandLine, ServeConfig, Verb};
use leveret::manage;
use leveret::model::administration::{
    Applied, ApplyTo, Change, Password, PermissionSpec, PolicyKind, PolicySpec, TopicPermissionSpec,
    UserSpec, VhostLimit, VhostMetadata,
};
use leveret::model::ids::Name;
use leveret::model::settings::QueueType;
use leveret::server::{self, RunningBroker};
use tempfile::TempDir;
use tokio::runtime::Handle;

/// A broker beside the test, on fresh data.
struct Broker {
    running: Option<RunningBroker>,
    config: ServeConfig,
    _data: TempDir,
}

impl Broker {
    fn start() -> Broker {
        Broker::start_with(&[])
    }

    fn start_with(more: &[&str]) -> Broker {
        let data = TempDir::new().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("127.0.0.1:{port}");
        let directory = data.path().to_string_lossy().into_owned();
        let arguments = ["--listen", &listen, "--data-dir", &directory];
        let config = config(&[&arguments, more].concat());
        Broker {
            running: Some(server::start(config.clone(), manage::MANAGEMENT).unwrap()),
            config,
            _data: data,
        }
    }

    fn restart(&mut self) {
        self.running.take().unwrap().stop().unwrap();
        self.running = Some(server::start(self.config.clone(), manage::MANAGEMENT).unwrap());
    }

    fn apply(&self, change: Change) -> Applied {
        let running = self.running.as_ref().unwrap();
        let applied = running.administrator().apply(change);
        tokio::task::block_in_place(|| Handle::current().block_on(applied)).unwrap()
    }

    async fn connect(&self, user: &str, vhost: &str) -> lapin::Result<Connection> {
        let uri = format!("amqp://{user}:{user}@{}/{vhost}", self.config.listen[0]);
        Connection::connect(&uri, ConnectionProperties::default()).await
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = running.stop();
        }
    }
}

fn config(arguments: &[&str]) -> ServeConfig {
    use clap::Parser;
    match CommandLine::parse_from(["leveret"].iter().chain(arguments)).verb() {
        Verb::Serve(config) => config,
        _ => unreachable!("serve is the default verb"),
    }
}

fn with_broker<F: Future<Output = ()>>(test: impl FnOnce(Broker) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test(Broker::start()));
}

fn name(name: &str) -> Name {
    name.into()
}

fn put_user(user: &str) -> Change {
    let password = Password::Plain(user.into());
    Change::PutUser { name: name(user), user: UserSpec { password, tags: Vec::new(), loopback_only: false } }
}

fn put_permissions(vhost: &str, user: &str) -> Change {
    let permissions = PermissionSpec { configure: name(".*"), write: name(".*"), read: name(".*") };
    Change::PutPermissions { vhost: name(vhost), user: name(user), permissions }
}

fn put_vhost(vhost: &str, default_queue_type: Option<QueueType>) -> Change {
    let metadata = VhostMetadata { default_queue_type, ..VhostMetadata::default() };
    Change::PutVhost { name: name(vhost), metadata }
}

fn put_policy(policy: &str, key: &str, value: AMQPValue) -> Change {
    let mut definition = FieldTable::default();
    definition.insert(key.into(), value);
    let policy_spec = PolicySpec { pattern: name(""), apply_to: ApplyTo::All, priority: 0, definition };
    Change::PutPolicy { vhost: name("/"), kind: PolicyKind::Regular, name: name(policy), policy: policy_spec }
}

async fn declare(channel: &Channel, queue: &str) -> lapin::Result<lapin::Queue> {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), options, FieldTable::default()).await
}

async fn publish(channel: &Channel, exchange: &str, key: &str) -> lapin::Result<()> {
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    channel.basic_publish(exchange.into(), key.into(), options, b"x", properties).await?.await?;
    Ok(())
}

fn refusal<T>(outcome: lapin::Result<T>) -> String {
    outcome.err().map(|error| error.to_string()).unwrap_or_default()
}

/// Waits until the connection was closed by the broker.
async fn is_closed(connection: &Connection) -> bool {
    for _ in 0..200 {
        if !connection.status().connected() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[test]
fn vhosts_and_users_come_and_go_with_their_connections() {
    with_broker(|mut broker| async move {
        assert_eq!(broker.apply(put_vhost("v", Some(QueueType::Quorum))), Applied::Created);
        assert_eq!(broker.apply(put_user("bob")), Applied::Created);
        let text = refusal(broker.connect("bob", "v").await);
        assert!(text.contains("access to vhost 'v' refused for user 'bob'"), "{text}");
        broker.apply(put_permissions("v", "bob"));
        broker.restart();
        let connection = broker.connect("bob", "v").await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        declare(&channel, "q").await.unwrap();
        broker.apply(Change::DeleteVhost { name: name("v") });
        assert!(is_closed(&connection).await);
        broker.apply(put_permissions("/", "bob"));
        let connection = broker.connect("bob", "%2f").await.unwrap();
        broker.apply(Change::DeleteUser { name: name("bob") });
        assert!(is_closed(&connection).await);
        assert!(broker.connect("bob", "%2f").await.is_err());
        broker.restart();
        let text = refusal(broker.connect("guest", "v").await);
        assert!(text.contains("vhost v not found"), "{text}");
    });
}

#[test]
fn a_connection_is_seen_and_closed_with_a_reason() {
    with_broker(|broker| async move {
        let connection = broker.connect("guest", "%2f").await.unwrap();
        let mut events = connection.events_listener();
        let _channel = connection.create_channel().await.unwrap();
        let administrator = broker.running.as_ref().unwrap().administrator().clone();
        let open = administrator.clients().those(|_| true);
        let [id] = &open[..] else { panic!("{open:?}") };
        let client = administrator.clients().get(*id).unwrap();
        assert_eq!((&*client.user, &*client.vhost, client.channels), ("guest", "/", 1));
        administrator.close_connection(*id, "because".into());
        let reason = loop {
            match events.next().await {
                Some(lapin::Event::Error(error)) => break error.to_string(),
                Some(_) => {}
                None => break String::new(),
            }
        };
        assert!(reason.contains("CONNECTION_FORCED - because"), "{reason}");
        assert!(is_closed(&connection).await);
    });
}

#[test]
fn a_policy_bounds_a_queue_that_is_there_and_holds_after_a_restart() {
    with_broker(|mut broker| async move {
        let connection = broker.connect("guest", "%2f").await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        declare(&channel, "q").await.unwrap();
        for _ in 0..5 {
            publish(&channel, "", "q").await.unwrap();
        }
        broker.apply(put_policy("p", "max-length", AMQPValue::LongInt(2)));
        assert_eq!(declare(&channel, "q").await.unwrap().message_count(), 2);
        broker.restart();
        let connection = broker.connect("guest", "%2f").await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        for _ in 0..5 {
            publish(&channel, "", "q").await.unwrap();
        }
        assert_eq!(declare(&channel, "q").await.unwrap().message_count(), 2);
    });
}

#[test]
fn topics_and_limits_are_refused_to_the_client() {
    with_broker(|broker| async move {
        broker.apply(put_user("bob"));
        broker.apply(put_permissions("/", "bob"));
        let permissions = TopicPermissionSpec { write: name("^a"), read: name("^a") };
        let (vhost, user, exchange) = (name("/"), name("bob"), name("amq.topic"));
        broker.apply(Change::PutTopicPermissions { vhost, user, exchange, permissions });
        let value = Some(0);
        broker.apply(Change::SetVhostLimit { vhost: name("/"), limit: VhostLimit::MaxQueues, value });
        let connection = broker.connect("bob", "%2f").await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        publish(&channel, "amq.topic", "a.b").await.unwrap();
        let text = refusal(publish(&channel, "amq.topic", "b").await);
        assert!(text.contains("write access to topic 'b' in exchange 'amq.topic' in vhost '/'"), "{text}");
        let channel = connection.create_channel().await.unwrap();
        let text = refusal(declare(&channel, "q").await);
        assert!(text.contains("queue limit in vhost '/' (0) is reached"), "{text}");
        let channel = connection.create_channel().await.unwrap();
        let options = ExchangeDeclareOptions::default();
        let kind = lapin::ExchangeKind::Topic;
        channel.exchange_declare("x".into(), kind, options, FieldTable::default()).await.unwrap();
        publish(&channel, "x", "b").await.unwrap();
    });
}

#[test]
fn a_blocked_publisher_is_told_so_and_consumers_go_on() {
    use lapin::options::BasicGetOptions;
    // Less than any process has.
    let broker = Broker::start_with(&["--memory-limit", "1"]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let test = async move {
        let consuming = broker.connect("guest", "%2f").await.unwrap();
        let consumer = consuming.create_channel().await.unwrap();
        let connection = broker.connect("guest", "%2f").await.unwrap();
        let mut events = connection.events_listener();
        let channel = connection.create_channel().await.unwrap();
        declare(&channel, "q").await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let blocked = tokio::time::timeout(Duration::from_millis(300), publish(&channel, "", "q")).await;
        assert!(blocked.is_err(), "it is kept aside");
        let reason = loop {
            match events.next().await {
                Some(lapin::Event::ConnectionBlocked(reason)) => break reason.as_str().to_owned(),
                Some(_) => {}
                None => break String::new(),
            }
        };
        assert_eq!(reason, "low on memory");
        assert!(consumer.basic_get("q".into(), BasicGetOptions::default()).await.unwrap().is_none());
    };
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), test).await.unwrap() });
}

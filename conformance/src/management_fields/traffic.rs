//! A little traffic in a vhost of its own, by AMQP and over the management interface, so that whatever is counted anywhere has been.

use std::cell::Cell;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use serde_json::{Value, json};

use crate::channel::{Channel, delivery};
use crate::connection::{Connection, Login, PATIENCE, Target};
use crate::entity::{Consume, Exchange, Message, Queue};
use crate::management::Management;
use crate::outcome::{Step, Stop};
use crate::trace::Trace;
use crate::wire::{Properties, Table};

/// What everything begins with that this makes, its vhost in particular.
pub(super) const OURS: &str = "conformance-fields";
const VHOST: &str = OURS;
const USER: &str = "conformance-fields-user";
/// What the client calls its connections.
const PUBLISHER: &str = "conformance-fields publisher";
const CONSUMER: &str = "conformance-fields consumer";
/// A queue's name that has to be encoded.
const ODD: &str = "fields-c/2 %ü";
/// Messages to a key in one burst.
const BURST: u64 = 20;

pub(super) struct Traffic<'a> {
    management: &'a Management<'a>,
    pub(super) node: String,
    /// The connections' names, as the broker calls them.
    publishing: String,
    consuming: String,
    publisher: Channel,
    consumer: Channel,
    /// How many of its publishes are confirmed.
    published: Cell<u64>,
}

fn done<T>(step: Step<T>) -> Result<T> {
    step.map_err(|stop| match stop {
        Stop::Fail(reason) | Stop::Skip(reason) => anyhow!("making traffic: {reason}"),
    })
}

impl<'a> Traffic<'a> {
    /// Makes users, limits, policies, connections and what is declared.
    pub(super) fn begin(target: &Target, management: &'a Management<'a>) -> Result<Traffic<'a>> {
        let node = management.node()?;
        forget(management);
        administer(management, &target.user)?;
        let login = |user: &str, password: &str, name: &str| {
            let login = Login::of(target);
            let response = format!("\0{user}\0{password}").into_bytes();
            let properties = login.properties.clone().set("connection_name", name);
            Login { properties, response, vhost: VHOST.to_owned(), ..login }
        };
        let trace = Trace::default();
        let connect = |login: &Login| done(Connection::login(target, &trace, login));
        let publishing = connect(&login(&target.user, &target.password, PUBLISHER))?;
        let publisher = done(publishing.channel())?;
        done(declare(&publisher))?;
        let consuming = connect(&login(USER, "p", CONSUMER))?;
        let consumer = done(consuming.channel())?;
        done(consume(&consumer))?;
        // The topic has to be there before its permissions.
        let topics = json!({"exchange": "t", "write": "a.*", "read": ".*"});
        put(management, &format!("topic-permissions/{VHOST}/{USER}"), &topics)?;
        Ok(Traffic {
            management,
            node,
            publishing: name_of(management, PUBLISHER)?,
            consuming: name_of(management, CONSUMER)?,
            publisher,
            consumer,
            published: Cell::new(0),
        })
    }

    /// A path with the names that it stands for.
    pub(super) fn named(&self, path: &str) -> String {
        let escaped = |text: &str| {
            let bytes = text.bytes().map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            });
            bytes.collect::<String>()
        };
        path.replace("NODE", &escaped(&self.node))
            .replace("CONNECTION", &escaped(&self.publishing))
            .replace("CHANNEL", &escaped(&format!("{} (1)", self.publishing)))
            .replace("CONSUMER", &escaped(&format!("{} (1)", self.consuming)))
    }

    /// Publishes, gets and consumes in each way that is counted by itself.
    pub(super) fn burst(&self) -> Result<()> {
        done(self.publish())?;
        done(self.get())?;
        done(self.take_deliveries())?;
        let body =
            json!({"properties": {}, "routing_key": "k", "payload": "x", "payload_encoding": "string"});
        self.post(&format!("exchanges/{VHOST}/d/publish"), &body)?;
        let body = json!({"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"});
        self.post(&format!("queues/{VHOST}/fields-dlq/get"), &body)
    }

    /// Deletes all of it again. What cannot be deleted is no matter: the next run does it.
    pub(super) fn end(self) {
        forget(self.management);
    }

    fn publish(&self) -> Step {
        let (channel, first) = (&self.publisher, self.published.get() + 1);
        let properties = || {
            let headers = Table::new().set("h", 1);
            Properties::persistent().content_type("text/plain").headers(&headers).message_id("m").priority(1)
        };
        for _ in 0..BURST {
            for (exchange, key) in [("d", "k"), ("d", "k2"), ("t", "a.b")] {
                channel.publish(&Message::new(exchange, key, [b'x'; 50]).with(properties()));
            }
        }
        channel.publish(&Message::new("d", "nowhere", "dropped"));
        let last = first + 3 * BURST;
        channel.confirmed(first, last)?;
        channel.publish(&Message::new("d", "nowhere", "returned").mandatory());
        channel.returned()?;
        channel.confirmed(last + 1, last + 1)?;
        self.published.set(last + 1);
        Ok(())
    }

    /// With and without ack, with nothing there, and given back in both ways.
    fn get(&self) -> Step {
        let channel = &self.publisher;
        for queue in ["fields-c1", "fields-qq"] {
            if let Some(got) = channel.get(queue, false)? {
                channel.ack(got.tag, false);
            }
            channel.get(queue, true)?;
            for requeue in [false, true] {
                if let Some(got) = channel.get(queue, false)? {
                    channel.nack(got.tag, false, requeue);
                }
            }
        }
        channel.empty("fields-exclusive")?;
        // Consumers are behind: what is left would be more each time.
        channel.purge("fields-c1").map(drop)
    }

    /// Every third one that asks for it is acked.
    fn take_deliveries(&self) -> Step {
        while let Some(event) = self.consumer.event(Duration::from_millis(100))? {
            let got = delivery(event)?;
            if got.consumer == "acks" && got.tag % 3 == 0 {
                self.consumer.ack(got.tag, false);
            }
        }
        Ok(())
    }

    fn post(&self, path: &str, body: &Value) -> Result<()> {
        let answer = self.management.ask("POST", &format!("/api/{path}"), None, body.to_string())?;
        if answer.status == 200 { Ok(()) } else { bail!("POST {path}: {answer:?}") }
    }
}

/// Users, limits, policies and a parameter, and all rights for this user.
fn administer(management: &Management<'_>, user: &str) -> Result<()> {
    let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
    let policy = |definition| json!({"pattern": "^fields-c", "definition": definition, "apply-to": "queues", "priority": 1});
    for (path, body) in [
        (format!("vhosts/{VHOST}"), json!({"description": "d", "tags": "a,b"})),
        (format!("permissions/{VHOST}/{user}"), all.clone()),
        (format!("users/{USER}"), json!({"password": "p", "tags": "monitoring"})),
        (format!("permissions/{VHOST}/{USER}"), all),
        (format!("vhost-limits/{VHOST}/max-queues"), json!({"value": 100})),
        (format!("user-limits/{USER}/max-channels"), json!({"value": 100})),
        (format!("policies/{VHOST}/p"), policy(json!({"max-length": 1000}))),
        (format!("operator-policies/{VHOST}/op"), policy(json!({"message-ttl": 3_600_000}))),
        (format!("global-parameters/{OURS}-parameter"), json!({"value": {"a": 1}})),
    ] {
        put(management, &path, &body)?;
    }
    Ok(())
}

/// What the broker calls the connection that a client calls so.
fn name_of(management: &Management<'_>, provided: &str) -> Result<String> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let answer =
            management.ask("GET", &format!("/api/vhosts/{VHOST}/connections"), None, String::new())?;
        let connections = answer.said.as_ref().and_then(Value::as_array).into_iter().flatten();
        let mut ours = connections.filter(|connection| connection["user_provided_name"] == provided);
        if let Some(name) = ours.next().and_then(|found| found["name"].as_str()) {
            return Ok(name.to_owned());
        }
        sleep(Duration::from_millis(200));
    }
    bail!("{provided} is not listed")
}

fn put(management: &Management<'_>, path: &str, body: &Value) -> Result<()> {
    let answer = management.ask("PUT", &format!("/api/{path}"), None, body.to_string())?;
    if matches!(answer.status, 201 | 204) { Ok(()) } else { bail!("PUT {path}: {answer:?}") }
}

fn forget(management: &Management<'_>) {
    for path in
        [format!("vhosts/{VHOST}"), format!("users/{USER}"), format!("global-parameters/{OURS}-parameter")]
    {
        let _ = management.ask("DELETE", &format!("/api/{path}"), None, String::new());
    }
}

fn declare(channel: &Channel) -> Step {
    for (name, kind) in [("d", "direct"), ("t", "topic"), ("f", "fanout"), ("h", "headers"), ("ae", "fanout")]
    {
        channel.declare_exchange(&Exchange::new(name, kind).durable())?;
    }
    channel
        .declare_exchange(&Exchange::new("withae", "direct").durable().with("alternate-exchange", "ae"))?;
    let queue = Queue::new("fields-c1").with("x-dead-letter-exchange", "f");
    channel.declare(&queue.with("x-max-priority", 5))?;
    channel.declare(&Queue::new(ODD))?;
    channel.declare(&Queue::of("quorum", "fields-qq").with("x-delivery-limit", 5))?;
    channel.declare(&Queue::new("fields-dlq"))?;
    channel.declare(&Queue::new("fields-exclusive").exclusive())?;
    for (queue, exchange, key) in [
        ("fields-c1", "d", "k"),
        ("fields-c1", "t", "a.#"),
        ("fields-dlq", "f", ""),
        ("fields-qq", "d", "k2"),
    ] {
        channel.bind(queue, exchange, key)?;
    }
    let arguments = Table::new().set("x-match", "all").set("a", 1).set("b", "two");
    channel.bind_with(ODD, "h", "", &arguments)?;
    channel.bind_exchange("f", "t", "b.*")?;
    channel.confirm_select()
}

fn consume(channel: &Channel) -> Step {
    channel.qos(7, false)?;
    channel.consume_with(&Consume::new("fields-c1", "acks").with("x-priority", 2))?;
    channel.consume_with(&Consume::new("fields-qq", "needs none").no_ack()).map(drop)
}

//! Exchanges, queues, bindings and subscriptions: declared before a run, deleted after it, and forgotten by the
//! broker itself should the generator be killed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use leveret_codec::method::amqp::{AMQPClass, basic, confirm, exchange, queue};
use leveret_codec::table::{AMQPValue, FieldTable};

use crate::wire::{Connection, Template, header_properties, plain_properties};
use crate::workload::Topology;

/// The only channel in use on every connection.
pub(crate) const CHANNEL: u16 = 1;
/// A queue nobody uses for so long is deleted by the broker, in milliseconds.
const EXPIRES: i32 = 3_600_000;
/// Bindings sent before the first answer is read.
const PIPELINED: usize = 500;

/// What was declared for a run. All names begin with `bench.` and the generator's process id.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    topology: Topology,
    exchange: String,
    pub(crate) queues: Vec<String>,
    /// How long the bindings took.
    pub(crate) binding: Duration,
}

impl Declared {
    pub(crate) fn declare(connection: &mut Connection, topology: Topology) -> Result<Declared> {
        let prefix = format!("bench.{}", std::process::id());
        let kind = match topology {
            Topology::Queues(_) => None,
            Topology::Fanout(_) => Some("fanout"),
            Topology::Topic(_) => Some("topic"),
            Topology::Headers(_) => Some("headers"),
        };
        let mut declared = Declared {
            topology,
            exchange: kind.map(|_| prefix.clone()).unwrap_or_default(),
            queues: (0..topology.queues()).map(|n| format!("{prefix}.{n}")).collect(),
            binding: Duration::ZERO,
        };
        if let Some(kind) = kind {
            declare_exchange(connection, &declared.exchange, kind)?;
        }
        for queue in &declared.queues {
            declare_queue(connection, queue)?;
        }
        let started = Instant::now();
        declared.bind(connection).context("binding")?;
        declared.binding = started.elapsed();
        Ok(declared)
    }

    /// Deletes all of it.
    pub(crate) fn delete(&self, connection: &mut Connection) -> Result<()> {
        for queue in &self.queues {
            let delete = queue::Delete { queue: queue.as_str().into(), ..queue::Delete::default() };
            connection.call(CHANNEL, &AMQPClass::Queue(queue::AMQPMethod::Delete(delete)))?;
        }
        if !self.exchange.is_empty() {
            let exchange = self.exchange.as_str().into();
            let delete = exchange::Delete { exchange, ..exchange::Delete::default() };
            connection.call(CHANNEL, &AMQPClass::Exchange(exchange::AMQPMethod::Delete(delete)))?;
        }
        Ok(())
    }

    pub(crate) fn first_queue(&self) -> &str {
        self.queues.first().map_or("", String::as_str)
    }

    /// The messages to publish in turn, so that every queue and every binding gets its share.
    pub(crate) fn templates(&self, body: usize, persistent: bool) -> Vec<Template<'_>> {
        let template = |routing_key: String, properties| Template {
            exchange: &self.exchange,
            routing_key,
            properties,
            body,
        };
        let plain = plain_properties(persistent);
        match self.topology {
            Topology::Queues(_) => {
                self.queues.iter().map(|queue| template(queue.clone(), plain.clone())).collect()
            }
            Topology::Fanout(_) => vec![template(String::new(), plain)],
            Topology::Topic(bindings) => {
                (0..bindings).map(|n| template(format!("a.{n}.k.x"), plain.clone())).collect()
            }
            Topology::Headers(bindings) => (0..bindings)
                .map(|n| template(String::new(), header_properties(persistent, &numbered(n))))
                .collect(),
        }
    }

    fn bind(&self, connection: &mut Connection) -> Result<()> {
        match self.topology {
            Topology::Queues(_) => Ok(()),
            Topology::Fanout(_) => {
                let binds = self.queues.iter().map(|queue| self.binding(queue, String::new(), None));
                pipeline(connection, binds)
            }
            Topology::Topic(bindings) => {
                let queue = self.first_queue();
                let binds = (0..bindings).map(|n| self.binding(queue, format!("a.{n}.*.x"), None));
                pipeline(connection, binds)
            }
            Topology::Headers(bindings) => {
                let queue = self.first_queue();
                let binds = (0..bindings).map(|n| self.binding(queue, String::new(), Some(n)));
                pipeline(connection, binds)
            }
        }
    }

    fn binding(&self, queue: &str, routing_key: String, header: Option<usize>) -> AMQPClass {
        let mut arguments = header.map(numbered).unwrap_or_default();
        if header.is_some() {
            arguments.insert("x-match".into(), AMQPValue::LongString("all".into()));
        }
        AMQPClass::Queue(queue::AMQPMethod::Bind(queue::Bind {
            queue: queue.into(),
            exchange: self.exchange.as_str().into(),
            routing_key: routing_key.into(),
            nowait: false,
            arguments,
        }))
    }
}

pub(crate) fn confirm_select(connection: &mut Connection) -> Result<()> {
    let select = confirm::AMQPMethod::Select(confirm::Select::default());
    connection.call(CHANNEL, &AMQPClass::Confirm(select)).map(drop)
}

pub(crate) fn prefetch(connection: &mut Connection, count: u16) -> Result<()> {
    let qos = basic::Qos { prefetch_count: count, global: false };
    connection.call(CHANNEL, &AMQPClass::Basic(basic::AMQPMethod::Qos(qos))).map(drop)
}

/// Puts a `basic.consume` into the outbox. There is no answer to wait for: on a filled queue the deliveries would come
/// along with it.
pub(crate) fn subscribe(connection: &mut Connection, queue: &str, no_ack: bool) {
    let consume = basic::Consume {
        queue: queue.into(),
        consumer_tag: queue.into(),
        no_ack,
        nowait: true,
        ..basic::Consume::default()
    };
    connection.outbox.method(CHANNEL, &AMQPClass::Basic(basic::AMQPMethod::Consume(consume)));
}

/// Ready messages in a queue, by a passive declaration.
pub(crate) fn message_count(connection: &mut Connection, queue: &str) -> Result<u64> {
    let declare = queue::Declare { queue: queue.into(), passive: true, ..queue::Declare::default() };
    match connection.call(CHANNEL, &AMQPClass::Queue(queue::AMQPMethod::Declare(declare)))? {
        AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)) => Ok(u64::from(ok.message_count)),
        other => bail!("no queue.declare-ok but {other:?}"),
    }
}

pub(crate) fn declare_queue(connection: &mut Connection, name: &str) -> Result<()> {
    let declare = queue::AMQPMethod::Declare(queue_declare(name));
    connection.call(CHANNEL, &AMQPClass::Queue(declare)).map(drop)
}

pub(crate) fn queue_declare(name: &str) -> queue::Declare {
    let mut arguments = FieldTable::default();
    arguments.insert("x-expires".into(), AMQPValue::LongInt(EXPIRES));
    queue::Declare { queue: name.into(), durable: true, arguments, ..queue::Declare::default() }
}

fn declare_exchange(connection: &mut Connection, name: &str, kind: &str) -> Result<()> {
    let declare = exchange::AMQPMethod::Declare(exchange_declare(name, kind));
    connection.call(CHANNEL, &AMQPClass::Exchange(declare)).map(drop)
}

pub(crate) fn exchange_declare(name: &str, kind: &str) -> exchange::Declare {
    exchange::Declare {
        exchange: name.into(),
        kind: kind.into(),
        durable: true,
        auto_delete: true,
        ..exchange::Declare::default()
    }
}

/// Sends many methods without waiting for each one's answer, and reads all answers.
fn pipeline(connection: &mut Connection, methods: impl Iterator<Item = AMQPClass>) -> Result<()> {
    let mut unanswered = 0;
    for method in methods {
        connection.outbox.method(CHANNEL, &method);
        unanswered += 1;
        if unanswered == PIPELINED {
            connection.flush()?;
            for _ in 0..PIPELINED / 2 {
                bound(connection)?;
            }
            unanswered -= PIPELINED / 2;
        }
    }
    connection.flush()?;
    (0..unanswered).try_for_each(|_| bound(connection))
}

fn bound(connection: &mut Connection) -> Result<()> {
    let answer = connection.answer(CHANNEL)?;
    ensure!(
        matches!(answer, AMQPClass::Queue(queue::AMQPMethod::BindOk(_))),
        "no queue.bind-ok but {answer:?}"
    );
    Ok(())
}

fn numbered(n: usize) -> FieldTable {
    let mut table = FieldTable::default();
    table.insert("n".into(), AMQPValue::LongInt(i32::try_from(n).unwrap_or(i32::MAX)));
    table
}

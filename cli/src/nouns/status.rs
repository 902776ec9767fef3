//! `leveret status`: the broker at a glance.

use clap::Args;
use serde_json::{Value, json};

use super::Done;
use super::options::{Connect, Shape};
use crate::broker::{self, Broker, Failure, Path};
use crate::output::{Column, Kind, column};

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  leveret status\n  leveret status --format json --columns memory,memory_alarm"
)]
pub struct Status {
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    connect: Connect,
}

pub(super) const COLUMNS: &[Column] = &[
    column("version", "version", "VERSION", Kind::Text),
    column("at", "at", "AT", Kind::Text),
    column("uptime_seconds", "uptime_seconds", "UP SECONDS", Kind::Count),
    column("connections", "connections", "CONNECTIONS", Kind::Count),
    column("channels", "channels", "CHANNELS", Kind::Count),
    column("consumers", "consumers", "CONSUMERS", Kind::Count),
    column("exchanges", "exchanges", "EXCHANGES", Kind::Count),
    column("queues", "queues", "QUEUES", Kind::Count),
    column("ready", "ready", "READY", Kind::Count),
    column("unacked", "unacked", "UNACKED", Kind::Count),
    column("publish_rate", "publish_rate", "IN", Kind::Rate),
    column("deliver_rate", "deliver_rate", "OUT", Kind::Rate),
    column("memory", "memory", "MEMORY", Kind::Bytes),
    column("memory_limit", "memory_limit", "MEMORY LIMIT", Kind::Bytes),
    column("memory_alarm", "memory_alarm", "MEMORY ALARM", Kind::Flag),
    column("disk_free", "disk_free", "DISK FREE", Kind::Bytes),
    column("disk_limit", "disk_limit", "DISK LIMIT", Kind::Bytes),
    column("disk_alarm", "disk_alarm", "DISK ALARM", Kind::Flag),
    column("files", "files", "FILES", Kind::Count),
    column("files_limit", "files_limit", "FILES LIMIT", Kind::Count),
    column("listeners", "listeners", "LISTENERS", Kind::Words),
];

impl Status {
    pub(super) fn run(self) -> Result<Done, Failure> {
        let broker = self.connect.broker()?;
        self.connect.show(&self.shape, COLUMNS, &of(&broker)?)?;
        Ok(Done::Yes)
    }
}

/// What is said of the whole broker, in one thing.
pub(super) fn of(broker: &Broker) -> Result<Value, Failure> {
    let overview = broker.get(Path::api("overview"))?;
    // Who may only see their own things is not told of the node.
    let nodes = match broker.get(Path::api("nodes")) {
        Err(failure) if failure.kind == broker::Kind::NotAllowed => Value::Null,
        nodes => nodes?,
    };
    let node = &nodes[0];
    let (totals, stats) = (&overview["object_totals"], &overview["message_stats"]);
    let listeners: Vec<String> =
        overview["listeners"].as_array().into_iter().flatten().map(listener).collect();
    Ok(json!({
        "version": product(&overview),
        "at": broker.place(),
        "uptime_seconds": node["uptime"].as_u64().map(|milliseconds| milliseconds / 1000),
        "connections": totals["connections"],
        "channels": totals["channels"],
        "consumers": totals["consumers"],
        "exchanges": totals["exchanges"],
        "queues": totals["queues"],
        "ready": overview["queue_totals"]["messages_ready"],
        "unacked": overview["queue_totals"]["messages_unacknowledged"],
        "publish_rate": stats["publish_details"]["rate"],
        "deliver_rate": stats["deliver_get_details"]["rate"],
        "memory": node["mem_used"],
        "memory_limit": node["mem_limit"],
        "memory_alarm": node["mem_alarm"],
        "disk_free": node["disk_free"],
        "disk_limit": node["disk_free_limit"],
        "disk_alarm": node["disk_free_alarm"],
        "files": node["fd_used"],
        "files_limit": node["fd_total"],
        "listeners": listeners,
    }))
}

/// What the broker is. Leveret says it where RabbitMQ says on what it runs: everything else there is what tools ask RabbitMQ for.
pub(super) fn product(overview: &Value) -> String {
    let text = |name: &str| overview[name].as_str().unwrap_or_default();
    match text("erlang_full_version").strip_prefix("none: ") {
        Some(own) => own.to_owned(),
        None => format!("{} {}", text("product_name"), text("product_version")),
    }
}

/// As `amqp://127.0.0.1:5672`.
fn listener(listener: &Value) -> String {
    let text = |name: &str| listener[name].as_str().unwrap_or_default();
    let address = text("ip_address");
    let address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    format!("{}://{address}:{}", text("protocol"), listener["port"])
}

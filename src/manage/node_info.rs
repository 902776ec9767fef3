//! The node, as RabbitMQ describes it: what it is, what it listens on, how much it has of everything. What means something to
//! Erlang alone is 0, or empty.

use std::net::SocketAddr;

use serde_json::{Map, Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::rates::{self, Window, Windows};
use super::samples::Rates;
use super::totals::Sum;
use crate::model::counters::ChannelCount;
use crate::model::names::NODE;
use crate::routing::ExchangeKind;
use crate::server::{Facts, UNLIMITED};

/// What clients take this for: they decide by it what they may ask.
pub(super) const RABBITMQ_VERSION: &str = "4.3.0";
/// There is no Erlang; clients look for a number.
pub(super) const ERLANG_VERSION: &str = "0";

const SETS: [&str; 7] = [
    "channel_closed",
    "channel_created",
    "connection_closed",
    "connection_created",
    "queue_created",
    "queue_declared",
    "queue_deleted",
];

/// How often something came and went, in the order of RabbitMQ's names.
pub(super) fn churn(call: &Call<'_>, sum: &Sum) -> [u64; SETS.len()] {
    let churn = call.clients().churn();
    let (created, deleted) = call.context.administrator.queue_churn();
    let declared = sum.node.connections.counters[ChannelCount::DeclareQueue];
    [
        churn.channels_closed,
        churn.channels_opened,
        churn.connections_closed,
        churn.connections_opened,
        created,
        declared,
        deleted,
    ]
}

/// The same with how it changes.
pub(super) fn churn_rates(call: &Call<'_>, sum: &Sum, window: Option<Window>) -> Map<String, Value> {
    let values = churn(call, sum);
    let rates = call.context.samples.churn(call.context.administrator.facts().now(), &values);
    let mut described = Map::new();
    rates::write(&mut described, &SETS, &values, 0, rates.as_ref(), window);
    described
}

pub(super) fn exchange_types() -> Value {
    let types = ExchangeKind::all().into_iter().map(ExchangeKind::as_str).map(|name| {
        json!({
            "name": name,
            "description": format!("AMQP {name} exchange"),
            "enabled": true,
            "internal_purpose": "",
        })
    });
    types.collect()
}

/// What is listened on, for AMQP at `open`.
pub(super) fn listeners(open: &[SocketAddr], facts: &Facts) -> Value {
    let (http, metrics) = (&*facts.management, &*facts.metrics);
    let all = [(open, "amqp"), (http, "http"), (metrics, "http/prometheus")];
    let all =
        all.into_iter().flat_map(|(addresses, protocol)| addresses.iter().map(move |at| (at, protocol)));
    all.map(|(address, protocol)| {
        let (ip, port) = (address.ip().to_string(), address.port());
        let options = if protocol == "amqp" {
            json!({"backlog": 128, "nodelay": true, "linger": [true, 0], "exit_on_close": false})
        } else {
            json!({"cowboy_opts": {"sendfile": false}, "ip": ip, "port": port, "protocol": protocol})
        };
        json!({
            "node": NODE, "protocol": protocol, "ip_address": ip, "port": port, "tls": false,
            "socket_opts": options,
        })
    })
    .collect()
}

/// What administrators and who reads metrics connect to.
pub(super) fn contexts(facts: &Facts, with_node: bool) -> Value {
    let context = |address: &SocketAddr, description: &str, path: &str| {
        let mut context = json!({
            "ssl_opts": [],
            "description": description,
            "path": path,
            "cowboy_opts": "[]",
            "ip": address.ip().to_string(),
            "port": address.port().to_string(),
            "protocol": "http",
        });
        if with_node {
            context["node"] = NODE.into();
        }
        context
    };
    let management = facts.management.iter().map(|at| context(at, "RabbitMQ Management", "/"));
    let metrics = facts.metrics.iter().map(|at| context(at, "RabbitMQ Prometheus", "/metrics"));
    management.chain(metrics).collect()
}

pub(super) async fn list(call: &Call<'_>) -> Outcome {
    Ok(Answer::Found(Value::Array(vec![describe(call).await?])))
}

pub(super) async fn get(call: &Call<'_>, node: &str) -> Outcome {
    check(node)?;
    Ok(Answer::Found(describe(call).await?))
}

fn check(node: &str) -> Result<(), Refusal> {
    if node == NODE { Ok(()) } else { Err(Refusal::NotFound) }
}

/// Of what the process has, no part is known by what it is for.
pub(super) async fn memory(call: &Call<'_>, node: &str) -> Outcome {
    check(node)?;
    let used = call.context.administrator.facts().memory_used();
    let mut memory = Map::new();
    for part in MEMORY_PARTS {
        memory.insert((*part).to_owned(), 0.into());
    }
    memory.insert("other_system".to_owned(), used.into());
    memory.insert("strategy".to_owned(), "rss".into());
    memory.insert("total".to_owned(), json!({"allocated": used, "erlang": 0, "rss": used}));
    Ok(Answer::Found(json!({"memory": memory})))
}

/// The same in percent.
pub(super) async fn relative_memory(node: &str) -> Outcome {
    check(node)?;
    let mut memory = Map::new();
    for part in MEMORY_PARTS {
        memory.insert((*part).to_owned(), 0.into());
    }
    memory.insert("other_system".to_owned(), 100.into());
    memory.insert("total".to_owned(), 100.into());
    Ok(Answer::Found(json!({"memory": memory})))
}

const MEMORY_PARTS: &[&str] = &[
    "allocated_unused",
    "atom",
    "binary",
    "code",
    "connection_channels",
    "connection_other",
    "connection_readers",
    "connection_writers",
    "metadata_store",
    "metadata_store_ets",
    "metrics",
    "mgmt_db",
    "mnesia",
    "msg_index",
    "other_ets",
    "other_proc",
    "plugins",
    "queue_procs",
    "quorum_ets",
    "quorum_queue_dlx_procs",
    "quorum_queue_procs",
    "reserved_unallocated",
    "stream_queue_coordinator_procs",
    "stream_queue_procs",
    "stream_queue_replica_reader_procs",
];

/// Values that RabbitMQ gives with their rates.
const RATED: [&str; 25] = [
    "disk_free",
    "fd_used",
    "gc_bytes_reclaimed",
    "gc_num",
    "io_read_avg_time",
    "io_read_bytes",
    "io_read_count",
    "io_reopen_count",
    "io_seek_avg_time",
    "io_seek_count",
    "io_sync_avg_time",
    "io_sync_count",
    "io_write_avg_time",
    "io_write_bytes",
    "io_write_count",
    "mem_used",
    "mnesia_disk_tx_count",
    "mnesia_ram_tx_count",
    "msg_store_read_count",
    "msg_store_write_count",
    "proc_used",
    "queue_index_read_count",
    "queue_index_write_count",
    "sockets_used",
    "context_switches",
];

async fn describe(call: &Call<'_>) -> Result<Value, Refusal> {
    let administrator = &call.context.administrator;
    let (sum, _) = call.context.samples.node(administrator).await?;
    let store = administrator.store_counts().await?;
    let (facts, thresholds, alarms) =
        (administrator.facts(), administrator.thresholds(), administrator.alarms());
    let windows = Windows::read(call.query);
    let (files, most_files) = facts.files();
    let connections = call.clients().connections();
    let commits = store.commits.max(1);
    let rated: [u64; RATED.len()] = [
        facts.disk_free(),
        files,
        0,
        0,
        0,
        0,
        store.fetches,
        0,
        0,
        0,
        store.commit_times.sum / commits / 1000,
        store.commits,
        store.commit_times.sum / commits / 1000,
        store.bytes,
        store.commits,
        facts.memory_used(),
        0,
        0,
        store.fetched,
        0,
        0,
        0,
        0,
        connections,
        0,
    ];
    let churn = churn(call, &sum);
    let all: Vec<u64> = churn.iter().chain(&rated).copied().collect();
    let rates: Option<Rates> = call.context.samples.node_values(facts.now(), &all);
    let mut described = Map::new();
    rates::write(&mut described, &SETS, &churn, 0, rates.as_ref(), windows.node);
    rates::write(&mut described, &RATED, &rated, SETS.len(), rates.as_ref(), windows.node);
    let memory_limit = match thresholds.memory() {
        UNLIMITED => 0,
        bytes => bytes,
    };
    let rest = json!({
        "name": NODE,
        "type": "disc",
        "running": true,
        "being_drained": false,
        "os_pid": facts.process_id().to_string(),
        "uptime": facts.uptime(),
        "processors": facts.processors(),
        "fd_total": most_files,
        "sockets_total": facts.most_connections,
        "mem_limit": memory_limit,
        "mem_alarm": alarms.memory,
        "mem_calculation_strategy": "rss",
        "disk_free_limit": thresholds.disk(),
        "disk_free_alarm": alarms.disk,
        "proc_total": 0,
        "run_queue": 0,
        "rates_mode": "basic",
        "net_ticktime": 0,
        "partitions": [],
        "cluster_links": [],
        "db_dir": facts.data_dir.display().to_string(),
        "config_files": ["none"],
        "log_files": ["stderr"],
        "enabled_plugins": ["rabbitmq_management", "rabbitmq_prometheus"],
        "rabbitmq_version": RABBITMQ_VERSION,
        "erlang_version": ERLANG_VERSION,
        "erlang_full_version": concat!("none: Leveret ", env!("CARGO_PKG_VERSION")),
        "crypto_lib_version": "none",
        "applications": [{
            "name": "rabbit",
            "description": "Leveret, a message broker compatible with RabbitMQ",
            "version": RABBITMQ_VERSION,
        }],
        "auth_mechanisms": [
            {"name": "PLAIN", "description": "SASL PLAIN authentication mechanism", "enabled": true},
            {"name": "AMQPLAIN", "description": "QPid AMQPLAIN mechanism", "enabled": true},
        ],
        "exchange_types": exchange_types(),
        "contexts": contexts(facts, false),
        "metrics_gc_queue_length": {
            "channel_closed": 0,
            "channel_consumer_deleted": 0,
            "connection_closed": 0,
            "consumer_deleted": 0,
            "exchange_deleted": 0,
            "node_node_deleted": 0,
            "queue_deleted": 0,
            "vhost_deleted": 0,
        },
        "ra_open_file_metrics": {"ra_log_wal": 0, "ra_log_segment_writer": 0},
    });
    if let Value::Object(rest) = rest {
        described.extend(rest);
    }
    Ok(Value::Object(described))
}

//! Health checks. One that fails says why and ends with 69, by which probes tell it from one that could not be made.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde_json::json;

use super::{listeners, node};
use crate::broker::Path;
use crate::rabbitmq::call::Call;
use crate::rabbitmq::options::{HEADERS, flag, integer, text};
use crate::rabbitmq::output::{Output, Rows};
use crate::rabbitmq::term::Term;
use crate::rabbitmq::verb::{Answer, CTL, DIAGNOSTICS, QUEUES, Tools, UPGRADE, Verb, verb};
use crate::rabbitmq::wrong::{Invalid, UNAVAILABLE, Wrong};

/// How long a connection to a port may take.
const CONNECTING: Duration = Duration::from_secs(30);
const UNITS: [&str; 4] = ["days", "weeks", "months", "years"];
const TIMEOUT: &str = "[--timeout <timeout>]";

/// What protocols are also called, and what they are.
const PROTOCOLS: [(&str, &str); 8] = [
    ("amqp091", "amqp"),
    ("amqp0.9.1", "amqp"),
    ("amqp-0-9-1", "amqp"),
    ("amqps", "amqp/ssl"),
    ("management", "http"),
    ("http_api", "http"),
    ("prometheus", "http/prometheus"),
    ("http_prometheus", "http/prometheus"),
];

pub(super) const VERBS: &[Verb] = &[
    verb("alarms", TIMEOUT, "Says which alarms are in effect", alarms)
        .of(DIAGNOSTICS)
        .says(|call| format!("Asking node {} to report any known resource alarms ...", call.node())),
    verb("check_alarms", TIMEOUT, "Fails where memory or disk run short", check_alarms)
        .of(DIAGNOSTICS)
        .says(|call| format!("Asking node {} to report any local resource alarms ...", call.node())),
    verb("check_certificate_expiration", "[--within <period>] [--unit <unit>]", "Looks at certificates, which there are none", |call| {
        call.get(Path::api("version"))?;
        Ok(Output::line(format!("No certificates are expiring within {}.", period(call))))
    })
    .of(DIAGNOSTICS)
    .with(&[integer("within"), text("unit")])
    .checks(|call| match call.words.text("unit") {
        Some(unit) if !UNITS.contains(&unit) => {
            let known = UNITS.join(", ");
            Err(Invalid::usage(format!("\"unit '{unit}' is not supported. Please use one of: {known}\"")))
        }
        _ => Ok(()),
    })
    .says(|call| format!("Checking certificate expiration for all certificates on node {} ...", call.node())),
    verb(
        "check_for_quorum_queues_without_an_elected_leader",
        "[--vhost <vhost>] [--across-all-vhosts] <pattern>",
        "Succeeds: the one member of a quorum queue leads it",
        |call| {
            call.get(Path::api("version"))?;
            Ok(Output::line(format!("Node {} reported all quorum queue have an elected leader", call.node())))
        },
    )
    .of(DIAGNOSTICS)
    .takes(1, 1)
    .with(&[flag("across-all-vhosts")])
    .says(|_| "Checking for quorum queues without elected leaders...".to_owned()),
    verb(
        "check_if_any_deprecated_features_are_used",
        TIMEOUT,
        "Succeeds: deprecated features are not watched",
        |call| {
            call.get(Path::api("deprecated-features/used"))?;
            Ok(Output::line("Cluster reported no deprecated features in use"))
        },
    )
    .of(CTL.and(DIAGNOSTICS))
    .says(|_| "Checking if any deprecated features are used ...".to_owned()),
    single("check_if_cluster_has_classic_queue_mirroring_policy", "Succeeds: queues are not mirrored", DIAGNOSTICS.and(QUEUES), |_| {
        "Cluster reported no policies that enable classic queue mirroring".to_owned()
    })
    .says(|_| "Checking if cluster has any classic queue mirroring policy ...".to_owned()),
    single("check_if_metadata_store_is_initialized", "Succeeds once the broker answers", DIAGNOSTICS, is_initialized)
        .says(|call| format!("Checking if metadata store on node {} has finished initializing ...", call.node())),
    single(
        "check_if_metadata_store_is_initialized_with_data",
        "Succeeds once the broker answers",
        DIAGNOSTICS,
        is_initialized,
    )
    .says(|call| format!("Checking if metadata store on node {} has finished initializing ...", call.node())),
    single(
        "check_if_new_quorum_queue_replicas_have_finished_initial_sync",
        "Succeeds: a queue has one replica",
        DIAGNOSTICS.and(QUEUES),
        |call| format!("Node {} reported no queues with promotable replicas", call.node()),
    )
    .says(|call| format!("Checking if node {} runs promotable replicas of any queues ...", call.node())),
    single("check_if_node_is_quorum_critical", "Succeeds: the node is alone", DIAGNOSTICS.and(QUEUES), |call| {
        format!("Node {} seems to be the only one in a single node cluster, the check does not apply", call.node())
    })
    .says(|call| format!("Checking if node {} is critical for quorum of any queues/streams ...", call.node())),
    verb(
        "check_port_connectivity",
        "[--address <target address>] [--timeout <timeout>]",
        "Connects to every port that the broker listens on",
        connect,
    )
    .of(DIAGNOSTICS)
    .with(&[text("address")])
    .says(|call| {
        format!("Testing TCP connections to all active listeners on node {} using hostname resolution ...", call.node())
    }),
    verb("check_port_listener", "<port> [--timeout <timeout>]", "Fails where the broker does not listen on a port", port)
        .of(DIAGNOSTICS)
        .takes(1, 1)
        .checks(|call| match call.argument(0).parse::<u32>() {
            Ok(1..) => Ok(()),
            _ => Err(Invalid::argument("Argument must be a positive integer")),
        })
        .says(|call| {
            format!("Asking node {} if there's an active listener on port {} ...", call.node(), call.argument(0))
        }),
    verb(
        "check_protocol_listener",
        "<protocol> [--timeout <timeout>]",
        "Fails where the broker does not speak a protocol",
        protocol,
    )
    .of(DIAGNOSTICS)
    .takes(1, 1)
    .says(|call| {
        format!("Asking node {} if there's an active listener for protocol {} ...", call.node(), call.argument(0))
    }),
    verb("check_running", TIMEOUT, "Fails while clients are not let in", |call| {
        if node::is_running(call)? {
            return Ok(Output::line(running(call)));
        }
        Err(Wrong::error(UNAVAILABLE, not_running(call)))
    })
    .of(DIAGNOSTICS)
    .says(|call| format!("Checking if RabbitMQ is running on node {} ...", call.node())),
    single("check_virtual_hosts", "Succeeds: a vhost is up where it is", DIAGNOSTICS, |call| {
        format!("Node {} reported all vhosts as running", call.node())
    })
    .says(|call| format!("Checking if all vhosts are running on node {} ...", call.node())),
    verb("is_booting", TIMEOUT, "Says whether the broker is still starting, when it does not answer yet", |call| {
        call.get(Path::api("version"))?;
        let node = call.node();
        let what = format!(
            "RabbitMQ on node {node} is fully booted (check with is_running), stopped or has not started booting yet"
        );
        Ok(Output::line(what))
    })
    .of(DIAGNOSTICS)
    .says(|call| format!("Asking node {} for its boot status ...", call.node())),
    verb("is_running", TIMEOUT, "Says whether clients are let in", |call| {
        Ok(Output::line(if node::is_running(call)? { running(call) } else { not_running(call) }))
    })
    .of(DIAGNOSTICS)
    .says(|call| format!("Asking node {} for its status ...", call.node())),
    mirrored("list_operator_policies_with_classic_queue_mirroring")
        .says(|_| "Listing operator policies with classic queue mirroring ...".to_owned()),
    mirrored("list_policies_with_classic_queue_mirroring")
        .says(|_| "Listing policies with classic queue mirroring ...".to_owned()),
];

pub(super) const UPGRADING: &[Verb] = &[
    verb(
        "await_online_quorum_plus_one",
        "",
        "Waits for nothing: the node is alone",
        |call| {
            call.get(Path::api("version"))?;
            if call.words.is("quiet") || call.words.is("silent") {
                return Ok(Output::Nothing);
            }
            Ok(Output::line("Target node seems to be the only one in a single node cluster, the command does not apply"))
        },
    )
    .of(UPGRADE)
    .says(|call| {
        let seconds = call.words.timeout().map_or(120, |timeout| timeout.as_secs());
        format!(
            "Will wait for a quorum + 1 of nodes to be online for all quorum queues and streams for {seconds} seconds..."
        )
    }),
    single("has_reached_target_cluster_size", "Succeeds: the cluster is this node", CTL.and(DIAGNOSTICS).and(UPGRADE), |call| {
        format!("Target cluster size has been reached on node {}", call.node())
    })
    .says(|call| format!("Checking if target cluster size has been reached on node {} ...", call.node())),
];

pub(super) const DEPRECATED: &[Verb] = &[
    single(
        "check_if_node_is_mirror_sync_critical",
        "Succeeds: queues are not mirrored",
        DIAGNOSTICS.and(QUEUES),
        |_| "ok".to_owned(),
    )
    .says(|_| NO_OP.to_owned()),
    single("check_local_alarms", "Succeeds: see check_alarms", DIAGNOSTICS, |call| {
        format!("Node {} reported no local alarms", call.node())
    })
    .says(|_| NO_OP.to_owned()),
];

const NO_OP: &str = "This command is DEPRECATED and is a no-op. It will be removed in a future version.";

/// A check that a node which is alone passes, if it answers.
const fn single(
    name: &'static str,
    about: &'static str,
    tools: Tools,
    said: fn(&Call<'_>) -> String,
) -> Verb {
    Verb { passes: Some(said), ..verb(name, TIMEOUT, about, pass).of(tools) }
}

fn pass(call: &Call<'_>) -> Answer {
    call.get(Path::api("version"))?;
    Ok(call.verb.passes.map_or(Output::Nothing, |said| Output::line(said(call))))
}

/// A list that is empty.
const fn mirrored(name: &'static str) -> Verb {
    verb(name, "[--no-table-headers] [--timeout <timeout>]", "Lists nothing: queues are not mirrored", |_| {
        Ok(Output::Rows(Rows::default().listed_whole()))
    })
    .of(DIAGNOSTICS.and(QUEUES))
    .with(HEADERS)
}

fn is_initialized(call: &Call<'_>) -> String {
    format!("Metadata store on node {} has completed its initialization", call.node())
}

fn running(call: &Call<'_>) -> String {
    format!("RabbitMQ on node {} is fully booted and running", call.node())
}

fn not_running(call: &Call<'_>) -> String {
    format!(
        "RabbitMQ on node {} is not running or has not fully booted yet (check with is_booting)",
        call.node()
    )
}

fn period(call: &Call<'_>) -> String {
    let within = call.words.integer("within").unwrap_or(4);
    format!("{within} {}", call.words.text("unit").unwrap_or("weeks"))
}

/// The alarms in effect, by what they are called, with a sentence each.
fn in_effect(call: &Call<'_>) -> Result<Vec<(&'static str, String)>, Wrong> {
    let nodes = call.get(Path::api("nodes").query("columns", "mem_alarm,disk_free_alarm"))?;
    let name = call.node();
    let known =
        [("mem_alarm", "memory", "Memory alarm"), ("disk_free_alarm", "disk", "Free disk space alarm")];
    let set = known.into_iter().filter(|(field, ..)| nodes[0][*field] == true);
    Ok(set.map(|(_, alarm, said)| (alarm, format!("{said} on node {name}"))).collect())
}

fn alarms(call: &Call<'_>) -> Answer {
    let node = call.node();
    let alarms = in_effect(call)?;
    let term = Term::of(&json!({
        "result": "ok",
        "node": node,
        "alarms": alarms.iter().map(|(alarm, _)| json!({ "resource": alarm, "node": node })).collect::<Vec<_>>(),
    }));
    let said: Vec<String> = alarms.into_iter().map(|(_, said)| said + "\n").collect();
    let text = if said.is_empty() { no_alarms(call) + "\n" } else { said.concat() };
    Ok(Output::Document { text, term })
}

fn no_alarms(call: &Call<'_>) -> String {
    format!("Node {} reported no alarms, local or clusterwide", call.node())
}

fn check_alarms(call: &Call<'_>) -> Answer {
    let alarms = in_effect(call)?;
    if alarms.is_empty() {
        return Ok(Output::line(no_alarms(call)));
    }
    let said: Vec<String> = alarms.into_iter().map(|(_, said)| said).collect();
    Err(Wrong::bare(UNAVAILABLE, said.join("\n")))
}

fn port(call: &Call<'_>) -> Answer {
    let (overview, node, port) = (call.get(Path::api("overview"))?, call.node(), call.argument(0));
    let ports: Vec<String> = listeners::of(&overview).map(|(_, port, _)| port.to_string()).collect();
    if ports.iter().any(|known| known == port) {
        return Ok(Output::line(format!("A listener for port {port} is running on node {node}.")));
    }
    let known = ports.join(", ");
    let what = format!(
        "No listener for port {port} is active on node {node}. Found listeners that use the following ports: {known}"
    );
    Err(Wrong::bare(UNAVAILABLE, what))
}

fn protocol(call: &Call<'_>) -> Answer {
    let (overview, node, given) = (call.get(Path::api("overview"))?, call.node(), call.argument(0));
    let asked = given.to_lowercase();
    let known_as = PROTOCOLS.iter().find(|(name, _)| *name == asked);
    let asked = known_as.map_or(asked.as_str(), |(_, protocol)| protocol);
    let mut protocols: Vec<&str> = listeners::of(&overview).map(|(_, _, protocol)| protocol).collect();
    if protocols.contains(&asked) {
        return Ok(Output::line(format!("A listener for protocol {asked} is running on node {node}.")));
    }
    protocols.sort_unstable();
    protocols.dedup();
    let known = protocols.join(", ");
    let what = format!(
        "No listener for protocol {asked} is active on node {node}. \
         Found listeners for the following protocols: {known}"
    );
    Err(Wrong::error(UNAVAILABLE, what))
}

fn connect(call: &Call<'_>) -> Answer {
    let (overview, node) = (call.get(Path::api("overview"))?, call.node());
    let mut ports = Vec::new();
    for (address, port, _) in listeners::of(&overview) {
        let host = call.words.text("address").unwrap_or(address);
        println!("Will connect to {host}:{port}");
        let port = u16::try_from(port).unwrap_or_default();
        let mut resolved = (host, port).to_socket_addrs().into_iter().flatten();
        let connected = resolved.any(|address| TcpStream::connect_timeout(&address, CONNECTING).is_ok());
        if !connected {
            let what = format!(
                "Connection to ports of the following listeners on node {node} failed: {host}:{port}"
            );
            return Err(Wrong::error(UNAVAILABLE, what));
        }
        ports.push(port.to_string());
    }
    let ports = ports.join(", ");
    Ok(Output::line(format!(
        "Successfully connected to ports {ports} on node {node} (using node hostname resolution)"
    )))
}

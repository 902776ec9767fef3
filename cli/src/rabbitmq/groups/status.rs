//! What the node says of itself: its status, that of the cluster of one, its configuration, and all of it in a report.

use serde_json::{Value, json};

use super::listeners;
use super::memory::{self, Unit};
use crate::broker::{Failure, Path};
use crate::rabbitmq::call::Call;
use crate::rabbitmq::options::text;
use crate::rabbitmq::output::{Output, is_for_programs};
use crate::rabbitmq::term::Term;
use crate::rabbitmq::verb::{Answer, CTL, DIAGNOSTICS, Verb, verb};
use crate::rabbitmq::wrong::{Invalid, Wrong};

pub(super) const VERBS: &[Verb] = &[
    verb("report", "", "Says all that whoever helps would ask for", report)
        .of(CTL.and(DIAGNOSTICS))
        .says(|call| format!("Reporting server status of node {} ...\n", call.node())),
    verb("status", "[--unit <unit>] [--timeout <timeout>]", "Says how the broker is", status)
        .of(CTL.and(DIAGNOSTICS))
        .with(&[text("unit")])
        .checks(memory::has_unit)
        .says(|call| format!("Status of node {} ...", call.node())),
];

pub(super) const CLUSTER: &[Verb] = &[verb(
    "cluster_status",
    "[--timeout <timeout>]",
    "Says how the cluster is, which is this node",
    cluster_status,
)
.of(CTL.and(DIAGNOSTICS))
.says(|call| format!("Cluster status of node {} ...", call.node()))];

pub(super) const CONFIGURATION: &[Verb] =
    &[verb("environment", "", "Says what the broker was told and what it made of it", environment)
        .of(CTL.and(DIAGNOSTICS))
        .says(|call| format!("Application environment of node {} ...", call.node()))];

/// Headings with lines below them.
#[derive(Default)]
struct Sections(Vec<String>);

impl Sections {
    fn add(&mut self, heading: &str, mut lines: Vec<String>) {
        if lines.is_empty() {
            lines.push("(none)".to_owned());
        }
        self.0.push(format!("{heading}\n\n{}\n", lines.join("\n")));
    }

    fn text(&self) -> String {
        self.0.join("\n")
    }
}

/// Texts of a JSON array.
fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn bulleted(value: &Value) -> Vec<String> {
    texts(value).map(|text| format!(" * {text}")).collect()
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// The node, as the management API describes it.
fn described(call: &Call<'_>) -> Result<Value, Failure> {
    let mut nodes = call.get(Path::api("nodes"))?;
    Ok(nodes.get_mut(0).map(Value::take).unwrap_or_default())
}

/// The alarms in effect, as they are called in a status.
fn alarms(node: &Value) -> Vec<&'static str> {
    let known = [("mem_alarm", "memory"), ("disk_free_alarm", "disk")];
    known.into_iter().filter(|(field, _)| node[*field] == true).map(|(_, alarm)| alarm).collect()
}

fn alarms_of(node: &Value, name: &str) -> Vec<String> {
    let said = |alarm| match alarm {
        "memory" => format!("Memory alarm on node {name}"),
        _ => format!("Free disk space alarm on node {name}"),
    };
    alarms(node).into_iter().map(said).collect()
}

fn status(call: &Call<'_>) -> Answer {
    let (node, overview) = (described(call)?, call.get(Path::api("overview"))?);
    let vhosts = call.get(Path::api("vhosts").query("columns", "name"))?;
    let vhosts = vhosts.as_array().map_or(0, Vec::len);
    let breakdown = memory::breakdown(call)?;
    let term = Term::of(&json!({
        "pid": text_of(&node["os_pid"]).parse::<u64>().unwrap_or_default(),
        "os": "Linux",
        "uptime": number(&node["uptime"]) / 1000,
        "is_under_maintenance": node["being_drained"],
        "rabbitmq_version": overview["rabbitmq_version"],
        "product_name": "Leveret",
        "product_version": env!("CARGO_PKG_VERSION"),
        "erlang_version": node["erlang_full_version"],
        "crypto_lib_version": node["crypto_lib_version"],
        "processes": {"used": 0, "limit": 0},
        "run_queue": 0,
        "net_ticktime": 0,
        "enabled_plugin_file": "none",
        "active_plugins": node["enabled_plugins"],
        "data_directory": node["db_dir"],
        "raft_data_directory": "none",
        "config_files": node["config_files"],
        "log_files": node["log_files"],
        "alarms": alarms(&node),
        "tags": [],
        "memory": breakdown.json(),
        "vm_memory_calculation_strategy": node["mem_calculation_strategy"],
        "vm_memory_high_watermark_setting": {"absolute": node["mem_limit"]},
        "vm_memory_high_watermark_limit": node["mem_limit"],
        "disk_free_limit": node["disk_free_limit"],
        "disk_free": node["disk_free"],
        "totals": {
            "connection_count": overview["object_totals"]["connections"],
            "queue_count": overview["object_totals"]["queues"],
            "virtual_host_count": vhosts,
        },
        "listeners": listeners::json(&overview),
    }));
    let unit = Unit::of(call);
    let text = status_text(call, &node, &overview, vhosts, &breakdown, unit);
    Ok(Output::Document { text, term })
}

fn status_text(
    call: &Call<'_>,
    node: &Value,
    overview: &Value,
    vhosts: usize,
    breakdown: &memory::Breakdown,
    unit: Unit,
) -> String {
    let mut sections = Sections::default();
    let plugins = bulleted(&node["enabled_plugins"]);
    sections.add(
        "Runtime",
        vec![
            format!("OS PID: {}", text_of(&node["os_pid"])),
            "OS: Linux".to_owned(),
            format!("Uptime (seconds): {}", number(&node["uptime"]) / 1000),
            format!("Is under maintenance?: {}", node["being_drained"]),
            format!("RabbitMQ version: {}", text_of(&overview["rabbitmq_version"])),
            format!("Node name: {}", call.node()),
            format!("Erlang configuration: {}", text_of(&node["erlang_full_version"])),
            format!("Crypto library: {}", text_of(&node["crypto_lib_version"])),
        ],
    );
    let enabled = vec!["Enabled plugin file: none".to_owned(), "Enabled plugins:\n".to_owned()];
    sections.add("Plugins", enabled.into_iter().chain(plugins).collect());
    sections.add("Data directory", vec![format!("Node data directory: {}", text_of(&node["db_dir"]))]);
    sections.add("Config files", bulleted(&node["config_files"]));
    sections.add("Log file(s)", bulleted(&node["log_files"]));
    sections.add("Alarms", alarms_of(node, &call.node()));
    sections.add("Tags", Vec::new());
    let limit = number(&node["mem_limit"]);
    let mut lines = vec![
        format!("Total memory used: {}", unit.amount(breakdown.total)),
        format!("Calculation strategy: {}", text_of(&node["mem_calculation_strategy"])),
        match limit {
            0 => "Memory high watermark setting: none".to_owned(),
            bytes => format!("Memory high watermark setting: {}", unit.amount(bytes)),
        },
        String::new(),
    ];
    lines.extend(breakdown.lines(unit));
    sections.add("Memory", lines);
    sections.add(
        "Free Disk Space",
        vec![
            format!("Low free disk space watermark: {}", unit.amount(number(&node["disk_free_limit"]))),
            format!("Free disk space: {}", unit.amount(number(&node["disk_free"]))),
        ],
    );
    sections.add(
        "Totals",
        vec![
            format!("Connection count: {}", overview["object_totals"]["connections"]),
            format!("Queue count: {}", overview["object_totals"]["queues"]),
            format!("Virtual host count: {vhosts}"),
        ],
    );
    sections.add("Listeners", listeners::lines(overview));
    sections.text()
}

fn cluster_status(call: &Call<'_>) -> Answer {
    let (node, overview) = (described(call)?, call.get(Path::api("overview"))?);
    let flags = call.get(Path::api("feature-flags"))?;
    let name = call.node();
    let version = text_of(&overview["rabbitmq_version"]);
    let term = Term::of(&json!({
        "cluster_name": overview["cluster_name"],
        "cluster_tags": [],
        "disk_nodes": [name],
        "running_nodes": [name],
        "versions": {&name: {"rabbitmq_name": "Leveret", "rabbitmq_version": version, "erlang_version": node["erlang_version"]}},
        "cpu_cores": {&name: node["processors"]},
        "maintenance_status": {&name: maintenance(&node)},
        "alarms": alarms(&node),
        "partitions": {},
        "listeners": {&name: listeners::json(&overview)},
        "feature_flags": flags,
    }));
    let mut sections = Sections::default();
    sections.add(
        "Basics",
        vec![
            format!("Cluster name: {}", text_of(&overview["cluster_name"])),
            format!("Total CPU cores available cluster-wide: {}", node["processors"]),
        ],
    );
    sections.add("Cluster Tags", Vec::new());
    sections.add("Disk Nodes", vec![name.clone()]);
    sections.add("Running Nodes", vec![name.clone()]);
    sections.add(
        "Versions",
        vec![format!("{name}: RabbitMQ {version}, as Leveret {}", env!("CARGO_PKG_VERSION"))],
    );
    sections.add("CPU Cores", vec![format!("Node: {name}, available CPU cores: {}", node["processors"])]);
    sections.add("Maintenance status", vec![format!("Node: {name}, status: {}", maintenance(&node))]);
    sections.add("Alarms", alarms_of(&node, &name));
    sections.add("Network Partitions", Vec::new());
    let of_node = |line: String| format!("Node: {name}, {}", line.replacen("Interface", "interface", 1));
    sections.add("Listeners", listeners::lines(&overview).into_iter().map(of_node).collect());
    let flag = |flag: &Value| format!("Flag: {}, state: {}", text_of(&flag["name"]), text_of(&flag["state"]));
    sections.add("Feature flags", flags.as_array().into_iter().flatten().map(flag).collect());
    Ok(Output::Document { text: sections.text(), term })
}

fn maintenance(node: &Value) -> &'static str {
    if node["being_drained"] == true { "marked for maintenance" } else { "not under maintenance" }
}

/// What the broker was told, by the names of its arguments, as the environment of an application.
fn environment(call: &Call<'_>) -> Answer {
    let reply = call.broker()?.send(hyper::Method::GET, Path::api("config/effective"), None)?.accepted()?;
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    let of_line = |line: &str| {
        let (name, value) = line.split_once(" = ")?;
        let value = value.parse().map_or_else(|_| Term::from(value), Term::Integer);
        Some((name.replace('-', "_"), value))
    };
    let fields: Vec<(String, Term)> = text.lines().filter_map(of_line).collect();
    let lines: Vec<String> =
        fields.iter().map(|(name, value)| format!("{{{name},{}}}", value.erlang())).collect();
    let text = format!("[{{rabbit,\n     [{}]}}]\n", lines.join(",\n      "));
    Ok(Output::Document { text, term: Term::Fields(vec![("rabbit".to_owned(), Term::Fields(fields))]) })
}

/// What each of these verbs says, one after the other. A vhost's are those of all vhosts.
fn report(call: &Call<'_>) -> Answer {
    if is_for_programs(call.words) {
        return Err(Wrong::Invalid(Invalid::argument("a report is for people: leave --formatter out")));
    }
    for name in ["status", "cluster_status", "environment", "list_connections", "list_channels"] {
        said(call, name, None)?;
    }
    let vhosts = call.get(Path::api("vhosts").query("columns", "name"))?;
    for vhost in vhosts.as_array().into_iter().flatten().filter_map(|vhost| vhost["name"].as_str()) {
        for name in ["list_queues", "list_exchanges", "list_bindings", "list_permissions", "list_policies"] {
            said(call, name, Some(vhost))?;
        }
    }
    said(call, "list_global_parameters", None)?;
    for vhost in vhosts.as_array().into_iter().flatten().filter_map(|vhost| vhost["name"].as_str()) {
        said(call, "list_parameters", Some(vhost))?;
    }
    Ok(Output::Nothing)
}

/// Says what another verb says, of a vhost.
fn said(call: &Call<'_>, name: &str, vhost: Option<&str>) -> Result<(), Wrong> {
    let Some(verb) = super::named(name) else { return Ok(()) };
    let words = call.words.instead(name, vhost);
    let part = call.instead(verb, &words);
    println!("{}", (verb.banner)(&part));
    println!("{}", (verb.act)(&part)?.text(&words));
    Ok(())
}

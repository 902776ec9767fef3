//! What the broker listens on, as the overview has it.

use serde_json::{Value, json};

/// Each with its interface, port and protocol.
pub(super) fn of(overview: &Value) -> impl Iterator<Item = (&str, u64, &str)> {
    overview["listeners"].as_array().into_iter().flatten().map(|listener| {
        let text = |field: &str| listener[field].as_str().unwrap_or_default();
        (text("ip_address"), listener["port"].as_u64().unwrap_or_default(), text("protocol"))
    })
}

fn purpose(protocol: &str) -> &str {
    match protocol {
        "amqp" => "AMQP 0-9-1",
        "http" => "HTTP API",
        "http/prometheus" => "Prometheus exporter API over HTTP",
        other => other,
    }
}

/// An IPv6 address stands in brackets.
fn interface(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

pub(super) fn lines(overview: &Value) -> Vec<String> {
    let line = |(address, port, protocol)| {
        let (interface, purpose) = (interface(address), purpose(protocol));
        format!("Interface: {interface}, port: {port}, protocol: {protocol}, purpose: {purpose}")
    };
    of(overview).map(line).collect()
}

pub(super) fn json(overview: &Value) -> Value {
    let node = &overview["node"];
    let listener = |(address, port, protocol)| {
        json!({
            "node": node,
            "port": port,
            "protocol": protocol,
            "interface": interface(address),
            "purpose": purpose(protocol),
        })
    };
    of(overview).map(listener).collect()
}

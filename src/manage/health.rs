//! Health checks: 200 where all is well, 503 and why where it is not (semantics 20.10). What concerns a cluster is well on one node.

use serde_json::{Value, json};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::clients;
use super::vhosts;
use crate::model::request::{DeclareQueue, Request};
use bytes::BytesMut;
use leveret_codec::properties::Properties;
use leveret_codec::table::FieldTable;

use crate::model::message::{Body, Message, Origin};
use crate::model::names::NODE;
use crate::server::Reception;

pub(super) async fn well() -> Outcome {
    Ok(Answer::Found(json!({"status": "ok"})))
}

/// 503 where no clients are let in.
pub(super) async fn in_service(call: &Call<'_>) -> Outcome {
    match call.context.administrator.reception() {
        Reception::Running => well().await,
        Reception::Suspended => {
            out_of_service("the node lets no new clients in: its listeners are suspended")
        }
        Reception::Stopped => out_of_service("the node lets no clients in: its listeners are stopped"),
    }
}

fn out_of_service(reason: &str) -> Outcome {
    Err(Refusal::Unwell(json!({"status": "failed", "reason": reason})))
}

/// 503 where memory or disk run short and publishers are blocked.
pub(super) async fn alarms(call: &Call<'_>, reason: &str) -> Outcome {
    let alarms = call.context.administrator.alarms();
    let of = |on: bool, resource: &str| on.then(|| json!({"node": NODE, "resource": resource}));
    let alarms: Vec<Value> =
        [of(alarms.memory, "memory"), of(alarms.disk, "disk")].into_iter().flatten().collect();
    if alarms.is_empty() {
        return well().await;
    }
    Err(Refusal::Unwell(json!({"status": "failed", "reason": reason, "alarms": alarms})))
}

pub(super) async fn quorum() -> Outcome {
    Ok(Answer::Found(json!({"status": "ok", "reason": "single node cluster"})))
}

/// Certificates are not had, so none expires.
pub(super) async fn certificates(within: &str, unit: &str) -> Outcome {
    if !["days", "weeks", "months", "years"].contains(&unit) {
        return Err(Refusal::bad("Time unit not recognised. Supported units: days, weeks, months, years."));
    }
    if within.parse::<u32>().is_err() {
        return Err(Refusal::bad("Invalid expiration value."));
    }
    well().await
}

pub(super) async fn port(call: &Call<'_>, port: &str) -> Outcome {
    let port: u16 = port.parse().map_err(|_| Refusal::bad("Invalid port"))?;
    let ports: Vec<u16> = listeners(call).into_iter().map(|(_, port)| port).collect();
    if ports.contains(&port) {
        return Ok(Answer::Found(json!({"status": "ok", "port": port})));
    }
    let reason = "No active listener";
    Err(Refusal::Unwell(json!({"status": "failed", "reason": reason, "missing": port, "ports": ports})))
}

/// `amqp` stands for both versions of it in RabbitMQ, and `amqp091` for one.
pub(super) async fn protocol(call: &Call<'_>, wanted: &str) -> Outcome {
    let mut protocols: Vec<&str> = listeners(call).into_iter().map(|(protocol, _)| protocol).collect();
    protocols.sort_unstable();
    protocols.dedup();
    let known =
        |wanted: &str| protocols.contains(&wanted) || (wanted == "amqp091" && protocols.contains(&"amqp"));
    let missing: Vec<&str> = wanted.split(',').filter(|wanted| !known(wanted)).collect();
    if missing.is_empty() {
        return Ok(Answer::Found(json!({"status": "ok", "protocols": protocols})));
    }
    let reason = "No active listener";
    Err(Refusal::Unwell(
        json!({"status": "failed", "reason": reason, "missing": missing, "protocols": protocols}),
    ))
}

fn listeners(call: &Call<'_>) -> Vec<(&'static str, u16)> {
    let administrator = &call.context.administrator;
    let (clients, listened) = (administrator.open_listeners(), administrator.facts());
    let amqp = clients.iter().map(|address| ("amqp", address.port()));
    amqp.chain(listened.management.iter().map(|address| ("http", address.port()))).collect()
}

/// Whether one more connection may come.
pub(super) async fn connection_limit(call: &Call<'_>) -> Outcome {
    let limit = call.view().read().node_limits().connections;
    let open = call.clients().count() as u64;
    match limit {
        Some(limit) if open >= limit => Err(Refusal::Unwell(json!({
            "status": "failed", "reason": "node connection limit is reached", "connections": open, "limit": limit,
        }))),
        _ => well().await,
    }
}

/// No quorum queue of one node is without a leader.
pub(super) async fn leaders() -> Outcome {
    well().await
}

/// Declares a queue, publishes to it and gets what was published, as the caller (semantics 20.10).
pub(super) async fn aliveness(call: &Call<'_>, vhost: &str) -> Outcome {
    const QUEUE: &str = "aliveness-test";
    let vhost = call.vhost(vhost)?;
    let mut client = clients::client(call, &vhost)?;
    let declare = DeclareQueue {
        name: QUEUE.into(),
        passive: false,
        durable: false,
        exclusive: false,
        auto_delete: false,
        arguments: FieldTable::default(),
    };
    client.request(Request::DeclareQueue(declare)).await.map_err(clients::declared)?;
    let body = Body::whole("test_message".into());
    let message = Message::new(
        &mut BytesMut::new(),
        b"",
        QUEUE.as_bytes(),
        Properties::default(),
        body,
        Origin::Client,
    );
    client.publish(message).await.map_err(clients::on_publish)?;
    let got = client.get(&QUEUE.into(), true).await.map_err(clients::on_channel)?;
    if got.is_none() {
        return Err(Refusal::Unwell(json!({"status": "failed", "reason": "a message was not got"})));
    }
    let delete = Request::DeleteQueue { name: QUEUE.into(), if_unused: false, if_empty: false };
    client.request(delete).await.map_err(clients::declared)?;
    well().await
}

/// Of this node, under its name.
pub(super) async fn node(name: &str) -> Outcome {
    vhosts::check_node(name)?;
    well().await
}

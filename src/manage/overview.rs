//! The overview: what the node is, what it has counted in all, and how that changes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::answer::{Answer, Outcome};
use super::call::Call;
use super::node_info::{self, ERLANG_VERSION, RABBITMQ_VERSION};
use super::rates::{self, Windows};
use super::samples::Rates;
use super::stats;
use super::totals::{CHANNELS_AT, Totals};
use crate::catalog::view::Vhost;
use crate::model::ids::Name;
use crate::model::names::NODE;

/// Whoever monitors is told of the whole node; others of what is in the vhosts that they see.
pub(super) async fn get(call: &Call<'_>) -> Outcome {
    let administrator = &call.context.administrator;
    let windows = Windows::read(call.query);
    let (sum, rates) = call.context.samples.node(administrator).await?;
    let mut described = basics();
    if call.caller.is_monitor() {
        let totals = &sum.node;
        let (queues, exchanges) = call.view().read().sizes();
        described.insert("queue_totals".to_owned(), lengths(totals, rates.as_ref(), &windows));
        let mut message_stats = stats::of_channels(
            &totals.values()[CHANNELS_AT..],
            CHANNELS_AT,
            rates.as_ref(),
            windows.messages,
        );
        let store = administrator.store_counts().await?;
        let disk = [store.fetched, store.commits];
        let disk_rates = call.context.samples.disk(administrator.facts().now(), &disk);
        if let Some(message_stats) = message_stats.as_object_mut() {
            let names = ["disk_reads", "disk_writes"];
            rates::write(message_stats, &names, &disk, 0, disk_rates.as_ref(), windows.messages);
        }
        described.insert("message_stats".to_owned(), message_stats);
        described.insert(
            "churn_rates".to_owned(),
            Value::Object(node_info::churn_rates(call, &sum, windows.messages)),
        );
        let object_totals = json!({
            "connections": call.clients().connections(),
            "channels": call.clients().channels(),
            "consumers": totals.consumers,
            "exchanges": exchanges,
            "queues": queues,
        });
        described.insert("object_totals".to_owned(), object_totals);
        let facts = administrator.facts();
        described
            .insert("listeners".to_owned(), node_info::listeners(&administrator.open_listeners(), facts));
        described.insert("contexts".to_owned(), node_info::contexts(facts, true));
    } else {
        described.extend(of_seen_vhosts(call, &sum.vhosts, &windows));
    }
    Ok(Answer::Found(Value::Object(described)))
}

fn of_seen_vhosts(call: &Call<'_>, vhosts: &BTreeMap<Name, Totals>, windows: &Windows) -> Map<String, Value> {
    let (mut seen, mut queues, mut exchanges) = (Totals::default(), 0, 0);
    let state = call.view().read();
    for vhost in state.vhosts().filter(|vhost: &&Vhost| call.caller.sees(vhost)) {
        let (its_queues, its_exchanges) = vhost.sizes();
        queues += its_queues;
        exchanges += its_exchanges;
        if let Some(totals) = vhosts.get(&vhost.name) {
            seen.ready += totals.ready;
            seen.unacked += totals.unacked;
            seen.consumers += totals.consumers;
            seen.connections += &totals.connections;
        }
    }
    drop(state);
    let own = call.clients().of_user(&call.caller.name);
    let channels = own.iter().filter_map(|id| call.clients().get(*id)).map(|client| client.channels);
    let mut described = Map::new();
    described.insert("queue_totals".to_owned(), lengths(&seen, None, windows));
    let values = &seen.values()[CHANNELS_AT..];
    described.insert("message_stats".to_owned(), stats::of_channels(values, CHANNELS_AT, None, None));
    let object_totals = json!({
        "connections": own.len(),
        "channels": channels.sum::<u64>(),
        "consumers": seen.consumers,
        "exchanges": exchanges,
        "queues": queues,
    });
    described.insert("object_totals".to_owned(), object_totals);
    described
}

fn lengths(totals: &Totals, rates: Option<&Rates>, windows: &Windows) -> Value {
    let mut described = Map::new();
    rates::write(&mut described, &stats::LENGTHS, &totals.values()[..3], 0, rates, windows.lengths);
    Value::Object(described)
}

fn basics() -> Map<String, Value> {
    let described = json!({
        "management_version": RABBITMQ_VERSION,
        "rates_mode": "basic",
        "sample_retention_policies": {"global": [600], "basic": [600], "detailed": [600]},
        "exchange_types": node_info::exchange_types(),
        "product_version": RABBITMQ_VERSION,
        "product_name": "RabbitMQ",
        "rabbitmq_version": RABBITMQ_VERSION,
        "cluster_name": NODE,
        "cluster_tags": {},
        "node_tags": {},
        "node": NODE,
        "default_queue_type": "classic",
        "erlang_version": ERLANG_VERSION,
        "erlang_full_version": concat!("none: Leveret ", env!("CARGO_PKG_VERSION")),
        "crypto_lib_version": "none",
        "disable_stats": false,
        "enable_queue_totals": false,
        "is_op_policy_updating_enabled": true,
        "require_definition_json_extension": false,
        "statistics_db_event_queue": 0,
    });
    match described {
        Value::Object(described) => described,
        _ => Map::new(),
    }
}

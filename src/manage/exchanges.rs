//! Exchanges as they are declared. The default exchange is called `amq.default` where a path needs a name.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::answer::Outcome;
use super::call::Call;
use super::json::from_table;
use super::listing::{self, ListingKey};
use super::page::Page;
use super::queue_json::name_policies;
use super::rates::{self, Windows};
use super::samples::Thing;
use super::totals::{Samples, Sum};
use crate::catalog::view::{Vhost, ViewState};
use crate::model::ids::{Name, Timestamp};

pub(super) async fn list(call: &Call<'_>, vhost: Option<&str>) -> Outcome {
    let names =
        |vhost: &Vhost, last: Option<&Name>, most| vhost.exchanges_after(last).take(most).cloned().collect();
    let sum = call.context.samples.sum(&call.context.administrator).await?;
    let (samples, windows) = (Arc::clone(&call.context.samples), Windows::read(call.query));
    let now = call.context.administrator.facts().now();
    let describe = move |state: &ViewState, key: &ListingKey| {
        describe(state, key, &Counted { sum: &sum, samples: &samples, windows, now })
    };
    listing::list_in_vhosts(call, vhost, Page::read(call.query)?, names, describe).await
}

pub(super) async fn get(call: &Call<'_>, vhost: &str, name: &str) -> Outcome {
    let sum = call.context.samples.sum(&call.context.administrator).await?;
    let now = call.context.administrator.facts().now();
    let counted =
        Counted { sum: &sum, samples: &call.context.samples, windows: Windows::read(call.query), now };
    let name = if name == "amq.default" { "" } else { name };
    listing::get_in_vhost(call, vhost, name, |state, key| {
        let mut described = describe(state, key, &counted)?;
        // By channel and by queue they are counted where it costs nothing, and RabbitMQ tells of it in a mode of its own.
        described["incoming"] = json!([]);
        described["outgoing"] = json!([]);
        Some(described)
    })
}

/// Where counts come from.
struct Counted<'a> {
    sum: &'a Sum,
    samples: &'a Samples,
    windows: Windows,
    now: Timestamp,
}

fn describe(state: &ViewState, (vhost, name): &ListingKey, counted: &Counted<'_>) -> Option<Value> {
    let exchange = state.exchange(vhost, name)?;
    let mut described = json!({
        "name": **name,
        "vhost": **vhost,
        "type": exchange.kind().as_str(),
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": from_table(&exchange.arguments),
        "user_who_performed_action": "rmq-internal",
    });
    name_policies(&mut described, &exchange.policies);
    let count = counted.sum.exchanges.get(&(vhost.clone(), name.clone())).copied().unwrap_or_default();
    let (values, thing) = ([count.published, count.routed], Thing::Exchange(exchange.id));
    let rates = counted.samples.thing(counted.now, thing, &values, counted.windows.wants_row());
    let mut stats = Map::new();
    let names = ["publish_in", "publish_out"];
    rates::write(&mut stats, &names, &values, 0, rates.as_ref(), counted.windows.messages);
    described["message_stats"] = Value::Object(stats);
    Some(described)
}

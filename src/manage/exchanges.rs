//! Exchanges as they are declared. The default exchange is called `amq.default` where a path needs a name.

use serde_json::{Value, json};

use super::answer::Outcome;
use super::call::Call;
use super::json::from_table;
use super::listing::{self, ListingKey};
use super::page::Page;
use super::queues::name_policies;
use crate::catalog::view::{Vhost, ViewState};
use crate::model::ids::Name;

pub(super) async fn list(call: &Call<'_>, vhost: Option<&str>) -> Outcome {
    let names =
        |vhost: &Vhost, last: Option<&Name>, most| vhost.exchanges_after(last).take(most).cloned().collect();
    listing::list_in_vhosts(call, vhost, Page::read(call.query)?, names, describe).await
}

pub(super) async fn get(call: &Call<'_>, vhost: &str, name: &str) -> Outcome {
    listing::get_in_vhost(call, vhost, if name == "amq.default" { "" } else { name }, describe)
}

fn describe(state: &ViewState, (vhost, name): &ListingKey) -> Option<Value> {
    let exchange = state.exchange(vhost, name)?;
    let mut described = json!({
        "name": **name,
        "vhost": **vhost,
        "type": exchange.kind().as_str(),
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": from_table(&exchange.arguments),
    });
    name_policies(&mut described, &exchange.policies);
    Some(described)
}

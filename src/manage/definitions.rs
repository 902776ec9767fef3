//! Definitions, written: all that is declared and administered, as one file that a broker can be filled from (semantics 20.8). It is
//! written some names at a time, so that nobody waits for the view meanwhile; what changes while it is being written may be in it or
//! not. Reading them is in `import`.

use serde_json::{Value, json};
use tokio::task::yield_now;

use super::answer::{Answer, Outcome, Refusal};
use super::bindings::{QUEUE, name_of};
use super::call::Call;
use super::json::from_table;
use super::parameters::{name_of_cluster, of_limits, of_operator_policies};
use super::{limits, users};
use crate::catalog::view::{Vhost, ViewState};
use crate::model::administration::PolicyKind;
use crate::model::ids::Name;
use crate::model::names::VERSION_OF_RABBITMQ;
use crate::routing::BindingPlace;

/// Names that are looked at together.
const TOGETHER: usize = 512;
/// Global parameters of the broker itself begin so: they say which one it is.
const INTERNAL: &str = "internal_";

/// Of the whole broker.
pub(super) async fn whole(call: &Call<'_>) -> Outcome {
    let _turn = call.context.turns.take(&call.caller.name).await?;
    let mut written = Written::begin();
    let cluster = name_of_cluster(&call.view().read());
    written.head(&json!({
        "rabbit_version": VERSION_OF_RABBITMQ,
        "rabbitmq_version": VERSION_OF_RABBITMQ,
        "product_name": "RabbitMQ",
        "product_version": VERSION_OF_RABBITMQ,
        "rabbitmq_definition_format": "cluster",
        "original_cluster_name": cluster,
        "explanation": format!("Definitions of cluster '{cluster}'"),
    }));
    let vhosts = {
        let state = call.view().read();
        let mut users: Vec<_> = state.users().collect();
        users.sort_unstable_by_key(|user| &user.name);
        written.section("users", users.into_iter().map(users::describe));
        let mut vhosts: Vec<&Vhost> = state.vhosts().collect();
        vhosts.sort_unstable_by_key(|vhost| &vhost.name);
        let described = vhosts.iter().map(|vhost| {
            json!({"name": *vhost.name, "metadata": metadata(vhost), "limits": limits::of_vhost(&vhost.limits)})
        });
        written.section("vhosts", described);
        written.section("permissions", vhosts.iter().flat_map(|vhost| permissions(vhost)));
        written.section("topic_permissions", vhosts.iter().flat_map(|vhost| topic_permissions(vhost)));
        written.section("parameters", vhosts.iter().flat_map(|vhost| parameters(vhost)));
        let global = state.global_parameters().filter(|(name, _)| !name.starts_with(INTERNAL));
        written.section(
            "global_parameters",
            global.map(|(name, value)| json!({"name": **name, "value": serde_json::from_str::<Value>(value).unwrap_or_default()})),
        );
        written.section("policies", vhosts.iter().flat_map(|vhost| policies(vhost)));
        vhosts.into_iter().map(|vhost| vhost.name.clone()).collect::<Vec<_>>()
    };
    declared(call, &mut written, &vhosts, true).await;
    Ok(written.end())
}

/// Of one vhost, whose name nothing in it bears.
pub(super) async fn of_vhost(call: &Call<'_>, vhost: &str) -> Outcome {
    let _turn = call.context.turns.take(&call.caller.name).await?;
    let mut written = Written::begin();
    let name = {
        let state = call.view().read();
        let vhost = state.vhost(vhost).ok_or_else(|| Refusal::bad("vhost_not_found"))?;
        written.head(&json!({
            "rabbit_version": VERSION_OF_RABBITMQ,
            "rabbitmq_version": VERSION_OF_RABBITMQ,
            "product_name": "RabbitMQ",
            "product_version": VERSION_OF_RABBITMQ,
            "rabbitmq_definition_format": "single_virtual_host",
            "original_vhost_name": *vhost.name,
            "explanation": format!("Definitions of virtual host '{}'", vhost.name),
            "metadata": metadata(vhost),
            "description": vhost.metadata.description,
            "limits": limits::of_vhost(&vhost.limits),
        }));
        written.section("parameters", parameters(vhost).into_iter().map(without_vhost));
        written.section("policies", policies(vhost).into_iter().map(without_vhost));
        vhost.name.clone()
    };
    declared(call, &mut written, &[name], false).await;
    Ok(written.end())
}

/// Queues, exchanges and bindings: what clients have declared and others may use.
async fn declared(call: &Call<'_>, written: &mut Written, vhosts: &[Name], with_vhost: bool) {
    let shown = |value: Value| if with_vhost { value } else { without_vhost(value) };
    written.open("queues");
    for vhost in vhosts {
        each_name(
            call,
            vhost,
            |found, last| found.queues_after(last).take(TOGETHER).cloned().collect(),
            |state, name| {
                let queue = state.queue(vhost, name).filter(|queue| queue.exclusive_to.is_none())?;
                Some(json!({
                    "name": **name, "vhost": **vhost, "type": queue.settings.queue_type.as_str(),
                    "durable": queue.settings.durable, "auto_delete": queue.settings.auto_delete,
                    "arguments": from_table(&queue.arguments.decode()),
                }))
            },
            |value| written.item(&shown(value)),
        )
        .await;
    }
    written.close();
    written.open("exchanges");
    for vhost in vhosts {
        each_name(call, vhost, |found, last| found.exchanges_after(last).take(TOGETHER).cloned().collect(), |state, name| {
            let exchange = state.exchange(vhost, name)?;
            if name.is_empty() || name.starts_with("amq.") {
                return None;
            }
            let mut described = json!({
                "name": **name, "vhost": **vhost, "type": exchange.kind().as_str(), "durable": exchange.durable,
                "auto_delete": exchange.auto_delete, "arguments": from_table(&exchange.arguments),
            });
            // RabbitMQ leaves internal ones out, and would make others of them if it was not said.
            if exchange.internal {
                described["internal"] = true.into();
            }
            Some(described)
        }, |value| written.item(&shown(value))).await;
    }
    written.close();
    written.open("bindings");
    for vhost in vhosts {
        // The default exchange binds all by itself, and comes first.
        let mut exchange = next_exchange(&call.view().read(), vhost, Some(&Name::default()));
        let mut last: Option<BindingPlace> = None;
        while let Some(name) = exchange.take() {
            let mut found = Vec::new();
            {
                let state = call.view().read();
                last = bindings(&state, vhost, &name, last.as_ref(), &mut found);
                exchange =
                    if last.is_some() { Some(name) } else { next_exchange(&state, vhost, Some(&name)) };
            }
            found.into_iter().for_each(|value| written.item(&shown(value)));
            yield_now().await;
        }
    }
    written.close();
}

fn next_exchange(state: &ViewState, vhost: &Name, last: Option<&Name>) -> Option<Name> {
    state.vhost(vhost)?.exchanges_after(last).next().cloned()
}

/// Describes the things of a vhost, some at a time.
async fn each_name(
    call: &Call<'_>,
    vhost: &Name,
    names: impl Fn(&Vhost, Option<&Name>) -> Vec<Name>,
    describe: impl Fn(&ViewState, &Name) -> Option<Value>,
    mut item: impl FnMut(Value),
) {
    let mut last: Option<Name> = None;
    loop {
        let found: Vec<Value> = {
            let state = call.view().read();
            let Some(found) = state.vhost(vhost) else { return };
            let names = names(found, last.as_ref());
            let Some(end) = names.last() else { return };
            let found = names.iter().filter_map(|name| describe(&state, name)).collect();
            last = Some(end.clone());
            found
        };
        found.into_iter().for_each(&mut item);
        yield_now().await;
    }
}

/// Bindings of an exchange behind a place. Returns the last one's place where there may be more. Those to exclusive queues go with
/// their connections.
fn bindings(
    state: &ViewState,
    vhost: &Name,
    source: &Name,
    last: Option<&BindingPlace>,
    found: &mut Vec<Value>,
) -> Option<BindingPlace> {
    let exchange = state.exchange(vhost, source)?;
    let mut looked_at = 0;
    let mut next = None;
    for (place, arguments) in exchange.routes.bindings_after(last, None).take(TOGETHER) {
        (looked_at, next) = (looked_at + 1, Some(place));
        let Some((kind, destination)) = name_of(state, place.0) else { continue };
        let is_queue = kind == QUEUE;
        if is_queue && state.queue(vhost, &destination).is_none_or(|queue| queue.exclusive_to.is_some()) {
            continue;
        }
        found.push(json!({
            "source": **source, "vhost": **vhost, "destination": *destination,
            "destination_type": if is_queue { "queue" } else { "exchange" },
            "routing_key": **place.1.routing_key(), "arguments": from_table(arguments),
        }));
    }
    if looked_at == TOGETHER { next.cloned() } else { None }
}

fn metadata(vhost: &Vhost) -> Value {
    let tags: Vec<&str> = vhost.metadata.tags.iter().map(|tag| &**tag).collect();
    let default_queue_type = vhost.metadata.default_queue_type.unwrap_or_default().as_str();
    let mut metadata = json!({
        "description": vhost.metadata.description, "tags": tags, "default_queue_type": default_queue_type,
    });
    if vhost.protected {
        metadata["protected_from_deletion"] = true.into();
    }
    metadata
}

fn permissions(vhost: &Vhost) -> Vec<Value> {
    let mut all: Vec<_> = vhost.permissions().collect();
    all.sort_unstable_by_key(|(user, _)| *user);
    let described = all.into_iter().map(|(user, spec)| {
        json!({
            "user": **user, "vhost": *vhost.name, "configure": *spec.configure, "write": *spec.write,
            "read": *spec.read,
        })
    });
    described.collect()
}

fn topic_permissions(vhost: &Vhost) -> Vec<Value> {
    let mut all: Vec<_> = vhost.topic_permissions().collect();
    all.sort_unstable_by_key(|(user, exchange, _)| (*user, *exchange));
    let described = all.into_iter().map(|(user, exchange, spec)| {
        json!({
            "user": **user, "vhost": *vhost.name, "exchange": **exchange, "write": *spec.write,
            "read": *spec.read,
        })
    });
    described.collect()
}

fn parameters(vhost: &Vhost) -> Vec<Value> {
    of_limits(vhost).into_iter().chain(of_operator_policies(vhost)).collect()
}

fn policies(vhost: &Vhost) -> Vec<Value> {
    let regular = vhost.policies.iter().filter(|(kind, _)| *kind == PolicyKind::Regular);
    let described = regular.map(|(_, policy)| {
        json!({
            "vhost": *vhost.name, "name": *policy.name, "pattern": *policy.spec.pattern,
            "apply-to": policy.spec.apply_to.as_str(), "definition": from_table(&policy.spec.definition),
            "priority": policy.spec.priority,
        })
    });
    described.collect()
}

fn without_vhost(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.remove("vhost");
    }
    value
}

/// The text as far as it was written.
struct Written {
    text: String,
    /// A comma is due.
    is_behind: bool,
}

impl Written {
    fn begin() -> Written {
        Written { text: "{".to_owned(), is_behind: false }
    }

    /// The fields of an object.
    fn head(&mut self, fields: &Value) {
        self.text.push_str(
            fields
                .to_string()
                .strip_prefix('{')
                .and_then(|fields| fields.strip_suffix('}'))
                .unwrap_or_default(),
        );
        self.is_behind = true;
    }

    fn section(&mut self, name: &str, items: impl Iterator<Item = Value>) {
        self.open(name);
        items.for_each(|item| self.item(&item));
        self.close();
    }

    fn open(&mut self, name: &str) {
        self.comma();
        self.text.push_str(&format!("\"{name}\":["));
        self.is_behind = false;
    }

    fn item(&mut self, item: &Value) {
        self.comma();
        self.text.push_str(&item.to_string());
        self.is_behind = true;
    }

    fn close(&mut self) {
        self.text.push(']');
        self.is_behind = true;
    }

    fn comma(&mut self) {
        if self.is_behind {
            self.text.push(',');
        }
    }

    fn end(mut self) -> Answer {
        self.text.push('}');
        Answer::Text(self.text)
    }
}

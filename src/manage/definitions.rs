//! Definitions, written: all that is declared and administered, as one file that a broker can be filled from (semantics 20.8). It is
//! written while the client takes it, some names at a time, so that it never stands in memory as a whole and nobody waits for the view
//! meanwhile; what changes while it is being written may be in it or not. Reading them is in `definitions_file`.

use std::sync::Arc;
use std::vec;

use serde_json::{Value, json};
use tokio::task::yield_now;

use super::answer::{Answer, Outcome, Refusal};
use super::bindings::{QUEUE, name_of};
use super::call::Call;
use super::json::from_table;
use super::listing_body::{Listing, PIECE, Pieces, Writing};
use super::parameters::{name_of_cluster, parameter, parameters};
use super::turns::Turn;
use super::{limits, users};
use crate::catalog::view::{Vhost, ViewState};
use crate::model::administration::PolicyKind;
use crate::model::ids::Name;
use crate::model::names::VERSION_OF_RABBITMQ;
use crate::routing::BindingPlace;
use crate::server::Administrator;

/// Names that are looked at together.
const TOGETHER: usize = 256;
/// Global parameters of the broker itself begin so: they say which one it is.
const INTERNAL: &str = "internal_";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Users,
    Vhosts,
    Permissions,
    TopicPermissions,
    Parameters,
    GlobalParameters,
    Policies,
    Queues,
    Exchanges,
    Bindings,
}

/// In the order in which they are written.
const SECTIONS: [(Section, &str); 10] = [
    (Section::Users, "users"),
    (Section::Vhosts, "vhosts"),
    (Section::Permissions, "permissions"),
    (Section::TopicPermissions, "topic_permissions"),
    (Section::Parameters, "parameters"),
    (Section::GlobalParameters, "global_parameters"),
    (Section::Policies, "policies"),
    (Section::Queues, "queues"),
    (Section::Exchanges, "exchanges"),
    (Section::Bindings, "bindings"),
];

impl Section {
    /// It is there in the definitions of one vhost, too.
    fn is_of_vhost(self) -> bool {
        use Section::{Bindings, Exchanges, Parameters, Policies, Queues};
        matches!(self, Parameters | Policies | Queues | Exchanges | Bindings)
    }
}

/// Of the whole broker.
pub(super) async fn whole(call: &Call<'_>) -> Outcome {
    let turn = call.context.turns.take(&call.caller.name).await?;
    let (head, vhosts) = {
        let state = call.view().read();
        let cluster = name_of_cluster(&state);
        let head = json!({
            "rabbit_version": VERSION_OF_RABBITMQ,
            "rabbitmq_version": VERSION_OF_RABBITMQ,
            "product_name": "RabbitMQ",
            "product_version": VERSION_OF_RABBITMQ,
            "rabbitmq_definition_format": "cluster",
            "original_cluster_name": cluster,
            "explanation": format!("Definitions of cluster '{cluster}'"),
        });
        let mut vhosts: Vec<Name> = state.vhosts().map(|vhost| vhost.name.clone()).collect();
        vhosts.sort_unstable();
        (head, vhosts)
    };
    begin(call, turn, &head, vhosts, false).await
}

/// Of one vhost, whose name nothing in it bears.
pub(super) async fn of_vhost(call: &Call<'_>, vhost: &str) -> Outcome {
    let turn = call.context.turns.take(&call.caller.name).await?;
    let (head, name) = {
        let state = call.view().read();
        let vhost = state.vhost(vhost).ok_or_else(|| Refusal::bad("vhost_not_found"))?;
        let head = json!({
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
        });
        (head, vhost.name.clone())
    };
    begin(call, turn, &head, vec![name], true).await
}

async fn begin(call: &Call<'_>, turn: Turn, head: &Value, vhosts: Vec<Name>, is_of_vhost: bool) -> Outcome {
    // The object goes on with the sections.
    let mut text = head.to_string();
    text.pop();
    let file = Box::new(File {
        administrator: call.context.administrator.clone(),
        _turn: turn,
        is_of_vhost,
        text,
        is_behind: false,
        vhosts,
        section: 0,
        place: Place::default(),
    });
    Ok(Answer::Listed(Listing::of(Arc::clone(call.guest), file).await?))
}

/// The file as far as it was written.
struct File {
    administrator: Administrator,
    /// Given back behind the last item.
    _turn: Turn,
    is_of_vhost: bool,
    /// What is written and was not taken.
    text: String,
    /// An item stands before the next one.
    is_behind: bool,
    vhosts: Vec<Name>,
    /// The one that is being written.
    section: usize,
    place: Place,
}

/// How far a section was written.
#[derive(Default)]
struct Place {
    is_open: bool,
    /// The vhost that is next; of what is in none there is one round.
    vhost: usize,
    /// What is left of those of a vhost; nothing where they are yet to be looked up.
    keys: Option<vec::IntoIter<Key>>,
    /// The last queue or exchange.
    last: Option<Name>,
    binding: Option<BindingPlace>,
}

/// What something is found by within its section and vhost: by one name, or by two.
type Key = (Name, Name);

impl Pieces for File {
    fn write_piece(mut self: Box<Self>) -> Writing {
        Box::pin(async move {
            while self.text.len() < PIECE {
                if !self.write_some() {
                    self.text.push('}');
                    return Ok((std::mem::take(&mut self.text).into(), None));
                }
                // The thread is not ours alone.
                yield_now().await;
            }
            let piece = std::mem::take(&mut self.text).into();
            Ok((piece, Some(self as Box<dyn Pieces>)))
        })
    }
}

impl File {
    /// Writes what comes next, some of it; false where that is nothing more.
    fn write_some(&mut self) -> bool {
        let is_wanted = |section: Section| !self.is_of_vhost || section.is_of_vhost();
        while let Some((section, _)) = SECTIONS.get(self.section)
            && !is_wanted(*section)
        {
            self.section += 1;
        }
        let Some(&(section, name)) = SECTIONS.get(self.section) else { return false };
        if !std::mem::replace(&mut self.place.is_open, true) {
            self.text.push_str(&format!(",\"{name}\":["));
            self.is_behind = false;
        }
        let (found, is_done) = {
            let state = self.administrator.view().read();
            self.place.next(&state, section, &self.vhosts)
        };
        for mut item in found {
            if self.is_of_vhost
                && let Some(fields) = item.as_object_mut()
            {
                fields.remove("vhost");
            }
            if std::mem::replace(&mut self.is_behind, true) {
                self.text.push(',');
            }
            self.text.push_str(&item.to_string());
        }
        if is_done {
            self.text.push(']');
            self.section += 1;
            self.place = Place::default();
        }
        true
    }
}

impl Place {
    /// Those that are next in a section, and whether they are the last ones.
    fn next(&mut self, state: &ViewState, section: Section, vhosts: &[Name]) -> (Vec<Value>, bool) {
        let (vhost, rounds) = match section {
            Section::Users | Section::GlobalParameters => (None, 1),
            _ => (vhosts.get(self.vhost), vhosts.len()),
        };
        // One that is gone by now has nothing.
        let of_vhost = vhost.and_then(|name| state.vhost(name));
        let mut found = Vec::new();
        let is_through = match (section, of_vhost) {
            (Section::Queues, Some(vhost)) => self.queues(state, vhost, &mut found),
            (Section::Exchanges, Some(vhost)) => self.exchanges(state, vhost, &mut found),
            (Section::Bindings, Some(vhost)) => self.bindings(state, vhost, &mut found),
            (Section::Queues | Section::Exchanges | Section::Bindings, None) => true,
            _ => self.keyed(state, section, of_vhost, &mut found),
        };
        if is_through {
            *self = Place { is_open: true, vhost: self.vhost + 1, ..Place::default() };
        }
        (found, self.vhost >= rounds)
    }

    /// What there is not so very much of: all of its names are looked up first.
    fn keyed(
        &mut self,
        state: &ViewState,
        section: Section,
        vhost: Option<&Vhost>,
        found: &mut Vec<Value>,
    ) -> bool {
        let keys = self.keys.get_or_insert_with(|| {
            let mut keys = keys(state, section, vhost);
            keys.sort_unstable();
            keys.into_iter()
        });
        // One of these may be large.
        let most = if section == Section::GlobalParameters { 1 } else { TOGETHER };
        for key in keys.by_ref().take(most) {
            found.extend(describe(state, section, vhost, &key));
        }
        keys.len() == 0
    }

    fn queues(&mut self, state: &ViewState, vhost: &Vhost, found: &mut Vec<Value>) -> bool {
        let names: Vec<Name> = vhost.queues_after(self.last.as_ref()).take(TOGETHER).cloned().collect();
        for name in &names {
            let queue = state.queue(&vhost.name, name).filter(|queue| queue.exclusive_to.is_none());
            found.extend(queue.map(|queue| {
                json!({
                    "name": **name, "vhost": *vhost.name, "type": queue.settings.queue_type.as_str(),
                    "durable": queue.settings.durable, "auto_delete": queue.settings.auto_delete,
                    "arguments": from_table(&queue.arguments.decode()),
                })
            }));
        }
        self.behind(names)
    }

    fn exchanges(&mut self, state: &ViewState, vhost: &Vhost, found: &mut Vec<Value>) -> bool {
        let names: Vec<Name> = vhost.exchanges_after(self.last.as_ref()).take(TOGETHER).cloned().collect();
        for name in names.iter().filter(|name| !name.is_empty() && !name.starts_with("amq.")) {
            let Some(exchange) = state.exchange(&vhost.name, name) else { continue };
            let mut described = json!({
                "name": **name, "vhost": *vhost.name, "type": exchange.kind().as_str(), "durable": exchange.durable,
                "auto_delete": exchange.auto_delete, "arguments": from_table(&exchange.arguments),
            });
            // RabbitMQ leaves internal ones out, and would make others of them if it was not said.
            if exchange.internal {
                described["internal"] = true.into();
            }
            found.push(described);
        }
        self.behind(names)
    }

    /// Goes on behind these names. Whether they were the last ones.
    fn behind(&mut self, names: Vec<Name>) -> bool {
        let is_through = names.len() < TOGETHER;
        self.last = names.into_iter().next_back();
        is_through
    }

    /// Bindings of the next exchanges. Those to exclusive queues go with their connections.
    fn bindings(&mut self, state: &ViewState, vhost: &Vhost, found: &mut Vec<Value>) -> bool {
        // The default exchange binds all by itself, and comes first.
        let default = Name::default();
        let mut looked_at = 0;
        while looked_at + 1 < TOGETHER {
            let exchange = match &self.binding {
                Some(_) => self.last.clone(),
                None => vhost.exchanges_after(Some(self.last.as_ref().unwrap_or(&default))).next().cloned(),
            };
            let Some(source) = exchange else { return true };
            looked_at += 1;
            let last = self.binding.take();
            if let Some(exchange) = state.exchange(&vhost.name, &source) {
                let rest = TOGETHER - looked_at;
                for (place, arguments) in exchange.routes.bindings_after(last.as_ref(), None).take(rest) {
                    looked_at += 1;
                    self.binding = Some(place.clone());
                    let Some((kind, destination)) = name_of(state, place.0) else { continue };
                    let is_queue = kind == QUEUE;
                    let is_exclusive = || {
                        let queue = state.queue(&vhost.name, &destination);
                        queue.is_none_or(|queue| queue.exclusive_to.is_some())
                    };
                    if is_queue && is_exclusive() {
                        continue;
                    }
                    found.push(json!({
                        "source": *source, "vhost": *vhost.name, "destination": *destination,
                        "destination_type": if is_queue { "queue" } else { "exchange" },
                        "routing_key": **place.1.routing_key(), "arguments": from_table(arguments),
                    }));
                }
                if looked_at < TOGETHER {
                    self.binding = None;
                }
            }
            self.last = Some(source);
        }
        false
    }
}

fn keys(state: &ViewState, section: Section, vhost: Option<&Vhost>) -> Vec<Key> {
    let single = |name: &Name| (name.clone(), Name::default());
    match (section, vhost) {
        (Section::Users, _) => state.users().map(|user| single(&user.name)).collect(),
        (Section::GlobalParameters, _) => {
            let others = state.global_parameters().filter(|(name, _)| !name.starts_with(INTERNAL));
            others.map(|(name, _)| single(name)).collect()
        }
        (Section::Vhosts, Some(vhost)) => vec![single(&vhost.name)],
        (Section::Permissions, Some(vhost)) => vhost.permissions().map(|(user, _)| single(user)).collect(),
        (Section::TopicPermissions, Some(vhost)) => {
            vhost.topic_permissions().map(|(user, exchange, _)| (user.clone(), exchange.clone())).collect()
        }
        (Section::Parameters, Some(vhost)) => parameters(vhost).collect(),
        (Section::Policies, Some(vhost)) => {
            let regular = vhost.policies.iter().filter(|(kind, _)| *kind == PolicyKind::Regular);
            regular.map(|(_, policy)| single(&policy.name)).collect()
        }
        _ => Vec::new(),
    }
}

fn describe(
    state: &ViewState,
    section: Section,
    vhost: Option<&Vhost>,
    (name, second): &Key,
) -> Option<Value> {
    match section {
        Section::Users => return state.user(name).map(users::describe),
        Section::GlobalParameters => {
            let value = serde_json::from_str::<Value>(state.global_parameter(name)?).unwrap_or_default();
            return Some(json!({"name": **name, "value": value}));
        }
        _ => {}
    }
    let vhost = vhost?;
    match section {
        Section::Vhosts => Some(json!({
            "name": **name, "metadata": metadata(vhost), "limits": limits::of_vhost(&vhost.limits),
        })),
        Section::Permissions => {
            let spec = vhost.permissions_of(name)?;
            Some(json!({
                "user": **name, "vhost": *vhost.name, "configure": *spec.configure, "write": *spec.write,
                "read": *spec.read,
            }))
        }
        Section::TopicPermissions => {
            let spec = vhost.topic_permissions_of(name, second)?;
            Some(json!({
                "user": **name, "vhost": *vhost.name, "exchange": **second, "write": *spec.write,
                "read": *spec.read,
            }))
        }
        Section::Parameters => parameter(vhost, name, second),
        Section::Policies => {
            let spec = &vhost.policies.get(PolicyKind::Regular, name)?.spec;
            Some(json!({
                "vhost": *vhost.name, "name": **name, "pattern": *spec.pattern,
                "apply-to": spec.apply_to.as_str(), "definition": from_table(&spec.definition),
                "priority": spec.priority,
            }))
        }
        _ => None,
    }
}

fn metadata(vhost: &Vhost) -> Value {
    let tags: Vec<&str> = vhost.metadata.tags.iter().map(|tag| &**tag).collect();
    let default_queue_type = vhost.metadata.default_queue_type.unwrap_or_default().as_str();
    json!({
        "description": vhost.metadata.description, "tags": tags, "default_queue_type": default_queue_type,
        "protected_from_deletion": vhost.protected,
    })
}

//! Bindings: listed, made, removed (semantics section 6). In paths a binding is known by its properties key: the routing key,
//! and behind a tilde what its arguments are hashed to.

use std::vec;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use leveret_codec::table::FieldTable;
use serde_json::{Value, json};
use tokio::task::yield_now;

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::clients;
use super::exchange_changes::named;
use super::json::{arguments, from_table};
use super::listing;
use super::percent;
use crate::catalog::view::{Exchange, View, ViewState};
use crate::model::ids::{Destination, Name};
use crate::model::request::{Binding, Request};
use crate::routing::BindingPlace;

/// Bindings that are looked at together.
const TOGETHER: usize = 512;

/// Those of one vhost, or of all that the caller sees.
pub(super) async fn list(call: &Call<'_>, vhost: Option<&str>) -> Outcome {
    let only = vhost.map(|vhost| call.vhost(vhost)).transpose()?;
    let vhosts = match only {
        Some(only) => vec![only],
        None => {
            let state = call.view().read();
            let seen = state.vhosts().filter(|vhost| call.caller.sees(vhost));
            seen.map(|vhost| vhost.name.clone()).collect()
        }
    };
    those(call, vhosts, Wanted { source: None, end: None }).await
}

pub(super) async fn of_source(call: &Call<'_>, vhost: &str, exchange: &str) -> Outcome {
    let vhost = call.vhost(vhost)?;
    those(call, vec![vhost], Wanted { source: Some(named(exchange)), end: None }).await
}

/// Those that lead to an exchange or a queue.
pub(super) async fn of_destination(call: &Call<'_>, vhost: &str, kind: &str, name: &str) -> Outcome {
    let vhost = call.vhost(vhost)?;
    let end = find_end(&call.view().read(), &vhost, kind, name)?;
    // Of a queue that is not there RabbitMQ says so, of an exchange nothing.
    if end.is_none() && kind == QUEUE {
        return Err(Refusal::NotFound);
    }
    those(call, vec![vhost], Wanted { source: None, end: Some(end) }).await
}

/// Those from an exchange to something.
pub(super) async fn between(call: &Call<'_>, vhost: &str, source: &str, kind: &str, name: &str) -> Outcome {
    let vhost = call.vhost(vhost)?;
    let end = find_end(&call.view().read(), &vhost, kind, name)?;
    those(call, vec![vhost], Wanted { source: Some(named(source)), end: Some(end) }).await
}

pub(super) async fn get(call: &Call<'_>, path: Path<'_>) -> Outcome {
    let (vhost, binding) = find(call, path).await?;
    Ok(Answer::Found(described(&vhost, path.kind, &binding)))
}

/// Makes a binding, and says where it is. One that is there already is as good.
pub(super) async fn post(call: &mut Call<'_>, vhost: &str, source: &str, kind: &str, name: &str) -> Outcome {
    let vhost = call.vhost_to_change(vhost)?;
    check_kind(kind)?;
    let fields = call.fields().await?;
    let binding = Binding {
        source: named(source),
        destination: named(name),
        routing_key: fields.text("routing_key")?.unwrap_or_default().into(),
        arguments: arguments(fields.get("arguments"))?,
    };
    let key = properties_key(&binding.routing_key, &binding.arguments);
    let location = format!("{}/{}", quoted(name), quoted(&key));
    let request = if kind == QUEUE { Request::BindQueue(binding) } else { Request::BindExchange(binding) };
    clients::request(call, &vhost, request).await?;
    Ok(Answer::CreatedAt(location))
}

pub(super) async fn delete(call: &Call<'_>, path: Path<'_>) -> Outcome {
    let (vhost, binding) = find(call, path).await?;
    let unbind = if path.kind == QUEUE { Request::UnbindQueue } else { Request::UnbindExchange };
    clients::request(call, &vhost, unbind(binding)).await?;
    Ok(Answer::Done)
}

/// A binding as a path names it.
#[derive(Clone, Copy)]
pub(super) struct Path<'a> {
    pub(super) vhost: &'a str,
    pub(super) source: &'a str,
    /// `q` or `e`.
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
    pub(super) key: &'a str,
}

pub(super) const QUEUE: &str = "q";
pub(super) const EXCHANGE: &str = "e";

fn check_kind(kind: &str) -> Result<(), Refusal> {
    if [QUEUE, EXCHANGE].contains(&kind) { Ok(()) } else { Err(Refusal::NotFound) }
}

fn find_end(state: &ViewState, vhost: &str, kind: &str, name: &str) -> Result<Option<Destination>, Refusal> {
    check_kind(kind)?;
    Ok(if kind == QUEUE {
        state.queue(vhost, name).map(|queue| Destination::Queue(queue.at))
    } else {
        state.exchange(vhost, &named(name)).map(|exchange| Destination::Exchange(exchange.id))
    })
}

/// Looks a binding up, some at a time. 404 where there is none.
async fn find(call: &Call<'_>, path: Path<'_>) -> Result<(Name, Binding), Refusal> {
    let Path { vhost, source, kind, name, key } = path;
    let vhost = call.vhost(vhost)?;
    let source = named(source);
    let end = find_end(&call.view().read(), &vhost, kind, name)?.ok_or(Refusal::NotFound)?;
    let found = |routing_key: Name, arguments: FieldTable| {
        (vhost.clone(), Binding { source: source.clone(), destination: named(name), routing_key, arguments })
    };
    let mut last: Option<BindingPlace> = None;
    let key = Key::read(key);
    loop {
        {
            let state = call.view().read();
            let exchange = state.exchange(&vhost, &source).ok_or(Refusal::NotFound)?;
            let mut looked_at = 0;
            let mut next = None;
            for (place, arguments) in exchange.routes.bindings_after(last.as_ref(), Some(end)).take(TOGETHER)
            {
                let (_, identity) = place;
                if key.fits(identity.routing_key(), identity.encoded_arguments()) {
                    return Ok(found(identity.routing_key().clone(), arguments.clone()));
                }
                looked_at += 1;
                next = Some(place);
            }
            if looked_at < TOGETHER {
                return Err(Refusal::NotFound);
            }
            last = next.cloned();
        }
        yield_now().await;
    }
}

/// Which bindings are listed.
struct Wanted {
    /// The exchange they come from; all if not given.
    source: Option<Name>,
    /// What they lead to: everything, nothing that is there, or this.
    end: Option<Option<Destination>>,
}

async fn those(call: &Call<'_>, mut vhosts: Vec<Name>, wanted: Wanted) -> Outcome {
    let turn = call.context.turns.take(&call.caller.name).await?;
    vhosts.sort_unstable_by(|one, other| other.cmp(one));
    let mut walk = Walk { vhosts, wanted, at: At::default(), found: Vec::new().into_iter() };
    let next = move |view: &View| walk.next(view);
    listing::begin(call, turn, Box::new(next), None).await
}

/// How far a listing has come.
struct Walk {
    /// Of which the last one is next.
    vhosts: Vec<Name>,
    wanted: Wanted,
    at: At,
    found: vec::IntoIter<Value>,
}

/// Behind an exchange, or within it behind a binding of it.
#[derive(Default)]
struct At {
    exchange: Option<Name>,
    last: Option<BindingPlace>,
}

impl Walk {
    fn next(&mut self, view: &View) -> Option<Value> {
        loop {
            if let Some(next) = self.found.next() {
                return Some(next);
            }
            let vhost = self.vhosts.last()?.clone();
            let at = std::mem::take(&mut self.at);
            let (found, at) = self.of_exchange(&view.read(), &vhost, at);
            self.found = found.into_iter();
            match at {
                Some(at) => self.at = at,
                None => drop(self.vhosts.pop()),
            }
        }
    }

    fn of_exchange(&self, state: &ViewState, vhost: &Name, at: At) -> (Vec<Value>, Option<At>) {
        let end = match self.wanted.end {
            None => None,
            Some(None) => return (Vec::new(), None),
            Some(Some(end)) => Some(end),
        };
        let mut found = Vec::new();
        let At { mut exchange, mut last } = at;
        // Exchanges without bindings are many as well.
        for _ in 0..TOGETHER {
            let name = match (&exchange, &last, &self.wanted.source) {
                (Some(name), Some(_), _) => Some(name.clone()),
                (None, _, Some(only)) => Some(only.clone()),
                (Some(_), None, Some(_)) => None,
                (at, None, None) => {
                    state.vhost(vhost).and_then(|vhost| vhost.exchanges_after(at.as_ref()).next().cloned())
                }
                (None, Some(_), None) => None,
            };
            let Some(name) = name else { return (found, None) };
            if let Some(source) = state.exchange(vhost, &name) {
                last = some_of(state, source, last.as_ref(), end, &mut found);
            } else {
                last = None;
            }
            exchange = Some(name);
            if found.len() >= TOGETHER {
                break;
            }
        }
        (found, Some(At { exchange, last }))
    }
}

/// Describes bindings of an exchange behind a place. Returns the last one's place where there may be more.
fn some_of(
    state: &ViewState,
    source: &Exchange,
    last: Option<&BindingPlace>,
    end: Option<Destination>,
    found: &mut Vec<Value>,
) -> Option<BindingPlace> {
    let most = TOGETHER.saturating_sub(found.len()).max(1);
    let mut looked_at = 0;
    let mut next = None;
    for (place, arguments) in source.routes.bindings_after(last, end).take(most) {
        let (destination, identity) = place;
        if let Some((kind, name)) = name_of(state, *destination) {
            let binding = Binding {
                source: source.name.clone(),
                destination: name,
                routing_key: identity.routing_key().clone(),
                arguments: arguments.clone(),
            };
            found.push(described(&source.vhost, kind, &binding));
        }
        looked_at += 1;
        next = Some(place);
    }
    if looked_at == most { next.cloned() } else { None }
}

/// What a destination is called, and whether it is a queue.
pub(super) fn name_of(state: &ViewState, destination: Destination) -> Option<(&'static str, Name)> {
    match destination {
        Destination::Queue(at) => state.queue_by_id(at.queue).map(|queue| (QUEUE, queue.label.name.clone())),
        Destination::Exchange(id) => {
            state.exchange_by_id(id).map(|exchange| (EXCHANGE, exchange.name.clone()))
        }
    }
}

fn described(vhost: &Name, kind: &str, binding: &Binding) -> Value {
    let Binding { source, destination, routing_key, arguments } = binding;
    json!({
        "source": **source,
        "vhost": **vhost,
        "destination": **destination,
        "destination_type": if kind == QUEUE { "queue" } else { "exchange" },
        "routing_key": **routing_key,
        "arguments": from_table(arguments),
        "properties_key": properties_key(routing_key, arguments),
    })
}

/// What a path calls a binding.
fn properties_key(routing_key: &str, arguments: &FieldTable) -> String {
    let encoded =
        if arguments.inner().is_empty() { Vec::new() } else { leveret_codec::table::encode(arguments) };
    key_of(routing_key, &encoded)
}

/// The same of encoded arguments, of which none are no bytes. RabbitMQ hashes them by Erlang's hash, so whoever has a key has it from
/// the broker it asks.
fn key_of(routing_key: &str, arguments: &[u8]) -> String {
    let key = quoted(routing_key).replace('~', "%7E");
    if !arguments.is_empty() {
        return format!("{key}~{}", hash_of(arguments));
    }
    if key.is_empty() { "~".to_owned() } else { key }
}

/// As a form is encoded: with a plus for a space.
fn quoted(text: &str) -> String {
    percent::encode(text).replace("%20", "+")
}

/// A properties key as it was read. RabbitMQ takes one that was encoded once, too, as if by hand: it decodes what it is given as
/// far as that can be decoded.
struct Key {
    routing_key: String,
    /// What the arguments are hashed to; none for none.
    hash: Option<String>,
}

impl Key {
    fn read(key: &str) -> Key {
        let (routing_key, hash) = match key.split_once('~') {
            Some((routing_key, hash)) => (routing_key, Some(hash).filter(|hash| !hash.is_empty())),
            None => (key, None),
        };
        let decoded = percent::decode(&routing_key.replace('+', " "));
        Key { routing_key: decoded.unwrap_or_else(|| routing_key.to_owned()), hash: hash.map(str::to_owned) }
    }

    /// Whether it is that of a binding with this routing key and these encoded arguments.
    fn fits(&self, routing_key: &str, arguments: &[u8]) -> bool {
        self.routing_key == routing_key
            && match &self.hash {
                None => arguments.is_empty(),
                Some(hash) => !arguments.is_empty() && *hash == hash_of(arguments),
            }
    }
}

fn hash_of(arguments: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(crc32fast::hash(arguments).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    #[test]
    fn keys_are_as_rabbitmq_spells_them() {
        let none = FieldTable::default();
        for (routing_key, key) in [
            ("", "~"),
            ("a.#", "a.%23"),
            ("a b/c", "a+b%2Fc"),
            ("~", "%7E"),
            ("%ü", "%25%C3%BC"),
            ("a-_b", "a-_b"),
        ] {
            assert_eq!(properties_key(routing_key, &none), key);
        }
        let mut some = Map::new();
        some.insert("h".to_owned(), 1.into());
        let some = crate::manage::json::to_table(&some).unwrap();
        let key = properties_key("a b/c", &some);
        assert!(key.starts_with("a+b%2Fc~") && key.len() == 8 + 6, "{key}");
        let encoded = leveret_codec::table::encode(&some);
        assert!(Key::read(&key).fits("a b/c", &encoded) && !Key::read(&key).fits("a b/c", &[]));
        assert!(!Key::read("a+b%2Fc").fits("a b/c", &encoded) && !Key::read("~xxxxxx").fits("", &encoded));
        for routing_key in ["", "a.#", "~", "%ü", "a+b", "a b", "%41"] {
            assert!(Key::read(&properties_key(routing_key, &none)).fits(routing_key, &[]), "{routing_key}");
        }
        // Encoded once less.
        assert!(Key::read("a.#").fits("a.#", &[]) && Key::read("%ü").fits("%ü", &[]));
    }
}

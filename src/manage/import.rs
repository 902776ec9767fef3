//! Definitions, read: a file of this broker or of RabbitMQ becomes items that are imported together (semantics 20.8). What cannot be
//! here (a stream, a federation upstream) is left out and named; a file that is not what it should be is refused as a whole.
//! How they are carried out is the catalog's.

use std::path::Path;
use std::pin::Pin;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use super::answer::{Answer, Outcome, Refusal};
use super::call::Call;
use super::clients::is_asked;
use super::fields::{Fields, wrong};
use super::json::to_table;
use super::{limits, parameters, policies, users, vhosts};
use crate::model::administration::{
    Change, ImportItem, PermissionSpec, PolicyKind, TopicPermissionSpec, UserSpec, VhostMetadata,
};
use crate::model::command::BindingEnds;
use crate::model::ids::Name;
use crate::model::request::{Binding, DeclareExchange, DeclareQueue};
use crate::routing::ExchangeKind;
use crate::server::Administrator;

/// Where the hash of the last file is kept that was loaded at a start.
const HASH: &str = "imported_definition_hash_value";
/// Lines of the log about what one import leaves out.
const MOST_LOGGED: usize = 100;

/// Imports what the body says, or a part `file` of a form. With `strict=true` nothing is imported where something cannot be.
pub(super) async fn post(call: &mut Call<'_>, vhost: Option<&str>) -> Outcome {
    let vhost = match vhost {
        None => None,
        Some(name) => Some(call.vhost_to_change(name)?),
    };
    let strict = is_asked(call, "strict");
    let (body, turn) = call.large_body().await?;
    let file = file_of(call, &body)?;
    let read = Definitions::read(file, vhost.as_ref())?;
    drop(body);
    let left_out = carry_out(&call.context.administrator, read, strict).await?;
    drop(turn);
    if left_out.is_empty() {
        return Ok(Answer::Done);
    }
    Ok(Answer::Found(json!({"left_out": left_out})))
}

/// Loads a file at the start of the broker. With `skip_if_unchanged` not where the same was loaded before.
pub(super) fn load<'a>(
    file: &'a Path,
    skip_if_unchanged: bool,
    administrator: &'a Administrator,
) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
    Box::pin(async move {
        // At the start nobody else waits for the thread.
        let text = std::fs::read(file).map_err(|error| error.to_string())?;
        let hash = Value::from(BASE64_STANDARD.encode(Sha256::digest(&text))).to_string();
        if skip_if_unchanged && administrator.view().read().global_parameter(HASH) == Some(&hash) {
            info!(file = %file.display(), "the definitions are those that were loaded before");
            return Ok(());
        }
        let mut read = Definitions::read(&text, None).map_err(|refusal| refusal.text())?;
        let remember = Change::SetGlobalParameter { name: HASH.into(), value: Some(hash) };
        read.items.push(ImportItem::Change(remember));
        let items = read.items.len() - 1;
        let left_out = carry_out(administrator, read, false).await.map_err(|refusal| refusal.text())?;
        info!(file = %file.display(), items, left_out = left_out.len(), "the definitions are loaded");
        Ok(())
    })
}

async fn carry_out(
    administrator: &Administrator,
    read: Definitions,
    strict: bool,
) -> Result<Vec<String>, Refusal> {
    let Definitions { items, mut left_out } = read;
    if strict && !left_out.is_empty() {
        return Err(Refusal::Bad(json!({"not_imported": left_out})));
    }
    left_out.extend(administrator.import(items, strict).await?);
    for what in left_out.iter().take(MOST_LOGGED) {
        warn!(%what, "definitions were imported without this");
    }
    Ok(left_out)
}

/// The definitions of a body: all of it, or of a form the part that is called `file`.
fn file_of<'a>(call: &Call<'_>, body: &'a [u8]) -> Result<&'a [u8], Refusal> {
    let content_type =
        call.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let Some(parameters) = content_type.strip_prefix("multipart/form-data") else { return Ok(body) };
    let boundary = parameters
        .split(';')
        .find_map(|parameter| parameter.trim().strip_prefix("boundary="))
        .ok_or_else(|| Refusal::bad("a form needs a boundary"))?;
    part(body, boundary.trim_matches('"')).ok_or_else(|| Refusal::bad("the form has no part 'file'"))
}

/// The content of the part `file` of a form.
fn part<'a>(body: &'a [u8], boundary: &str) -> Option<&'a [u8]> {
    let mark = format!("--{boundary}").into_bytes();
    let mut rest = &body[find(body, &mark)? + mark.len()..];
    let end = [b"\r\n", &mark[..]].concat();
    loop {
        let length = find(rest, &end)?;
        let part = &rest[..length];
        rest = &rest[length + end.len()..];
        let head_ends = find(part, b"\r\n\r\n")?;
        if find(&part[..head_ends], b"name=\"file\"").is_some() {
            return Some(&part[head_ends + 4..]);
        }
    }
}

/// In linear time.
fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, wanted)
}

/// What was read of a file.
#[derive(Debug, Default)]
struct Definitions {
    items: Vec<ImportItem>,
    /// What cannot be here, in words.
    left_out: Vec<String>,
}

/// A field of an item.
struct Item<'a>(&'a str, Fields);

impl Item<'_> {
    fn name(&self, field: &str) -> Result<Name, Refusal> {
        let Item(section, fields) = self;
        match fields.get(field) {
            Some(Value::String(text)) => Ok(text.as_str().into()),
            Some(other) => Err(wrong(&format!("{field} of {section}"), "a string", other)),
            None => Err(Refusal::bad(format!("{field} is missing in {section}"))),
        }
    }

    /// Of the whole broker an item says which vhost it is in; of one vhost it does not matter what it says.
    fn vhost(&self, only: Option<&Name>) -> Result<Name, Refusal> {
        only.map_or_else(|| self.name("vhost"), |only| Ok(only.clone()))
    }

    fn arguments(&self) -> Result<leveret_codec::table::FieldTable, Refusal> {
        match self.1.get("arguments") {
            None | Some(Value::Null) => Ok(leveret_codec::table::FieldTable::default()),
            Some(Value::Array(items)) if items.is_empty() => Ok(leveret_codec::table::FieldTable::default()),
            Some(Value::Object(fields)) => {
                to_table(fields).map_err(|why| Refusal::bad(format!("arguments in {}: {why}", self.0)))
            }
            Some(other) => Err(wrong(&format!("arguments in {}", self.0), "an object", other)),
        }
    }
}

impl Definitions {
    /// Reads a file, of one vhost or of the whole broker.
    fn read(text: &[u8], only: Option<&Name>) -> Result<Definitions, Refusal> {
        let whole = Fields::read(text)?;
        let mut read = Definitions::default();
        if only.is_none() {
            read.each(&whole, "users", Definitions::user)?;
            read.each(&whole, "vhosts", Definitions::vhost)?;
            read.each(&whole, "permissions", Definitions::permissions)?;
        } else if whole.get("users").and_then(Value::as_array).is_some_and(|users| !users.is_empty()) {
            read.left_out.push("users: they are of no vhost".to_owned());
        }
        read.each(&whole, "parameters", |read, item| read.parameter(item, only))?;
        if only.is_none() {
            read.each(&whole, "global_parameters", Definitions::global_parameter)?;
        }
        read.each(&whole, "policies", |read, item| read.policy(item, only))?;
        read.each(&whole, "exchanges", |read, item| read.exchange(item, only))?;
        if only.is_none() {
            // They name exchanges.
            read.each(&whole, "topic_permissions", Definitions::topic_permissions)?;
        }
        read.each(&whole, "queues", |read, item| read.queue(item, only))?;
        read.each(&whole, "bindings", |read, item| read.binding(item, only))?;
        Ok(read)
    }

    fn each(
        &mut self,
        whole: &Fields,
        section: &str,
        read: impl Fn(&mut Definitions, &Item<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        match whole.get(section) {
            None | Some(Value::Null) => Ok(()),
            Some(Value::Array(items)) => {
                for item in items {
                    let Value::Object(fields) = item else {
                        return Err(wrong(section, "an array of objects", item));
                    };
                    read(self, &Item(section, Fields::of(fields.clone())))?;
                }
                Ok(())
            }
            Some(other) => Err(wrong(section, "an array", other)),
        }
    }

    fn change(&mut self, change: Change) {
        self.items.push(ImportItem::Change(change));
    }

    fn user(&mut self, item: &Item<'_>) -> Result<(), Refusal> {
        let (name, fields) = (item.name("name")?, &item.1);
        let tags = fields.words("tags")?.unwrap_or_default();
        let loopback_only = *name == *users::GUEST;
        let user = UserSpec { password: users::password(fields)?, tags, loopback_only };
        self.change(Change::PutUser { name: name.clone(), user });
        for (limit, value) in limits::given_to_user(fields)? {
            self.change(Change::SetUserLimit { user: name.clone(), limit, value: Some(value) });
        }
        Ok(())
    }

    fn vhost(&mut self, item: &Item<'_>) -> Result<(), Refusal> {
        let name = item.name("name")?;
        // From 3.11 on what is known of it is an object; before it was beside the name.
        let known = match item.1.get("metadata") {
            Some(Value::Object(metadata)) => Fields::of(metadata.clone()),
            _ => Fields::of(item.1.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect()),
        };
        let default_queue_type = match known.get("default_queue_type").and_then(Value::as_str) {
            None | Some("undefined") => None,
            Some(word) => match vhosts::queue_type(word) {
                Ok(queue_type) => Some(queue_type),
                Err(_) => {
                    self.left_out.push(format!("the default queue type {word} of vhost '{name}'"));
                    None
                }
            },
        };
        let text = |field| known.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let metadata = VhostMetadata {
            description: text("description"),
            tags: known.words("tags")?.unwrap_or_default(),
            default_queue_type: default_queue_type.filter(|queue_type| *queue_type != Default::default()),
        };
        self.change(Change::PutVhost { name: name.clone(), metadata });
        if let Some(Value::Object(given)) = item.1.get("limits").filter(|limits| **limits != json!({})) {
            for change in limits::changes_of_vhost(&name, given)? {
                self.change(change);
            }
        }
        if known.flag("protected_from_deletion")? == Some(true) {
            self.change(Change::SetVhostProtection { vhost: name.clone(), on: true });
        }
        if item.1.flag("tracing")? == Some(true) {
            self.change(Change::SetTracing { vhost: name, on: true });
        }
        Ok(())
    }

    fn permissions(&mut self, item: &Item<'_>) -> Result<(), Refusal> {
        let permissions = PermissionSpec {
            configure: item.name("configure")?,
            write: item.name("write")?,
            read: item.name("read")?,
        };
        self.change(Change::PutPermissions {
            vhost: item.name("vhost")?,
            user: item.name("user")?,
            permissions,
        });
        Ok(())
    }

    fn topic_permissions(&mut self, item: &Item<'_>) -> Result<(), Refusal> {
        let permissions = TopicPermissionSpec { write: item.name("write")?, read: item.name("read")? };
        let (vhost, user, exchange) = (item.name("vhost")?, item.name("user")?, item.name("exchange")?);
        self.change(Change::PutTopicPermissions { vhost, user, exchange, permissions });
        Ok(())
    }

    fn parameter(&mut self, item: &Item<'_>, only: Option<&Name>) -> Result<(), Refusal> {
        let (component, name, vhost) = (item.name("component")?, item.name("name")?, item.vhost(only)?);
        let value = item.1.get("value").cloned().unwrap_or_default();
        if ![parameters::LIMITS, parameters::OPERATOR_POLICY].contains(&&*component) {
            self.left_out.push(format!("the parameter '{name}' of {component} in vhost '{vhost}'"));
            return Ok(());
        }
        for change in parameters::changes(&component, &vhost, &name, &value)? {
            self.change(change);
        }
        Ok(())
    }

    fn global_parameter(&mut self, item: &Item<'_>) -> Result<(), Refusal> {
        let name = item.name("name")?;
        // Which cluster it was says nothing of this one.
        if !name.starts_with("internal_") {
            let value = Some(item.1.get("value").cloned().unwrap_or_default().to_string());
            self.change(Change::SetGlobalParameter { name, value });
        }
        Ok(())
    }

    fn policy(&mut self, item: &Item<'_>, only: Option<&Name>) -> Result<(), Refusal> {
        let (name, vhost) = (item.name("name")?, item.vhost(only)?);
        let policy = policies::spec_of(&item.1)?;
        self.change(Change::PutPolicy { vhost, kind: PolicyKind::Regular, name, policy });
        Ok(())
    }

    fn exchange(&mut self, item: &Item<'_>, only: Option<&Name>) -> Result<(), Refusal> {
        let (name, kind, vhost) = (item.name("name")?, item.name("type")?, item.vhost(only)?);
        if ExchangeKind::parse(&kind).is_none() {
            self.left_out.push(format!("the exchange '{name}' in vhost '{vhost}', of type {kind}"));
            return Ok(());
        }
        if name.is_empty() || name.starts_with("amq.") {
            return Ok(());
        }
        let declare = DeclareExchange {
            name,
            kind,
            passive: false,
            durable: item.1.boolean("durable")?,
            auto_delete: item.1.boolean("auto_delete")?,
            internal: item.1.boolean("internal")?,
            arguments: item.arguments()?,
        };
        self.items.push(ImportItem::Exchange { vhost, declare });
        Ok(())
    }

    fn queue(&mut self, item: &Item<'_>, only: Option<&Name>) -> Result<(), Refusal> {
        let (name, vhost, mut arguments) = (item.name("name")?, item.vhost(only)?, item.arguments()?);
        let stated = item.1.text("type")?;
        let asked = item.1.get("arguments").and_then(|arguments| arguments.get("x-queue-type")?.as_str());
        let queue_type =
            asked.or(stated).unwrap_or("classic").trim_start_matches("rabbit_").trim_end_matches("_queue");
        if !["classic", "quorum"].contains(&queue_type) {
            self.left_out.push(format!("the queue '{name}' in vhost '{vhost}', of type {queue_type}"));
            return Ok(());
        }
        if asked.is_none() && queue_type == "quorum" {
            let word = leveret_codec::table::AMQPValue::LongString(queue_type.into());
            arguments.insert("x-queue-type".into(), word);
        }
        let declare = DeclareQueue {
            name,
            passive: false,
            durable: item.1.boolean("durable")?,
            exclusive: false,
            auto_delete: item.1.boolean("auto_delete")?,
            arguments,
        };
        self.items.push(ImportItem::Queue { vhost, declare });
        Ok(())
    }

    fn binding(&mut self, item: &Item<'_>, only: Option<&Name>) -> Result<(), Refusal> {
        let vhost = item.vhost(only)?;
        let to = match &*item.name("destination_type")? {
            "queue" => BindingEnds::Queue,
            "exchange" => BindingEnds::Exchange,
            other => return Err(wrong("destination_type", "queue or exchange", &other.into())),
        };
        let binding = Binding {
            source: item.name("source")?,
            destination: item.name("destination")?,
            routing_key: item.name("routing_key")?,
            arguments: item.arguments()?,
        };
        // The default exchange binds all by itself.
        if !binding.source.is_empty() {
            self.items.push(ImportItem::Binding { vhost, to, binding });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_a_file_in_it() {
        let body = b"--b\r\ncontent-disposition: form-data; name=\"other\"\r\n\r\nx\r\n--b\r\n\
            content-disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n{\"a\":1}\r\n--b--\r\n";
        assert_eq!(part(body, "b"), Some(&b"{\"a\":1}"[..]));
        for none in [&b"--b--\r\n"[..], b"", b"--b\r\nname=\"file\"\r\n\r\nx"] {
            assert_eq!(part(none, "b"), None);
        }
    }

    #[test]
    fn what_cannot_be_here_is_named_and_what_is_malformed_refused() {
        let file = json!({
            "queues": [
                {"name": "s", "vhost": "/", "durable": true, "arguments": {"x-queue-type": "stream"}},
                {"name": "q", "vhost": "/", "durable": true, "type": "quorum", "arguments": {}},
            ],
            "parameters": [{"component": "federation-upstream", "vhost": "/", "name": "up", "value": {}}],
            "exchanges": [{"name": "x", "vhost": "/", "type": "x-own", "durable": true}],
        });
        let read = Definitions::read(file.to_string().as_bytes(), None).unwrap();
        assert_eq!(
            read.left_out,
            [
                "the parameter 'up' of federation-upstream in vhost '/'",
                "the exchange 'x' in vhost '/', of type x-own",
                "the queue 's' in vhost '/', of type stream"
            ]
        );
        let [ImportItem::Queue { declare, .. }] = &read.items[..] else { panic!("{:?}", read.items) };
        assert!(declare.arguments.inner().contains_key("x-queue-type"));
        for malformed in [
            "[]",
            "{\"queues\":{}}",
            "{\"queues\":[1]}",
            "{\"queues\":[{\"name\":\"q\"}]}",
            "{\"users\":[{}]}",
        ] {
            assert!(
                matches!(Definitions::read(malformed.as_bytes(), None), Err(Refusal::Bad(_))),
                "{malformed}"
            );
        }
    }
}

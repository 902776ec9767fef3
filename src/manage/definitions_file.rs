//! What a file of definitions says, of this broker or of RabbitMQ from 3.8 on: items that are imported together (semantics 20.8). What
//! cannot be here (a stream, a federation upstream), and what is not as it should be, is left out and named, and the rest is read.
//! How the items are carried out is the catalog's.

use leveret_codec::table::{AMQPValue, FieldTable};
use serde_json::{Map, Value};

use super::answer::Refusal;
use super::fields::{Fields, wrong};
use super::json::{has_null, to_table, with_declared_integers};
use super::{limits, parameters, policies, users, vhosts};
use crate::catalog::policies::has_meaning;
use crate::model::administration::{
    Change, ImportItem, LeftOut, PermissionSpec, PolicyKind, PolicySpec, TopicPermissionSpec, UserSpec,
    VhostMetadata,
};
use crate::model::command::BindingEnds;
use crate::model::ids::Name;
use crate::model::request::{Binding, DeclareExchange, DeclareQueue};
use crate::routing::ExchangeKind;

/// What was read of a file.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    pub(super) items: Vec<ImportItem>,
    /// What cannot be here, in words.
    pub(super) left_out: LeftOut,
}

/// An item of a section.
struct Item<'a> {
    section: &'a str,
    number: usize,
    fields: Fields,
}

impl Item<'_> {
    /// What it is called where it is left out: as far as it says what it is.
    fn called(&self, only: Option<&Name>) -> String {
        let text = |field| self.fields.get(field).and_then(Value::as_str);
        let vhost = only.map(|only| &**only).or_else(|| text("vhost"));
        let place = vhost.map(|vhost| format!(" in vhost '{vhost}'")).unwrap_or_default();
        let what = self.section.strip_suffix('s').unwrap_or(self.section).replace("policie", "policy");
        match (self.section, text("name"), text("user"), text("source")) {
            ("bindings", _, _, Some(source)) => {
                format!("the binding from '{source}' to '{}'{place}", text("destination").unwrap_or_default())
            }
            ("permissions" | "topic_permissions", _, Some(user), _) => {
                format!("{} of user '{user}'{place}", self.section.replace('_', " "))
            }
            ("parameters", Some(name), _, _) => {
                format!("the parameter '{name}' of {}{place}", text("component").unwrap_or_default())
            }
            ("users" | "vhosts" | "global_parameters", Some(name), _, _) => {
                format!("the {} '{name}'", what.replace('_', " "))
            }
            (_, Some(name), _, _) => format!("the {what} '{name}'{place}"),
            _ => format!("item {} of {}", self.number + 1, self.section),
        }
    }

    fn name(&self, field: &str) -> Result<Name, Refusal> {
        match self.fields.get(field) {
            Some(Value::String(text)) => Ok(text.as_str().into()),
            Some(other) => Err(wrong(field, "a string", other)),
            None => Err(Refusal::bad(format!("{field} is missing"))),
        }
    }

    /// Of the whole broker an item says which vhost it is in; of one vhost it does not matter what it says.
    fn vhost(&self, only: Option<&Name>) -> Result<Name, Refusal> {
        only.map_or_else(|| self.name("vhost"), |only| Ok(only.clone()))
    }

    /// What nothing is said of is durable in RabbitMQ.
    fn is_durable(&self) -> Result<bool, Refusal> {
        if self.fields.has("durable") { self.fields.boolean("durable") } else { Ok(true) }
    }

    fn arguments(&self) -> Result<FieldTable, Refusal> {
        match self.fields.get("arguments") {
            None | Some(Value::Null) => Ok(FieldTable::default()),
            Some(Value::Array(items)) if items.is_empty() => Ok(FieldTable::default()),
            Some(Value::Object(fields)) if fields.values().any(has_null) => {
                Err(Refusal::bad("null_not_allowed"))
            }
            Some(Value::Object(fields)) => {
                to_table(fields).map_err(|why| Refusal::bad(format!("arguments: {why}")))
            }
            Some(other) => Err(wrong("arguments", "an object", other)),
        }
    }
}

impl Definitions {
    /// Reads a file, of one vhost or of the whole broker. 400 where it is no JSON object.
    pub(super) fn read(text: &[u8], only: Option<&Name>) -> Result<Definitions, Refusal> {
        let whole = &mut Fields::read(text)?.into_map();
        let mut read = Definitions::default();
        if only.is_none() {
            read.each(whole, "users", only, Definitions::user);
            read.each(whole, "vhosts", only, Definitions::vhost);
            read.each(whole, "permissions", only, Definitions::permissions);
        } else if whole.get("users").and_then(Value::as_array).is_some_and(|users| !users.is_empty()) {
            read.left_out.push("users: they are of no vhost");
        }
        read.each(whole, "parameters", only, |read, item| read.parameter(item, only));
        if only.is_none() {
            read.each(whole, "global_parameters", only, Definitions::global_parameter);
        }
        read.each(whole, "policies", only, |read, item| read.policy(item, only));
        read.each(whole, "exchanges", only, |read, item| read.exchange(item, only));
        if only.is_none() {
            // They name exchanges.
            read.each(whole, "topic_permissions", only, Definitions::topic_permissions);
        }
        read.each(whole, "queues", only, |read, item| read.queue(item, only));
        read.each(whole, "bindings", only, |read, item| read.binding(item, only));
        Ok(read)
    }

    /// Reads the items of a section. Of what is not as it should be nothing is imported.
    fn each(
        &mut self,
        whole: &mut Map<String, Value>,
        section: &str,
        only: Option<&Name>,
        read: impl Fn(&mut Definitions, &Item<'_>) -> Result<(), Refusal>,
    ) {
        let items = match whole.remove(section) {
            None | Some(Value::Null) => return,
            Some(Value::Array(items)) => items,
            Some(other) => return self.left_out.push(wrong(section, "an array", &other).text()),
        };
        for (number, item) in items.into_iter().enumerate() {
            let Value::Object(fields) = item else {
                let what = format!("item {} of {section}", number + 1);
                self.left_out.push(wrong(&what, "an object", &item).text());
                continue;
            };
            let item = Item { section, number, fields: Fields::of(fields) };
            let before = self.items.len();
            if let Err(refusal) = read(self, &item) {
                self.items.truncate(before);
                self.leave_out(&item.called(only), &refusal);
            }
        }
    }

    fn leave_out(&mut self, what: &str, why: &Refusal) {
        self.left_out.push(format!("{what}: {}", why.text()));
    }

    fn change(&mut self, change: Change) {
        self.items.push(ImportItem::Change(change));
    }

    fn user(&mut self, item: &Item<'_>) -> Result<(), Refusal> {
        let (name, fields) = (item.name("name")?, &item.fields);
        let tags = fields.words("tags")?.unwrap_or_default();
        let loopback_only = *name == *users::GUEST;
        let user = UserSpec { password: users::password(fields)?, tags, loopback_only };
        self.change(Change::PutUser { name: name.clone(), user });
        match limits::given_to_user(fields) {
            Ok(limits) => {
                for (limit, value) in limits {
                    self.change(Change::SetUserLimit { user: name.clone(), limit, value: Some(value) });
                }
            }
            Err(why) => self.leave_out(&format!("the limits of user '{name}'"), &why),
        }
        Ok(())
    }

    /// What is wrong with one of its properties keeps no vhost out: all that is in it would go with it.
    fn vhost(&mut self, item: &Item<'_>) -> Result<(), Refusal> {
        let name = item.name("name")?;
        // From 3.11 on what is known of it is an object; before it was beside the name.
        let known = match item.fields.get("metadata") {
            Some(Value::Object(metadata)) => &Fields::of(metadata.clone()),
            _ => &item.fields,
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
        let tags = known.words("tags").unwrap_or_else(|why| {
            self.leave_out(&format!("the tags of vhost '{name}'"), &why);
            None
        });
        let text = |field| known.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let metadata = VhostMetadata {
            description: text("description"),
            tags: tags.unwrap_or_default(),
            default_queue_type: default_queue_type.filter(|queue_type| *queue_type != Default::default()),
        };
        self.change(Change::PutVhost { name: name.clone(), metadata });
        if let Some(Value::Object(given)) = item.fields.get("limits").filter(|limits| !is_empty(limits)) {
            match limits::changes_of_vhost(&name, given) {
                Ok(changes) => changes.into_iter().for_each(|change| self.change(change)),
                Err(why) => self.leave_out(&format!("the limits of vhost '{name}'"), &why),
            }
        }
        match known.flag("protected_from_deletion") {
            Ok(None) => {}
            Ok(Some(on)) => self.change(Change::SetVhostProtection { vhost: name.clone(), on }),
            Err(why) => self.leave_out(&format!("the protection of vhost '{name}'"), &why),
        }
        match item.fields.flag("tracing") {
            Ok(Some(true)) => self.change(Change::SetTracing { vhost: name, on: true }),
            Ok(_) => {}
            Err(why) => self.leave_out(&format!("the tracing of vhost '{name}'"), &why),
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
        let value = item.fields.get("value").cloned().unwrap_or_default();
        if ![parameters::LIMITS, parameters::OPERATOR_POLICY].contains(&&*component) {
            self.left_out.push(item.called(only));
            return Ok(());
        }
        for mut change in parameters::changes(&component, &vhost, &name, &value)? {
            if let Change::PutPolicy { policy, .. } = &mut change {
                self.keep_meaning(item, only, PolicyKind::Operator, policy);
            }
            self.change(change);
        }
        Ok(())
    }

    fn global_parameter(&mut self, item: &Item<'_>) -> Result<(), Refusal> {
        let name = item.name("name")?;
        // Which cluster it was says nothing of this one.
        if !name.starts_with("internal_") {
            let value = item.fields.get("value").ok_or_else(|| Refusal::bad("value is missing"))?;
            self.change(Change::SetGlobalParameter { name, value: Some(value.to_string()) });
        }
        Ok(())
    }

    fn policy(&mut self, item: &Item<'_>, only: Option<&Name>) -> Result<(), Refusal> {
        let (name, vhost) = (item.name("name")?, item.vhost(only)?);
        let mut policy = policies::spec_of(&item.fields)?;
        self.keep_meaning(item, only, PolicyKind::Regular, &mut policy);
        self.change(Change::PutPolicy { vhost, kind: PolicyKind::Regular, name, policy });
        Ok(())
    }

    /// Takes out of a policy what there is not (mirroring, federation), so that the rest of it holds. One that says nothing else
    /// is left as it is, and refused by those who check it.
    fn keep_meaning(
        &mut self,
        item: &Item<'_>,
        only: Option<&Name>,
        kind: PolicyKind,
        policy: &mut PolicySpec,
    ) {
        let mut kept = FieldTable::default();
        let mut unknown = Vec::new();
        for (key, value) in policy.definition.inner() {
            if has_meaning(kind, key.as_str()) {
                kept.insert(key.clone(), value.clone());
            } else {
                unknown.push(format!("'{key}'"));
            }
        }
        if !unknown.is_empty() && !kept.inner().is_empty() {
            self.left_out.push(format!("{} of {}", unknown.join(", "), item.called(only)));
            policy.definition = kept;
        }
    }

    fn exchange(&mut self, item: &Item<'_>, only: Option<&Name>) -> Result<(), Refusal> {
        let (name, kind, vhost) = (item.name("name")?, item.name("type")?, item.vhost(only)?);
        if ExchangeKind::parse(&kind).is_none() {
            self.left_out.push(format!("{}, of type {kind}", item.called(only)));
            return Ok(());
        }
        // They are there wherever they have a meaning.
        if name.is_empty() || name.starts_with("amq.") {
            return Ok(());
        }
        let declare = DeclareExchange {
            name,
            kind,
            passive: false,
            durable: item.is_durable()?,
            auto_delete: item.fields.boolean("auto_delete")?,
            internal: item.fields.boolean("internal")?,
            arguments: with_declared_integers(item.arguments()?),
        };
        self.items.push(ImportItem::Exchange { vhost, declare });
        Ok(())
    }

    fn queue(&mut self, item: &Item<'_>, only: Option<&Name>) -> Result<(), Refusal> {
        let (name, vhost) = (item.name("name")?, item.vhost(only)?);
        let mut arguments = with_declared_integers(item.arguments()?);
        let stated = item.fields.text("type")?;
        let asked =
            item.fields.get("arguments").and_then(|arguments| arguments.get("x-queue-type")?.as_str());
        let queue_type =
            asked.or(stated).unwrap_or("classic").trim_start_matches("rabbit_").trim_end_matches("_queue");
        if !["classic", "quorum"].contains(&queue_type) {
            self.left_out.push(format!("{}, of type {queue_type}", item.called(only)));
            return Ok(());
        }
        if asked.is_none() && queue_type == "quorum" {
            arguments.insert("x-queue-type".into(), AMQPValue::LongString(queue_type.into()));
        }
        // How RabbitMQ stored messages until 3.13; it refuses the queue from 4.0 on.
        if arguments.inner().get("x-queue-version") == Some(&AMQPValue::LongLongInt(1)) {
            arguments = without(&arguments, "x-queue-version");
            self.left_out.push(format!("the argument x-queue-version 1 of {}", item.called(only)));
        }
        let declare = DeclareQueue {
            name,
            passive: false,
            durable: item.is_durable()?,
            exclusive: false,
            auto_delete: item.fields.boolean("auto_delete")?,
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

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

fn without(table: &FieldTable, name: &str) -> FieldTable {
    let mut rest = FieldTable::default();
    for (field, value) in table.inner().iter().filter(|(field, _)| field.as_str() != name) {
        rest.insert(field.clone(), value.clone());
    }
    rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(file: &Value) -> (Vec<ImportItem>, Vec<String>) {
        let Definitions { items, left_out } = Definitions::read(file.to_string().as_bytes(), None).unwrap();
        (items, left_out.into_lines())
    }

    #[test]
    fn what_cannot_be_here_is_named_and_the_rest_is_read() {
        let (items, left_out) = read(&json!({
            "vhosts": [{"name": "v", "metadata": {"default_queue_type": "stream", "tags": 5}, "limits": {"own": 1}}],
            "users": [{"name": "u", "password_hash": "", "tags": "", "limits": {"max-channels": "x"}}],
            "queues": [
                {"name": "s", "vhost": "/", "durable": true, "arguments": {"x-queue-type": "stream"}},
                {"name": "q", "vhost": "/", "type": "quorum", "arguments": {}},
                {"name": "c", "vhost": "/", "arguments": {"x-queue-version": 1, "x-expires": 5.0, "own": 5.0}},
            ],
            "parameters": [{"component": "federation-upstream", "vhost": "/", "name": "up", "value": {}}],
            "exchanges": [{"name": "x", "vhost": "/", "type": "x-own", "durable": true}],
            "policies": [
                {"name": "p", "vhost": "/", "pattern": "", "definition": {"ha-mode": "all", "expires": 5.0, "federation-upstream": "a"}},
                {"name": "ha", "vhost": "/", "pattern": "", "definition": {"ha-mode": "all"}},
            ],
        }));
        assert_eq!(
            left_out,
            [
                "the limits of user 'u': max-channels should be a number, actually was <<\"x\">>",
                "the default queue type stream of vhost 'v'",
                "the tags of vhost 'v': tags should be an array of strings, or a string with commas, actually was 5",
                "the limits of vhost 'v': Validation failed Unrecognised terms [{<<\"own\">>,1}] in limits",
                "the parameter 'up' of federation-upstream in vhost '/'",
                "'federation-upstream', 'ha-mode' of the policy 'p' in vhost '/'",
                "the exchange 'x' in vhost '/', of type x-own",
                "the queue 's' in vhost '/', of type stream",
                "the argument x-queue-version 1 of the queue 'c' in vhost '/'",
            ]
        );
        let [
            ImportItem::Change(Change::PutUser { .. }),
            ImportItem::Change(Change::PutVhost { .. }),
            ImportItem::Change(Change::PutPolicy { policy, .. }),
            ImportItem::Change(Change::PutPolicy { policy: mirrored, .. }),
            ImportItem::Queue { declare: quorum, .. },
            ImportItem::Queue { declare: classic, .. },
        ] = &items[..]
        else {
            panic!("{items:?}")
        };
        assert_eq!(policy.definition.inner().get("expires"), Some(&AMQPValue::LongLongInt(5)));
        assert_eq!((policy.definition.inner().len(), mirrored.definition.inner().len()), (1, 1));
        assert!(quorum.durable && quorum.arguments.inner().contains_key("x-queue-type"));
        let value = |name: &str| classic.arguments.inner().get(name);
        assert_eq!(value("x-expires"), Some(&AMQPValue::LongLongInt(5)));
        assert_eq!((value("own"), value("x-queue-version")), (Some(&AMQPValue::Double(5.0)), None));
    }

    #[test]
    fn what_is_malformed_is_named_and_the_rest_is_read() {
        let (items, left_out) = read(&json!({
            "users": [{}, {"name": "u", "password_hash": "a"}],
            "vhosts": 5,
            "permissions": [{"user": "u", "vhost": "v"}],
            "topic_permissions": [{"user": "u", "vhost": "v", "write": "", "read": []}],
            "parameters": [{"component": "vhost-limits", "name": "limits", "vhost": "v", "value": {"max-queues": "x"}}, 7],
            "global_parameters": [{"name": "g"}],
            "policies": [{"name": "p", "vhost": "v", "definition": [1], "pattern": ""}],
            "exchanges": [{"name": "x", "vhost": "v", "type": "topic", "durable": 5}],
            "queues": [{"name": "q"}, {"name": "q", "vhost": "v", "arguments": {"a": null}}, {"name": "q", "vhost": "v"}],
            "bindings": [{"source": "x", "destination": "q", "destination_type": "y", "vhost": "v"}],
        }));
        let begins = [
            "item 1 of users: name is missing",
            "the user 'u': [\"not_base64\",\"a\"]",
            "vhosts should be an array, actually was 5",
            "permissions of user 'u' in vhost 'v': configure is missing",
            "the parameter 'limits' of vhost-limits in vhost 'v': Validation failed max-queues",
            "item 2 of parameters should be an object, actually was 7",
            "the global parameter 'g': value is missing",
            "the policy 'p' in vhost 'v': definition should be an object",
            "the exchange 'x' in vhost 'v': [\"not_boolean\",5]",
            "topic permissions of user 'u' in vhost 'v': read should be a string, actually was []",
            "the queue 'q': vhost is missing",
            "the queue 'q' in vhost 'v': null_not_allowed",
            "the binding from 'x' to 'q' in vhost 'v': destination_type should be queue or exchange",
        ];
        assert_eq!(left_out.len(), begins.len(), "{left_out:#?}");
        for (line, begin) in left_out.iter().zip(begins) {
            assert!(line.starts_with(begin), "{line} is not {begin}");
        }
        assert!(matches!(&items[..], [ImportItem::Queue { .. }]), "{items:?}");
        for no_object in ["[]", "5", "{", "\"{}\""] {
            let refused = Definitions::read(no_object.as_bytes(), None);
            assert!(matches!(refused, Err(Refusal::Bad(_))), "{no_object}");
        }
    }
}

//! Publishing: the checks in their order, and the way to the queues (semantics 9.1 to 9.4, 5.24, 15.3). The size of
//! a message was checked by the session.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::Port;
use super::direct_reply;
use super::route_cache::{Found, Known, Targets};
use crate::catalog::access::{self, Operation};
use crate::catalog::queue_arguments::LONGEST_TIME;
use crate::catalog::view::route_changes::RouteVersion;
use crate::catalog::view::{User, ViewState};
use crate::model::command::ShardCommand;
use crate::model::consuming::Delivery;
use crate::model::event::ConfirmToken;
use crate::model::fault::{Fault, ReplyCode};
use crate::model::ids::{ConnectionId, ConsumerNumber, ExchangeId, Position, QueueId, QueueRef, ShardIndex};
use crate::model::message::Message;
use crate::model::op::Attempts;
use crate::model::port::{RoutedPublish, fan_out};
use crate::model::resource::Resource;
use crate::routing::cc::cc_keys;
use crate::routing::{Envelope, ExchangeKind, MOST_EFFORT, Walked, route};

impl Port {
    /// Checks and routes a publish.
    pub(super) fn route_publish(&mut self, message: Arc<Message>) -> Result<RoutedPublish, Fault> {
        let generation = self.view.generation();
        let known = self.cache.find(generation, message.exchange(), message.routing_key());
        if known == Known::Nothing {
            let (id, since) = self.check_exchange(&message)?;
            self.cache.add_exchange(Found { generation, since }, message.exchange(), id);
        }
        if !matches!(known, Known::Route(_)) {
            self.check_topic(&self.view.read(), Operation::Write, message.exchange(), message.routing_key())?;
        }
        self.check_properties(&message)?;
        let known = match known {
            // Nearly all messages: what is remembered is no direct reply, and without headers there are no other keys.
            Known::Route(queues) if message.properties_with_bcc().raw_headers().is_none() => {
                return Ok(RoutedPublish { message, queues, direct_replies: SmallVec::new() });
            }
            known => known,
        };
        let cc_keys = cc_keys(&message)?;
        let direct_replies = self.find_direct_replies(&message, &cc_keys);
        if !cc_keys.is_empty() {
            let state = self.view.read();
            let check = |key: &Vec<u8>| self.check_topic(&state, Operation::Write, message.exchange(), key);
            cc_keys.iter().try_for_each(check)?;
        }
        let queues = match known {
            Known::Route(targets) if cc_keys.is_empty() => targets,
            // No queue is named as they are, and none of them is remembered.
            _ if cc_keys.is_empty() && is_reply(&message) => Targets::new(),
            _ => self.find_targets(&message, &cc_keys)?,
        };
        Ok(RoutedPublish { message, queues, direct_replies })
    }

    /// Whether this connection may publish to the exchange of a message, and as of when: 403, 404, 403.
    fn check_exchange(&self, message: &Message) -> Result<(ExchangeId, RouteVersion), Fault> {
        let name = std::str::from_utf8(message.exchange()).unwrap_or("\u{fffd}");
        let resource = Resource::exchange(name, &self.vhost);
        let state = self.view.read();
        self.check(&state, Operation::Write, resource)?;
        let exchange = state.exchange(&self.vhost, name).ok_or_else(|| Fault::not_found(resource))?;
        if exchange.internal {
            return Err(Fault::new(
                ReplyCode::AccessRefused,
                format!("cannot publish to internal {resource}"),
            ));
        }
        Ok((exchange.id, self.view.route_changes.now()))
    }

    /// Whether the user of this connection may do this; 403.
    pub(super) fn check(
        &self,
        state: &ViewState,
        operation: Operation,
        resource: Resource<'_>,
    ) -> Result<(), Fault> {
        if self.may_everything {
            return Ok(());
        }
        access::check(state.permissions(&self.vhost, &self.user), &self.user, operation, resource)
    }

    /// Whether the user of this connection may do this with a topic of an exchange; 403 (semantics 16.5).
    pub(super) fn check_topic(
        &self,
        state: &ViewState,
        operation: Operation,
        exchange: &[u8],
        topic: &[u8],
    ) -> Result<(), Fault> {
        if self.may_everything {
            return Ok(());
        }
        let of_user = state.vhost(&self.vhost).and_then(|vhost| vhost.topic_permissions.get(&self.user));
        let Some(of_user) = of_user else { return Ok(()) };
        let name = String::from_utf8_lossy(exchange);
        let is_topic =
            state.exchange(&self.vhost, &name).is_some_and(|exchange| exchange.kind() == ExchangeKind::Topic);
        if !is_topic {
            return Ok(());
        }
        let (topic, resource) = (String::from_utf8_lossy(topic), Resource::exchange(&name, &self.vhost));
        access::check_topic(of_user.get(&*name), &self.user, operation, &topic, resource)
    }

    /// `expiration` and `user_id` (semantics 9.3, 9.4), in this order.
    fn check_properties(&self, message: &Message) -> Result<(), Fault> {
        let properties = message.properties();
        if let Some(text) = properties.expiration()
            && !is_time(message.expiration())
        {
            return Err(invalid_expiration(text));
        }
        if let Some(claimed) = properties.user_id()
            && claimed != self.user.as_bytes()
        {
            let may_claim = self.view.read().user(&self.user).is_some_and(User::is_impersonator);
            if !may_claim {
                return Err(Fault::precondition(format!(
                    "user_id property set to '{}' but authenticated user was '{}'",
                    String::from_utf8_lossy(claimed),
                    self.user
                )));
            }
        }
        Ok(())
    }

    /// Whom a message answers directly, each once: the default exchange knows their addresses as it knows queues.
    fn find_direct_replies(
        &self,
        message: &Message,
        cc_keys: &[Vec<u8>],
    ) -> SmallVec<[(ConnectionId, ConsumerNumber); 1]> {
        let mut found = SmallVec::new();
        if message.exchange().is_empty() {
            let keys = std::iter::once(message.routing_key()).chain(cc_keys.iter().map(Vec::as_slice));
            let addresses = keys.filter(|key| direct_reply::is_address(key));
            found.extend(
                addresses.filter_map(|address| self.shared.direct_replies.find(&self.vhost, address)),
            );
            found.sort_unstable();
            found.dedup();
        }
        found
    }

    /// Routes by the view, and remembers the result where exchange and key alone led to it. 406 where that takes too long, or
    /// the message asks an exchange on its way for a delay that it cannot have.
    fn find_targets(&mut self, message: &Arc<Message>, cc_keys: &[Vec<u8>]) -> Result<Targets, Fault> {
        let mut targets = Targets::new();
        let mut keys: SmallVec<[&[u8]; 4]> = smallvec![message.routing_key()];
        keys.extend(cc_keys.iter().map(Vec::as_slice));
        let state = self.view.read();
        // Under the lock, so that it is the time of what is read.
        let found = Found { generation: self.view.generation(), since: self.view.route_changes.now() };
        let name = std::str::from_utf8(message.exchange()).unwrap_or("\u{fffd}");
        // Deleted since it was checked: then the message reaches nobody.
        let Some(exchange) = state.exchange(&self.vhost, name) else { return Ok(targets) };
        self.draws = self.draws.wrapping_add(1);
        let draw = self.draws;
        let envelope = Envelope { keys: &keys, properties: message.properties(), draw };
        let Walked { by_keys_alone, passed, histories, is_cut_short, refusal, effort } =
            route(&*state, exchange.id, envelope, &mut targets);
        self.outgoing.searched += effort;
        if is_cut_short {
            return Err(too_much(exchange.resource(), keys.len()));
        }
        refusal.map_or(Ok(()), Err)?;
        for QueueRef { queue: history, shard } in histories {
            let message = Arc::clone(message);
            self.outgoing.push(shard, ShardCommand::Remember { history, message, from: None });
        }
        if by_keys_alone && cc_keys.is_empty() {
            let (exchange, key) = (message.exchange(), message.routing_key());
            let dependencies = self.view.route_changes.dependencies(&state, &passed, key);
            self.cache.add_route(found, (exchange, key), &targets, dependencies);
        }
        Ok(targets)
    }

    /// One command per shard that has a queue of the message.
    pub(super) fn submit_publish(&mut self, publish: RoutedPublish, confirm: Option<ConfirmToken>) -> usize {
        let RoutedPublish { message, mut queues, direct_replies } = publish;
        // Nearly all messages; they need not be counted up for it.
        if let [QueueRef { queue, shard }] = queues[..]
            && direct_replies.is_empty()
        {
            self.outgoing.push(shard, ShardCommand::Publish { queues: smallvec![queue], message, confirm });
            return usize::from(confirm.is_some());
        }
        for (connection, consumer) in direct_replies {
            let delivery = direct_delivery(consumer, Arc::clone(&message));
            self.outgoing.direct.push((connection, delivery));
        }
        queues.sort_unstable_by_key(|at| at.shard);
        let mut commands = 0;
        for same_shard in queues.chunk_by(|a, b| a.shard == b.shard) {
            let Some(shard) = same_shard.first().map(|at| at.shard) else { continue };
            let queues: SmallVec<[QueueId; 2]> = same_shard.iter().map(|at| at.queue).collect();
            self.outgoing.fanned_out += fan_out(queues.len());
            let message = Arc::clone(&message);
            self.outgoing.push(shard, ShardCommand::Publish { queues, message, confirm });
            commands += 1;
        }
        if confirm.is_some() { commands } else { 0 }
    }
}

/// 406: everybody would wait meanwhile.
fn too_much(exchange: Resource<'_>, keys: usize) -> Fault {
    Fault::precondition(format!(
        "to match {keys} routing keys against the bindings of {exchange} takes more than {MOST_EFFORT} steps; \
         send fewer keys in CC and BCC, or bind fewer patterns with wildcards"
    ))
}

/// Whether its own key is the address of a direct reply.
fn is_reply(message: &Message) -> bool {
    message.exchange().is_empty() && direct_reply::is_address(message.routing_key())
}

/// A direct reply: from no queue, and nothing to settle.
fn direct_delivery(consumer: ConsumerNumber, message: Arc<Message>) -> Delivery {
    Delivery {
        consumer,
        queue: QueueRef { queue: QueueId::default(), shard: ShardIndex::default() },
        position: Position::default(),
        message,
        redelivered: false,
        attempts: Attempts::NONE,
        no_ack: true,
    }
}

fn is_time(millis: Option<u64>) -> bool {
    millis.and_then(|millis| i64::try_from(millis).ok()).is_some_and(|millis| millis <= LONGEST_TIME)
}

/// 406, in RabbitMQ's words (semantics 9.3).
fn invalid_expiration(text: &[u8]) -> Fault {
    let text = String::from_utf8_lossy(text);
    let digits = text.strip_prefix(['-', '+']).unwrap_or(&text);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    let reason = if digits.is_empty() {
        "no_integer".to_owned()
    } else if !rest.is_empty() {
        format!("{{leftover_string,\"{rest}\"}}")
    } else if text.starts_with('-') {
        format!("{{value_negative,{text}}}")
    } else {
        format!("{{value_too_large,{text}}}")
    };
    Fault::precondition(format!("invalid expiration '{text}': {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_expiration_is_refused_in_the_words_of_rabbitmq() {
        let cases = [
            ("abc", "no_integer"),
            ("", "no_integer"),
            (" 1", "no_integer"),
            ("-1", "{value_negative,-1}"),
            ("+", "no_integer"),
            ("+1x", "{leftover_string,\"x\"}"),
            ("1x", "{leftover_string,\"x\"}"),
            ("1.5", "{leftover_string,\".5\"}"),
            ("315360000001", "{value_too_large,315360000001}"),
        ];
        for (text, reason) in cases {
            let fault = invalid_expiration(text.as_bytes());
            assert_eq!(fault.explanation, format!("invalid expiration '{text}': {reason}"));
        }
    }
}

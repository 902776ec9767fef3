//! The port: the broker as one connection sees it. It logs in, checks permissions, routes by the view, and sorts what
//! is to be done by who does it. What needs an owner's word is sent to the catalog or a shard; the server carries
//! `outgoing` there.

mod publish;
mod requests;
mod tracing;

use std::sync::Arc;

use leveret_codec::table::AMQPValue;

use crate::model::consuming::{Delivery, Settlement};
use crate::model::event::{ConfirmToken, SessionEvent};
use crate::model::fault::{Fault, ReplyCode};
use crate::model::ids::{
    ChannelNumber, ConnectionId, ConsumerNumber, Name, PositionRange, QueueRef, ShardIndex, Timestamp,
};
use crate::model::message::Message;
use crate::model::op::Group;
use crate::model::port::{BrokerPort, LoginRefused, Progress, RoutedPublish};
use crate::model::request::{Reply, Request};

use super::access::Operation;
use super::announce::{self, Event, Fields, text};
use super::clients::Client;
use super::command::{CatalogCommand, ShardCommand};
use super::direct_reply;
use super::login;
use super::route_cache::RouteCache;
use super::view::View;

use tracing::Traced;

/// What a connection has to say to others. The server empties the lists; the order within each is binding.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// One list per shard.
    pub shards: Vec<Vec<ShardCommand>>,
    pub catalog: Vec<CatalogCommand>,
    /// Answers to direct reply-to consumers, straight to their connections.
    pub direct: Vec<(ConnectionId, SessionEvent)>,
}

impl Outgoing {
    fn push(&mut self, shard: ShardIndex, command: ShardCommand) {
        if let Some(commands) = self.shards.get_mut(usize::from(shard.0)) {
            commands.push(command);
        }
    }
}

/// One connection's way to the broker.
#[derive(Debug)]
pub struct Port {
    connection: ConnectionId,
    view: Arc<View>,
    seed: u64,
    /// What the connection is called: `CLIENT -> SERVER`.
    name: Name,
    user: Name,
    vhost: Name,
    traced: Traced,
    cache: RouteCache,
    outgoing: Outgoing,
    /// How many names were made up so far.
    made_up: u64,
    /// How often chance was asked where a message goes.
    draws: u64,
    /// How many commits concerned more than one shard.
    groups: u64,
    /// Open direct reply-to addresses.
    direct_replies: Vec<(ConsumerNumber, Name)>,
    /// There may be exclusive queues to delete at the end.
    had_exclusive: bool,
}

impl Port {
    /// A port of a connection that has not logged in. `seed` is secret and another one at every start of the broker:
    /// names made up from it cannot be guessed.
    #[must_use]
    pub fn new(connection: ConnectionId, shards: u16, view: Arc<View>, seed: u64) -> Port {
        let outgoing = Outgoing { shards: (0..shards).map(|_| Vec::new()).collect(), ..Outgoing::default() };
        let cache = RouteCache::new(view.remembered_routes.clone());
        Port {
            connection,
            view,
            seed,
            name: "".into(),
            user: "".into(),
            vhost: "".into(),
            traced: Traced::default(),
            cache,
            outgoing,
            made_up: 0,
            draws: 0,
            groups: 0,
            direct_replies: Vec::new(),
            had_exclusive: false,
        }
    }

    /// The same port, with what its connection is called.
    #[must_use]
    pub fn named(mut self, name: Name) -> Port {
        self.name = name;
        self
    }

    /// What was said since the lists were last emptied.
    pub fn take_outgoing(&mut self) -> &mut Outgoing {
        &mut self.outgoing
    }
}

/// What happens to the connection, for the event exchange (semantics.md 19.2).
impl Port {
    fn announce(&mut self, now: Timestamp, key: &'static str, fields: impl FnOnce(&Port) -> Fields) {
        let state = self.view.read();
        if !announce::is_heard(&state) {
            return;
        }
        let told = announce::tell(&state, now, Event { key, fields: fields(self) });
        drop(state);
        for (shard, command) in told {
            self.outgoing.push(shard, command);
        }
    }

    fn described(&self) -> Fields {
        let texts = [("name", &self.name), ("user", &self.user), ("vhost", &self.vhost)];
        texts.into_iter().map(|(name, value)| (name, text(&**value))).collect()
    }

    fn described_channel(&self, channel: ChannelNumber) -> Fields {
        let mut fields = self.described();
        fields[0].1 = text(format!("{} ({channel})", self.name));
        fields.push(("connection", text(&*self.name)));
        fields.push(("number", AMQPValue::LongInt(i32::from(channel))));
        fields
    }
}

impl BrokerPort for Port {
    fn authenticate(&mut self, mechanism: &str, response: &[u8], loopback: bool) -> Result<(), LoginRefused> {
        let credentials = login::read_response(mechanism, response)?;
        let state = self.view.read();
        let user = state
            .log_in(&credentials.user, &credentials.password, loopback)
            .map_err(|why| LoginRefused::Credentials(why.to_string()))?;
        self.user = user.name.clone();
        Ok(())
    }

    fn open_vhost(&mut self, now: Timestamp, vhost: &str) -> Result<(), Fault> {
        let refused = |text| Err(Fault::new(ReplyCode::NotAllowed, text));
        let state = self.view.read();
        let Some(found) = state.vhost(vhost) else { return refused(format!("vhost {vhost} not found")) };
        // Under the lock of the view, so that whoever deletes user or vhost knows of this connection.
        let client = Client {
            name: self.name.clone(),
            user: self.user.clone(),
            vhost: found.name.clone(),
            channels: 0,
            connected_at: now,
        };
        self.view.clients.open(self.connection, client, &state)?;
        if state.permissions(vhost, &self.user).is_none() {
            self.view.clients.close(self.connection);
            return refused(format!("access to vhost '{vhost}' refused for user '{}'", self.user));
        }
        self.vhost = found.name.clone();
        drop(state);
        self.announce(now, "connection.created", Port::described);
        Ok(())
    }

    fn open_channel(&mut self, now: Timestamp, channel: ChannelNumber) -> Result<(), Fault> {
        self.view.clients.open_channel(self.connection, &self.view.read())?;
        self.announce(now, "channel.created", |port| port.described_channel(channel));
        Ok(())
    }

    fn close_channel(&mut self, now: Timestamp, channel: ChannelNumber) {
        self.view.clients.close_channel(self.connection);
        self.announce(now, "channel.closed", |port| port.described_channel(channel));
    }

    fn user(&self) -> &Name {
        &self.user
    }

    fn route(
        &mut self,
        _now: Timestamp,
        channel: ChannelNumber,
        message: Arc<Message>,
    ) -> Result<RoutedPublish, Fault> {
        let routed = self.route_publish(message)?;
        if self.is_traced() {
            self.trace_publish(channel, &routed.message, &routed.queues);
        }
        Ok(routed)
    }

    fn delivered(&mut self, channel: ChannelNumber, delivery: &Delivery) {
        if self.is_traced() {
            self.trace_delivery(channel, delivery);
        }
    }

    fn submit(&mut self, publish: RoutedPublish, confirm: Option<ConfirmToken>) -> usize {
        self.submit_publish(publish, confirm)
    }

    fn request(&mut self, now: Timestamp, request: Request) -> Progress {
        if let Request::CloseConnection = request {
            self.announce(now, "connection.closed", Port::described);
        }
        self.start(request).unwrap_or_else(|fault| Progress::Done(Reply::Refused(fault)))
    }

    fn settle(
        &mut self,
        queue: QueueRef,
        consumer: ConsumerNumber,
        range: PositionRange,
        settlement: Settlement,
    ) {
        let command = ShardCommand::Settle { queue: queue.queue, consumer, range, settlement };
        self.outgoing.push(queue.shard, command);
    }

    fn detach(&mut self, queue: QueueRef, consumer: ConsumerNumber) {
        self.outgoing.push(queue.shard, ShardCommand::Detach { queue: queue.queue, consumer });
    }

    fn set_paused(&mut self, queue: QueueRef, consumer: ConsumerNumber, paused: bool) {
        self.outgoing.push(queue.shard, ShardCommand::SetPaused { queue: queue.queue, consumer, paused });
    }

    fn barrier(&mut self, token: ConfirmToken) -> usize {
        let told = self.outgoing.shards.iter().filter(|commands| !commands.is_empty()).count();
        self.groups += u64::from(told > 1);
        let (connection, number) = (self.connection, self.groups);
        let group = Group { connection, number, parts: u16::try_from(told).unwrap_or(u16::MAX) };
        for commands in &mut self.outgoing.shards {
            let group = Some(group).filter(|_| told > 1 && !commands.is_empty());
            commands.push(ShardCommand::Barrier { token, group });
        }
        self.outgoing.shards.len()
    }

    fn open_direct_reply(&mut self, consumer: ConsumerNumber) -> Name {
        self.made_up += 1;
        let address = direct_reply::address(self.seed, self.connection, consumer, self.made_up);
        self.view.direct_replies.open(address.clone(), self.connection, consumer);
        self.direct_replies.push((consumer, address.clone()));
        address
    }

    fn close_direct_reply(&mut self, consumer: ConsumerNumber) {
        let replies = &self.view.direct_replies;
        self.direct_replies.retain(|(open, address)| {
            if *open == consumer {
                replies.close(address);
            }
            *open != consumer
        });
    }

    fn update_secret(&mut self, consumers: &[(QueueRef, ConsumerNumber)]) {
        let state = self.view.read();
        for &(at, consumer) in consumers {
            let Some(queue) = state.queue_by_id(at.queue) else { continue };
            if self.check(&state, Operation::Read, queue.label.resource()).is_err() {
                self.outgoing.push(at.shard, ShardCommand::Revoke { queue: at.queue, consumer });
            }
        }
    }
}

impl Drop for Port {
    /// Nobody else knows which addresses lead here.
    fn drop(&mut self) {
        self.view.clients.close(self.connection);
        for (_, address) in &self.direct_replies {
            self.view.direct_replies.close(address);
        }
    }
}

//! L4, the port: the broker as one connection sees it. It logs in, checks permissions, routes by the view, and sorts what
//! is to be done by who does it. What needs an owner's word is sent to the catalog or a shard; the server carries
//! `outgoing` there.

mod direct_reply;
mod events;
mod publish;
mod requests;
mod route_cache;
mod sasl;
mod shared;
mod tracing;

use std::sync::Arc;

use crate::model::by_shard::ByShard;
use crate::model::consuming::{Delivery, NewConsumer, Settlement};
use crate::model::event::ConfirmToken;
use crate::model::fault::{Fault, ReplyCode};
use crate::model::holdings::Holdings;
use crate::model::ids::{
    ChannelNumber, ConnectionId, ConsumerNumber, Name, PositionRange, QueueRef, ShardIndex, Timestamp,
};
use crate::model::message::Message;
use crate::model::names::{NameSource, Seed};
use crate::model::op::Group;
use crate::model::peer::{Ends, Entrant, Introduction};
use crate::model::port::{BrokerPort, LoginRefused, Progress, RoutedPublish};
use crate::model::question::ConnectionTotals;
use crate::model::request::{Reply, Request};

use crate::catalog::access::Operation;
use crate::catalog::clients::Client;
use crate::catalog::login::Credentials;
use crate::catalog::view::View;
use crate::model::command::{CatalogCommand, ShardCommand};

use route_cache::RouteCache;
pub use shared::SharedByPorts;
use tracing::Traced;

/// The mechanism that asks for nothing (semantics 1.11).
const ANONYMOUS: &str = "ANONYMOUS";

/// What a connection has to say to others. The server empties the lists; the order within each is binding.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// For the shards that it concerns; none is empty.
    pub shards: ByShard<Vec<ShardCommand>>,
    pub catalog: Vec<CatalogCommand>,
    /// Answers to direct reply-to consumers, straight to their connections.
    pub direct: Vec<(ConnectionId, Delivery)>,
    /// Bytes that publishes to several queues take beyond themselves.
    fanned_out: usize,
    /// Steps spent on searching the queues of messages.
    searched: usize,
}

impl Outgoing {
    #[inline]
    fn push(&mut self, shard: ShardIndex, command: ShardCommand) {
        self.shards.of(shard).push(command);
    }
}

/// One connection's way to the broker.
#[derive(Debug)]
pub struct Port {
    connection: ConnectionId,
    view: Arc<View>,
    shared: Arc<SharedByPorts>,
    names: NameSource,
    /// What the connection is called: `CLIENT -> SERVER`.
    name: Name,
    ends: Option<Ends>,
    /// Who those are that log in without a name.
    anonymous: Option<Name>,
    /// Empty where nobody has logged in, and of an administrator who is no user.
    user: Name,
    /// Permissions are not asked about.
    may_everything: bool,
    /// How the user logged in.
    mechanism: Name,
    client: Introduction,
    vhost: Name,
    traced: Traced,
    cache: RouteCache,
    outgoing: Outgoing,
    /// What chance says next about where a message goes: it counts up from a number of its own.
    draws: u64,
    /// How many commits concerned a shard.
    groups: u64,
    /// Open direct reply-to addresses.
    direct_replies: Vec<(ConsumerNumber, Name)>,
    /// There may be exclusive queues to delete at the end.
    had_exclusive: bool,
}

impl Port {
    /// A port of a connection that has not logged in. `seed` is secret and no other connection's: the names of queues and
    /// the addresses for replies grow from it.
    #[must_use]
    pub fn new(connection: ConnectionId, shared: Arc<SharedByPorts>, seed: Seed) -> Port {
        let view = Arc::clone(&shared.view);
        let cache = RouteCache::new(shared.remembered_routes.clone(), view.route_changes.clone());
        let mut names = NameSource::new(seed);
        let draws = names.draw();
        Port {
            connection,
            view,
            shared,
            names,
            name: "".into(),
            ends: None,
            anonymous: None,
            user: "".into(),
            may_everything: false,
            mechanism: "".into(),
            client: Introduction::default(),
            vhost: "".into(),
            traced: Traced::default(),
            cache,
            outgoing: Outgoing::default(),
            draws,
            groups: 0,
            direct_replies: Vec::new(),
            had_exclusive: false,
        }
    }

    /// The same port, with where its connection comes from and goes to.
    #[must_use]
    pub fn between(mut self, ends: Ends) -> Port {
        self.name = ends.to_string().into();
        self.ends = Some(ends);
        self
    }

    /// The same port, where this user needs no password to log in (semantics 1.11).
    #[must_use]
    pub fn with_anonymous(mut self, user: Option<Name>) -> Port {
        self.anonymous = user;
        self
    }

    /// Lets somebody in who has logged in by other means than SASL, to a vhost, without an open connection that others would see.
    /// 530 where there is no such vhost or a user has no permissions in it.
    pub fn enter(&mut self, who: Entrant<'_>, vhost: &Name) -> Result<(), Fault> {
        let state = self.view.read();
        let refused = |text| Err(Fault::new(ReplyCode::NotAllowed, text));
        if state.vhost(vhost).is_none() {
            return refused(format!("vhost {vhost} not found"));
        }
        if let Entrant::User(user) = who {
            if state.permissions(vhost, user).is_none() {
                return refused(format!("access to vhost '{vhost}' refused for user '{user}'"));
            }
            self.user = user.clone();
        }
        drop(state);
        self.may_everything = matches!(who, Entrant::Administrator);
        (self.vhost, self.name) = (vhost.clone(), "the management API".into());
        Ok(())
    }

    /// What it holds.
    pub fn holdings(&self, into: &mut Holdings) {
        let Port {
            connection: _,
            view: _,
            shared: _,
            names: _,
            name: _,
            ends: _,
            anonymous: _,
            user: _,
            may_everything: _,
            mechanism: _,
            client: _,
            vhost: _,
            traced: _,
            cache,
            outgoing: Outgoing { shards, catalog, direct, fanned_out: _, searched: _ },
            draws: _,
            groups: _,
            direct_replies,
            had_exclusive: _,
        } = self;
        into.in_use("port: remembered routes", &cache.len());
        into.in_transit("port: shards that it says something to", shards);
        into.in_transit("port: to the catalog", catalog);
        into.in_transit("port: direct replies under way", direct);
        into.in_use("port: addresses of direct replies", direct_replies);
    }

    /// What was said since the lists were last emptied.
    pub fn take_outgoing(&mut self) -> &mut Outgoing {
        self.outgoing.fanned_out = 0;
        self.outgoing.searched = 0;
        &mut self.outgoing
    }
}

impl BrokerPort for Port {
    fn mechanisms(&self) -> &'static str {
        match self.anonymous {
            Some(_) => "PLAIN AMQPLAIN ANONYMOUS",
            None => "PLAIN AMQPLAIN",
        }
    }

    fn authenticate(
        &mut self,
        now: Timestamp,
        mechanism: &str,
        response: &[u8],
        loopback: bool,
    ) -> Result<(), LoginRefused> {
        let read = match &self.anonymous {
            Some(user) if mechanism == ANONYMOUS => {
                Ok(Credentials { user: user.to_string(), password: None })
            }
            _ => sasl::read_response(mechanism, response),
        };
        let credentials = match read {
            Ok(credentials) => credentials,
            Err(refused) => {
                self.shared.clients.note_login(false);
                if let LoginRefused::Malformed(Fault { code: ReplyCode::SyntaxError, explanation, .. }) =
                    &refused
                {
                    self.publish_login(now, mechanism, None, Some(explanation));
                }
                return Err(refused);
            }
        };
        let name = &*credentials.user;
        let checked = credentials.check(&self.view.read(), loopback).map(|user| user.name.clone());
        match checked {
            Ok(user) => self.user = user,
            Err(wrong) => {
                self.shared.clients.note_login(false);
                self.publish_login(now, mechanism, Some(name), Some(&wrong.told(name)));
                return Err(LoginRefused::Credentials(wrong.explained(name)));
            }
        }
        self.shared.clients.note_login(true);
        self.mechanism = mechanism.into();
        self.publish_login(now, mechanism, Some(name), None);
        Ok(())
    }

    fn open_vhost(&mut self, now: Timestamp, vhost: &str, client: Introduction) -> Result<(), Fault> {
        let refused = |text| Err(Fault::new(ReplyCode::NotAllowed, text));
        let state = self.view.read();
        let Some(found) = state.vhost(vhost) else { return refused(format!("vhost {vhost} not found")) };
        // Under the lock of the view, so that whoever deletes user or vhost knows of this connection.
        let listed = Client {
            name: self.name.clone(),
            user: self.user.clone(),
            vhost: found.name.clone(),
            channels: 0,
            connected_at: self.view.wall_time(now),
            mechanism: self.mechanism.clone(),
            introduction: client.clone(),
            totals: None,
        };
        self.shared.clients.open(self.connection, listed, &state)?;
        if state.permissions(vhost, &self.user).is_none() {
            self.shared.clients.close(self.connection);
            return refused(format!("access to vhost '{vhost}' refused for user '{}'", self.user));
        }
        self.vhost = found.name.clone();
        drop(state);
        self.client = client;
        self.publish_connection_created(now);
        Ok(())
    }

    fn open_channel(&mut self, now: Timestamp, channel: ChannelNumber) -> Result<(), Fault> {
        self.shared.clients.open_channel(self.connection, &self.view.read())?;
        self.publish_channel_created(now, channel);
        Ok(())
    }

    fn close_channel(&mut self, now: Timestamp, channel: ChannelNumber, consumers: usize) {
        self.shared.clients.close_channel(self.connection);
        self.publish_channel_closed(now, channel, consumers);
    }

    fn most_consumers(&self) -> Option<u64> {
        self.view.read().node_limits().consumers_per_channel
    }

    fn consumer_began(&mut self, now: Timestamp, channel: ChannelNumber, consumer: &NewConsumer) {
        self.publish_consumer_created(now, channel, consumer);
    }

    fn consumer_ended(&mut self, now: Timestamp, channel: ChannelNumber, tag: &Name, queue: &Name) {
        self.publish_consumer_deleted(now, channel, tag, queue);
    }

    fn counted(&mut self, totals: ConnectionTotals) {
        self.shared.clients.counted(self.connection, totals);
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

    fn fanned_out(&self) -> usize {
        self.outgoing.fanned_out
    }

    fn searched(&self) -> usize {
        self.outgoing.searched
    }

    fn submit(&mut self, publish: RoutedPublish, confirm: Option<ConfirmToken>) -> usize {
        self.submit_publish(publish, confirm)
    }

    fn request(&mut self, now: Timestamp, request: Request) -> Progress {
        if let Request::CloseConnection = request {
            self.publish_connection_closed(now);
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
        let told = self.outgoing.shards.len();
        self.groups += u64::from(told > 0);
        let (connection, number) = (self.connection, self.groups);
        let group = Group { connection, number, parts: u16::try_from(told).unwrap_or(u16::MAX) };
        for (_, commands) in self.outgoing.shards.iter_mut() {
            commands.push(ShardCommand::Barrier { token, group });
        }
        told
    }

    fn open_direct_reply(&mut self, consumer: ConsumerNumber) -> Name {
        let address = direct_reply::address(&mut self.names);
        let vhost = self.vhost.clone();
        self.shared.direct_replies.open(address.clone(), vhost, self.connection, consumer);
        self.direct_replies.push((consumer, address.clone()));
        address
    }

    fn close_direct_reply(&mut self, consumer: ConsumerNumber) {
        let replies = &self.shared.direct_replies;
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
        self.shared.clients.close(self.connection);
        for (_, address) in &self.direct_replies {
            self.shared.direct_replies.close(address);
        }
    }
}

//! L3, the catalog: the one owner of vhosts, exchanges, queues by name, bindings, users, permissions, policies and limits.
//! It checks and carries out declarations and what administrators change, changes the view, and says what must become durable.
//! Contents of queues are the shards', permissions on a request are checked by the port, and who may see a reply when is the
//! server's: it holds `to_connections` until `ops` are durable. Pure: commands and `now` in, effects out.

pub(crate) mod access;
mod administration;
mod application;
pub(crate) mod arguments;
mod binding_end;
mod bindings;
pub mod clients;
pub mod encoded_table;
pub(crate) mod events;
mod exchanges;
pub mod gone_connections;
mod import;
pub mod import_preview;
mod imported_things;
mod importing;
mod internal_queues;
mod limits;
pub mod login;
pub(crate) mod password;
pub(crate) mod pattern;
pub mod policies;
pub(crate) mod queue_arguments;
mod queues;
mod records;
mod recovery;
mod removal;
pub mod view;
mod work;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::model::administration::Applied;
use crate::model::event::{Alarms, SessionEvent};
use crate::model::fault::{Fault, ReplyCode};
use crate::model::holdings::Holdings;
use crate::model::ids::{ConnectionId, ExchangeId, Name, QueueId, ShardIndex, Timestamp};
use crate::model::names::NODE;
use crate::model::op::CatalogOp;
use crate::model::request::Reply;
use crate::model::settings::QueueSettings;
use crate::model::sparse::ShrinkIfSparse;

use crate::model::command::{CatalogCommand, CatalogRequest, QueueLabel, ShardCommand};
use crate::model::maps::Map;
use clients::Clients;
use events::{ACTOR, Event, Fields, ITSELF, text};
use view::{Vhost, View, ViewState};

use bindings::Sources;
pub(crate) use bindings::is_bound;
pub(crate) use exchanges::{is_declared as is_exchange_declared, kind};
pub use import::{ImportNumber, Imported};
pub(crate) use importing::MOST_COST as MOST_COST_OF_IMPORT;
pub use queues::AdoptError;
pub(crate) use queues::find_declared;
pub use records::RecordError;
pub use recovery::Unknown;
use work::{Answer, Work};
pub use work::{ChangeNumber, Outcome};

/// What follows from a command.
#[derive(Debug, Default)]
pub struct CatalogEffects {
    /// To be made durable, in order.
    pub ops: Vec<CatalogOp>,
    /// To be sent at once.
    pub to_shards: Vec<(ShardIndex, ShardCommand)>,
    /// To be sent once `ops` are durable.
    pub to_connections: Vec<(ConnectionId, SessionEvent)>,
    /// Changes that took longer than a step and are done now.
    pub finished: Vec<(ChangeNumber, Applied)>,
    /// Imports that are done now.
    pub imported: Vec<(ImportNumber, Imported)>,
    /// Vhosts and names of policies whose pattern was given up on a name: it takes too long to match.
    pub given_up: Vec<(Name, Name)>,
    /// What happened, for those who are bound for it (semantics 19.2).
    events: Vec<Event>,
    /// Who did it, where that is known.
    actor: Option<Name>,
}

impl CatalogEffects {
    /// Gives back the room that a large turn took. To be called once the turn is handed out.
    pub fn give_room_back(&mut self) {
        self.ops.shrink_if_sparse();
        self.to_shards.shrink_if_sparse();
        self.to_connections.shrink_if_sparse();
        self.events.shrink_if_sparse();
    }

    /// What it holds.
    pub fn holdings(&self, into: &mut Holdings) {
        let CatalogEffects { ops, to_shards, to_connections, finished, imported, given_up, events, actor: _ } =
            self;
        into.in_transit("catalog effects: finished imports", imported);
        into.in_transit("catalog effects: records", ops);
        into.in_transit("catalog effects: to shards", to_shards);
        into.in_transit("catalog effects: to connections", to_connections);
        into.in_transit("catalog effects: finished changes", finished);
        into.in_transit("catalog effects: patterns given up", given_up);
        into.in_transit("catalog effects: events", events);
    }

    fn reply(&mut self, connection: ConnectionId, reply: Reply) {
        self.to_connections.push((connection, SessionEvent::Reply(reply)));
    }

    /// Tells of policies that were given up on a name.
    fn tell_given_up(&mut self, vhost: &Vhost) {
        let names = vhost.policies.take_given_up();
        self.given_up.extend(names.into_iter().map(|policy| (vhost.name.clone(), policy)));
    }

    /// Something happened. Its fields are asked for where somebody is subscribed.
    fn event(&mut self, state: &ViewState, key: &'static str, fields: impl FnOnce() -> Fields) {
        if events::is_subscribed(state) {
            self.push_event(key, fields());
        }
    }

    /// Something happened, and somebody is subscribed to events.
    fn push_event(&mut self, key: &'static str, mut fields: Fields) {
        fields.extend(self.actor.as_ref().map(|actor| (ACTOR, text(&**actor))));
        self.events.push(Event { key, fields });
    }

    /// Sends the events on their way, with the wall clock's time.
    fn publish_events(&mut self, state: &ViewState, wall: Timestamp) {
        for event in std::mem::take(&mut self.events) {
            self.to_shards.extend(events::publish_event(state, wall, event));
        }
        self.actor = None;
    }
}

/// A durable queue as its shard must have it again.
#[derive(Clone, Debug)]
pub struct CatalogQueue {
    pub queue: QueueId,
    pub label: QueueLabel,
    pub settings: Arc<QueueSettings>,
}

/// A record that was passed over at recovery: its key, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecord {
    pub key: Vec<u8>,
    pub error: RecordError,
}

/// The owner of all declarations.
#[derive(Debug)]
pub struct Catalog {
    view: Arc<View>,
    /// Who is connected, as the ports say.
    clients: Arc<Clients>,
    shards: u16,
    seed: u64,
    next_queue: u64,
    /// Queue ids below this one are written down as taken.
    reserved_queues: u64,
    next_exchange: u64,
    /// The number of the last binding that was written down.
    bindings_made: u64,
    sources: Sources,
    /// The exclusive queues of each connection.
    exclusive: Map<ConnectionId, BTreeSet<QueueId>>,
    /// What is being carried out in steps.
    work: VecDeque<Work>,
    /// How much of it was begun by the command at hand.
    begun: usize,
    /// How many changes of administrators were begun so.
    changes: u64,
    bad_records: Vec<BadRecord>,
    /// Queues that were removed from the records, and whose messages may still be there.
    tombstones: Vec<QueueId>,
    /// What the broker runs short of, as far as was told.
    alarms: Alarms,
}

impl Catalog {
    /// A catalog of what was recorded, as key and value; `view` must be empty. Without records it makes the vhost
    /// `/` and the user guest, whose records are in `fx`. `shards` is at least 1; `seed` is secret and salts
    /// passwords.
    pub fn new(
        view: Arc<View>,
        shards: u16,
        seed: u64,
        records: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
        fx: &mut CatalogEffects,
    ) -> Catalog {
        let mut catalog = Catalog {
            view,
            clients: Arc::default(),
            shards: shards.max(1),
            seed,
            next_queue: 1,
            reserved_queues: 1,
            next_exchange: 1,
            bindings_made: 0,
            sources: Sources::default(),
            exclusive: Map::default(),
            work: VecDeque::new(),
            begun: 0,
            changes: 0,
            bad_records: Vec::new(),
            tombstones: Vec::new(),
            alarms: Alarms::default(),
        };
        let view = catalog.view.clone();
        let mut state = view.write();
        catalog.recover(&mut state, records, fx);
        view.changed();
        drop(state);
        catalog
    }

    /// What all others read.
    #[must_use]
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Who is connected: for the ports, who write it.
    #[must_use]
    pub fn clients(&self) -> &Arc<Clients> {
        &self.clients
    }

    /// What it holds, and what the view does.
    pub fn holdings(&self, into: &mut Holdings) {
        let Catalog {
            view,
            clients: _,
            shards: _,
            seed: _,
            next_queue: _,
            reserved_queues: _,
            next_exchange: _,
            bindings_made: _,
            sources,
            exclusive,
            work,
            begun,
            changes: _,
            bad_records: _,
            tombstones,
            alarms: _,
        } = self;
        view.holdings(into);
        sources.holdings(into);
        into.in_use("catalog: exclusive queues", exclusive);
        into.in_transit("catalog: tombstones", tombstones);
        into.in_transit("catalog: work", work);
        into.in_transit("catalog: work that was just begun", begun);
    }

    /// The records that could not be read, or that name what does not exist.
    #[must_use]
    pub fn bad_records(&self) -> &[BadRecord] {
        &self.bad_records
    }

    /// The durable queues of each shard, in order of their ids: what [`crate::shard::Shard::recover`] is given.
    #[must_use]
    pub fn recovered_queues(&self) -> Vec<Vec<CatalogQueue>> {
        let state = self.view.read();
        let mut shards: Vec<Vec<CatalogQueue>> = (0..self.shards).map(|_| Vec::new()).collect();
        for queue in state.queues() {
            shards[queue.at.shard.number()].push(CatalogQueue {
                queue: queue.at.queue,
                label: queue.label.clone(),
                settings: Arc::clone(&queue.settings),
            });
        }
        for internal_queue in state.exchanges().filter_map(internal_queues::internal_queue) {
            shards[self.place(internal_queue.queue).shard.number()].push(internal_queue);
        }
        for queues in &mut shards {
            queues.sort_by_key(|queue| queue.queue);
        }
        shards
    }

    /// All records that were handed out are on disk.
    pub fn written(&self) {
        self.view.set_written(true);
    }

    /// Carries out a command, or begins to.
    pub fn handle(&mut self, now: Timestamp, command: CatalogCommand, fx: &mut CatalogEffects) {
        let Some(command) = self.park(command) else { return };
        let view = self.view.clone();
        let mut state = view.write();
        let changes = fx.ops.len();
        if events::is_subscribed(&state) {
            fx.actor = Some(self.actor(&command));
        }
        match command {
            CatalogCommand::Request { connection, vhost, request } => {
                self.request(&mut state, connection, &vhost, request, fx);
            }
            CatalogCommand::DeclareQueue(declare) => self.declare_queue(&mut state, declare, fx),
            CatalogCommand::QueueGone { queue, reply } => {
                let answer =
                    |(connection, messages)| Answer::Connection(connection, Reply::Count { messages });
                self.forget_queue(queue, reply.map(answer), fx);
            }
            CatalogCommand::QueueDropped { queue } => Catalog::remove_tombstone(queue, fx),
            CatalogCommand::ConnectionClosed { connection, reply } => {
                self.drop_exclusive_queues(connection, reply, fx);
            }
            CatalogCommand::Answer { connection, reply } => fx.reply(connection, reply),
            CatalogCommand::Alarms(alarms) => self.emit_alarms(&state, alarms, fx),
        }
        if fx.ops.len() > changes {
            view.set_written(false);
        }
        fx.publish_events(&state, view.wall_time(now));
        drop(state);
        self.do_first_pieces(now, fx);
    }

    /// Who is behind a command, as events name it.
    fn actor(&self, command: &CatalogCommand) -> Name {
        let connection = match command {
            CatalogCommand::Request { connection, .. } => Some(*connection),
            CatalogCommand::DeclareQueue(declare) => Some(declare.connection),
            CatalogCommand::QueueGone { reply, .. } => reply.map(|(connection, _)| connection),
            CatalogCommand::QueueDropped { .. }
            | CatalogCommand::ConnectionClosed { .. }
            | CatalogCommand::Answer { .. }
            | CatalogCommand::Alarms(_) => None,
        };
        connection.and_then(|connection| self.clients.user(connection)).unwrap_or_else(|| ITSELF.into())
    }

    /// What the broker runs short of, or does no more.
    fn emit_alarms(&mut self, state: &ViewState, alarms: Alarms, fx: &mut CatalogEffects) {
        let before = std::mem::replace(&mut self.alarms, alarms);
        // Nobody does it.
        fx.actor = None;
        for (source, was, is) in
            [("memory", before.memory, alarms.memory), ("disk", before.disk, alarms.disk)]
        {
            if was != is {
                let key = if is { "alarm.set" } else { "alarm.cleared" };
                fx.event(state, key, || vec![("source", text(source)), ("node", text(NODE))]);
            }
        }
    }

    /// Carries out a request and answers it, unless a shard will.
    fn request(
        &mut self,
        state: &mut ViewState,
        connection: ConnectionId,
        vhost: &str,
        request: CatalogRequest,
        fx: &mut CatalogEffects,
    ) {
        if state.vhost(vhost).is_none() || self.is_leaving(vhost) {
            fx.reply(connection, Reply::Refused(no_vhost(vhost)));
            return;
        }
        let outcome = match request {
            CatalogRequest::DeclareExchange { declare, refused_if_new } => {
                self.declare_exchange(state, vhost, declare, refused_if_new, fx)
            }
            CatalogRequest::DeleteExchange { name, if_unused } => {
                match self.delete_exchange(state, connection, vhost, &name, if_unused, fx) {
                    Ok(true) => return,
                    outcome => outcome.map(drop),
                }
            }
            CatalogRequest::Bind(to, binding) => self.bind(state, connection, vhost, to, &binding, fx),
            CatalogRequest::Unbind(to, binding) => self.unbind(state, connection, vhost, to, &binding, fx),
            CatalogRequest::DeleteQueue { name, if_unused, if_empty } => {
                match delete_queue(state, connection, vhost, &name, fx, if_unused, if_empty) {
                    Ok(()) => return,
                    Err(fault) => Err(fault),
                }
            }
        };
        fx.reply(connection, outcome.map_or_else(Reply::Refused, |()| Reply::Done));
    }

    fn next_exchange_id(&mut self) -> ExchangeId {
        let id = ExchangeId(self.next_exchange);
        self.next_exchange += 1;
        id
    }
}

use queues::delete_queue;

/// 541: the vhost was deleted while a request was on its way; its connections are being closed.
fn no_vhost(vhost: &str) -> Fault {
    Fault::new(ReplyCode::InternalError, format!("vhost '{vhost}' is down"))
}

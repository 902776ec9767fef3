//! Two owners in a row: what a connection may be told, and when.

use leveret_codec::table::FieldTable;

use super::{Carrier, CatalogInput, Owners, ShardInput, StoreRequest, restore};
use crate::broker::command::Origin;
use crate::broker::port::Port;
use crate::model::consuming::Delivery;
use crate::model::event::SessionEvent;
use crate::model::ids::{ConnectionId, ShardIndex, Timestamp};
use crate::model::names::Seed;
use crate::model::peer::Introduction;
use crate::model::port::{BrokerPort, Progress};
use crate::model::request::{Binding, DeclareExchange, DeclareQueue, Reply, Request};
use crate::store::MemoryStore;

const NOW: Timestamp = Timestamp(1_000_000);

/// What is on its way.
#[derive(Default)]
struct Wires {
    shard: Vec<ShardInput>,
    catalog: Vec<CatalogInput>,
    store: Vec<StoreRequest>,
    said: Vec<(ConnectionId, SessionEvent)>,
}

impl Carrier for Wires {
    fn tell_shard(&mut self, _: ShardIndex, input: ShardInput) {
        self.shard.push(input);
    }

    fn tell_catalog(&mut self, inputs: impl Iterator<Item = CatalogInput>) {
        self.catalog.extend(inputs);
    }

    fn ask_store(&mut self, request: StoreRequest) {
        self.store.push(request);
    }

    fn tell_connections(&mut self, events: &mut Vec<(ConnectionId, SessionEvent)>) {
        self.said.append(events);
    }

    fn reply_directly(&mut self, replies: &mut Vec<(ConnectionId, Delivery)>) {
        self.said
            .extend(replies.drain(..).map(|(connection, reply)| (connection, SessionEvent::Deliver(reply))));
    }
}

/// One shard, and a store that writes when it is told to.
struct Broker {
    owners: Owners,
    wires: Wires,
    ports: Vec<Port>,
}

impl Broker {
    /// With connections 0 and 1; what there is at the start is durable.
    fn new() -> Broker {
        let (mut store, recovered) = MemoryStore::new().restarted(true);
        let owners = restore(NOW, &mut store, recovered, 1, 1 << 20, 1).expect("nothing can fail");
        let mut broker = Broker { owners, wires: Wires::default(), ports: Vec::new() };
        for connection in 0..2 {
            let mut port = Port::new(ConnectionId(connection), 1, broker.owners.view.clone(), Seed([1; 32]));
            port.authenticate(NOW, "PLAIN", b"\0guest\0guest", true).expect("guest may");
            port.open_vhost(NOW, "/", Introduction::default()).expect("guest may");
            broker.ports.push(port);
        }
        broker
    }

    /// Asks, and has the owners work until nothing moves but what waits for the store. The answer, if it has come.
    fn ask(&mut self, connection: usize, request: Request) -> Option<Reply> {
        let port = &mut self.ports[connection];
        if let Progress::Done(reply) = port.request(NOW, request) {
            return Some(reply);
        }
        let id = ConnectionId(connection as u64);
        let outgoing = port.take_outgoing();
        let commands = std::mem::take(&mut outgoing.shards[0]);
        let origin = Origin::Connection(id);
        self.wires.shard.push(ShardInput::Commands { origin, commands, ticket: None });
        self.wires.catalog.extend(outgoing.catalog.drain(..).map(CatalogInput::Command));
        self.work();
        self.answer(connection)
    }

    fn work(&mut self) {
        for _ in 0..8 {
            let mut inputs = std::mem::take(&mut self.wires.catalog);
            self.owners.catalog.turn(NOW, &mut inputs, &mut self.wires);
            let mut inputs = std::mem::take(&mut self.wires.shard);
            self.owners.shards[0].turn(NOW, &mut inputs, &mut self.wires);
        }
    }

    /// What was asked of the store is on disk.
    fn write(&mut self) {
        for request in std::mem::take(&mut self.wires.store) {
            match request {
                StoreRequest::Catalog { sequence, .. } => {
                    self.wires.catalog.push(CatalogInput::Durable { sequence });
                }
                StoreRequest::Ops { sequence, .. } => self.wires.shard.push(ShardInput::Durable { sequence }),
                _ => {}
            }
        }
        self.work();
    }

    fn answer(&mut self, connection: usize) -> Option<Reply> {
        let id = ConnectionId(connection as u64);
        let at = self
            .wires
            .said
            .iter()
            .position(|(to, event)| *to == id && matches!(event, SessionEvent::Reply(_)))?;
        match self.wires.said.remove(at).1 {
            SessionEvent::Reply(reply) => Some(reply),
            _ => None,
        }
    }
}

fn queue(passive: bool) -> Request {
    Request::DeclareQueue(DeclareQueue {
        name: "q".into(),
        passive,
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments: FieldTable::default(),
    })
}

fn exchange(passive: bool) -> Request {
    Request::DeclareExchange(DeclareExchange {
        name: "x".into(),
        kind: "fanout".into(),
        passive,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: FieldTable::default(),
    })
}

fn bind() -> Request {
    Request::BindQueue(Binding {
        source: "x".into(),
        destination: "q".into(),
        routing_key: "".into(),
        arguments: FieldTable::default(),
    })
}

#[test]
fn who_declares_or_looks_again_is_answered_no_sooner_than_who_declared_first() {
    for (before, first, again) in [
        (vec![], queue(false), queue(false)),
        (vec![], queue(false), queue(true)),
        (vec![], exchange(false), exchange(false)),
        (vec![], exchange(false), exchange(true)),
        (vec![queue(false), exchange(false)], bind(), bind()),
    ] {
        let mut broker = Broker::new();
        for request in before {
            broker.ask(0, request);
            broker.write();
            broker.answer(0).expect("it is written");
        }
        let what = format!("{again:?} after {first:?}");
        assert!(broker.ask(0, first).is_none(), "{what}: it is not written");
        assert!(broker.ask(1, again.clone()).is_none(), "{what}: nor is this");
        broker.write();
        for connection in [0, 1] {
            let reply = broker.answer(connection).expect("all is written");
            assert!(!matches!(reply, Reply::Refused(_)), "{what}: {reply:?}");
        }
        assert!(broker.ask(1, again).is_some(), "{what}: there is nothing to wait for");
    }
}

#[test]
fn who_deletes_again_is_answered_no_sooner_than_who_deleted_first() {
    let delete = || Request::DeleteQueue { name: "q".into(), if_unused: false, if_empty: false };
    let mut broker = Broker::new();
    broker.ask(0, queue(false));
    broker.write();
    broker.answer(0).expect("it is written");
    assert!(broker.ask(0, delete()).is_none());
    assert!(broker.ask(1, delete()).is_none());
    broker.write();
    assert!(broker.answer(0).is_some() && broker.answer(1).is_some());
}

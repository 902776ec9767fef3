//! The client against the owners themselves, whose turns the test has: so it says which of them answers, and when none does.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use futures_lite::future::{block_on, poll_once};
use leveret_codec::properties::{Field, Properties};
use leveret_codec::table::{AMQPValue, FieldTable};
use tokio::runtime::Builder;

use super::*;
use crate::catalog::view::View;
use crate::model::administration::{Change, PermissionSpec, VhostMetadata};
use crate::model::event::Alarms;
use crate::model::fault::ReplyCode;
use crate::model::ids::NodeNumber;
use crate::model::message::{Body, Origin as MessageOrigin};
use crate::model::request::{Binding, DeclareExchange, DeclareQueue};
use crate::server::mailbox::ThreadMailbox;
use crate::server::owners::{CatalogInput, CatalogOwner, ShardLayout, ShardOwner, StoreOwner, restore};
use crate::store::MemoryStore;

const SHARDS: u16 = 2;

struct Broker {
    mailboxes: Arc<Mailboxes>,
    ports: Arc<SharedByPorts>,
    view: Arc<View>,
    catalog: CatalogOwner,
    shards: Vec<ShardOwner>,
    store: StoreOwner,
    requests: Arc<ThreadMailbox<crate::server::owners::StoreRequest>>,
    clock: Clock,
    stop: CancellationToken,
    /// A shard that does not answer.
    silent: Option<usize>,
}

impl Broker {
    fn new() -> Broker {
        let (clock, mut store) = (Clock::new(), MemoryStore::new());
        let (_, recovered) = MemoryStore::new().restarted(true);
        let layout = ShardLayout { count: SHARDS, memory: 1 << 30, holding_back: false };
        let owned = restore(clock.now(), &mut store, recovered, layout, 7).unwrap();
        let requests = Arc::new(ThreadMailbox::new());
        Broker {
            mailboxes: Arc::new(Mailboxes::new(SHARDS, Arc::clone(&requests))),
            ports: owned.ports,
            view: owned.view,
            catalog: owned.catalog,
            shards: owned.shards,
            store: StoreOwner::new(Box::new(store)),
            requests,
            clock,
            stop: CancellationToken::new(),
            silent: None,
        }
    }

    fn client(&self) -> LocalClient {
        self.client_of("guest", "/").unwrap_or_else(|error| panic!("guest may: {error}"))
    }

    /// How many clients are known.
    fn open(&self) -> usize {
        let is_known = |number: &u64| {
            let mut found = false;
            self.mailboxes
                .connections()
                .with(ConnectionId::new(NodeNumber::ALONE, *number), |_| found = true);
            found
        };
        (1..20).filter(is_known).count()
    }

    fn client_of(&self, user: &str, vhost: &str) -> Result<LocalClient, LocalError> {
        let (mailboxes, ports) = (Arc::clone(&self.mailboxes), Arc::clone(&self.ports));
        let user = user.into();
        let who = Entrant::User(&user);
        LocalClient::new(mailboxes, ports, self.clock, self.stop.clone(), who, &vhost.into())
    }

    /// Lets everybody have a turn.
    fn turns(&mut self) {
        let (now, mailboxes) = (self.clock.now(), Arc::clone(&self.mailboxes));
        let router = &mut Router::new(&mailboxes);
        let mut inputs = Vec::new();
        mailboxes.catalog().take(&mut inputs);
        self.catalog.turn(now, &mut inputs, router);
        for (number, shard) in self.shards.iter_mut().enumerate() {
            if self.silent != Some(number) {
                let mut inputs = Vec::new();
                mailboxes.shard(shard.index()).take(&mut inputs);
                shard.turn(now, &mut inputs, router);
            }
        }
        let mut requests = Vec::new();
        self.requests.wait(&mut requests, Some(Duration::ZERO));
        self.store.turn(now, &mut requests, router).unwrap();
    }

    fn settle(&mut self) {
        for _ in 0..20 {
            self.turns();
        }
    }

    /// What is asked of a client, with turns of the owners until it is answered.
    fn wait<T>(&mut self, asked: impl Future<Output = T>) -> T {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let _within = runtime.enter();
        let mut asked = pin!(asked);
        for _ in 0..100 {
            if let Some(answer) = block_on(poll_once(asked.as_mut())) {
                return answer;
            }
            self.turns();
        }
        // Nobody will answer: time has to pass.
        runtime.block_on(asked)
    }

    fn declare(&mut self, client: &mut LocalClient, name: &str, arguments: &[(&str, AMQPValue)]) {
        let mut table = FieldTable::default();
        for (name, value) in arguments {
            table.insert((*name).into(), value.clone());
        }
        let request = Request::DeclareQueue(DeclareQueue { arguments: table, ..queue(name) });
        let reply = self.wait(client.request(request));
        assert!(matches!(reply, Ok(Reply::QueueDeclared { .. })), "{reply:?}");
    }

    fn count(&mut self, client: &mut LocalClient, name: &str) -> u32 {
        let passive = Request::DeclareQueue(DeclareQueue { passive: true, ..queue(name) });
        match self.wait(client.request(passive)) {
            Ok(Reply::QueueDeclared { messages, .. }) => messages,
            other => panic!("{other:?}"),
        }
    }

    fn apply(&mut self, change: Change) {
        let (answer, mut answered) = tokio::sync::oneshot::channel();
        self.mailboxes.catalog().post(CatalogInput::Administer { change: Box::new(change), answer });
        self.settle();
        assert!(answered.try_recv().unwrap().is_ok());
    }
}

fn queue(name: &str) -> DeclareQueue {
    DeclareQueue {
        name: name.into(),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments: FieldTable::default(),
    }
}

fn message(exchange: &str, key: &str) -> Message {
    let raw = Properties::default().with(&[(Field::DeliveryMode, Some(vec![2]))]);
    let properties = Properties::parse(&raw).unwrap();
    let body = Body::whole(Bytes::from_static(b"body"));
    let (exchange, key) = (exchange.as_bytes(), key.as_bytes());
    Message::new(&mut BytesMut::new(), exchange, key, properties, body, MessageOrigin::Client)
}

fn code<T: std::fmt::Debug>(outcome: Result<T, LocalError>) -> ReplyCode {
    match outcome {
        Err(LocalError::Fault(fault)) => fault.code,
        other => panic!("no fault: {other:?}"),
    }
}

#[test]
fn it_declares_binds_publishes_gets_settles_purges_and_deletes() {
    let broker = &mut Broker::new();
    let client = &mut broker.client();
    broker.declare(client, "q", &[]);
    let exchange = DeclareExchange {
        name: "x".into(),
        kind: "topic".into(),
        passive: false,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: FieldTable::default(),
    };
    let binding = Binding {
        source: "x".into(),
        destination: "q".into(),
        routing_key: "a.#".into(),
        arguments: FieldTable::default(),
    };
    for request in [Request::DeclareExchange(exchange), Request::BindQueue(binding.clone())] {
        assert!(matches!(broker.wait(client.request(request)), Ok(Reply::Done)));
    }
    assert_eq!(broker.wait(client.publish(message("x", "b"))).unwrap(), Published::Unroutable);
    for _ in 0..3 {
        assert_eq!(broker.wait(client.publish(message("x", "a.b"))).unwrap(), Published::Confirmed);
    }
    let (first, remaining) = broker.wait(client.get(&"q".into(), false)).unwrap().unwrap();
    assert_eq!((remaining, first.redelivered, first.no_ack), (2, false, false));
    client.settle(Unsettled::from(&first), Settlement::Requeue { failed: true });
    let (again, _) = broker.wait(client.get(&"q".into(), false)).unwrap().unwrap();
    assert!(again.redelivered && again.position == first.position);
    client.settle(Unsettled::from(&again), Settlement::Ack);
    assert!(broker.wait(client.get(&"q".into(), true)).unwrap().is_some_and(|(got, _)| got.no_ack));
    assert_eq!(broker.count(client, "q"), 1);
    let purged = broker.wait(client.request(Request::PurgeQueue { name: "q".into() }));
    assert!(matches!(purged, Ok(Reply::Count { messages: 1 })), "{purged:?}");
    assert!(broker.wait(client.get(&"q".into(), true)).unwrap().is_none());
    assert!(matches!(broker.wait(client.request(Request::UnbindQueue(binding))), Ok(Reply::Done)));
    assert_eq!(broker.wait(client.publish(message("x", "a.b"))).unwrap(), Published::Unroutable);
    let deletion = Request::DeleteExchange { name: "x".into(), if_unused: true };
    assert!(matches!(broker.wait(client.request(deletion)), Ok(Reply::Done)));
    let deletion = Request::DeleteQueue { name: "q".into(), if_unused: false, if_empty: true };
    assert!(matches!(broker.wait(client.request(deletion)), Ok(Reply::Count { messages: 0 })));
    assert_eq!(client.in_flight_limit.in_flight(), 0);
}

#[test]
fn it_is_refused_as_a_connection_is_and_goes_on() {
    let broker = &mut Broker::new();
    assert_eq!(code(broker.client_of("guest", "none").map(drop)), ReplyCode::NotAllowed);
    assert_eq!(code(broker.client_of("nobody", "/").map(drop)), ReplyCode::NotAllowed);
    assert_eq!(broker.open(), 0);
    broker.apply(Change::PutVhost { name: "v".into(), metadata: VhostMetadata::default() });
    let permissions = PermissionSpec { configure: "^q".into(), write: "".into(), read: "".into() };
    broker.apply(Change::PutPermissions { vhost: "v".into(), user: "guest".into(), permissions });
    let client = &mut broker.client_of("guest", "v").unwrap_or_else(|error| panic!("{error}"));
    broker.declare(client, "q", &[]);
    let other = Request::DeclareQueue(queue("other"));
    assert_eq!(code(broker.wait(client.request(other))), ReplyCode::AccessRefused);
    assert_eq!(code(broker.wait(client.publish(message("amq.topic", "q")))), ReplyCode::AccessRefused);
    assert_eq!(code(broker.wait(client.get(&"q".into(), true))), ReplyCode::AccessRefused);
    let purge = Request::PurgeQueue { name: "q".into() };
    assert_eq!(code(broker.wait(client.request(purge))), ReplyCode::AccessRefused);
    let client = &mut broker.client();
    let exclusive = Request::DeclareQueue(DeclareQueue { exclusive: true, ..queue("own") });
    assert_eq!(code(broker.wait(client.request(exclusive))), ReplyCode::NotImplemented);
    assert_eq!(code(broker.wait(client.get(&"none".into(), true))), ReplyCode::NotFound);
    assert_eq!(code(broker.wait(client.publish(message("none", "q")))), ReplyCode::NotFound);
    let full = [
        ("x-max-length", AMQPValue::LongInt(1)),
        ("x-overflow", AMQPValue::LongString("reject-publish".into())),
    ];
    broker.declare(client, "full", &full);
    assert_eq!(broker.wait(client.publish(message("", "full"))).unwrap(), Published::Confirmed);
    assert_eq!(broker.wait(client.publish(message("", "full"))).unwrap(), Published::Refused);
    let deletion = Request::DeleteQueue { name: "full".into(), if_unused: false, if_empty: true };
    assert_eq!(code(broker.wait(client.request(deletion))), ReplyCode::PreconditionFailed);
}

#[test]
fn who_never_answers_is_waited_for_no_longer_than_said_and_all_is_given_back() {
    let broker = &mut Broker::new();
    let mut client = broker.client();
    // One of them at least is on each shard.
    let names: Vec<String> = (0..8).map(|number| format!("q{number}")).collect();
    for name in &names {
        broker.declare(&mut client, name, &[]);
        let binding = Binding {
            source: "amq.fanout".into(),
            destination: name.as_str().into(),
            routing_key: "".into(),
            arguments: FieldTable::default(),
        };
        assert!(broker.wait(client.request(Request::BindQueue(binding))).is_ok());
    }
    broker.silent = Some(1);
    client.patience = Duration::from_millis(50);
    let (limit, begun) = (Arc::clone(&client.in_flight_limit), std::time::Instant::now());
    assert!(matches!(broker.wait(client.publish(message("amq.fanout", ""))), Err(LocalError::Slow)));
    assert!(begun.elapsed() >= Duration::from_millis(50) && begun.elapsed() < Duration::from_secs(20));
    assert!(limit.in_flight() > 0, "the silent shard has not taken it");
    // What comes too late would be taken for an answer to what is asked now.
    let more = broker.wait(client.request(Request::DeclareQueue(queue("more"))));
    assert!(matches!(more, Err(LocalError::Slow)), "{more:?}");
    assert!(matches!(broker.wait(client.publish(message("", "q0"))), Err(LocalError::Slow)));
    drop(client);
    assert_eq!(broker.open(), 0);
    broker.silent = None;
    broker.settle();
    assert_eq!(limit.in_flight(), 0);
}

#[test]
fn what_it_holds_goes_back_when_it_is_dropped_even_while_it_waits() {
    let broker = &mut Broker::new();
    let (mut client, other) = (broker.client(), &mut broker.client());
    broker.declare(&mut client, "q", &[]);
    assert_eq!(broker.wait(client.publish(message("", "q"))).unwrap(), Published::Confirmed);
    assert!(broker.wait(client.get(&"q".into(), false)).unwrap().is_some());
    assert_eq!(broker.count(other, "q"), 0);
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let within = runtime.enter();
    {
        let mut asked = pin!(client.request(Request::DeclareQueue(queue("begun"))));
        assert!(block_on(poll_once(asked.as_mut())).is_none());
    }
    drop(within);
    drop(client);
    broker.settle();
    assert_eq!((broker.count(other, "q"), broker.count(other, "begun")), (1, 0));
    let again = broker.wait(other.get(&"q".into(), true)).unwrap();
    assert!(again.is_some_and(|(delivery, _)| delivery.redelivered));
    assert_eq!(broker.open(), 1);
}

#[test]
fn being_sent_away_alarms_and_the_end_of_the_broker_are_told() {
    let broker = &mut Broker::new();
    let client = &mut broker.client();
    broker.declare(client, "q", &[]);
    let low = Alarms { disk: true, ..Alarms::default() };
    broker.mailboxes.connections().set_alarms(low);
    let blocked = broker.wait(client.publish(message("", "q")));
    assert!(matches!(blocked, Err(LocalError::Blocked("low on disk"))), "{blocked:?}");
    let late = &mut broker.client();
    assert!(matches!(broker.wait(late.publish(message("", "q"))), Err(LocalError::Blocked(_))));
    assert_eq!(broker.count(client, "q"), 0);
    broker.mailboxes.connections().set_alarms(Alarms::default());
    assert_eq!(broker.wait(client.publish(message("", "q"))).unwrap(), Published::Confirmed);
    let fault = Fault::new(ReplyCode::ConnectionForced, "go");
    let close = SessionEvent::Close(fault);
    broker.mailboxes.connections().with(client.id, |inbox| inbox.mailbox.post(close));
    let declare = || Request::DeclareQueue(queue("more"));
    for _ in 0..2 {
        assert_eq!(code(broker.wait(client.request(declare()))), ReplyCode::ConnectionForced);
    }
    let client = &mut broker.client();
    // Whichever shard has the queue.
    broker.silent = broker.view.read().queue("/", "q").map(|queue| queue.at.shard.number());
    broker.stop.cancel();
    let stopped = broker.wait(client.publish(message("", "q")));
    assert!(matches!(stopped, Err(LocalError::Stopping)), "{stopped:?}");
}

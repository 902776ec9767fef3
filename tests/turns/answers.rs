//! What is told of a declaration is on disk.

use leveret::model::request::{Binding, DeclareExchange, DeclareQueue, Reply, Request};
use leveret_codec::table::FieldTable;

use crate::house::House;

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

/// A broker in which this was declared and is on disk, and whose store writes no more.
fn house(declared: Vec<Request>) -> House {
    let mut house = House::new();
    house.settle();
    for request in declared {
        house.ask(1, request);
    }
    house.store_waits = true;
    house
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
        let mut house = house(before);
        let what = format!("{again:?} after {first:?}");
        assert!(house.ask_for(1, first).is_none(), "{what}: it is not written");
        assert!(house.ask_for(2, again.clone()).is_none(), "{what}: nor is this");
        house.write();
        for connection in [1, 2] {
            let reply = house.answer(connection).expect("all is written");
            assert!(!matches!(reply, Reply::Refused(_)), "{what}: {reply:?}");
        }
        house.store_waits = true;
        assert!(house.ask_for(2, again).is_some(), "{what}: there is nothing to wait for");
    }
}

#[test]
fn who_deletes_again_is_answered_no_sooner_than_who_deleted_first() {
    let delete = || Request::DeleteQueue { name: "q".into(), if_unused: false, if_empty: false };
    let mut house = house(vec![queue(false)]);
    assert!(house.ask_for(1, delete()).is_none());
    assert!(house.ask_for(2, delete()).is_none());
    house.write();
    assert!(house.answer(1).is_some() && house.answer(2).is_some());
}

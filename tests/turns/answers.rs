//! What is told of a declaration is on disk.

use leveret::model::request::{Binding, DeclareExchange, DeclareQueue, Reply, Request};
use leveret_codec::table::FieldTable;

use crate::harness::Harness;

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
fn harness(declared: Vec<Request>) -> Harness {
    let mut harness = Harness::new();
    harness.settle();
    for request in declared {
        harness.ask(1, request);
    }
    harness.store_waits = true;
    harness
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
        let mut harness = harness(before);
        let what = format!("{again:?} after {first:?}");
        assert!(harness.ask_for(1, first).is_none(), "{what}: it is not written");
        assert!(harness.ask_for(2, again.clone()).is_none(), "{what}: nor is this");
        harness.write();
        for connection in [1, 2] {
            let reply = harness.answer(connection).expect("all is written");
            assert!(!matches!(reply, Reply::Refused(_)), "{what}: {reply:?}");
        }
        harness.store_waits = true;
        assert!(harness.ask_for(2, again).is_some(), "{what}: there is nothing to wait for");
    }
}

#[test]
fn who_deletes_again_is_answered_no_sooner_than_who_deleted_first() {
    let delete = || Request::DeleteQueue { name: "q".into(), if_unused: false, if_empty: false };
    let mut harness = harness(vec![queue(false)]);
    assert!(harness.ask_for(1, delete()).is_none());
    assert!(harness.ask_for(2, delete()).is_none());
    harness.write();
    assert!(harness.answer(1).is_some() && harness.answer(2).is_some());
}

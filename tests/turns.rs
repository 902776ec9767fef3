//! Owners in a row: how long a turn of one is where a request concerns very much (here), and what a connection may be told
//! when (`turns/answers.rs`).
//!
//! The test here sees that long requests are worked off in steps, each of which leads to little. With `LEVERET_TURNS=200000`,
//! the number of things that a request concerns, it prints how long the longest turns were, in milliseconds of the
//! thread's time (`cargo test --release --test turns -- --nocapture`): what is longer than 10 is a defect.
//! `LEVERET_TURNS_OF=vhost` has it try those with that in their name.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "turns/answers.rs"]
mod answers;
#[path = "turns/cases.rs"]
mod cases;
#[path = "turns/harness.rs"]
mod harness;

use std::sync::Arc;

use bytes::BytesMut;
use leveret::model::consuming::Settlement;
use leveret::model::event::{ConfirmToken, SessionEvent};
use leveret::model::ids::{ConnectionId, ConsumerNumber};
use leveret::model::message::{Body, Message, Origin};
use leveret::model::port::BrokerPort;
use leveret::model::request::{DeclareQueue, Reply, Request};
use leveret_codec::properties::Properties;
use leveret_codec::table::FieldTable;

use cases::{CASES, dead_lettering};
use harness::Harness;

/// As in the broker: what a turn gives back is part of it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What one turn leads to at the most, where somebody asked for very much at once: operations, records, events and
/// commands (see `docs/bounds.md`).
const MOST_AT_ONCE: usize = 8192;

#[test]
fn what_concerns_very_much_takes_many_turns() {
    let asked = std::env::var("LEVERET_TURNS").ok().and_then(|count| count.parse().ok());
    let only = std::env::var("LEVERET_TURNS_OF").unwrap_or_default();
    let count = asked.unwrap_or(10_000);
    for (name, case) in CASES.iter().filter(|(name, _)| name.contains(&only)) {
        let mut harness = Harness::new();
        case(&mut harness, count);
        let Harness { of_catalog, of_shard, of_ports, .. } = &harness;
        println!(
            "{count} {name}: catalog {} turns, longest {:.1} ms, {} at once; shard {} turns, {:.1} ms of {:.0}, {}; port {:.1} ms",
            of_catalog.count,
            of_catalog.milliseconds(),
            of_catalog.most,
            of_shard.count,
            of_shard.milliseconds(),
            of_shard.in_all(),
            of_shard.most,
            of_ports.milliseconds(),
        );
        let most = of_catalog.most.max(of_shard.most);
        assert!(most <= MOST_AT_ONCE, "a turn of {name} led to {most} operations, events and commands");
    }
}

#[test]
fn who_asks_for_little_is_answered_while_another_ones_long_request_is_worked_off() {
    let mut harness = Harness::new();
    let count = 20_000;
    harness.declare("dead", |_| {});
    harness.declare("q", dead_lettering);
    harness.publish(count, &[]);
    let (at, range) = harness.take_all(count);
    harness.port(1).settle(at, ConsumerNumber(1), range, Settlement::Discard);
    harness.carry();
    let message = Message::new(
        &mut BytesMut::new(),
        b"",
        b"dead",
        Properties::default(),
        Body::default(),
        Origin::Client,
    );
    let now = harness.now;
    let port = harness.port(2);
    let routed = port.route(now, 1, Arc::new(message)).expect("there is no reason to refuse it");
    port.submit(routed, Some(ConfirmToken { channel: 1, epoch: 0, sequence: 1 }));
    harness.carry();
    let mut inputs = std::mem::take(&mut harness.mail.shard);
    harness.shard.turn(now, &mut inputs, &mut harness.mail);
    assert!(matches!(
        harness.mail.events.get(&ConnectionId(2)).map(Vec::as_slice),
        Some([SessionEvent::Confirm { accepted: true, .. }])
    ));
    assert!(harness.shard.next_deadline().is_some_and(|deadline| deadline <= now), "there is more to do");
    harness.settle();
    let state = harness.ask(
        2,
        Request::DeclareQueue(DeclareQueue {
            name: "dead".into(),
            passive: true,
            durable: true,
            exclusive: false,
            auto_delete: false,
            arguments: FieldTable::default(),
        }),
    );
    assert!(matches!(state, Reply::QueueDeclared { messages, .. } if messages as usize == count + 1));
}

//! A long queue of persistent 1 KB messages that nobody consumes: memory stays where it was, and after a SIGKILL the
//! first message is there at once. `cargo test` stores a few; the long form prints its figures:
//! `LEVERET_BACKLOG=1000000 cargo test --release --test backlog -- --nocapture`

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use std::collections::VecDeque;
use std::time::Instant;

use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Confirmation, Connection, ConnectionProperties};
use support::Broker;

/// How much resident memory may grow over that of the empty broker, whatever the length of the queue.
const GROWTH_KB: u64 = 150 * 1024;
const UNCONFIRMED: usize = 2000;

#[test]
fn memory_does_not_grow_with_the_queue_and_a_restart_does_not_read_it() {
    let messages: u64 = std::env::var("LEVERET_BACKLOG")
        .ok()
        .map_or(30_000, |text| text.parse().expect("a number of messages"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut broker = Broker::start();
    let idle = resident_kb(broker.pid());

    let filling = Instant::now();
    runtime.block_on(fill(&broker.uri(), messages));
    let filled = filling.elapsed();
    let full = resident_kb(broker.pid());

    broker.kill();
    let restarting = Instant::now();
    broker.restart();
    let ready = restarting.elapsed();
    let first = runtime.block_on(first_message(&broker.uri()));
    let served = restarting.elapsed();
    println!(
        "{messages} messages of 1 KB confirmed in {filled:.1?}; resident memory {idle} KB idle, {full} KB full; \
         after SIGKILL ready in {ready:.2?}, first message in {served:.2?}"
    );
    assert_eq!(first, body(0));
    assert!(full < idle + GROWTH_KB, "resident memory grew from {idle} KB to {full} KB");
}

fn body(number: u64) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(1024, 0x2E);
    body
}

async fn fill(uri: &str, messages: u64) {
    let connection = Connection::connect(uri, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("backlog".into(), options, FieldTable::default()).await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let mut unconfirmed = VecDeque::new();
    for number in 0..messages {
        let properties = BasicProperties::default().with_delivery_mode(2);
        let options = BasicPublishOptions::default();
        unconfirmed.push_back(
            channel
                .basic_publish("".into(), "backlog".into(), options, &body(number), properties)
                .await
                .unwrap(),
        );
        if unconfirmed.len() >= UNCONFIRMED {
            assert_eq!(unconfirmed.pop_front().unwrap().await.unwrap(), Confirmation::Ack(None));
        }
    }
    for confirm in unconfirmed {
        assert_eq!(confirm.await.unwrap(), Confirmation::Ack(None));
    }
}

async fn first_message(uri: &str) -> Vec<u8> {
    let connection = Connection::connect(uri, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let got = channel.basic_get("backlog".into(), BasicGetOptions::default()).await.unwrap();
    got.expect("a message").delivery.data
}

/// VmRSS of a process.
fn resident_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the broker runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).expect("kilobytes")
}

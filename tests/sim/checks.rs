//! The ledger itself, tried: histories that break one promise each, and the word it has to find for them.

use std::collections::BTreeMap;

use leveret::model::ids::Timestamp;

use crate::model::{Consumer, How, Model, Path, Reason, Sent, Violation};
use crate::oracle::{Receiver, Seen};
use crate::topology::{DeadLetters, QueuePlan, Topology};

const NOW: Timestamp = Timestamp(5_000);

/// Queue 0 has its dead letters in queue 1. Channel 1 publishes, channel 2 consumes with a prefetch of 2.
fn ledger(messages: u64) -> Model {
    let dead_letters = Some(DeadLetters { target: 1, by_exchange: false });
    let first = QueuePlan { dead_letters, ..QueuePlan::plain("first") };
    let topology = Topology { queues: vec![first, QueuePlan::plain("second")], without_acks: false };
    let mut model = Model::new(topology);
    model.channel_opened(1, 0);
    model.channel_opened(2, 0);
    let (prefetch, asked_at, newest) = (2, 0, BTreeMap::new());
    let consumer = Consumer {
        channel: 2,
        queue: 0,
        prefetch,
        no_ack: false,
        asked_at,
        since: NOW,
        confirmed_at: None,
        alive: true,
        dismissed: false,
        held: 0,
        newest,
    };
    model.consumer_asked(1, consumer);
    for sequence in 1..=messages {
        let id = model.issue();
        let confirm = Some(sequence);
        let (targets, persistent, size) = (vec![0], true, 0);
        let sent = Sent {
            id,
            channel: 1,
            confirm,
            targets,
            persistent,
            priority: None,
            expiration: None,
            delay: None,
            asks: false,
            size,
        };
        model.published(NOW, sent);
    }
    model
}

fn deliver(model: &mut Model, tag: u64, id: u64, redelivered: bool) -> Result<(), Violation> {
    let to = Receiver { channel: 2, tag, consumer: Some(1), queue: 0, no_ack: false };
    model.delivered(
        NOW,
        to,
        &Seen { id, path: Path::new(), redelivered, delivery_count: None, acquired_count: None },
    )
}

#[track_caller]
fn complains(outcome: Result<(), Violation>, word: &str) {
    let violation = outcome.expect_err("the ledger says nothing");
    assert!(violation.contains(word), "{violation}");
}

#[test]
fn a_right_history_is_right() {
    let mut model = ledger(2);
    model.confirmed(1, 2, true, true).unwrap();
    deliver(&mut model, 1, 1, false).unwrap();
    deliver(&mut model, 2, 2, false).unwrap();
    model.settled(2, &[1, 2], How::Ack);
    model.check_quiet().unwrap();
    model.check_end(NOW).unwrap();
}

#[test]
fn a_lost_message_is_missed_also_after_a_restart() {
    let mut model = ledger(1);
    model.confirmed(1, 1, false, true).unwrap();
    model.restarted();
    complains(model.check_end(NOW), "is lost");
    let mut unconfirmed = ledger(1);
    unconfirmed.restarted();
    unconfirmed.check_end(NOW).unwrap();
}

#[test]
fn an_invented_message_is_noticed() {
    complains(deliver(&mut ledger(1), 1, 2, false), "invented");
}

#[test]
fn an_acked_message_stays_away() {
    let mut model = ledger(1);
    deliver(&mut model, 1, 1, false).unwrap();
    model.settled(2, &[1], How::Ack);
    complains(deliver(&mut model, 2, 1, true), "delivered after");
}

#[test]
fn a_held_message_is_not_given_to_another() {
    let mut model = ledger(1);
    deliver(&mut model, 1, 1, false).unwrap();
    complains(deliver(&mut model, 2, 1, true), "holds it");
}

#[test]
fn a_second_delivery_says_so() {
    let mut model = ledger(1);
    deliver(&mut model, 1, 1, false).unwrap();
    model.settled(2, &[1], How::Requeue { failed: false });
    complains(deliver(&mut model, 2, 1, false), "not marked as redelivered");
    complains(deliver(&mut ledger(1), 1, 1, true), "never delivered");
}

#[test]
fn order_and_tags_are_kept() {
    let mut model = ledger(2);
    deliver(&mut model, 1, 2, false).unwrap();
    complains(deliver(&mut model, 2, 1, false), "out of order");
    complains(deliver(&mut ledger(1), 2, 1, false), "delivery tag");
}

#[test]
fn prefetch_is_a_bound() {
    let mut model = ledger(3);
    deliver(&mut model, 1, 1, false).unwrap();
    deliver(&mut model, 2, 2, false).unwrap();
    complains(deliver(&mut model, 3, 3, false), "prefetch");
}

#[test]
fn a_confirm_comes_once_and_comes() {
    let mut model = ledger(1);
    complains(model.check_quiet(), "never confirmed");
    model.confirmed(1, 1, false, true).unwrap();
    complains(model.confirmed(1, 1, false, true), "confirmed twice");
    complains(model.confirmed(1, 2, false, true), "of nothing that was sent");
    complains(ledger(1).confirmed(1, 1, false, false), "no queue of it refuses");
}

#[test]
fn dead_letters_have_their_reason_and_their_place() {
    let mut model = ledger(1);
    let to = Receiver { channel: 2, tag: 1, consumer: None, queue: 1, no_ack: false };
    let seen = |reason| Seen {
        id: 1,
        path: vec![(0, reason)],
        redelivered: false,
        delivery_count: None,
        acquired_count: None,
    };
    complains(model.delivered(NOW, to, &seen(Reason::Expired)), "which cannot be");
    let mut model = ledger(1);
    deliver(&mut model, 1, 1, false).unwrap();
    model.settled(2, &[1], How::Discard);
    complains(model.check_end(NOW), "is lost");
    model.delivered(NOW, Receiver { tag: 2, ..to }, &seen(Reason::Rejected)).unwrap();
    model.settled(2, &[2], How::Ack);
    model.check_end(NOW).unwrap();
}

#[test]
fn what_is_ready_is_delivered() {
    complains(ledger(1).check_ready(0, 1), "could take");
}

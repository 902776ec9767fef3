//! Storms of dead letters: what is under way to another shard is bounded, whoever makes them waits, and nobody else does.

use super::builders::{
    binding, declare_exchange, declare_queue, delete_queue, int, message, persistent, queue_with, sized, text,
};
use super::harness::Broker;
use crate::model::consuming::{ConsumeOptions, Settlement};
use crate::model::holdings::{Holdings, While};
use crate::model::ids::{ConnectionId, ConsumerNumber, PositionRange};
use crate::model::port::BrokerPort;
use crate::model::question::{Answer, Question};
use crate::model::request::{Reply, Request};

const MANY: u32 = 100_000;
/// What may be under way to a shard.
const MOST_MESSAGES: usize = 4096;
const MOST_BYTES: usize = 4 << 20;
/// More turns than it takes anybody to come to rest.
const RESTLESS: usize = 20_000;

/// On the first shard `src`, `other` and `third`, on the second one `dead` and `back`. What leaves `src` goes to `dead`.
fn broker(fields: &[(&str, leveret_codec::table::AMQPValue)]) -> Broker {
    let mut broker = Broker::new();
    broker.connect(1);
    broker.connect(2);
    let to_dead = [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("dead"))];
    let fields: Vec<_> = to_dead.iter().chain(fields).cloned().collect();
    broker.ask(1, declare_queue("first", |_| ()));
    broker.ask(1, queue_with("src", &fields));
    for name in ["dead", "other", "back", "third"] {
        broker.ask(1, declare_queue(name, |_| ()));
    }
    let state = broker.view.read();
    let shard = |name| state.queue("/", name).unwrap().at.shard.number();
    assert_eq!(["src", "dead", "other", "back", "third"].map(shard), [0, 1, 0, 1, 0]);
    drop(state);
    broker
}

/// Gives turns until nothing moves, and looks at the bounds in between. Returns how many turns that were.
fn settle_within_bounds(broker: &mut Broker, largest: usize) -> usize {
    for turns in 0..RESTLESS {
        if !broker.round() {
            return turns;
        }
        for shard in 0..2 {
            let (messages, bytes) = broker.sent_to(shard);
            assert!(messages <= MOST_MESSAGES, "{messages} messages are under way to {shard}");
            assert!(bytes < MOST_BYTES + largest, "{bytes} bytes are under way to {shard}");
        }
    }
    panic!("they do not come to rest");
}

/// Nothing is left of what was on its way.
fn check_nothing_is_under_way(broker: &Broker) {
    for shard in &broker.shards {
        let mut holdings = Holdings::default();
        shard.holdings(&mut holdings);
        let left = holdings.iter().find(|holding| holding.held == While::InTransit && holding.len > 0);
        assert_eq!(left, None);
    }
}

#[test]
fn a_storm_waits_for_a_shard_that_takes_nothing_in_and_the_others_on_its_own_do_not() {
    for (many, properties) in [(MANY, &[][..]), (MANY / 5, &[persistent()])] {
        let mut broker = broker(&[("x-message-ttl", int(1000))]);
        for _ in 0..many {
            let routed = broker.route(1, message("", "src", properties)).unwrap();
            broker.port_mut(1).submit(routed, None);
        }
        broker.settle();
        broker.consume(2, "other", 1, ConsumeOptions::default());
        broker.shard_stands = Some(1);
        broker.now = broker.now.plus_millis(1000);
        broker.shards[0].tick(broker.now);
        let turns = settle_within_bounds(&mut broker, 1000);
        assert!(turns < 200, "{turns} turns: who waits for credit does not spin");
        assert_eq!(broker.sent_to(1).0, MOST_MESSAGES, "as much as may be is under way");
        broker.publish(1, message("", "other", &[]), None);
        assert_eq!(broker.deliveries(2).len(), 1);
        broker.shard_stands = None;
        settle_within_bounds(&mut broker, 1000);
        assert_eq!([broker.counts(1, "src").0, broker.counts(1, "dead").0], [0, many]);
        check_nothing_is_under_way(&broker);
    }
}

#[test]
fn large_dead_letters_are_bounded_by_their_bytes() {
    const LARGE: usize = 1 << 20;
    let mut broker = broker(&[("x-message-ttl", int(1000))]);
    for _ in 0..40 {
        broker.publish(1, sized("", "src", &[], LARGE), None);
    }
    broker.shard_stands = Some(1);
    broker.now = broker.now.plus_millis(1000);
    broker.shards[0].tick(broker.now);
    settle_within_bounds(&mut broker, LARGE + 1000);
    assert_eq!(broker.sent_to(1).0, 4);
    broker.shard_stands = None;
    settle_within_bounds(&mut broker, LARGE + 1000);
    assert_eq!([broker.counts(1, "src").0, broker.counts(1, "dead").0], [0, 40]);
}

#[test]
fn two_shards_that_send_to_each_other_do_not_wait_in_a_circle() {
    let mut broker = broker(&[("x-message-ttl", int(1000))]);
    let to_third = [
        ("x-message-ttl", int(1000)),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text("third")),
    ];
    broker.ask(1, queue_with("there", &to_third));
    assert_eq!(broker.view.read().queue("/", "there").unwrap().at.shard.number(), 1);
    for queue in ["src", "there"] {
        for _ in 0..20_000 {
            let routed = broker.route(1, message("", queue, &[persistent()])).unwrap();
            broker.port_mut(1).submit(routed, None);
        }
    }
    broker.settle();
    // Each of them has its mailbox full before it looks.
    for stands in [1, 0] {
        broker.shard_stands = Some(stands);
        broker.now = broker.now.plus_millis(1000);
        broker.shards[1 - stands].tick(broker.now);
        settle_within_bounds(&mut broker, 1000);
    }
    broker.shard_stands = None;
    settle_within_bounds(&mut broker, 1000);
    assert_eq!(
        ["src", "dead", "there", "third"].map(|queue| broker.counts(1, queue).0),
        [0, 20_000, 0, 20_000]
    );
    check_nothing_is_under_way(&broker);
}

#[test]
fn a_storm_and_the_nacks_of_a_client_have_their_turns_by_turns() {
    const NACKED: u32 = 5000;
    let mut broker = broker(&[("x-message-ttl", int(1000))]);
    let to_back = [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("back"))];
    broker.ask(1, queue_with("spare", &[]));
    broker.ask(1, queue_with("mine", &to_back));
    assert_eq!(broker.view.read().queue("/", "mine").unwrap().at.shard.number(), 0);
    for (queue, count) in [("src", MANY), ("mine", NACKED)] {
        for _ in 0..count {
            let routed = broker.route(1, message("", queue, &[])).unwrap();
            broker.port_mut(1).submit(routed, None);
        }
    }
    broker.settle();
    broker.consume(2, "mine", 1, ConsumeOptions::default());
    let delivered = broker.deliveries(2);
    let (first, last) = (&delivered[0], &delivered[delivered.len() - 1]);
    let range = PositionRange { first: first.position, last: last.position };
    broker.now = broker.now.plus_millis(1000);
    broker.shards[0].tick(broker.now);
    broker.port_mut(2).settle(first.queue, ConsumerNumber(1), range, Settlement::Discard);
    let [src, back] = ["src", "back"].map(|queue| broker.view.read().queue("/", queue).unwrap().at.queue);
    let (mut left, mut done) = (0, 0);
    while done < u64::from(NACKED) {
        broker.shards[0].ask(Question::Counts { queues: vec![src] });
        broker.shards[1].ask(Question::Counts { queues: vec![back] });
        assert!(broker.round(), "the nack is never carried out");
        let answers = broker.answers.drain(..).map(|answer| {
            let Answer::Counts(counts) = answer else { panic!("{answer:?}") };
            counts[0].unwrap().ready
        });
        let answers: Vec<_> = answers.collect();
        (left, done) = (answers[0], answers[1]);
    }
    assert!(left > u64::from(MANY / 2), "{left} of the storm are left when the nack is done");
    broker.settle();
    assert_eq!(broker.counts(1, "dead").0, MANY);
}

#[test]
fn who_publishes_to_a_full_queue_that_sends_on_waits_for_those_it_makes() {
    for overflow in ["reject-publish-dlx", "drop-head"] {
        let fields = [("x-max-length", int(10)), ("x-overflow", text(overflow))];
        let mut broker = broker(&fields);
        broker.shard_stands = Some(1);
        for _ in 0..20_000 {
            let routed = broker.route(1, message("", "src", &[])).unwrap();
            broker.port_mut(1).submit(routed, None);
            broker.round();
        }
        settle_within_bounds(&mut broker, 1000);
        let mut holdings = Holdings::default();
        broker.shards[0].holdings(&mut holdings);
        let waiting = holdings.iter().find(|holding| holding.name == "shard: dead letters to be sent");
        assert!(waiting.unwrap().len < 2000, "{overflow}: {waiting:?}");
        let is_behind = broker.shards[0].is_behind(ConnectionId(1));
        assert!(is_behind, "{overflow}: what it holds of the in-flight limit, it holds still");
        // Others go on.
        broker.publish(2, message("", "other", &[]), None);
        assert!(broker.get(2, "other").is_some());
        broker.shard_stands = None;
        settle_within_bounds(&mut broker, 1000);
        assert_eq!([broker.counts(1, "src").0, broker.counts(1, "dead").0], [10, 19_990]);
        check_nothing_is_under_way(&broker);
    }
}

#[test]
fn what_a_queue_owes_stays_there_while_there_is_no_room_for_dead_letters() {
    let mut broker = broker(&[("x-message-ttl", int(1000))]);
    for _ in 0..10_000 {
        broker.publish(1, message("", "src", &[]), None);
    }
    broker.shard_stands = Some(1);
    broker.now = broker.now.plus_millis(1000);
    broker.shards[0].tick(broker.now);
    broker.settle();
    // All that is in it has expired: nobody gets it, and a get waits for those before it to leave.
    let consumer = ConsumerNumber(5);
    let get = Request::Get { queue: "src".into(), consumer, no_ack: true };
    let now = broker.now;
    broker.port_mut(2).request(now, get);
    broker.settle();
    assert!(broker.take_reply(2).is_none());
    broker.publish(1, message("", "src", &[]), None);
    broker.shard_stands = None;
    broker.settle();
    assert!(matches!(broker.take_reply(2), Some(Reply::Got { .. })));
    assert_eq!(broker.counts(1, "dead").0, 10_000);
}

#[test]
fn what_a_history_on_another_shard_is_to_remember_costs_credit() {
    let mut broker = broker(&[("x-message-ttl", int(1000))]);
    // Their internal queues are on one shard and on the other.
    for name in ["recent-1", "recent-2"] {
        broker.ask(1, declare_exchange(name, "x-recent-history", |_| ()));
    }
    broker.ask(1, declare_exchange("dx", "fanout", |_| ()));
    for name in ["recent-1", "recent-2"] {
        broker.ask(1, Request::BindExchange(binding("dx", name, "")));
    }
    let to_histories = [("x-dead-letter-exchange", text("dx")), ("x-message-ttl", int(1000))];
    broker.ask(1, queue_with("spare", &[]));
    broker.ask(1, queue_with("mine", &to_histories));
    let state = broker.view.read();
    let shard = state.queue("/", "mine").unwrap().at.shard.number();
    drop(state);
    for _ in 0..10_000 {
        broker.publish(1, message("", "mine", &[]), None);
    }
    broker.shard_stands = Some(1 - shard);
    broker.now = broker.now.plus_millis(1000);
    broker.shards[shard].tick(broker.now);
    settle_within_bounds(&mut broker, 1000);
    assert_eq!(broker.sent_to(1 - shard).0, MOST_MESSAGES);
    broker.shard_stands = None;
    settle_within_bounds(&mut broker, 1000);
    check_nothing_is_under_way(&broker);
}

#[test]
fn what_a_shard_is_sent_is_taken_in_whatever_waits_to_be_done_to_its_queue() {
    const NACKED: u32 = 20_000;
    let mut broker = broker(&[("x-message-ttl", int(1000))]);
    let to_back = [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("back"))];
    broker.ask(1, queue_with("busy", &to_back));
    assert_eq!(broker.view.read().queue("/", "busy").unwrap().at.shard.number(), 1);
    let to_busy = [
        ("x-message-ttl", int(1000)),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text("busy")),
    ];
    broker.ask(1, queue_with("source", &to_busy));
    assert_eq!(broker.view.read().queue("/", "source").unwrap().at.shard.number(), 0);
    for (queue, count) in [("busy", NACKED), ("source", 100)] {
        for _ in 0..count {
            let routed = broker.route(1, message("", queue, &[])).unwrap();
            broker.port_mut(1).submit(routed, None);
        }
    }
    broker.settle();
    broker.consume(2, "busy", 1, ConsumeOptions::default());
    let delivered = broker.deliveries(2);
    let (first, last) = (&delivered[0], &delivered[delivered.len() - 1]);
    let range = PositionRange { first: first.position, last: last.position };
    broker.port_mut(2).settle(first.queue, ConsumerNumber(1), range, Settlement::Discard);
    broker.round();
    // It is deleted once that is done.
    let now = broker.now;
    broker.port_mut(1).request(now, delete_queue("busy", false, false));
    broker.round();
    broker.now = broker.now.plus_millis(1000);
    broker.shards[0].tick(broker.now);
    for _ in 0..4 {
        broker.round();
    }
    let mut holdings = Holdings::default();
    broker.shards.iter().for_each(|shard| shard.holdings(&mut holdings));
    let held = |name| holdings.iter().filter(|holding| holding.name == name).map(|holding| holding.len).sum();
    let (waiting, spent): (usize, usize) = (held("pending commands: waiting"), held("credit: spent"));
    assert!(waiting >= 2, "the nack and the deletion wait: {waiting}");
    assert_eq!(spent, 0, "the dead letters do not");
    broker.settle();
    assert!(broker.view.read().queue("/", "busy").is_none());
    assert!(matches!(broker.take_reply(1), Some(Reply::Count { .. })));
    assert_eq!(broker.counts(1, "back").0 as usize, delivered.len());
    check_nothing_is_under_way(&broker);
}

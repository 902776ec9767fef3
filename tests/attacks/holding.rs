//! What is begun and never ended, or taken and never given back: transactions, contents, deliveries, consumers that come
//! and go, messages that pin what they were read with.

use std::time::Duration;

use crate::client::Client;
use crate::stage::{Attack, Stage, sized};
use crate::wire::{self, Message, Queue};

const MIB: usize = 1 << 20;

/// One that churns: the broker may not grow any more once it has begun. `rounds` of `churn`, all alike.
fn flat(stage: &Stage, rounds: usize, mut churn: impl FnMut()) -> Result<(), String> {
    for _ in 0..rounds {
        churn();
    }
    let early = stage.memory();
    for _ in 0..3 * rounds {
        churn();
    }
    let late = stage.memory();
    // An allocator moves a little; 100,000 forgotten records are more.
    if late > early + 3 { Err(format!("{early} MiB after a quarter, {late} after all")) } else { Ok(()) }
}

#[test]
fn consume_and_cancel() {
    Attack::new("consume and cancel", 20).carry_out(|stage| {
        let mut attacker = Client::open(stage.port());
        let queue = Queue { name: "churn", exclusive: true, ..Queue::default() };
        attacker.ask(&queue.declare(1), wire::QUEUE_DECLARE_OK);
        let once = [wire::consume(1, "churn", "tag", false), wire::cancel(1, "tag")].concat();
        let many = once.repeat(100);
        flat(stage, sized(10, 250), || {
            attacker.send(&many);
            attacker.hear(wire::CANCEL_OK, 100);
        })
    });
}

#[test]
fn channel_and_get() {
    Attack::new("channel and get", 20).carry_out(|stage| {
        let mut attacker = Client::open(stage.port());
        let queue = Queue { name: "churn", exclusive: true, ..Queue::default() };
        attacker.ask(&queue.declare(1), wire::QUEUE_DECLARE_OK);
        let once = [wire::open_channel(2), wire::get(2, "churn", false), wire::close_channel(2)].concat();
        let many = once.repeat(100);
        flat(stage, sized(10, 250), || {
            attacker.send(&many);
            attacker.hear(wire::CHANNEL_CLOSE_OK, 100);
        })
    });
}

/// A consumer of many queues does not read, and all of them have something for it again and again.
#[test]
fn many_queues_with_a_stuck_consumer() {
    Attack::new("many queues with a stuck consumer", 30).carry_out(|stage| {
        let mut stuck = Client::open_narrowly(stage.port());
        let queues = sized(200, 1_000);
        let exchange = wire::declare_exchange(1, "all", "fanout");
        stuck.ask(&exchange, wire::EXCHANGE_DECLARE_OK);
        for number in 0..queues {
            let name = format!("stuck-{number}");
            let arguments = vec![("x-max-length", leveret_codec::table::AMQPValue::LongInt(2))];
            let queue = Queue { name: &name, arguments, ..Queue::default() };
            stuck.ask(&queue.declare(1), wire::QUEUE_DECLARE_OK);
            stuck.ask(&wire::bind(1, &name, "all", "", false), wire::QUEUE_BIND_OK);
            stuck.ask(&wire::consume(1, &name, "", false), wire::CONSUME_OK);
        }
        let mut publisher = Client::open(stage.port());
        publisher.ask(&wire::select_confirms(1), wire::CONFIRM_SELECT_OK);
        let large = Message { exchange: "all", body: 100_000, ..Message::default() }.publish(1);
        publisher.ask(&large.repeat(3), wire::ACK);
        let small = Message { exchange: "all", body: 10, ..Message::default() }.publish(1).repeat(10);
        for _ in 0..sized(600, 4_000) {
            publisher.send(&small);
        }
        stage.linger();
        Ok(())
    });
}

#[test]
fn contents_begun_on_many_channels() {
    // What may be begun shall not raise the alarm by itself.
    let attack = Attack { limit: "300", ..Attack::new("contents begun on many channels", 240) };
    attack.carry_out(|stage| {
        let mut attacker = Client::open(stage.port());
        let channels = 2..=151;
        let size = sized(2 * MIB, 16 * MIB);
        let message = Message { key: "nowhere", body: size, ..Message::default() };
        for channel in channels.clone() {
            attacker.ask(&wire::open_channel(channel), wire::CHANNEL_OPEN_OK);
        }
        let begun: Vec<u8> = channels.clone().flat_map(|channel| message.begin(channel)).collect();
        attacker.flood(&begun, begun.len());
        // A part less than announced each.
        let parts: Vec<Vec<u8>> = channels.map(wire::body_part).collect();
        for _ in 1..size / parts[0].len() {
            for part in &parts {
                if attacker.flood(part, part.len()) < part.len() {
                    stage.linger();
                    return Ok(());
                }
            }
        }
        stage.linger();
        Ok(())
    });
}

#[test]
fn transactions_without_a_commit() {
    let attack = Attack { limit: "300", ..Attack::new("transactions without a commit", 200) };
    attack.carry_out(|stage| {
        let mut attacker = Client::open(stage.port());
        let queue = Queue { name: "tx", exclusive: true, ..Queue::default() };
        attacker.ask(&queue.declare(1), wire::QUEUE_DECLARE_OK);
        for channel in 2..=15 {
            attacker.ask(&wire::open_channel(channel), wire::CHANNEL_OPEN_OK);
            attacker.ask(&wire::select_tx(channel), wire::TX_SELECT_OK);
        }
        for channel in 2..=15 {
            let publish = Message { key: "tx", body: 100_000, ..Message::default() }.publish(channel);
            let wanted = publish.len() * sized(200, 1_220);
            if attacker.flood(&publish, wanted) < wanted {
                break;
            }
        }
        stage.linger();
        Ok(())
    });
}

/// All of a backlog is delivered, and none of it acked.
#[test]
fn a_backlog_read_and_never_acked() {
    let (batches, each) = (sized(120, 1_000), 20);
    let backlog = Queue { name: "backlog", durable: true, ..Queue::default() };
    let publish_backlog = |port| {
        let mut publisher = Client::open(port);
        publisher.ask(&backlog.declare(1), wire::QUEUE_DECLARE_OK);
        publisher.ask(&wire::select_confirms(1), wire::CONFIRM_SELECT_OK);
        let message = Message { key: "backlog", persistent: true, body: 50_000, ..Message::default() };
        let publish = message.publish(1).repeat(each);
        for batch in 1..=batches {
            publisher.send(&publish);
            publisher.hear_confirm((batch * each) as u64);
        }
    };
    Attack::new("a backlog read and never acked", 50)
        .with(&["--message-memory", sized("16", "256")])
        .carry_out_after(publish_backlog, |stage| {
            let mut consumer = Client::open(stage.port());
            consumer.ask(&wire::consume(1, "backlog", "", false), wire::CONSUME_OK);
            consumer.hear(wire::DELIVER, batches * each);
            stage.linger();
            let held = stage.memory();
            drop(consumer);
            std::thread::sleep(Duration::from_secs(1));
            println!("  {held} MiB held, {} after it left", stage.memory());
            Ok(())
        });
}

/// Each message that is kept was read together with a large one that is not.
#[test]
fn small_messages_between_large_ones() {
    Attack::new("small messages between large ones", 50).carry_out(|stage| {
        let mut attacker = Client::open(stage.port());
        attacker.ask(&Queue { name: "kept", ..Queue::default() }.declare(1), wire::QUEUE_DECLARE_OK);
        let small = Message { key: "kept", body: 5_000, ..Message::default() }.publish(1);
        let large = Message { key: "nowhere", body: 337_000, ..Message::default() }.publish(1);
        let both = [small, large].concat();
        let pairs = sized(500, 2_000);
        attacker.flood(&both, both.len() * pairs);
        stage.linger();
        Ok(())
    });
}

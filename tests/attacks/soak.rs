//! Many rounds of all that clients do and leave behind: queues that go with them, consumers, gets, bindings, direct replies,
//! transactions, returns, dead letters, connections that drop. Once the broker has seen some, further ones add nothing.

use std::time::{Duration, Instant};

use leveret_codec::table::AMQPValue;

use crate::client::Client;
use crate::stage::{Attack, Stage, sized};
use crate::wire::{self, Message, Queue};

#[test]
fn rounds_that_leave_nothing() {
    Attack::new("soak", 45).carry_out(|stage| {
        let sockets = stage.sockets();
        let (since, enough) = (Instant::now(), sized(Duration::from_secs(8), Duration::from_secs(300)));
        let mut memory = Vec::new();
        while since.elapsed() < enough || memory.len() < 12 {
            round(stage, memory.len());
            memory.push(stage.memory());
        }
        stage.soon("all sockets are gone", |stage| stage.sockets() <= sockets)?;
        // In the long form the median of a part is compared: what grows lifts each sample of a later part, and the highest ones
        // are moments of the rounds. The short form ends before an allocator has settled, so the usual still rises in it.
        let most = |part: &[u64]| part.iter().max().copied().unwrap_or(0);
        let usual = |part: &mut [u64]| *part.select_nth_unstable(part.len() / 2).1;
        let told = |part: &mut [u64]| sized(most(part), usual(part));
        // MiB.
        let noise = sized(12, 3);
        let third = memory.len() / 3;
        let rounds = memory.len();
        let (middle, late) = (told(&mut memory[third..2 * third]), told(&mut memory[2 * third..]));
        let which = sized("at the most", "usually");
        println!("  {rounds} rounds, {which} {middle} MiB in the middle and {late} in the end");
        if late > middle + noise {
            Err(format!("{which} {middle} MiB in the middle and {late} in the end"))
        } else {
            Ok(())
        }
    });
}

fn round(stage: &Stage, number: usize) {
    let port = stage.port();
    come_and_go(port, number);
    drop_with_unacked(port);
    commit_and_roll_back(port);
    ask_and_answer(port);
    return_and_dead_letter(port);
}

/// Queues, bindings, consumers, channels with gets; then the connection drops.
fn come_and_go(port: u16, number: usize) {
    let mut client = Client::open(port);
    let exchange = format!("soak-{number}");
    client.ask(&wire::declare_exchange(1, &exchange, "topic"), wire::EXCHANGE_DECLARE_OK);
    for queue in 0..30 {
        let name = format!("soak-{number}-{queue}");
        client.ask(
            &Queue { name: &name, exclusive: true, ..Queue::default() }.declare(1),
            wire::QUEUE_DECLARE_OK,
        );
        let keys = ["a.*.c", "#.c", "a.#.b.#"];
        let binds: Vec<u8> = keys.iter().flat_map(|key| wire::bind(1, &name, &exchange, key, true)).collect();
        client.send(&binds);
        client.ask(&wire::consume(1, &name, &name, queue % 2 == 0), wire::CONSUME_OK);
    }
    client.send(
        &Message { exchange: &exchange, key: "a.b.c", body: 300, ..Message::default() }.publish(1).repeat(20),
    );
    client.hear(wire::DELIVER, 600);
    for queue in 0..30 {
        let name = format!("soak-{number}-{queue}");
        client.ask(&wire::cancel(1, &name), wire::CANCEL_OK);
        let get = [wire::open_channel(2), wire::get(2, &name, false), wire::close_channel(2)].concat();
        client.ask(&get, wire::CHANNEL_CLOSE_OK);
    }
    client.ask(&wire::delete_exchange(1, &exchange), wire::EXCHANGE_DELETE_OK);
}

/// What was delivered and not acked comes back, and is thrown away by the next one.
fn drop_with_unacked(port: u16) {
    let mut client = Client::open(port);
    let queue = || Queue { name: "soak-left", durable: true, ..Queue::default() }.declare(1);
    client.ask(&queue(), wire::QUEUE_DECLARE_OK);
    client.ask(&wire::select_confirms(1), wire::CONFIRM_SELECT_OK);
    let publish =
        Message { key: "soak-left", persistent: true, body: 2_000, ..Message::default() }.publish(1);
    client.send(&publish.repeat(200));
    client.hear_confirm(200);
    client.ask(&wire::consume(1, "soak-left", "", false), wire::CONSUME_OK);
    client.hear(wire::DELIVER, 200);
    drop(client);
    let mut next = Client::open(port);
    next.ask(&wire::consume(1, "soak-left", "", false), wire::CONSUME_OK);
    next.hear(wire::DELIVER, 200);
    next.send(&wire::ack(1, 200));
    next.ask(&wire::delete_queue(1, "soak-left"), wire::QUEUE_DELETE_OK);
}

fn commit_and_roll_back(port: u16) {
    let mut client = Client::open(port);
    let queue = Queue { name: "soak-tx", exclusive: true, ..Queue::default() };
    client.ask(&queue.declare(1), wire::QUEUE_DECLARE_OK);
    client.ask(&wire::select_tx(1), wire::TX_SELECT_OK);
    let publish = Message { key: "soak-tx", body: 1_000, ..Message::default() }.publish(1).repeat(50);
    for commits in [true, false, true] {
        client.send(&publish);
        let (end, answer) = wire::end_tx(1, commits);
        client.ask(&end, answer);
    }
    // Open, and never ended.
    client.send(&publish);
}

fn ask_and_answer(port: u16) {
    let mut asks = Client::open(port);
    let mut answers = Client::open(port);
    let queue = Queue { name: "soak-requests", exclusive: true, ..Queue::default() };
    answers.ask(&queue.declare(1), wire::QUEUE_DECLARE_OK);
    answers.ask(&wire::consume(1, "soak-requests", "", true), wire::CONSUME_OK);
    asks.ask(&wire::consume(1, "amq.rabbitmq.reply-to", "", true), wire::CONSUME_OK);
    let request =
        Message { key: "soak-requests", reply_to: Some("amq.rabbitmq.reply-to"), ..Message::default() };
    for _ in 0..10 {
        asks.send(&request.publish(1));
        answers.hear(wire::DELIVER, 1);
        answers.hear_content();
        let address = answers.reply_to();
        answers.send(&Message { key: &address, body: 500, ..Message::default() }.publish(1));
        asks.hear(wire::DELIVER, 1);
        asks.hear_content();
    }
}

fn return_and_dead_letter(port: u16) {
    let mut client = Client::open(port);
    let arguments = vec![
        ("x-dead-letter-exchange", wire::text("")),
        ("x-dead-letter-routing-key", wire::text("soak-dead")),
        ("x-message-ttl", AMQPValue::LongInt(20)),
    ];
    let dies = Queue { name: "soak-dies", exclusive: true, arguments, ..Queue::default() };
    client.ask(&dies.declare(1), wire::QUEUE_DECLARE_OK);
    let dead = Queue { name: "soak-dead", exclusive: true, ..Queue::default() };
    client.ask(&dead.declare(1), wire::QUEUE_DECLARE_OK);
    let nowhere = Message { key: "soak-nowhere", mandatory: true, body: 3_000, ..Message::default() };
    client.send(&nowhere.publish(1).repeat(50));
    client.hear(wire::RETURN, 50);
    let expires = Message { key: "soak-dies", persistent: true, body: 100, ..Message::default() };
    client.send(&expires.publish(1).repeat(100));
    client.ask(&wire::consume(1, "soak-dead", "", true), wire::CONSUME_OK);
    client.hear(wire::DELIVER, 100);
}

//! Clients that do not read what they asked for: what the broker keeps for them is bounded, and so is the time.

use std::time::{Duration, Instant};

use crate::client::Client;
use crate::stage::{Attack, Stage, sized};
use crate::wire::{self, Message, Queue};

const MIB: usize = 1 << 20;

/// Queues that all hold the same messages of 1 MiB, on disk.
fn large_messages(stage: &Stage, queues: usize, messages: usize) -> Vec<String> {
    let mut client = Client::open(stage.port());
    client.ask(&wire::declare_exchange(1, "large", "fanout"), wire::EXCHANGE_DECLARE_OK);
    let names: Vec<String> = (0..queues).map(|number| format!("large-{number}")).collect();
    for name in &names {
        client.ask(&Queue { name, durable: true, ..Queue::default() }.declare(1), wire::QUEUE_DECLARE_OK);
        client.ask(&wire::bind(1, name, "large", "", false), wire::QUEUE_BIND_OK);
    }
    client.ask(&wire::select_confirms(1), wire::CONFIRM_SELECT_OK);
    let publish = Message { exchange: "large", persistent: true, body: MIB, ..Message::default() }.publish(1);
    for _ in 0..messages {
        client.ask(&publish, wire::ACK);
    }
    names
}

#[test]
fn gets_of_large_bodies() {
    Attack::new("gets of large bodies", 100).with(&["--message-memory", "16"]).carry_out(|stage| {
        let names = large_messages(stage, sized(8, 20), sized(20, 100));
        let mut attacker = Client::open_narrowly(stage.port());
        let gets: Vec<u8> = names.iter().flat_map(|name| wire::get(1, name, true)).collect();
        attacker.flood(&gets, gets.len() * sized(20, 100));
        stage.linger();
        Ok(())
    });
}

#[test]
fn a_flood_of_qos() {
    Attack::new("a flood of qos", 36).carry_out(|stage| {
        let mut attacker = Client::open_narrowly(stage.port());
        attacker.flood(&wire::qos(1, 10).repeat(1000), sized(100 * MIB, 1500 * MIB));
        stage.linger();
        Ok(())
    });
}

#[test]
fn passive_declares() {
    Attack::new("passive declares", 36).carry_out(|stage| {
        let mut attacker = Client::open_narrowly(stage.port());
        let name = &"long".repeat(63);
        attacker.ask(&Queue { name, exclusive: true, ..Queue::default() }.declare(1), wire::QUEUE_DECLARE_OK);
        let ask = Queue { name, passive: true, ..Queue::default() }.declare(1);
        attacker.flood(&ask.repeat(100), ask.len() * sized(250_000, 2_000_000));
        stage.linger();
        Ok(())
    });
}

#[test]
fn returns() {
    Attack::new("returns", 40).carry_out(|stage| {
        let mut attacker = Client::open_narrowly(stage.port());
        let publish = Message { key: "nowhere", mandatory: true, body: 100_000, ..Message::default() };
        let publish = publish.publish(1);
        attacker.flood(&publish, publish.len() * sized(1_500, 10_000));
        stage.linger();
        Ok(())
    });
}

#[test]
fn direct_replies() {
    Attack::new("direct replies", 60).carry_out(|stage| {
        let mut victim = Client::open_narrowly(stage.port());
        let mut replier = Client::open(stage.port());
        let queue = Queue { name: "requests", ..Queue::default() };
        replier.ask(&queue.declare(1), wire::QUEUE_DECLARE_OK);
        victim.ask(&wire::consume(1, "amq.rabbitmq.reply-to", "", true), wire::CONSUME_OK);
        let asks = Message { key: "requests", reply_to: Some("amq.rabbitmq.reply-to"), ..Message::default() };
        victim.send(&asks.publish(1));
        let address = stage_address(&mut replier);
        let reply = Message { key: &address, body: MIB, ..Message::default() }.publish(1);
        replier.flood(&reply, reply.len() * sized(200, 2_000));
        stage.linger();
        // Whoever takes part in it is held by the socket's buffers at the most.
        drop(victim);
        Ok(())
    });
}

/// The address in the request that waits.
fn stage_address(client: &mut Client) -> String {
    loop {
        client.send(&wire::get(1, "requests", true));
        if client.hear_one_of(&[wire::GET_OK, wire::GET_EMPTY]) == wire::GET_OK {
            client.hear_content();
            return client.reply_to();
        }
    }
}

/// A peer that does not read has lost its heartbeats, has closed, or has broken the protocol: its socket goes, though
/// what it was sent is not written yet.
#[test]
fn ends_of_peers_that_do_not_read() {
    Attack::new("ends of peers that do not read", 80).with(&["--send-timeout", "10"]).carry_out(|stage| {
        let names = large_messages(stage, 3, 8);
        stage.linger();
        let before = stage.sockets();
        let ends: [(&str, u16, Vec<u8>); 3] = [
            ("heartbeats lost", 2, Vec::new()),
            ("its own close", 0, wire::close_connection()),
            ("an error", 0, b"nonsense nonsense nonsense".to_vec()),
        ];
        let began = Instant::now();
        let mut stuck: Vec<Client> = Vec::new();
        for ((_, heartbeat, last_words), name) in ends.iter().zip(&names) {
            let mut client = Client::connect_narrowly(stage.port());
            client.log_in(*heartbeat);
            client.send(&wire::get(1, name, true).repeat(8));
            client.send(last_words);
            stuck.push(client);
        }
        std::thread::sleep(Duration::from_secs(1));
        let left = stage.sockets() - before;
        let gone = stage.soon("their sockets are gone", |stage| stage.sockets() <= before);
        let left_after = stage.sockets() - before;
        println!("  {left} sockets after a second, {left_after} after {:.1?}", began.elapsed());
        gone.map(drop)
    });
}

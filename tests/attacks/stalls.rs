//! Single requests that are much work: everybody else goes on meanwhile.

use std::io::{Read, Write};
use std::net::TcpStream;

use leveret_codec::table::AMQPValue;

use crate::client::Client;
use crate::stage::{Attack, Stage, sized};
use crate::support::frames::table;
use crate::wire::{self, Message, Queue};

#[test]
fn many_consumers_that_drop() {
    Attack::new("many consumers that drop", 60).carry_out(|stage| {
        let mut attacker = Client::open(stage.port());
        attacker.ask(&Queue { name: "wanted", ..Queue::default() }.declare(1), wire::QUEUE_DECLARE_OK);
        let (channels, each) = (sized(4, 100), 1_000);
        let consume = wire::consume(1, "wanted", "", false);
        for channel in 2..2 + channels {
            attacker.ask(&wire::open_channel(channel), wire::CHANNEL_OPEN_OK);
            let mut consumes = consume.repeat(each);
            for frame in consumes.chunks_mut(consume.len()) {
                frame[1..3].copy_from_slice(&channel.to_be_bytes());
            }
            attacker.send(&consumes);
            attacker.hear(wire::CONSUME_OK, each);
        }
        drop(attacker);
        some_rounds(stage);
        Ok(())
    });
}

/// The bystander's next round trips are part of what is measured.
fn some_rounds(stage: &Stage) {
    let until = stage.bystander.rounds() + 50;
    while stage.bystander.rounds() < until {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Declares so many queues, `name` with a number behind it, and forgets about it.
fn declare_queues(client: &mut Client, count: usize, name: &str) {
    let declares: Vec<u8> = (0..count)
        .flat_map(|number| {
            let name = format!("{name}{number}");
            Queue { name: &name, exclusive: true, ..Queue::default() }.declare(1)
        })
        .collect();
    client.send(&declares);
    client.hear(wire::QUEUE_DECLARE_OK, count);
}

#[test]
fn a_catastrophic_pattern_over_many_queues() {
    Attack::new("a catastrophic pattern over many queues", 60).carry_out(|stage| {
        let mut client = Client::open(stage.port());
        declare_queues(&mut client, sized(500, 20_000), &"a".repeat(30));
        let policy =
            r#"{"pattern":"^(a|aa)+(?=b)\\1?b$","apply-to":"queues","definition":{"max-length":10}}"#;
        let mut api = TcpStream::connect(("127.0.0.1", stage.management)).expect("the API is served");
        let head = "PUT /api/policies/%2f/slow HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                    authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\ncontent-type: application/json\r\n";
        let length = policy.len();
        write!(api, "{head}content-length: {length}\r\n\r\n{policy}").expect("it reads");
        let mut answer = String::new();
        api.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 201"), "the policy is taken: {answer}");
        // The same names again, now under the policy.
        client.send(&Queue { name: &"a".repeat(200), ..Queue::default() }.declare(1));
        client.hear(wire::QUEUE_DECLARE_OK, 1);
        some_rounds(stage);
        Ok(())
    });
}

#[test]
fn exclusive_queues_deleted_at_once() {
    Attack::new("exclusive queues deleted at once", 60).carry_out(|stage| {
        let mut client = Client::open(stage.port());
        declare_queues(&mut client, sized(4_000, 200_000), "exclusive-");
        println!("  {} MiB with them", stage.memory());
        drop(client);
        some_rounds(stage);
        stage.soon("memory is given back", |stage| stage.memory() < stage.before + sized(40, 100)).map(drop)
    });
}

#[test]
fn a_queue_with_many_bindings_deleted() {
    Attack::new("a queue with many bindings deleted", 60).carry_out(|stage| {
        let mut client = Client::open(stage.port());
        client.ask(&Queue { name: "bound", ..Queue::default() }.declare(1), wire::QUEUE_DECLARE_OK);
        for kind in ["direct", "topic"] {
            let exchange = format!("many-{kind}");
            client.ask(&wire::declare_exchange(1, &exchange, kind), wire::EXCHANGE_DECLARE_OK);
            for thousand in 0..sized(4, 150) {
                let key = |number: usize| format!("key.{thousand}.{number}");
                let binds =
                    (0..1_000).flat_map(|number| wire::bind(1, "bound", &exchange, &key(number), true));
                client.send(&binds.collect::<Vec<u8>>());
                // Not too far ahead.
                client.ask(&wire::qos(1, 1), wire::QOS_OK);
            }
        }
        println!("  {} MiB with them", stage.memory());
        client.ask(&wire::delete_queue(1, "bound"), wire::QUEUE_DELETE_OK);
        some_rounds(stage);
        Ok(())
    });
}

#[test]
fn many_keys_against_patterns() {
    Attack::new("many keys against patterns", 60).carry_out(|stage| {
        let mut client = Client::open(stage.port());
        client.ask(&Queue { name: "topics", ..Queue::default() }.declare(1), wire::QUEUE_DECLARE_OK);
        client.ask(&wire::declare_exchange(1, "topics", "topic"), wire::EXCHANGE_DECLARE_OK);
        let binds =
            (0..428).flat_map(|number| wire::bind(1, "topics", "topics", &format!("#.w{number}.#.z"), true));
        client.send(&binds.collect::<Vec<u8>>());
        client.ask(&wire::select_confirms(1), wire::CONFIRM_SELECT_OK);
        let keys = (0..500).map(|number| {
            let words: Vec<String> =
                (0..40).map(|word| format!("w{}", (number * 7 + word * 11) % 428)).collect();
            AMQPValue::LongString(words.join(".").into())
        });
        let keys = AMQPValue::FieldArray(keys.collect::<Vec<_>>().into());
        let headers = Some(table(vec![("CC", keys)]));
        let publish = Message { exchange: "topics", key: "w1", headers, body: 10, ..Message::default() };
        let publishes = sized(2, 60);
        client.send(&publish.publish(1).repeat(publishes));
        client.hear_confirm(publishes as u64);
        some_rounds(stage);
        Ok(())
    });
}

#[test]
fn one_nack_of_very_many() {
    Attack::new("one nack of very many", 100).carry_out(|stage| {
        let mut client = Client::open(stage.port());
        let letters = ("x-dead-letter-exchange", wire::text(""));
        let key = ("x-dead-letter-routing-key", wire::text("dead"));
        let queue =
            Queue { name: "nacked", durable: true, arguments: vec![letters, key], ..Queue::default() };
        client.ask(&queue.declare(1), wire::QUEUE_DECLARE_OK);
        client.ask(
            &Queue { name: "dead", durable: true, ..Queue::default() }.declare(1),
            wire::QUEUE_DECLARE_OK,
        );
        let mut publisher = Client::open(stage.port());
        publisher.ask(&wire::select_confirms(1), wire::CONFIRM_SELECT_OK);
        let (batches, each) = (sized(8, 200), 1_000);
        let publish = Message { key: "nacked", persistent: true, body: 20, ..Message::default() }.publish(1);
        for batch in 1..=batches {
            publisher.send(&publish.repeat(each));
            publisher.hear_confirm((batch * each) as u64);
        }
        client.ask(&wire::consume(1, "nacked", "", false), wire::CONSUME_OK);
        client.hear(wire::DELIVER, batches * each);
        client.send(&wire::discard_all(1));
        client.ask(&wire::qos(1, 1), wire::QOS_OK);
        some_rounds(stage);
        client.send(&wire::consume(1, "dead", "", true));
        client.hear(wire::DELIVER, batches * each);
        Ok(())
    });
}

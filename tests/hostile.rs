//! What a hostile or broken client may send, through real sockets: each gets its error or is closed, and everybody
//! else goes on. A bystander publishes and consumes during every attack.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "hostile/ends.rs"]
mod ends;
#[path = "hostile/raw.rs"]
mod raw;
#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use lapin::options::{BasicGetOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use raw::{Answer, RawClient, content_header, nested_start_ok, publish_method};
use support::Broker;
use support::frames::frame;

/// A client that was there before the attack and works after it.
struct Bystander {
    runtime: tokio::runtime::Runtime,
    channel: lapin::Channel,
}

impl Bystander {
    fn connect(broker: &Broker) -> Bystander {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let channel = runtime.block_on(async {
            let connection =
                Connection::connect(&broker.uri(), ConnectionProperties::default()).await.unwrap();
            let channel = connection.create_channel().await.unwrap();
            let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
            channel.queue_declare("bystander".into(), options, FieldTable::default()).await.unwrap();
            channel
        });
        Bystander { runtime, channel }
    }

    fn works(&self) {
        self.runtime.block_on(async {
            let options = BasicPublishOptions::default();
            let properties = BasicProperties::default();
            self.channel
                .basic_publish("".into(), "bystander".into(), options, b"still here", properties)
                .await
                .unwrap();
            let got =
                self.channel.basic_get("bystander".into(), BasicGetOptions { no_ack: true }).await.unwrap();
            assert_eq!(got.expect("the bystander's message").delivery.data, b"still here");
        });
    }
}

/// Attacks a broker that a bystander uses.
fn attack(attack: impl FnOnce(&Broker)) {
    let broker = Broker::start();
    let bystander = Bystander::connect(&broker);
    attack(&broker);
    bystander.works();
}

#[test]
fn deeply_nested_tables_before_login() {
    attack(|broker| {
        let mut client = RawClient::greet(broker.port());
        client.send(&nested_start_ok(1300));
        let answer = client.answer();
        assert!(
            matches!(answer, Answer::ConnectionClosed { code: 501 | 502, .. } | Answer::Eof),
            "{answer:?}"
        );
    });
}

#[test]
fn a_frame_larger_than_frame_max() {
    attack(|broker| {
        let mut client = RawClient::open_channel(broker.port());
        // The header alone: the broker must not wait for (or make room for) what it announces.
        client.send(&[1, 0, 1, 0x7F, 0xFF, 0xFF, 0xFF]);
        assert!(matches!(client.answer(), Answer::ConnectionClosed { code: 501, .. }));
    });
}

#[test]
fn a_frame_larger_than_8_kb_before_login() {
    attack(|broker| {
        let mut client = RawClient::greet(broker.port());
        client.send(&frame(1, 0, &vec![0; 10_000]));
        let answer = client.answer();
        assert!(matches!(answer, Answer::ConnectionClosed { code: 501, .. } | Answer::Eof), "{answer:?}");
    });
}

#[test]
fn a_body_larger_than_announced() {
    attack(|broker| {
        let mut client = RawClient::open_channel(broker.port());
        client.send(&frame(1, 1, &publish_method("", "nowhere")));
        client.send(&frame(2, 1, &content_header(3)));
        client.send(&frame(3, 1, b"four"));
        assert!(matches!(client.answer(), Answer::ConnectionClosed { code: 501, .. }));
    });
}

#[test]
fn a_header_that_announces_2_to_the_63_bytes() {
    attack(|broker| {
        let mut client = RawClient::open_channel(broker.port());
        client.send(&frame(1, 1, &publish_method("", "nowhere")));
        client.send(&frame(2, 1, &content_header(1 << 63)));
        let answer = client.answer();
        assert!(
            matches!(
                answer,
                Answer::ConnectionClosed { code: 501, .. } | Answer::ChannelClosed { code: 406, .. }
            ),
            "{answer:?}"
        );
    });
}

#[test]
fn a_wrong_frame_end() {
    attack(|broker| {
        let mut client = RawClient::open_channel(broker.port());
        let mut wrong = frame(8, 0, &[]);
        *wrong.last_mut().unwrap() = 0xCD;
        client.send(&wrong);
        assert!(matches!(client.answer(), Answer::ConnectionClosed { code: 501, .. }));
    });
}

#[test]
fn random_bytes() {
    attack(|broker| {
        for seed in 0..50 {
            let mut client = if seed % 2 == 0 {
                RawClient::connect(broker.port())
            } else {
                RawClient::open_channel(broker.port())
            };
            client.send(&noise(seed, 4096));
            client.finish();
            // Whatever the answer is, the connection ends.
            while !matches!(client.answer(), Answer::Eof) {}
        }
    });
}

#[test]
fn a_client_that_never_finishes_its_handshake() {
    attack(|broker| {
        let mut silent = RawClient::connect(broker.port());
        let mut halfway = RawClient::greet(broker.port());
        let mut trickling = RawClient::greet(broker.port());
        trickling.send(&[1, 0, 0]);
        for client in [&mut silent, &mut halfway, &mut trickling] {
            client.wait_at_most(Duration::from_secs(30));
            assert!(
                matches!(client.answer(), Answer::Eof),
                "closed without a frame once the handshake timed out"
            );
        }
    });
}

/// Bytes that look like nothing, the same for the same seed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[3]
    })
    .take(len)
    .collect()
}

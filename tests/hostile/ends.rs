//! How connections end: what is still done and said, how soon a peer that is not there is let go, and what the log says
//! of it.

use std::time::{Duration, Instant};

use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};

use crate::raw::{Answer, RawClient, content_header, publish_method, start_ok};
use crate::support::Broker;
use crate::support::frames::frame;

/// No test is about how fast this machine is today.
const PATIENCE: Duration = Duration::from_secs(60);
const CLOSE: [u8; 11] = [0, 10, 0, 50, 0, 200, 0, 0, 0, 0, 0];
const CONFIRM_SELECT: [u8; 5] = [0, 85, 0, 10, 0];
const HEARTBEAT: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, 0xCE];

/// Returns the first line that says all of this, once there is one.
fn logged(broker: &Broker, texts: &[&str]) -> String {
    let since = Instant::now();
    loop {
        let found = broker.log().into_iter().find(|line| texts.iter().all(|text| line.contains(text)));
        match found {
            Some(line) => return line,
            None if since.elapsed() > PATIENCE => panic!("{texts:?} was not logged: {:#?}", broker.log()),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn declare_method(queue: &str) -> Vec<u8> {
    let mut payload = vec![0, 50, 0, 10, 0, 0, u8::try_from(queue.len()).unwrap()];
    payload.extend_from_slice(queue.as_bytes());
    // Durable, and no arguments.
    payload.extend_from_slice(&[2, 0, 0, 0, 0]);
    payload
}

fn get_method(queue: &str) -> Vec<u8> {
    let mut payload = vec![0, 60, 0, 70, 0, 0, u8::try_from(queue.len()).unwrap()];
    payload.extend_from_slice(queue.as_bytes());
    payload.push(1);
    payload
}

/// basic.consume without acks, with a tag of the broker's making.
fn consume_method(queue: &str) -> Vec<u8> {
    let mut payload = vec![0, 60, 0, 20, 0, 0, u8::try_from(queue.len()).unwrap()];
    payload.extend_from_slice(queue.as_bytes());
    payload.extend_from_slice(&[0, 2, 0, 0, 0, 0]);
    payload
}

/// A persistent message of one body frame.
fn publish(queue: &str, body: &[u8]) -> Vec<u8> {
    let mut header = content_header(body.len() as u64);
    header.truncate(header.len() - 2);
    header.extend_from_slice(&[0x10, 0, 2]);
    [frame(1, 1, &publish_method("", queue)), frame(2, 1, &header), frame(3, 1, body)].concat()
}

/// A queue of messages that no socket buffer holds.
fn fill(broker: &Broker, queue: &str) {
    let mut client = RawClient::open_channel(broker.port());
    client.send(&frame(1, 1, &declare_method(queue)));
    assert!(matches!(client.answer(), Answer::Other(_)), "declare-ok");
    client.send(&frame(1, 1, &CONFIRM_SELECT));
    assert!(matches!(client.answer(), Answer::Other(_)), "select-ok");
    for _ in 0..400 {
        client.send(&publish(queue, &[7; 100_000]));
    }
    client.wait_at_most(PATIENCE);
    while !matches!(client.answer(), Answer::Confirmed(400)) {}
    client.send(&frame(1, 0, &CLOSE));
}

#[test]
fn a_client_that_closes_its_side_gets_what_is_due() {
    let broker = Broker::start();
    let mut client = RawClient::open_channel(broker.port());
    client.wait_at_most(PATIENCE);
    let mut bytes = frame(1, 1, &declare_method("halved"));
    bytes.extend(frame(1, 1, &CONFIRM_SELECT));
    for _ in 0..50 {
        bytes.extend(publish("halved", b"x"));
    }
    bytes.extend(frame(1, 1, &get_method("nothing-of-this-name")));
    client.send(&bytes);
    client.finish();
    let (mut confirmed, mut refused) = (0, false);
    loop {
        match client.answer() {
            Answer::Confirmed(through) => confirmed = through,
            Answer::ChannelClosed { code: 404, .. } => refused = true,
            Answer::Other(_) => {}
            Answer::Eof => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(refused, "what was sent last is carried out, too");
    assert!(confirmed <= 50);
    logged(&broker, &["connection ended", "closed the socket without connection.close", "published=50"]);

    let mut client = RawClient::open_channel(broker.port());
    client.wait_at_most(PATIENCE);
    let mut bytes = frame(1, 1, &CONFIRM_SELECT);
    for _ in 0..50 {
        bytes.extend(publish("halved", b"x"));
    }
    client.send(&bytes);
    client.finish();
    let mut confirmed = 0;
    loop {
        match client.answer() {
            Answer::Confirmed(through) => confirmed = through,
            Answer::Other(_) => {}
            Answer::Eof => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(confirmed, 50, "all confirms come");
}

#[test]
fn a_peer_that_neither_reads_nor_beats_goes_with_its_heartbeats() {
    let broker = Broker::start();
    fill(&broker, "unread");
    let mut client = RawClient::open_channel_with(broker.port(), 2);
    client.send(&frame(1, 1, &consume_method("unread")));
    let since = Instant::now();
    logged(&broker, &["WARN", "connection ended", "missed heartbeats from the client, interval: 2000 ms"]);
    assert!(since.elapsed() > Duration::from_secs(3), "{:?}", since.elapsed());
}

#[test]
fn a_peer_that_beats_and_does_not_read_is_gone_after_the_send_timeout() {
    let broker = Broker::start_with(&["--send-timeout", "3"]);
    fill(&broker, "unread");
    // One that gets as well, so that its own answers fill the output.
    for method in [consume_method("unread"), get_method("unread")] {
        let mut client = RawClient::open_channel_with(broker.port(), 2);
        client.send(&frame(1, 1, &method).repeat(300));
        let since = Instant::now();
        let gone = |log: Vec<String>| log.iter().any(|line| line.contains("took nothing of"));
        while !gone(broker.log()) {
            assert!(since.elapsed() < PATIENCE, "{:#?}", broker.log());
            client.send(&HEARTBEAT);
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

#[test]
fn a_refused_login_is_logged_on_one_line_and_its_socket_closed() {
    let broker = Broker::start();
    // The second one could hear why, and does not answer.
    let authentication_failure_close =
        b"\x00\x00\x00\x31\x0ccapabilitiesF\x00\x00\x00\x1f\x1cauthentication_failure_closet\x01";
    let properties = [&[0, 0, 0, 0][..], &authentication_failure_close[..]];
    for (number, client_properties) in properties.into_iter().enumerate() {
        let user = format!("gu\nest{number}");
        let mut client = RawClient::greet(broker.port());
        client.wait_at_most(PATIENCE);
        client.send(&frame(1, 0, &start_ok(client_properties, &user, "wrong")));
        if number == 1 {
            assert!(matches!(client.answer(), Answer::ConnectionClosed { code: 403, .. }));
        }
        assert!(matches!(client.answer(), Answer::Eof));
        let name = format!("est{number}");
        let line = logged(&broker, &["connection ended", "login refused", &name, "does not exist", "PLAIN"]);
        assert!(line.contains("WARN") && line.contains("peer=127.0.0.1:"), "{line}");
    }
    let mut client = RawClient::greet(broker.port());
    client.send(&frame(1, 0, &start_ok(&[0, 0, 0, 0], "guest", "wrong")));
    logged(&broker, &["login refused", "user 'guest' gave a wrong password"]);
}

#[test]
fn other_ends_are_logged_with_their_reason() {
    let broker = Broker::start();
    let mut client = RawClient::greet(broker.port());
    client.send(&frame(1, 0, &start_ok(&[0, 0, 0, 0], "guest", "guest")));
    assert!(matches!(client.answer(), Answer::Other(_)), "connection.tune");
    client.send(&frame(1, 0, &[0, 10, 0, 31, 0x07, 0xFF, 0, 2, 0, 0, 0, 0]));
    client.send(&frame(1, 0, b"\x00\x0a\x00\x28\x07missing\x00\x00"));
    assert!(matches!(client.answer(), Answer::ConnectionClosed { code: 530, .. }));
    logged(&broker, &["WARN", "connection ended", "vhost missing not found", "guest"]);

    let mut client = RawClient::connect(broker.port());
    client.send(b"GET / HTTP/1.1\r\n\r\n");
    logged(&broker, &["WARN", "connection ended", "another protocol"]);

    let mut client = RawClient::open_channel(broker.port());
    client.send(&[99, 0, 0, 0, 0, 0, 0, 0xCE]);
    logged(&broker, &["WARN", "connection ended", "FRAME_ERROR - unknown frame type 99", "guest"]);

    let mut client = RawClient::open_channel(broker.port());
    client.send(&publish("nowhere", b"x").repeat(2));
    client.send(&frame(1, 0, &CLOSE));
    let line = logged(&broker, &["INFO", "connection ended", "the client closed it"]);
    for field in ["user=\"guest\"", "vhost=\"/\"", "channels=1", "published=2", "delivered=0", "bytes_in="] {
        assert!(line.contains(field), "{field} in {line}");
    }

    let silent = RawClient::greet(broker.port());
    logged(&broker, &["WARN", "connection ended", "handshake timeout"]);
    drop(silent);
}

#[test]
fn a_client_that_does_not_read_does_not_hold_up_who_replies_to_it() {
    let broker = Broker::start();
    let mut requester = RawClient::open_channel(broker.port());
    requester.send(&frame(1, 1, &declare_method("requests")));
    requester.send(&frame(1, 1, &consume_method("amq.rabbitmq.reply-to")));
    let mut header = content_header(1);
    header.truncate(header.len() - 2);
    header.extend_from_slice(b"\x02\x00\x15amq.rabbitmq.reply-to");
    requester.send(&frame(1, 1, &publish_method("", "requests")));
    requester.send(&frame(2, 1, &header));
    requester.send(&frame(3, 1, b"?"));

    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let connection = Connection::connect(&broker.uri(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare("requests".into(), options, FieldTable::default()).await.unwrap();
        let since = Instant::now();
        let request = loop {
            let got = channel.basic_get("requests".into(), BasicGetOptions { no_ack: true }).await.unwrap();
            if let Some(request) = got {
                break request;
            }
            assert!(since.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let address = request.delivery.properties.reply_to().clone().expect("an address");
        let reply = vec![7; 1 << 20];
        let since = Instant::now();
        for _ in 0..64 {
            let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
            let confirm = channel.basic_publish("".into(), address.clone(), options, &reply, properties);
            confirm.await.unwrap().await.unwrap();
        }
        assert!(since.elapsed() < Duration::from_secs(25), "nobody waits for the send timeout");
    });
    logged(&broker, &["WARN", "a direct reply is dropped"]);
}

fn resident(broker: &Broker) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", broker.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_client_that_has_not_opened_the_connection_costs_little_whatever_it_sends() {
    const CLIENTS: u64 = 200;
    let broker = Broker::start();
    let before = resident(&broker);
    let clients: Vec<RawClient> = (0..CLIENTS)
        .map(|_| {
            let mut client = RawClient::greet(broker.port());
            client.send(&HEARTBEAT.repeat(40_000));
            // A frame that is never finished.
            client.send(&[&[1, 0, 0, 0, 0, 0x1f, 0][..], &[7; 4000]].concat());
            client
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    let each = resident(&broker).saturating_sub(before) / CLIENTS;
    assert!(each < 60, "{each} KiB each");
    drop(clients);
}

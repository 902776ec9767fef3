//! What is done to a running broker by the control socket: clients let in or not, the log, alarms, consumers cancelled, the end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use lapin::message::DeliveryResult;
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::socket::{ask, change, connect, found};
use crate::support::Broker;

const SOON: Duration = Duration::from_secs(20);

async fn connected(broker: &Broker) -> (Connection, Channel) {
    let connection = Connection::connect(&broker.uri(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

async fn declare(channel: &Channel, queue: &str) {
    channel.queue_declare(queue.into(), QueueDeclareOptions::default(), FieldTable::default()).await.unwrap();
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < SOON, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn is_listened_on(broker: &Broker) -> bool {
    TcpStream::connect(("127.0.0.1", broker.port())).is_ok()
}

/// Whether the health checks say that clients can come.
fn is_well(broker: &Broker) -> [u16; 2] {
    let check = |name: &str| ask(broker.data(), "GET", &format!("health/checks/{name}"), &Value::Null).status;
    [check("ready-to-serve-clients"), check(&format!("port-listener/{}", broker.port()))]
}

#[test]
fn suspended_listeners_let_nobody_in_and_keep_who_is_in() {
    let (broker, runtime) = (Broker::start(), Runtime::new().unwrap());
    let data = broker.data();
    let (_connection, channel) = runtime.block_on(connected(&broker));
    let amqp = |state: &str, accepting: bool| {
        let listeners = found(data, "leveret/listeners");
        let amqp = json!({"protocol": "amqp", "address": "127.0.0.1", "port": broker.port(), "accepting": accepting});
        assert_eq!((&listeners["state"], &listeners["listeners"][0]), (&json!(state), &amqp));
        assert_eq!(listeners["listeners"][1]["protocol"], "http/control");
    };
    amqp("running", true);
    for _ in 0..2 {
        assert_eq!(change(data, "POST", "leveret/listeners/suspend", &Value::Null), 204);
        assert!(!is_listened_on(&broker), "the port is closed");
        amqp("suspended", false);
        assert_eq!(is_well(&broker), [503, 503]);
    }
    runtime.block_on(declare(&channel, "q"));
    for _ in 0..2 {
        assert_eq!(change(data, "POST", "leveret/listeners/resume", &json!({})), 204);
        amqp("running", true);
        assert_eq!(is_well(&broker), [200, 200]);
        let (_connection, channel) = runtime.block_on(connected(&broker));
        runtime.block_on(declare(&channel, "q"));
    }
    assert_eq!(change(data, "POST", "leveret/listeners/suspend", &json!("nonsense")), 400);
    amqp("running", true);
}

#[test]
fn a_port_that_somebody_else_took_meanwhile_is_named() {
    let broker = Broker::start();
    let data = broker.data();
    assert_eq!(change(data, "POST", "leveret/listeners/suspend", &Value::Null), 204);
    let taken = std::net::TcpListener::bind(("127.0.0.1", broker.port())).unwrap();
    let refused = ask(data, "POST", "leveret/listeners/resume", &Value::Null);
    let reason = refused.body["reason"].as_str().unwrap_or_default();
    assert!(refused.status == 503 && reason.contains(&broker.port().to_string()), "{refused:?}");
    assert_eq!(found(data, "leveret/listeners")["state"], "suspended");
    drop(taken);
    assert_eq!(change(data, "POST", "leveret/listeners/resume", &Value::Null), 204);
    assert!(is_listened_on(&broker));
}

#[test]
fn a_stopped_app_has_no_clients_until_it_is_started_and_its_queues_stay() {
    let (broker, runtime) = (Broker::start(), Runtime::new().unwrap());
    let data = broker.data();
    let (connection, channel) = runtime.block_on(connected(&broker));
    runtime.block_on(declare(&channel, "q"));
    // One that has not logged in, and answers nothing.
    let mut silent = TcpStream::connect(("127.0.0.1", broker.port())).unwrap();
    silent.write_all(b"AMQP\0\0\x09\x01").unwrap();
    silent.read_exact(&mut [0; 7]).unwrap();
    assert_eq!(change(data, "POST", "leveret/app/stop", &Value::Null), 204);
    silent.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    silent.read_to_end(&mut Vec::new()).expect("it is hung up on by then");
    assert_eq!(found(data, "connections"), json!([]), "they are gone once it is answered");
    assert!(!is_listened_on(&broker));
    wait_until("the client was told", || !connection.status().connected());
    for path in ["suspend", "resume"] {
        let refused = ask(data, "POST", &format!("leveret/listeners/{path}"), &Value::Null);
        let reason = refused.body["reason"].as_str().unwrap_or_default();
        assert!(refused.status == 409 && reason.contains("start_app"), "{refused:?}");
    }
    assert_eq!(found(data, "leveret/listeners")["state"], "stopped");
    assert_eq!(is_well(&broker), [503, 503]);
    assert_eq!(change(data, "POST", "leveret/app/start", &Value::Null), 204);
    let (_connection, channel) = runtime.block_on(connected(&broker));
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    runtime.block_on(channel.queue_declare("q".into(), passive, FieldTable::default())).unwrap();
}

#[test]
fn the_broker_stops_in_order_when_it_is_told_to() {
    let mut broker = Broker::start();
    assert_eq!(change(broker.data(), "POST", "leveret/stop", &json!({})), 204);
    assert!(broker.ended().is_some_and(|status| status.success()));
    broker.logged("the store is closed");
}

#[test]
fn connections_are_closed_by_vhost_and_user() {
    let (broker, runtime) = (Broker::start(), Runtime::new().unwrap());
    let data = broker.data();
    let (one, _channel) = runtime.block_on(connected(&broker));
    let (two, _channel) = runtime.block_on(connected(&broker));
    let closed = |query: &str| ask(data, "DELETE", &format!("leveret/connections{query}"), &Value::Null).body;
    assert_eq!(closed("?vhost=other"), json!({"closed": 0}));
    assert_eq!(closed("?vhost=%2F&user=nobody"), json!({"closed": 0}));
    assert_eq!(closed("?vhost=%2F&user=guest"), json!({"closed": 2}));
    wait_until("both are told", || !one.status().connected() && !two.status().connected());
}

#[test]
fn a_consumer_that_is_cancelled_hears_of_it_and_its_queue_has_none() {
    let (broker, runtime) = (Broker::start(), Runtime::new().unwrap());
    let data = broker.data();
    let (_connection, channel) = runtime.block_on(connected(&broker));
    let (told, hears) = std::sync::mpsc::channel();
    runtime.block_on(async {
        declare(&channel, "q").await;
        let options = BasicConsumeOptions::default();
        let tag = "a tag/with ü";
        let consumer = channel.basic_consume("q".into(), tag.into(), options, FieldTable::default()).await;
        consumer.unwrap().set_delegate(move |delivery: DeliveryResult| {
            // None: cancelled.
            let _ = told.send(matches!(delivery, Ok(None)));
            async {}
        });
    });
    let consumers = found(data, "consumers");
    let channel_name = consumers[0]["channel_details"]["name"].as_str().unwrap();
    let encoded: String = channel_name.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let path = |tag: &str| format!("leveret/consumers/{encoded}/{tag}");
    for absent in [path("other"), "leveret/consumers/nobody%20%281%29/t".to_owned()] {
        assert_eq!(change(data, "DELETE", &absent, &Value::Null), 404, "{absent}");
    }
    assert_eq!(change(data, "DELETE", &path("a%20tag%2Fwith%20%C3%BC"), &Value::Null), 204);
    assert_eq!(hears.recv_timeout(SOON), Ok(true));
    wait_until("nobody consumes", || found(data, "queues/%2F/q")["consumers"] == 0);
    assert_eq!(found(data, "consumers"), json!([]));
}

#[test]
fn an_alarm_that_is_set_by_hand_blocks_publishers_until_it_is_cleared() {
    let broker = Broker::start();
    let data = broker.data();
    let alarms = |memory: bool, disk: bool| {
        let of = |on: bool| json!({"in_effect": on, "by_hand": on});
        assert_eq!(found(data, "leveret/alarms"), json!({"memory": of(memory), "disk": of(disk)}));
        let local = ask(data, "GET", "health/checks/local-alarms", &Value::Null).status;
        assert_eq!(local, if memory || disk { 503 } else { 200 });
    };
    alarms(false, false);
    for (method, alarm, memory, disk) in [
        ("PUT", "memory", true, false),
        ("PUT", "disk", true, true),
        ("PUT", "disk", true, true),
        ("DELETE", "memory", false, true),
        ("DELETE", "disk", false, false),
    ] {
        assert_eq!(change(data, method, &format!("leveret/alarms/{alarm}"), &Value::Null), 204);
        alarms(memory, disk);
    }
    assert_eq!(change(data, "PUT", "leveret/alarms/files", &Value::Null), 404);
    // One that is so stays, whoever clears it.
    assert_eq!(change(data, "PUT", "leveret/thresholds", &json!({"memory_limit_relative": 0.0})), 204);
    wait_until("it is noticed", || found(data, "leveret/alarms")["memory"]["in_effect"] == true);
    assert_eq!(change(data, "DELETE", "leveret/alarms/memory", &Value::Null), 204);
    assert_eq!(found(data, "leveret/alarms")["memory"], json!({"in_effect": true, "by_hand": false}));
}

#[test]
fn thresholds_are_given_in_bytes_and_as_a_share_too() {
    let broker = Broker::start();
    let data = broker.data();
    let set = |body: &Value| change(data, "PUT", "leveret/thresholds", body);
    assert_eq!(set(&json!({"memory_limit_bytes": 5_000_000_000u64, "disk_free_limit_bytes": 1_000})), 204);
    let thresholds = found(data, "leveret/thresholds");
    assert_eq!(thresholds["memory_limit_bytes"], 5_000_000_000u64);
    assert_eq!(
        (&thresholds["memory_limit_mib"], &thresholds["disk_free_limit_bytes"]),
        (&json!(4768), &json!(1000))
    );
    assert_eq!(set(&json!({"memory_limit_relative": 0.5, "disk_free_limit_relative": 0})), 204);
    let thresholds = found(data, "leveret/thresholds");
    let total = thresholds["memory_total_bytes"].as_u64().unwrap();
    assert_eq!(thresholds["memory_limit_bytes"].as_u64().unwrap(), total / 2);
    assert_eq!(thresholds["disk_free_limit_bytes"], 0);
    assert_eq!(set(&json!({"memory_limit_mib": 0})), 204);
    assert_eq!(found(data, "leveret/thresholds")["memory_limit_bytes"], Value::Null);
    for wrong in [
        json!({"memory_limit_relative": -1}),
        json!({"memory_limit_relative": "0.5"}),
        json!({"memory_limit": 1}),
        json!({"disk_free_limit_gb": 1}),
        json!({"memory_limit_bytes": 1.5}),
    ] {
        assert_eq!(set(&wrong), 400, "{wrong}");
    }
}

#[test]
fn a_password_is_tried_without_a_login() {
    let broker = Broker::start();
    let data = broker.data();
    let attempts = found(data, "auth/attempts/leveret@localhost");
    let tried = |user: &str, password: &str| {
        let said = ask(data, "POST", "leveret/authenticate", &json!({"user": user, "password": password}));
        assert_eq!(said.status, 200);
        said.body
    };
    assert_eq!(tried("guest", "guest"), json!({"authenticated": true}));
    for (user, password) in [("guest", "other"), ("nobody", "guest")] {
        let said = tried(user, password);
        assert_eq!(said["authenticated"], false);
        assert!(said["reason"].as_str().unwrap().contains(user), "{said}");
    }
    assert_eq!(change(data, "POST", "leveret/authenticate", &json!({"user": "guest"})), 400);
    assert_eq!(found(data, "auth/attempts/leveret@localhost"), attempts);
}

#[test]
fn the_log_is_read_and_followed_and_its_filter_changed() {
    let broker = Broker::start();
    let data = broker.data();
    let last = |count: u32| ask_text(&broker, &format!("leveret/log?lines={count}"));
    assert!(last(1000).contains("Server startup complete"));
    assert_eq!(change(data, "DELETE", "vhosts/first", &Value::Null), 404);
    let lines = last(1);
    assert!(lines.lines().count() == 1 && lines.contains("/api/vhosts/first"), "{lines}");
    assert!(!lines.contains('\u{1b}'));

    let mut following = BufReader::new(connect(data).unwrap());
    following.get_mut().set_read_timeout(Some(SOON)).unwrap();
    following
        .get_mut()
        .write_all(b"GET /api/leveret/log?lines=1&follow=true HTTP/1.1\r\nhost: h\r\n\r\n")
        .unwrap();
    let mut heard = |text: &str| {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(following.read_line(&mut line).unwrap() > 0, "it ended without {text}");
        }
    };
    heard("text/plain");
    heard("/api/vhosts/first");
    for later in ["/api/vhosts/second", "/api/vhosts/third"] {
        assert_eq!(change(data, "DELETE", &later[5..], &Value::Null), 404);
        heard(later);
    }

    assert_eq!(found(data, "leveret/log-filter"), json!({"filter": "info"}));
    for wrong in [json!({"filter": "loud"}), json!({}), json!({"filter": 1})] {
        assert_eq!(change(data, "PUT", "leveret/log-filter", &wrong), 400, "{wrong}");
    }
    assert_eq!(change(data, "PUT", "leveret/log-filter", &json!({"filter": "off"})), 204);
    assert_eq!(change(data, "DELETE", "vhosts/unheard", &Value::Null), 404);
    assert_eq!(change(data, "PUT", "leveret/log-filter", &json!({"filter": "info"})), 204);
    assert_eq!(change(data, "DELETE", "vhosts/heard", &Value::Null), 404);
    let lines = last(1000);
    assert!(!lines.contains("unheard") && lines.contains("/api/vhosts/heard"), "{lines}");
    broker.logged("/api/vhosts/heard");
}

#[test]
fn a_stop_waits_for_nobody_who_follows_the_log() {
    let mut broker = Broker::start();
    let mut following = BufReader::new(connect(broker.data()).unwrap());
    following.get_mut().set_read_timeout(Some(SOON)).unwrap();
    following.get_mut().write_all(b"GET /api/leveret/log?follow=true HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();
    let mut line = String::new();
    following.read_line(&mut line).unwrap();
    assert!(line.contains("200"), "{line}");
    broker.signal("TERM");
    // The end of a chunked body.
    let ended = following.lines().map_while(Result::ok).any(|line| line == "0");
    assert!(ended && broker.ended().is_some_and(|status| status.success()));
}

/// A body that is no JSON.
fn ask_text(broker: &Broker, path: &str) -> String {
    let mut stream = BufReader::new(connect(broker.data()).unwrap());
    let request = format!("GET /api/{path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    let text = std::io::read_to_string(stream).unwrap();
    text.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn a_reset_broker_is_as_a_new_one_and_is_reset_only_without_clients() {
    let (mut broker, runtime) = (Broker::start(), Runtime::new().unwrap());
    let fresh = Broker::start();
    let data = broker.data().to_owned();
    for (path, body) in [
        ("vhosts/v", json!({})),
        ("users/u", json!({"password": "p", "tags": "administrator"})),
        ("permissions/%2F/u", json!({"configure": "", "write": "", "read": ""})),
        ("policies/%2F/p", json!({"pattern": "", "definition": {"max-length": 1}})),
        ("queues/%2F/q", json!({"durable": true})),
        ("global-parameters/g", json!({"value": 1})),
    ] {
        assert_eq!(change(&data, "PUT", path, &body), 201, "{path}");
    }
    assert_eq!(change(&data, "POST", "vhosts/v/deletion/protection", &Value::Null), 204);
    assert_eq!(change(&data, "PUT", "leveret/node-limits", &json!({"vhosts": 2})), 204);
    assert_eq!(change(&data, "DELETE", "users/guest", &Value::Null), 204);
    let before = found(&data, "definitions");
    let refused = ask(&data, "POST", "leveret/reset", &Value::Null);
    assert!(
        refused.status == 409 && refused.body["reason"].as_str().unwrap().contains("stop_app"),
        "{refused:?}"
    );
    assert_eq!(found(&data, "definitions"), before);
    assert_eq!(change(&data, "POST", "leveret/app/stop", &Value::Null), 204);
    assert_eq!(change(&data, "POST", "leveret/reset", &Value::Null), 204);
    let is_as_new = || {
        let (mut own, mut new) = (found(&data, "definitions"), found(fresh.data(), "definitions"));
        // Salt is never the same.
        for users in [&mut own, &mut new] {
            users["users"][0]["password_hash"] = Value::Null;
        }
        assert_eq!(own, new);
        assert_eq!(found(&data, "leveret/node-limits"), found(fresh.data(), "leveret/node-limits"));
    };
    is_as_new();
    assert!(broker.terminate());
    broker.restart();
    is_as_new();
    let (_connection, channel) = runtime.block_on(connected(&broker));
    runtime.block_on(declare(&channel, "q"));
}

#[test]
fn the_memory_of_messages_is_told_by_the_type_of_their_queues() {
    let broker = Broker::start();
    let data = broker.data();
    let quorum = json!({"durable": true, "arguments": {"x-queue-type": "quorum"}});
    assert_eq!(change(data, "PUT", "queues/%2F/classic", &json!({"durable": true})), 201);
    assert_eq!(change(data, "PUT", "queues/%2F/quorum", &quorum), 201);
    let publish = |queue: &str, bytes: usize| {
        let message = json!({
            "properties": {}, "routing_key": queue, "payload": "x".repeat(bytes), "payload_encoding": "string",
        });
        assert_eq!(
            ask(data, "POST", "exchanges/%2F/amq.default/publish", &message).body,
            json!({"routed": true})
        );
    };
    publish("classic", 10_000);
    publish("quorum", 40_000);
    let memory = found(data, "leveret/memory");
    let part = |name: &str| memory["parts"][name].as_u64().unwrap();
    assert!((10_000..20_000).contains(&part("classic_queue_messages")), "{memory}");
    assert!((40_000..50_000).contains(&part("quorum_queue_messages")), "{memory}");
    assert_eq!((part("output_to_clients"), part("unfinished_publishes")), (0, 0));
    let parts = memory["parts"].as_object().unwrap().values().filter_map(Value::as_u64);
    assert_eq!(parts.sum::<u64>(), memory["total"].as_u64().unwrap());
}

#[test]
fn new_connections_are_offered_as_many_channels_as_was_said() {
    let (broker, runtime) = (Broker::start(), Runtime::new().unwrap());
    let data = broker.data();
    assert_eq!(found(data, "leveret/channel-max"), json!({"channel_max": 2047}));
    let (before, _channel) = runtime.block_on(connected(&broker));
    assert_eq!(change(data, "PUT", "leveret/channel-max", &json!({"channel_max": 3})), 204);
    let (after, _channel) = runtime.block_on(connected(&broker));
    assert_eq!((before.configuration().channel_max(), after.configuration().channel_max()), (2047, 3));
    for wrong in
        [json!({}), json!({"channel_max": 65_536}), json!({"channel_max": -1}), json!({"channels": 1})]
    {
        assert_eq!(change(data, "PUT", "leveret/channel-max", &wrong), 400, "{wrong}");
    }
    assert_eq!(found(data, "leveret/channel-max"), json!({"channel_max": 3}));
}

#[test]
fn who_may_log_in_from_this_machine_alone_is_said_at_once() {
    let mut broker = Broker::start();
    let data = broker.data().to_owned();
    assert_eq!(change(&data, "PUT", "users/u", &json!({"password": "p", "tags": "monitoring"})), 201);
    let users = || found(&data, "leveret/loopback-users")["users"].clone();
    assert_eq!(users(), json!(["guest"]));
    let before = found(&data, "users");
    for wanted in [json!([]), json!(["guest", "u"]), json!(["u"])] {
        assert_eq!(change(&data, "PUT", "leveret/loopback-users", &json!({"users": wanted})), 204);
        assert_eq!(users(), wanted);
    }
    assert_eq!(change(&data, "PUT", "leveret/loopback-users", &json!({"users": ["nobody"]})), 404);
    assert_eq!(change(&data, "PUT", "leveret/loopback-users", &json!({})), 400);
    assert_eq!(found(&data, "users"), before, "passwords and tags are as they were");
    assert!(broker.terminate());
    broker.restart();
    assert_eq!(users(), json!(["u"]));
}

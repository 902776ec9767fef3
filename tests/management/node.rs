//! What is Leveret's own: limits of the whole broker, thresholds; and how the API starts and ends with the broker.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use futures_lite::StreamExt;
use serde_json::json;

use crate::api::Managed;
use crate::support::{free_port, lapin_client, leveret};

const SHORTLY: Duration = Duration::from_millis(100);

#[test]
fn node_limits() {
    let mut managed = Managed::start();
    let api = &managed.api;
    let before = api.found("leveret/node-limits");
    assert!(before.as_object().unwrap().values().all(serde_json::Value::is_null), "{before}");
    assert_eq!(api.change("leveret/node-limits", &json!({"queues": 0, "vhosts": 1.0})), 204);
    assert_eq!(api.change("leveret/node-limits", &json!({"vhosts": null, "exchanges": 100})), 204);
    let after = api.found("leveret/node-limits");
    assert_eq!(
        (&after["queues"], &after["vhosts"], &after["exchanges"]),
        (&json!(0), &json!(null), &json!(100))
    );
    let unknown = api.refused("leveret/node-limits", &json!({"que": 5}));
    assert!(unknown.as_str().unwrap().starts_with("there is no field que; there are "), "{unknown}");
    for value in [json!(-1), json!("5"), json!(1.5), json!([])] {
        let refused = api.refused("leveret/node-limits", &json!({"queues": value}));
        assert_eq!(
            refused,
            format!("queues should be a whole number that is not negative, actually was {value}")
        );
    }
    assert!(managed.broker.terminate());
    managed.broker.restart();
    assert_eq!(managed.as_user("guest:guest").found("leveret/node-limits"), after);
}

#[test]
fn thresholds_block_and_free_publishers_until_the_next_start() {
    let mut managed = Managed::start();
    let api = &managed.api;
    let before = api.found("leveret/thresholds");
    assert_eq!(before["disk_free_limit_mib"], 200);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let connection = runtime.block_on(lapin_client::connect(&managed.broker)).unwrap();
    let mut events = connection.events_listener();
    let channel = runtime.block_on(connection.create_channel()).unwrap();
    // A client is told that it is blocked once it publishes.
    let mut becomes = |wanted: fn(&lapin::Event) -> bool, publishes: bool| {
        let since = Instant::now();
        while since.elapsed() < lapin_client::PATIENCE {
            let told = runtime.block_on(async {
                if publishes {
                    let _ =
                        tokio::time::timeout(SHORTLY, lapin_client::publish(&channel, "", "x", "x")).await;
                }
                tokio::time::timeout(SHORTLY, events.next()).await
            });
            if matches!(&told, Ok(Some(event)) if wanted(event)) {
                return true;
            }
        }
        false
    };
    assert_eq!(api.change("leveret/thresholds", &json!({"memory_limit_mib": 1})), 204);
    assert_eq!(api.found("leveret/thresholds")["memory_limit_mib"], 1);
    assert!(becomes(|event| matches!(event, lapin::Event::ConnectionBlocked(_)), true));
    assert_eq!(api.change("leveret/thresholds", &json!({"memory_limit_mib": 0})), 204);
    assert!(becomes(|event| matches!(event, lapin::Event::ConnectionUnblocked), false));
    let thresholds = api.found("leveret/thresholds");
    assert_eq!(
        (&thresholds["memory_limit_mib"], &thresholds["disk_free_limit_mib"]),
        (&json!(0), &json!(200))
    );
    for (body, reason) in [
        (
            json!({"memory": 1}),
            "there is no field memory; there are memory_limit_mib, memory_limit_bytes, memory_limit_relative, \
             disk_free_limit_mib, disk_free_limit_bytes, disk_free_limit_relative",
        ),
        (
            json!({"disk_free_limit_mib": -1}),
            "disk_free_limit_mib should be a whole number that is not negative, actually was -1",
        ),
        (
            json!({"disk_free_limit_mib": i64::MAX}),
            "disk_free_limit_mib should be a whole number that is not negative, actually was 9223372036854775807",
        ),
    ] {
        assert_eq!(api.refused("leveret/thresholds", &body), reason);
    }
    drop(connection);
    assert!(managed.broker.terminate());
    managed.broker.restart();
    assert_eq!(managed.as_user("guest:guest").found("leveret/thresholds"), before);
}

#[test]
fn it_ends_with_the_broker_whoever_is_connected() {
    let mut managed = Managed::start();
    let _idle = TcpStream::connect(("127.0.0.1", managed.port)).unwrap();
    assert_eq!(managed.api.get("whoami").0, 200);
    let since = Instant::now();
    assert!(managed.broker.terminate());
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    assert!(TcpStream::connect(("127.0.0.1", managed.port)).is_err());
}

#[test]
fn an_address_that_is_taken_ends_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = tempfile::TempDir::new().unwrap();
    let ended = leveret()
        .args([
            "--listen",
            &format!("127.0.0.1:{}", free_port()),
            "--management-listen",
            &address,
            "--data-dir",
        ])
        .arg(data.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success());
    assert!(said.contains(&format!("leveret: cannot listen on {address} for the management API")), "{said}");
}

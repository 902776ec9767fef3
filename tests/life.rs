//! The life of the process: start, refusals that are one clear line, a clean stop, what survives it, and `verify`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use support::{Broker, free_port, leveret};
use tempfile::TempDir;

async fn channel(broker: &Broker) -> Channel {
    let connection = Connection::connect(&broker.uri(), ConnectionProperties::default()).await.unwrap();
    connection.create_channel().await.unwrap()
}

async fn declare(channel: &Channel, queue: &str) {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
}

async fn publish_confirmed(channel: &Channel, queue: &str, body: &[u8], delivery_mode: u8) {
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let properties = BasicProperties::default().with_delivery_mode(delivery_mode);
    let options = BasicPublishOptions::default();
    let confirm = channel.basic_publish("".into(), queue.into(), options, body, properties).await.unwrap();
    assert_eq!(confirm.await.unwrap(), Confirmation::Ack(None));
}

/// What a start that must fail prints: one line, and a non-zero exit.
fn refusal(data: &Path, port: u16) -> String {
    let Output { status, stderr, .. } =
        leveret().args(["--listen", &format!("127.0.0.1:{port}"), "--data-dir"]).arg(data).output().unwrap();
    assert!(!status.success());
    let text = String::from_utf8(stderr).unwrap();
    let complaint = text.lines().find(|line| line.starts_with("leveret: ")).unwrap_or_default().to_owned();
    assert!(!complaint.is_empty() && !text.contains("panicked"), "no clear line in: {text}");
    complaint
}

#[test]
fn a_clean_stop_keeps_what_is_durable_and_exits_with_0() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut broker = Broker::start();
    runtime.block_on(async {
        let channel = channel(&broker).await;
        declare(&channel, "kept").await;
        publish_confirmed(&channel, "kept", b"unacked", 2).await;
        publish_confirmed(&channel, "kept", b"transient", 1).await;
        publish_confirmed(&channel, "kept", b"ready", 2).await;
        let got = channel.basic_get("kept".into(), BasicGetOptions::default()).await.unwrap().unwrap();
        assert_eq!((got.delivery.data.as_slice(), got.delivery.redelivered), (&b"unacked"[..], false));
    });
    assert!(broker.terminate(), "SIGTERM ends the broker with success");
    broker.restart();
    runtime.block_on(async {
        let channel = channel(&broker).await;
        for (body, redelivered) in [(&b"unacked"[..], true), (b"ready", false)] {
            let got = channel.basic_get("kept".into(), BasicGetOptions::default()).await.unwrap().unwrap();
            assert_eq!((got.delivery.data.as_slice(), got.delivery.redelivered), (body, redelivered));
            got.delivery.ack(BasicAckOptions::default()).await.unwrap();
        }
        assert!(channel.basic_get("kept".into(), BasicGetOptions::default()).await.unwrap().is_none());
    });
}

#[test]
fn a_signal_right_after_the_start_is_a_clean_stop() {
    for _ in 0..5 {
        assert!(Broker::start().terminate());
    }
}

#[test]
fn a_second_process_on_the_same_directory_is_refused() {
    let broker = Broker::start();
    let complaint = refusal(broker.data(), free_port());
    assert!(complaint.contains("another process"), "{complaint}");
}

#[test]
fn a_taken_port_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = TempDir::new().unwrap();
    let complaint = refusal(directory.path(), taken.local_addr().unwrap().port());
    assert!(
        complaint.contains("cannot listen on 127.0.0.1:") && complaint.contains("--listen"),
        "{complaint}"
    );
}

#[test]
fn a_data_directory_that_cannot_be_used_is_refused() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    let complaint = refusal(&file.join("data"), free_port());
    assert!(complaint.contains("cannot use the data directory"), "{complaint}");
    // Root may write everywhere, so this half says nothing when root runs it.
    let read_only = directory.path().join("read-only");
    fs::create_dir(&read_only).unwrap();
    fs::set_permissions(&read_only, fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(read_only.join("probe"), "").is_err() {
        let complaint = refusal(&read_only.join("data"), free_port());
        assert!(complaint.contains("cannot use the data directory"), "{complaint}");
    }
}

#[test]
fn verify_reports_a_stopped_directory_as_sound_and_a_damaged_one_as_not() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    let mut broker = Broker::start_on(&data);
    runtime.block_on(async {
        let channel = channel(&broker).await;
        declare(&channel, "checked").await;
        publish_confirmed(&channel, "checked", &[0x5A; 3000], 2).await;
    });
    assert!(broker.terminate());
    let verify = || leveret().args(["verify", "--data-dir"]).arg(&data).output().unwrap();
    let sound = verify();
    assert!(sound.status.success(), "{}", String::from_utf8_lossy(&sound.stdout));

    flip_a_body_byte(&data);
    let damaged = verify();
    assert!(!damaged.status.success(), "{}", String::from_utf8_lossy(&damaged.stdout));
}

#[test]
fn a_low_disk_stops_publishers_and_nobody_else() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut broker = Broker::start();
    runtime.block_on(async {
        let publisher = channel(&broker).await;
        declare(&publisher, "low").await;
        publish_confirmed(&publisher, "low", b"the first", 2).await;
    });
    assert!(broker.terminate());
    // More than any disk has free.
    broker.restart_with(&["--disk-free-limit", "4294967295"]);
    runtime.block_on(async {
        let publisher = channel(&broker).await;
        let blocked = publish_confirmed(&publisher, "low", b"the second", 2);
        assert!(tokio::time::timeout(Duration::from_millis(300), blocked).await.is_err(), "it is kept aside");
        let consumer = channel(&broker).await;
        let got = consumer.basic_get("low".into(), BasicGetOptions::default()).await.unwrap().unwrap();
        assert_eq!(got.delivery.data, b"the first");
        got.delivery.ack(BasicAckOptions::default()).await.unwrap();
        assert!(consumer.basic_get("low".into(), BasicGetOptions::default()).await.unwrap().is_none());
    });
}

/// Flips a byte in the middle of the 3000 equal ones, wherever they are stored.
fn flip_a_body_byte(data: &Path) {
    let mut flipped = 0;
    for entry in fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        let Ok(mut bytes) = fs::read(&path) else { continue };
        let body = [0x5A; 3000];
        if let Some(at) = bytes.windows(body.len()).position(|window| window == body) {
            bytes[at + 1500] ^= 1;
            fs::write(&path, bytes).unwrap();
            flipped += 1;
        }
    }
    assert!(flipped > 0, "the body is stored somewhere");
}

//! What is done to clients that are connected, and what is seen of it while it happens.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use futures_lite::StreamExt;
use lapin::Connection;
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::Broker;
use crate::support::lapin_client::{PATIENCE, connect};
use crate::{command, ok, run};

#[test]
fn a_consumer_is_cancelled_and_connections_are_closed_with_a_reason() {
    let broker = Broker::start();
    let data = broker.data();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let connection = connect(&broker).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel
            .queue_declare("q".into(), QueueDeclareOptions::default(), FieldTable::default())
            .await
            .unwrap();
        let options = BasicConsumeOptions::default();
        let mut consumer =
            channel.basic_consume("q".into(), "tag".into(), options, FieldTable::default()).await.unwrap();

        let named = ok(data, &["consumer", "list", "--columns", "channel", "--quiet"]);
        let cancelled = ok(data, &["consumer", "cancel", named.trim_end(), "tag", "--yes"]);
        assert!(cancelled.starts_with("Cancelled the consumer 'tag'"), "{cancelled}");
        let end = tokio::time::timeout(PATIENCE, consumer.next()).await.expect("it ends");
        assert!(end.is_none(), "the client is told: {end:?}");
        assert_eq!(ok(data, &["consumer", "list", "--quiet"]), "");

        let closed =
            ok(data, &["connection", "close", "--user", "guest", "-p", "/", "--reason", "go home", "-y"]);
        assert_eq!(closed, "Closed 1 connection of the user 'guest' in vhost '/'.\n");
        assert_eq!(
            ok(data, &["connection", "close", "-p", "/", "-y"]),
            "Closed 0 connections of vhost '/'.\n"
        );
        is_closed(&connection).await;
    });
    assert!(broker.logged("go home").contains("go home"));
}

/// Waits until the client has heard of it.
async fn is_closed(connection: &Connection) {
    let heard = async {
        while connection.status().connected() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("it hears of it");
}

#[test]
fn the_log_is_followed_as_it_is_written() {
    let broker = Broker::start();
    let data = broker.data();
    let mut following =
        command(data, &["log", "--lines", "1", "--follow"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    ok(data, &["vhost", "add", "followed"]);
    let line = lines.map_while(Result::ok).find(|line| line.contains("/api/vhosts/followed"));
    assert!(line.is_some_and(|line| line.contains("uid=")));
    following.kill().unwrap();
    following.wait().unwrap();
    assert!(ok(data, &["log", "--lines", "1000"]).lines().count() > 1);
}

#[test]
fn a_broker_is_found_however_long_its_path_is_and_by_the_name_of_a_context() {
    let directory = TempDir::new().unwrap();
    let long = directory.path().join("a-long-name".repeat(20));
    let broker = Broker::start_on(&long);
    ok(broker.data(), &["queue", "declare", "q"]);
    let nowhere = directory.path();
    let home = nowhere.join("home");
    let by_name = |arguments: &[&str], context: Option<&str>| {
        let mut command = command(nowhere, arguments);
        command.env("XDG_CONFIG_HOME", &home);
        command.envs(context.iter().map(|name| ("LEVERET_CONTEXT", *name)));
        crate::say(command)
    };
    let path = long.to_str().unwrap();
    assert_eq!(by_name(&["context", "add", "here", "--data-dir", path], None).code, Some(0));
    let queues = &["queue", "list", "--columns", "name", "--quiet"][..];
    assert_eq!(by_name(&[queues, &["--context", "here"]].concat(), None).out, "q\n");
    assert_eq!(by_name(queues, Some("here")).out, "q\n");
    assert_eq!(by_name(queues, None).code, Some(5), "it is meant where it is named");
    assert_eq!(by_name(queues, Some("there")).code, Some(4));
    let with_password = &["context", "add", "x", "--uri", "http://u:secret@h"];
    assert_eq!(by_name(with_password, None).code, Some(2));
    assert!(!std::fs::read_to_string(home.join("leveret/contexts.json")).unwrap().contains("secret"));
    assert_eq!(by_name(&["context", "remove", "here", "--yes"], None).code, Some(0));
    assert_eq!(by_name(&["context", "list"], None).out.lines().count(), 1);
}

#[test]
fn top_shows_the_broker_and_the_fullest_queues_first() {
    let broker = Broker::start();
    let data = broker.data();
    for name in ["a", "b", "c"] {
        ok(data, &["queue", "declare", name]);
    }
    ok(data, &["message", "publish", "b", "x"]);
    let shown = ok(data, &["top", "--times", "2", "--every", "0.01"]);
    assert_eq!(shown.matches("queues 3").count(), 2, "{shown}");
    let rows: Vec<&str> = shown.lines().filter(|line| line.starts_with('/')).collect();
    assert!(rows.len() == 6 && rows[0].starts_with("/      b"), "{shown}");
    assert_eq!(run(data, &["top", "--sort", "nothing"]).code, Some(2));
}

#[test]
fn what_a_policy_would_change_is_told_and_not_done() {
    let broker = Broker::start();
    let data = broker.data();
    for name in ["logs.a", "logs.b", "other"] {
        ok(data, &["queue", "declare", name]);
    }
    let set = ["policy", "set", "short", "^logs", "{\"max-length\": 5}", "--apply-to", "queues"];
    let preview = ok(data, &[&set[..], &["--dry-run", "--format", "json"]].concat());
    let preview: Value = serde_json::from_str(&preview).unwrap();
    assert_eq!(preview.as_array().unwrap().len(), 2);
    assert_eq!(preview[0]["after"]["definition"]["max-length"], 5);
    assert_eq!(ok(data, &["policy", "list", "--quiet"]), "");
    ok(data, &set);
    let deleted =
        ok(data, &["policy", "delete", "short", "--dry-run", "--quiet", "--columns", "name,before"]);
    assert_eq!(deleted, "logs.a\tmax-length=5\nlogs.b\tmax-length=5\n");
    assert_eq!(ok(data, &["policy", "list", "--quiet", "--columns", "name"]), "short\n");
}

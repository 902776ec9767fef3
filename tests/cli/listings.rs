//! Listings: columns, order, formats, and as many things as there are.

use serde_json::{Value, json};

use crate::support::Broker;
use crate::support::lapin_client::{connect, declare};
use crate::{ok, run};

#[test]
fn columns_order_and_formats_are_as_they_are_asked_for() {
    let broker = Broker::start();
    let data = broker.data();
    for (name, messages) in [("a", 1), ("b", 12), ("c", 2)] {
        ok(data, &["queue", "declare", name]);
        for _ in 0..messages {
            ok(data, &["message", "publish", name, "text"]);
        }
    }
    let listed = |arguments: &[&str]| ok(data, &[&["queue", "list"], arguments].concat());
    assert_eq!(
        listed(&["--columns", "name,messages", "--sort", "-messages"]),
        "name\tmessages\nb\t12\nc\t2\na\t1\n"
    );
    assert_eq!(listed(&["--columns", "messages,name", "--limit", "2", "-q"]), "1\ta\n12\tb\n");
    assert_eq!(listed(&["--columns", "name", "--format", "csv", "-p", "/"]), "name\na\nb\nc\n");
    let table = listed(&["--columns", "name,bytes,durable", "--format", "table", "--sort", "bytes"]);
    assert_eq!(table, "NAME  BYTES  DURABLE\na       4 B  yes\nc       8 B  yes\nb      48 B  yes\n");
    let some: Value =
        serde_json::from_str(&listed(&["--columns", "name,ready", "--format", "json"])).unwrap();
    assert_eq!(some[1], json!({"name": "b", "ready": 12}));
    let all: Value = serde_json::from_str(&listed(&["--format", "json"])).unwrap();
    assert_eq!(all[0]["effective_policy_definition"], json!({}), "without columns all that is known");

    let limits = ok(data, &["limit", "set", "max-queues", "7"]) + &ok(data, &["limit", "list", "-q"]);
    assert_eq!(limits, "The max-queues of the vhost '/' is 7.\nvhost\t/\tmax-queues\t7\n");
}

#[test]
fn names_that_would_move_a_terminal_are_written_as_text() {
    let broker = Broker::start();
    let data = broker.data();
    ok(data, &["queue", "declare", "a\tb\u{1b}[2J\\c"]);
    for format in ["table", "tsv"] {
        let listed = ok(data, &["queue", "list", "--columns", "name", "-q", "--format", format]);
        assert_eq!(listed, "a\\tb\\u{1b}[2J\\\\c\n");
    }
}

#[test]
fn thousands_of_queues_are_listed_in_order_and_deleted_by_an_expression() {
    const QUEUES: usize = 3000;
    let broker = Broker::start();
    let data = broker.data();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let channel = connect(&broker).await.unwrap().create_channel().await.unwrap();
        for number in 0..QUEUES {
            declare(&channel, &format!("q{number:04}"), &[]).await.unwrap();
        }
    });
    let expected: Vec<String> = (0..QUEUES).rev().map(|number| format!("q{number:04}")).collect();
    let listed = ok(data, &["queue", "list", "--columns", "name", "--sort", "-name", "-q"]);
    assert_eq!(listed.lines().collect::<Vec<_>>(), expected);

    let dry = ok(data, &["queue", "delete", "--matching", "^q[01]", "--dry-run"]);
    assert_eq!(dry.lines().count(), 2000);
    let deleted = ok(data, &["queue", "delete", "--matching", "^q[01]", "--yes"]);
    assert_eq!(deleted, "Deleted 2000 queues in vhost '/'.\n");
    assert_eq!(ok(data, &["queue", "list", "-q"]).lines().count(), QUEUES - 2000);
}

#[test]
fn who_stops_reading_is_not_told_of_it() {
    let broker = Broker::start();
    let data = broker.data();
    let mut cut = std::process::Command::new("sh");
    cut.args(["-c", "\"$0\" api GET /api/index.html | true", env!("CARGO_BIN_EXE_leveret")]);
    cut.env("LEVERET_DATA_DIR", data);
    assert_eq!(crate::say(cut).error, "");
    assert_eq!(run(data, &["api", "GET", "/api/nothing"]).code, Some(4));
}

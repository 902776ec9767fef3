//! Verbs that the pages do not replay: that each does to the broker what it says.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::Broker;
use crate::{command, ok, run};

/// What the API says of a path.
fn found(data: &std::path::Path, path: &str) -> Value {
    serde_json::from_str(&ok(data, &["api", "GET", path])).unwrap()
}

#[test]
fn vhosts_users_and_their_rights() {
    let broker = Broker::start();
    let data = broker.data();
    ok(data, &["vhost", "add", "a/b", "--description", "x", "--tag", "one", "--tag", "two"]);
    let vhost = found(data, "/api/vhosts/a%2Fb");
    assert_eq!((&vhost["description"], &vhost["tags"]), (&json!("x"), &json!(["one", "two"])));
    assert!(ok(data, &["vhost", "add", "a/b", "--description", "y"]).contains("changed"));
    ok(data, &["vhost", "protect", "a/b"]);
    assert_eq!(run(data, &["vhost", "delete", "a/b", "--yes"]).code, Some(1), "it is protected");
    ok(data, &["vhost", "unprotect", "a/b"]);

    ok(data, &["user", "add", "u", "--new-password", "p"]);
    ok(data, &["user", "tags", "u", "monitoring", "own"]);
    assert_eq!(ok(data, &["user", "authenticate", "u", "--new-password", "p"]), "The user 'u' can log in.\n");
    ok(data, &["user", "password", "u", "--new-password", "q"]);
    assert_eq!(found(data, "/api/users/u")["tags"], json!(["monitoring", "own"]));
    assert_eq!(run(data, &["user", "authenticate", "u", "--new-password", "p"]).code, Some(1));
    ok(data, &["user", "tags", "u"]);
    assert_eq!(found(data, "/api/users/u")["tags"], json!([]));

    ok(data, &["permission", "set", "u", "c", "w", "r", "-p", "a/b"]);
    assert_eq!(ok(data, &["permission", "list", "-p", "a/b", "--quiet"]), "a/b\tu\tc\tw\tr\n");
    ok(data, &["permission", "set-topic", "u", "amq.topic", "^w", "^r", "-p", "a/b"]);
    let topics = ok(data, &["permission", "list", "--topic", "--user", "u", "--quiet"]);
    assert_eq!(topics, "a/b\tu\tamq.topic\t^w\t^r\n");
    ok(data, &["permission", "clear-topic", "u", "amq.topic", "-p", "a/b", "--yes"]);
    assert_eq!(ok(data, &["permission", "list", "--topic", "--quiet"]), "");
    ok(data, &["permission", "clear", "u", "-p", "a/b", "--yes"]);
    assert_eq!(ok(data, &["permission", "list", "--user", "u", "--quiet"]), "");
    assert_eq!(run(data, &["permission", "set", "none", "", "", ""]).code, Some(1), "the broker says why");
    ok(data, &["user", "delete", "u", "--yes"]);
    ok(data, &["vhost", "delete", "a/b", "--yes"]);
    assert_eq!(ok(data, &["vhost", "list", "--columns", "name", "--quiet"]), "/\n");
}

#[test]
fn limits_parameters_and_policies_of_operators() {
    let broker = Broker::start();
    let data = broker.data();
    for (arguments, row) in [
        (&["max-connections", "5", "-p", "/"][..], "vhost\t/\tmax-connections\t5\n"),
        (&["max-channels", "6", "--user", "guest"], "user\tguest\tmax-channels\t6\n"),
    ] {
        ok(data, &[&["limit", "set"], arguments].concat());
        assert!(ok(data, &["limit", "list"]).contains(row));
        let cleared: Vec<&str> =
            arguments.iter().filter(|word| word.parse::<u8>().is_err()).copied().collect();
        ok(data, &[&["limit", "clear"], &cleared[..]].concat());
        assert!(!ok(data, &["limit", "list"]).contains(row));
    }

    ok(data, &["parameter", "set", "mine", "{\"a\": [1, \"b\"]}"]);
    assert_eq!(found(data, "/api/global-parameters/mine")["value"], json!({"a": [1, "b"]}));
    ok(data, &["parameter", "delete", "mine", "--yes"]);
    assert_eq!(run(data, &["parameter", "delete", "mine", "--yes"]).code, Some(4));
    ok(data, &["limit", "set", "max-queues", "9"]);
    let of_vhost =
        ok(data, &["parameter", "list", "-p", "/", "--columns", "component,name,value", "--quiet"]);
    assert_eq!(of_vhost, "vhost-limits\tlimits\tmax-queues=9\n");

    ok(data, &["queue", "declare", "q"]);
    ok(
        data,
        &[
            "policy",
            "set",
            "p",
            "q",
            "{\"expires\": 100000}",
            "--priority",
            "-3",
            "--operator",
            "--apply-to",
            "queues",
        ],
    );
    assert_eq!(ok(data, &["policy", "list", "--operator", "--columns", "name,priority", "-q"]), "p\t-3\n");
    assert!(ok(data, &["policy", "match", "q"]).contains("operator_policy  p\n"));
    ok(data, &["policy", "delete", "p", "--operator", "--yes"]);
    assert_eq!(run(data, &["policy", "match", "q"]).code, Some(1));
    assert_eq!(run(data, &["policy", "set", "p", "q", "{\"nothing\": 1}"]).code, Some(1), "refused");
    assert_eq!(run(data, &["policy", "set", "p", "q", "[]"]).code, Some(2));
}

#[test]
fn exchanges_bindings_and_messages_of_any_bytes() {
    let broker = Broker::start();
    let data = broker.data();
    ok(
        data,
        &["exchange", "declare", "e", "--type", "headers", "--argument", "alternate-exchange=amq.fanout"],
    );
    ok(data, &["exchange", "declare", "inner", "--type", "fanout", "--internal", "--transient"]);
    let shown = ok(data, &["exchange", "show", "inner", "--columns", "internal,durable", "--format", "json"]);
    assert_eq!(shown, "{\"internal\":true,\"durable\":false}\n");
    ok(data, &["queue", "declare", "q"]);
    ok(data, &["binding", "declare", "e", "q", "--argument", "x-match=any", "--argument", "n=1"]);
    ok(data, &["binding", "declare", "e", "inner", "--to-exchange"]);
    ok(data, &["binding", "declare", "inner", "q", "--key", "k"]);
    let bindings = [
        "binding",
        "list",
        "--columns",
        "source,destination,destination_type,arguments",
        "--sort",
        "destination",
        "-q",
    ];
    let seen = ok(data, &bindings);
    assert!(
        seen.contains("e\tq\tqueue\tn=1 x-match=any\n") && seen.contains("e\tinner\texchange\t\n"),
        "{seen}"
    );
    ok(data, &["binding", "delete", "e", "inner", "--to-exchange", "--yes"]);
    assert!(!ok(data, &bindings).contains("inner\texchange"));
    assert_eq!(run(data, &["exchange", "delete", "inner", "--if-unused", "--yes"]).code, Some(1));

    let mut publish = command(data, &["message", "publish", "q"]).stdin(Stdio::piped()).spawn().unwrap();
    publish.stdin.take().unwrap().write_all(&[0, 255, b'\n']).unwrap();
    assert!(publish.wait().unwrap().success());
    ok(
        data,
        &[
            "message",
            "publish",
            "q",
            "x",
            "--property",
            "headers={\"a\": 1}",
            "--transient",
            "--exchange",
            "",
        ],
    );
    let got: Value =
        serde_json::from_str(&ok(data, &["message", "get", "q", "--count", "9", "--format", "json"]))
            .unwrap();
    assert_eq!((&got[0]["payload"], &got[0]["payload_encoding"]), (&json!("AP8K"), &json!("base64")));
    assert_eq!(got[1]["properties"], json!({"headers": {"a": 1}, "delivery_mode": 1}));
    assert_eq!(run(data, &["queue", "delete", "q", "--if-empty", "--yes"]).code, Some(1), "it is not empty");
    ok(data, &["queue", "purge", "q", "--yes"]);
    ok(data, &["queue", "delete", "q", "--if-empty", "--if-unused", "--yes"]);
}

#[test]
fn definitions_of_one_vhost_go_from_broker_to_broker() {
    let (from, to) = (Broker::start(), Broker::start());
    ok(from.data(), &["vhost", "add", "shop"]);
    ok(from.data(), &["queue", "declare", "q", "-p", "shop", "--type", "quorum"]);
    let exported = ok(from.data(), &["definitions", "export", "-p", "shop"]);
    ok(to.data(), &["vhost", "add", "shop"]);
    let give = |arguments: &[&str]| {
        let mut command = command(to.data(), arguments);
        let mut given = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        given.stdin.take().unwrap().write_all(exported.as_bytes()).unwrap();
        let output = given.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, differences) =
        give(&["definitions", "diff", "-", "-p", "shop", "--columns", "where,kind,name", "-q"]);
    assert_eq!((code, &*differences), (Some(1), "file alone\tqueue\tq\n"));
    assert_eq!(give(&["definitions", "import", "-", "-p", "shop", "--strict", "-q"]).0, Some(0));
    assert_eq!(give(&["definitions", "diff", "-", "-p", "shop", "-q"]), (Some(0), String::new()));
    assert_eq!(
        ok(to.data(), &["queue", "list", "-p", "shop", "--columns", "name,type", "-q"]),
        "q\tquorum\n"
    );
}

#[test]
fn arguments_of_the_broker_are_checked_without_starting_it() {
    let nowhere = tempfile::TempDir::new().unwrap();
    let data = nowhere.path().join("none");
    assert_eq!(run(&data, &["config", "check", "--", "--memory-limit", "100"]).code, Some(0));
    let wrong = run(&data, &["config", "check", "--", "--memory-limit", "much"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.error.contains("invalid value 'much' for '--memory-limit <MIB>'"), "{wrong:?}");
    assert!(!data.exists());
    let broker = Broker::start();
    let shown = ok(broker.data(), &["config", "show"]);
    assert!(shown.contains(&format!("data-dir = {}\n", broker.data().display())), "{shown}");
}

#[test]
fn who_answers_where_nobody_said_that_it_is_there_has_to_be_trusted() {
    use std::os::unix::process::CommandExt;
    const SOMEBODY: u32 = 54_323;
    let directory = tempfile::TempDir::new().unwrap();
    let data = directory.path().join("leveret-data");
    let status = |arguments: &[&str]| {
        let mut status = crate::support::leveret();
        status.current_dir(directory.path()).env_remove("LEVERET_DATA_DIR").env_remove("LEVERET_URI");
        status.args(["status", "--columns", "queues", "--quiet"]).args(arguments);
        crate::say(status)
    };
    let own = Broker::start_on(&data);
    assert_eq!(status(&[]).code, Some(0), "it is the one beside");
    drop(own);
    if !rustix::process::geteuid().is_root() {
        eprintln!("only root can be somebody else: the rest is not tested here");
        return;
    }
    std::fs::remove_dir_all(&data).unwrap();
    std::os::unix::fs::chown(directory.path(), Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    let mut theirs = crate::support::leveret();
    theirs.uid(SOMEBODY).gid(SOMEBODY).args(["serve", "--listen", "127.0.0.1:0", "--no-management"]);
    theirs.args(["--metrics-listen", "off", "--data-dir"]).arg(&data).stderr(Stdio::null());
    let mut theirs = theirs.spawn().unwrap();
    while !data.join("control.sock").exists() {
        assert_eq!(theirs.try_wait().unwrap(), None, "it has ended");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let guessed = status(&[]);
    assert_eq!(guessed.code, Some(3), "{guessed:?}");
    assert!(guessed.error.contains("another user's (uid 54323)"), "{guessed:?}");
    assert_eq!(status(&["--data-dir", "leveret-data"]).code, Some(0), "it is said that it is this one");
    theirs.kill().unwrap();
    theirs.wait().unwrap();
}

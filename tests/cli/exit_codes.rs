//! Exit codes, and that every error is one line that says what to do.

use std::net::TcpListener;

use serde_json::Value;

use crate::support::{Broker, free_port};
use crate::{Said, command, ok, run, say, with};

/// One line on stderr with this in it, nothing else, and this exit code.
fn refused(said: &Said, code: i32, words: &str) {
    assert_eq!((said.code, &*said.out), (Some(code), ""), "{said:?}");
    assert_eq!(said.error.trim_end().lines().count(), 1, "{said:?}");
    assert!(said.error.starts_with("leveret: ") && said.error.contains(words), "{said:?}");
}

#[test]
fn each_kind_of_failure_has_its_code() {
    let port = free_port();
    let broker = Broker::start_with(&["--management-listen", &format!("127.0.0.1:{port}")]);
    let data = broker.data();
    let uri = format!("http://127.0.0.1:{port}");

    // 1: the answer is no.
    ok(data, &["queue", "declare", "q"]);
    refused(&run(data, &["queue", "declare", "q", "--auto-delete"]), 1, "inequivalent arg 'auto_delete'");
    refused(&run(data, &["message", "publish", "nowhere", "x"]), 1, "no queue takes what is published to ''");
    assert_eq!(run(data, &["message", "get", "q"]).code, Some(1), "nothing is in it");
    assert_eq!(run(data, &["policy", "match", "q"]).code, Some(1), "it is under no policy");
    refused(&run(data, &["health", "port-listener/1"]), 1, "No active listener");

    // 2: it makes no sense as it was given.
    refused(&run(data, &["queue", "list", "--columns", "nmae"]), 2, "There are: vhost, name,");
    refused(&run(data, &["queue", "delete", "q"]), 2, "Say so with --yes.");
    refused(&run(data, &["status", "--uri", "https://127.0.0.1"]), 2, "no TLS");
    refused(&run(data, &["status", "--username", "guest"]), 2, "nobody logs in over the control socket");
    refused(&run(data, &["as", "rabbitmqtcl"]), 2, "is no tool of RabbitMQ's");
    refused(&run(data, &["queue", "remove", "q"]), 2, "`leveret queue --help` says what there is.");
    refused(&run(data, &["serve", "--listen", "nowhere"]), 2, "a host and a port are needed");

    // 3: it is not allowed.
    let wrong = with(command(data, &["status", "--uri", &uri]), &[("LEVERET_PASSWORD", "wrong")]);
    refused(&say(wrong), 3, "Check the user and the password");

    // 4: it is not there.
    for arguments in [
        &["queue", "show", "none"][..],
        &["queue", "purge", "none", "--yes"],
        &["queue", "declare", "q", "-p", "none"],
        &["exchange", "delete", "none", "--yes"],
        &["vhost", "delete", "none", "--yes"],
        &["user", "delete", "none", "--yes"],
        &["connection", "close", "none", "--yes"],
        &["consumer", "cancel", "none", "none", "--yes"],
        &["policy", "delete", "none", "--yes"],
        &["binding", "delete", "amq.topic", "q", "--yes"],
    ] {
        refused(&run(data, arguments), 4, "does not exist");
    }

    // 5: nobody answers.
    let nowhere = data.join("nowhere");
    refused(&run(&nowhere, &["status"]), 5, "say where it is: --data-dir DIRECTORY");
    let closed = format!("http://127.0.0.1:{}", free_port());
    refused(&run(data, &["status", "--uri", &closed]), 5, "Is the broker running");
}

#[test]
fn who_does_not_answer_in_time_is_given_up() {
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}", silent.local_addr().unwrap());
    let data = tempfile::TempDir::new().unwrap();
    refused(&run(data.path(), &["status", "--uri", &uri, "--timeout", "0.2"]), 6, "within 0.2 s");
}

#[test]
fn what_is_not_confirmed_is_not_done() {
    let broker = Broker::start();
    let data = broker.data();
    ok(data, &["queue", "declare", "q"]);
    for arguments in [
        &["queue", "delete", "q"][..],
        &["queue", "purge", "q"],
        &["queue", "delete", "--matching", "."],
        &["queue", "delete", "--matching", ".", "--dry-run"],
        &["vhost", "delete", "/"],
        &["user", "delete", "guest"],
        &["permission", "clear", "guest"],
        &["exchange", "delete", "amq.topic"],
        &["connection", "close", "--user", "guest"],
        &["message", "get", "q", "--take"],
    ] {
        let dry = arguments.contains(&"--dry-run");
        assert_eq!(run(data, arguments).code, Some(if dry { 0 } else { 2 }), "{arguments:?}");
    }
    let left: Value = serde_json::from_str(&ok(data, &["queue", "list", "--format", "json"])).unwrap();
    assert_eq!(left.as_array().unwrap().len(), 1);
    assert_eq!(ok(data, &["user", "list", "-q"]), "guest\tadministrator\n");
}

//! The tools of RabbitMQ's names where a list of lines does not lead: how they find a broker, what they do without one, and how they
//! end it. What each verb prints is held against RabbitMQ's tools by `conformance/cli`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use support::{Broker, leveret};

/// What a tool printed, and its exit code.
struct Said {
    code: Option<i32>,
    out: String,
    error: String,
}

/// A tool by its name, with nothing of the environment that would lead it to a broker.
fn tool(name: &str, line: &str) -> Command {
    bare(leveret(), &[&["as", name][..], &line.split_whitespace().collect::<Vec<_>>()].concat())
}

fn bare(mut command: Command, arguments: &[&str]) -> Command {
    for name in
        ["LEVERET_URI", "LEVERET_DATA_DIR", "LEVERET_PASSWORD", "RABBITMQ_NODENAME", "RABBITMQ_MNESIA_DIR"]
    {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

fn say(mut command: Command) -> Said {
    let output = command.output().expect("it can be started");
    let text = |bytes| String::from_utf8(bytes).expect("it says text");
    Said { code: output.status.code(), out: text(output.stdout), error: text(output.stderr) }
}

/// A tool at the broker of this data directory.
fn at(data: &Path, name: &str, line: &str) -> Said {
    let mut command = tool(name, line);
    command.env("LEVERET_DATA_DIR", data);
    say(command)
}

/// What it printed where all went well.
fn ok(data: &Path, name: &str, line: &str) -> String {
    let said = at(data, name, line);
    assert_eq!((said.code, &*said.error), (Some(0), ""), "{name} {line}: {}", said.out);
    said.out
}

#[test]
fn a_broker_is_stopped_and_its_end_waited_for() {
    let mut broker = Broker::start();
    let out = ok(broker.data(), "rabbitmqctl", "shutdown");
    let pid = broker.pid();
    assert!(out.ends_with(&format!("running at PID {pid} successfully shut down\n")), "{out}");
    assert!(broker.ended().expect("it has ended").success());
    let said = at(broker.data(), "rabbitmqctl", "shutdown");
    assert_eq!(said.code, Some(69), "{}", said.error);
    assert_eq!(at(broker.data(), "rabbitmqctl", "stop --idempotent").code, Some(0));

    broker.restart();
    let file = broker.data().join("pid");
    std::fs::write(&file, broker.pid().to_string()).unwrap();
    assert!(
        ok(broker.data(), "rabbitmqctl", &format!("stop {}", file.display()))
            .starts_with("Stopping and halting")
    );
    assert!(broker.ended().expect("it has ended").success());
}

#[test]
fn a_broker_is_waited_for_by_its_pid() {
    let broker = Broker::start();
    let file = broker.data().join("pid");
    std::fs::write(&file, format!("{}\n", broker.pid())).unwrap();
    let out = ok(broker.data(), "rabbitmqctl", &format!("wait {}", file.display()));
    assert!(out.contains(&format!("pid is {}\n", broker.pid())), "{out}");
    assert!(
        out.ends_with("Applications 'rabbit_and_plugins' are running on node 'leveret@localhost'\n"),
        "{out}"
    );
    assert_eq!(ok(broker.data(), "rabbitmqctl", "-q await_startup"), "");
    assert_eq!(ok(broker.data(), "rabbitmqctl", &format!("-q wait --pid {}", broker.pid())), "");
}

#[test]
fn what_needs_no_broker_asks_none() {
    let nowhere = tempfile::tempdir().unwrap();
    assert!(ok(nowhere.path(), "rabbitmqctl", "version").starts_with("4.3."));
    assert!(ok(nowhere.path(), "rabbitmqctl", "help add_user").contains("add_user <username> [<password>]"));
    assert_eq!(ok(nowhere.path(), "rabbitmqctl", "-q hash_password secret").trim().len(), 48);
    let said = at(nowhere.path(), "rabbitmqctl", "list_que");
    assert_eq!(
        (said.code, said.error.contains("Did you mean 'list_queues'?")),
        (Some(64), true),
        "{}",
        said.error
    );
}

#[test]
fn a_broker_that_is_not_there_is_unavailable() {
    let nowhere = tempfile::tempdir().unwrap();
    for line in
        ["ping", "-q list_queues", "await_startup -t 1", "add_user a b", "status", "wait --pid 4000000"]
    {
        let said = at(nowhere.path(), "rabbitmqctl", line);
        assert_eq!(said.code, Some(69), "{line}: {}", said.error);
        assert!(said.error.starts_with("Error:"), "{line}: {}", said.error);
    }
    assert_eq!(at(nowhere.path(), "rabbitmq-diagnostics", "-q check_running").code, Some(69));
    assert_eq!(at(nowhere.path(), "rabbitmqadmin", "list queues").code, Some(1));
    assert_eq!(at(nowhere.path(), "rabbitmqadmin", "--non-interactive list queues").code, Some(65));
}

#[test]
fn a_broker_is_found_as_scripts_for_rabbitmq_say_where_it_is() {
    let broker = Broker::start();
    let mut command = tool("rabbitmqctl", "ping");
    command.env("RABBITMQ_MNESIA_DIR", broker.data()).env("RABBITMQ_NODENAME", "rabbit@shop");
    let said = say(command);
    assert_eq!(said.code, Some(0), "{}", said.error);
    assert!(said.out.starts_with("Will ping rabbit@shop. "), "{}", said.out);
    assert!(ok(broker.data(), "rabbitmqctl", "-n rabbit@other ping").starts_with("Will ping rabbit@other. "));
}

#[test]
fn a_link_by_a_tools_name_is_that_tool() {
    let broker = Broker::start();
    let directory = tempfile::tempdir().unwrap();
    for (name, line, expected) in [
        ("rabbitmqctl", "-q ping", "Ping succeeded\n"),
        ("rabbitmq-diagnostics", "-q ping", "Ping succeeded\n"),
        ("rabbitmq-queues", "-q check_if_node_is_mirror_sync_critical", "ok\n"),
        ("rabbitmq-plugins", "-q list -m management$", "rabbitmq_management\n"),
        ("rabbitmq-upgrade", "-q revive", ""),
        ("rabbitmqadmin", "-f bash list vhosts", "/\n"),
    ] {
        let link = directory.path().join(name);
        symlink(leveret().get_program(), &link).unwrap();
        let mut command = bare(Command::new(&link), &line.split_whitespace().collect::<Vec<_>>());
        command.env("LEVERET_DATA_DIR", broker.data());
        let said = say(command);
        assert_eq!((said.code, &*said.out), (Some(0), expected), "{name} {line}: {}", said.error);
    }
}

#[test]
fn the_log_is_shown_and_followed_for_a_while() {
    let broker = Broker::start();
    assert!(ok(broker.data(), "rabbitmq-diagnostics", "-q log_tail").contains("Server startup complete"));
    assert_eq!(ok(broker.data(), "rabbitmq-diagnostics", "-q log_tail -N 1").lines().count(), 1);
    assert_eq!(at(broker.data(), "rabbitmq-diagnostics", "-q log_tail_stream -d 1").code, Some(0));
}

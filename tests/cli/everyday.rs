//! The session of docs/cli.md is what happens: each command of its blocks is typed into a shell, and what it says is what the page says. On the
//! page three dots on a line of their own stand for any lines, and … within a line for anything.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties, Consumer};

use crate::support::{Broker, free_port};

/// A command of the page, and what it says there.
#[derive(Debug, Default)]
struct Step {
    line: usize,
    command: String,
    expected: Vec<String>,
}

/// What stands in a comment before a block, and what has to be so then.
const WORKER: &str = "a worker holds messages of orders";

#[test]
fn each_line_of_the_page_is_what_happens() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md")).unwrap();
    let management = free_port();
    let broker = Broker::start_with(&["--management-listen", &format!("127.0.0.1:{management}")]);
    let directory = tempfile::TempDir::new().unwrap();
    symlink(env!("CARGO_BIN_EXE_leveret"), directory.path().join("leveret")).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut worker = None;
    let mut tasks = 0;
    let mut wrong = Vec::new();
    for part in page.split("\n### ").skip(1) {
        tasks += 1;
        if part.contains(WORKER) {
            worker = Some(runtime.block_on(hold_messages(&broker)));
        }
        let before = page[..page.find(part).unwrap()].lines().count();
        for step in steps(part, before) {
            let said = typed(&step.command, directory.path(), broker.data(), management);
            let said: Vec<&str> = said.lines().map(str::trim_end).collect();
            let expected: Vec<&str> = step.expected.iter().map(|line| line.trim_end()).collect();
            if !fits(&expected, &said) {
                wrong.push(format!(
                    "docs/cli.md:{}: $ {}\nthe page:\n{}\nwhat happens:\n{}\n",
                    step.line,
                    step.command,
                    expected.join("\n"),
                    said.join("\n")
                ));
            }
        }
    }
    drop(worker);
    assert!(tasks >= 20, "only {tasks} tasks");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A client that has got messages of the queue and acknowledges none, for as long as this is kept.
async fn hold_messages(broker: &Broker) -> (Connection, Consumer) {
    let uri = format!("amqp://billing:correct%20horse@127.0.0.1:{}/%2f", broker.port());
    let properties = ConnectionProperties::default().with_connection_name("billing-worker".into());
    let connection = Connection::connect(&uri, properties).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.basic_qos(2, BasicQosOptions::default()).await.unwrap();
    let options = BasicConsumeOptions::default();
    let consumer =
        channel.basic_consume("orders".into(), "billing".into(), options, FieldTable::default()).await;
    (connection, consumer.unwrap())
}

/// The commands of the console blocks in a part of the page that has so many lines before it.
fn steps(part: &str, before: usize) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_console = false;
    for (number, line) in part.lines().enumerate() {
        if line.starts_with("```") {
            is_console = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| is_console) {
            let step = Step { line: before + number, command: command.to_owned(), expected: Vec::new() };
            steps.push(step);
        } else if is_console && let Some(step) = steps.last_mut() {
            step.expected.push(line.to_owned());
        }
    }
    steps
}

/// What a line says when it is typed, on both ways out; behind it the exit code where it is not 0.
fn typed(line: &str, directory: &Path, data: &Path, management: u16) -> String {
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("exec 2>&1\n{line}\ncode=$?; [ $code = 0 ] || echo \"(exit code $code)\"")]);
    shell.current_dir(directory).env("PATH", path).env("LEVERET_DATA_DIR", data).env_remove("LEVERET_URI");
    shell
        .env("PORT", management.to_string())
        .env_remove("LEVERET_PASSWORD")
        .env_remove("LEVERET_NEW_PASSWORD");
    shell.stdin(std::process::Stdio::null());
    String::from_utf8(shell.output().unwrap().stdout).unwrap()
}

/// Whether what is said is what the page has.
fn fits(page: &[&str], said: &[&str]) -> bool {
    match page.split_first() {
        None => said.is_empty(),
        Some((&"...", rest)) => (0..=said.len()).any(|skipped| fits(rest, &said[skipped..])),
        Some((line, rest)) => {
            said.split_first().is_some_and(|(first, said)| line_fits(line, first) && fits(rest, said))
        }
    }
}

fn line_fits(page: &str, said: &str) -> bool {
    let mut parts = page.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = said.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn dots_stand_for_what_changes_and_nothing_else_does() {
    assert!(line_fits("a … c", "a b c") && line_fits("…", "") && line_fits("a…b…c", "a1b2c"));
    assert!(!line_fits("a … c", "a b d") && !line_fits("a", "ab") && !line_fits("a…b…c", "a1c"));
    assert!(fits(&["a", "...", "z"], &["a", "b", "c", "z"]) && fits(&["...", "z"], &["z"]));
    assert!(!fits(&["a", "...", "z"], &["a", "b"]) && !fits(&[], &["a"]) && !fits(&["a"], &[]));
}

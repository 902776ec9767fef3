//! The operator of the broker under test: alarms, limits of the whole node, restarts. What no protocol can ask for is
//! done by a command of whoever runs the suite. All of it concerns everybody on the broker, so the cases that need it
//! run alone, and what they changed is undone when the [`Operator`] is dropped.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::outcome::{Step, Stop, fail};
use crate::test::Test;

/// How long a broker may take to be there again after a restart.
const RESTART: Duration = Duration::from_secs(60);

/// What the command was asked for, until it is dropped.
pub(crate) struct Operator<'a> {
    test: &'a Test<'a>,
    command: &'a str,
    undo: Vec<&'static str>,
}

impl<'a> Operator<'a> {
    /// Skips the case where there is no command.
    pub(crate) fn new(test: &'a Test<'a>) -> Step<Operator<'a>> {
        match &test.target.operator {
            Some(command) => Ok(Operator { test, command, undo: Vec::new() }),
            None => Err(Stop::Skip("needs an operator: --operator".into())),
        }
    }

    /// Makes the broker low on something.
    pub(crate) fn raise(&mut self, alarm: Alarm) -> Step {
        match alarm {
            Alarm::Memory => self.change("alarm memory on", "alarm memory off"),
            Alarm::Disk => self.change("alarm disk on", "alarm disk off"),
        }
    }

    /// Ends all alarms and takes back all limits.
    pub(crate) fn undo(&mut self) -> Step {
        self.undo.drain(..).try_for_each(|words| call(self.command, words))
    }

    /// Allows at most this many on the node.
    pub(crate) fn limit(&mut self, what: Limit, most: u32) -> Step {
        let (name, undo) = match what {
            Limit::Consumers => ("consumers", "limit consumers none"),
            Limit::Queues => ("queues", "limit queues none"),
            Limit::Exchanges => ("exchanges", "limit exchanges none"),
        };
        self.change(&format!("limit {name} {most}"), undo)
    }

    /// Stops the broker in good order and starts it again on what it stored. Waits until a client can log in.
    pub(crate) fn restart(&self) -> Step {
        call(self.command, "restart")?;
        let start = Instant::now();
        loop {
            match self.test.connect() {
                Ok(connection) => return connection.close(),
                Err(Stop::Fail(reason) | Stop::Skip(reason)) if start.elapsed() > RESTART => {
                    return fail(format!("nobody can log in after a restart: {reason}"));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    fn change(&mut self, words: &str, undo: &'static str) -> Step {
        self.undo.push(undo);
        call(self.command, words)
    }
}

impl Drop for Operator<'_> {
    fn drop(&mut self) {
        if let Err(Stop::Fail(reason) | Stop::Skip(reason)) = self.undo() {
            self.test.trace.note(&reason);
        }
    }
}

/// What a broker may be low on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Alarm {
    Memory,
    Disk,
}

/// What a node may be told to have no more of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// On one channel.
    Consumers,
    Queues,
    Exchanges,
}

/// Runs the command with these words behind it. What it starts and leaves running must not hold up the suite, so its
/// output is not waited for.
fn call(command: &str, words: &str) -> Step {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{command} {words}")).stdin(Stdio::null()).stdout(Stdio::null());
    match shell.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => fail(format!("{command} {words}: {status}")),
        Err(error) => fail(format!("{command} {words}: {error}")),
    }
}

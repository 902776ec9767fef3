//! The command on a terminal: how wide it writes, when it asks, and what it does not show.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::support::Broker;
use crate::{command, ok, with};

/// A terminal with a command on it.
pub(crate) struct Terminal {
    master: File,
    process: Child,
    shown: Vec<u8>,
}

impl Terminal {
    /// Runs a command on a terminal of so many columns.
    pub(crate) fn run(mut command: Command, columns: u16) -> Terminal {
        let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("it can be opened");
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).expect("a size");
        let name = ptsname(&master, Vec::new()).expect("a name").into_string().expect("a path");
        let slave = File::options().read(true).write(true).open(name).expect("its other end");
        let copy = || slave.try_clone().expect("a copy");
        let process = command.stdin(copy()).stdout(copy()).stderr(copy()).spawn().expect("it can be started");
        Terminal { master: File::from(master), process, shown: Vec::new() }
    }

    pub(crate) fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("it is read");
    }

    /// Waits until this is to be seen behind what was looked for before.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        loop {
            let shown = String::from_utf8_lossy(&self.shown).into_owned();
            if let Some(at) = shown.find(text) {
                self.shown.drain(..at + text.len());
                return shown;
            }
            assert!(self.read(), "it ended without {text:?}: {shown:?}");
        }
    }

    /// All that is still to be seen when it has ended, and its exit code.
    pub(crate) fn end(mut self) -> (String, Option<i32>) {
        while self.read() {}
        let status = self.process.wait().expect("it can be waited for");
        (String::from_utf8_lossy(&self.shown).replace("\r\n", "\n"), status.code())
    }

    /// Whether there was more; a terminal that nobody has open any more reads as an error.
    fn read(&mut self) -> bool {
        let mut piece = [0; 4096];
        let count = self.master.read(&mut piece).unwrap_or_default();
        self.shown.extend_from_slice(&piece[..count]);
        count > 0
    }
}

#[test]
fn tables_are_cut_to_the_terminal_with_a_sign_and_coloured_unless_nobody_wants_that() {
    let broker = Broker::start();
    let data = broker.data();
    let long = "a-name-".repeat(20);
    ok(data, &["queue", "declare", &long]);
    let shown = |columns, colour: Option<&str>| {
        let list = command(data, &["queue", "list"]);
        let list = colour.iter().fold(list, |list, value| with(list, &[("NO_COLOR", *value)]));
        let (shown, code) = Terminal::run(list, columns).end();
        assert_eq!(code, Some(0));
        shown
    };
    for columns in [40, 80, 200] {
        let shown = shown(columns, Some("1"));
        assert_eq!(shown.lines().count(), 2, "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= usize::from(columns)), "{shown}");
        assert_eq!(shown.contains('…'), columns < 200, "{shown}");
        assert!(!shown.contains('\u{1b}'));
    }
    assert!(shown(80, None).contains("\u{1b}[1m"), "headings are bold");
}

#[test]
fn what_destroys_asks_on_a_terminal() {
    let broker = Broker::start();
    let data = broker.data();
    ok(data, &["queue", "declare", "q"]);
    ok(data, &["message", "publish", "q", "x"]);
    for (answer, code, left) in [("n\n", Some(2), "q\n"), ("\n", Some(2), "q\n"), ("y\n", Some(0), "")] {
        let mut terminal = Terminal::run(command(data, &["queue", "delete", "q"]), 80);
        terminal.wait_for("Delete the queue 'q' in vhost '/' with 1 message? [y/N] ");
        terminal.type_in(answer);
        assert_eq!(terminal.end().1, code);
        assert_eq!(ok(data, &["queue", "list", "--columns", "name", "-q"]), left);
    }
}

#[test]
fn a_password_that_is_typed_is_not_shown() {
    let broker = Broker::start();
    let data = broker.data();
    let mut terminal = Terminal::run(command(data, &["user", "add", "u"]), 80);
    terminal.wait_for("New password of u: ");
    terminal.type_in("secret\n");
    let between = terminal.wait_for("Once more: ");
    assert!(!between.contains("secret"), "{between:?}");
    terminal.type_in("secret\n");
    let (rest, code) = terminal.end();
    assert_eq!(code, Some(0), "{rest}");
    assert!(!rest.contains("secret") && rest.contains("The user 'u' is added."), "{rest:?}");

    let mut terminal = Terminal::run(command(data, &["user", "password", "u"]), 80);
    terminal.wait_for("New password of u: ");
    terminal.type_in("one\n");
    terminal.wait_for("Once more: ");
    terminal.type_in("another\n");
    assert_eq!(terminal.end().1, Some(2));
}

#[test]
fn what_is_watched_stands_where_it_stood_before() {
    let broker = Broker::start();
    let data = broker.data();
    ok(data, &["queue", "declare", "first"]);
    let mut terminal = Terminal::run(command(data, &["queue", "list", "--watch", "0.1"]), 80);
    terminal.wait_for("\u{1b}[H\u{1b}[2J");
    terminal.wait_for("first");
    ok(data, &["queue", "declare", "second"]);
    terminal.wait_for("\u{1b}[H\u{1b}[2J");
    terminal.wait_for("second");
    terminal.process.kill().unwrap();
    terminal.end();
}

//! Names complete in a shell, as somebody types.

use std::os::unix::fs::symlink;
use std::process::Command;

use crate::support::Broker;
use crate::terminal::Terminal;
use crate::{ok, run};

#[test]
fn bash_completes_verbs_and_the_names_of_queues_vhosts_and_users() {
    let broker = Broker::start();
    let data = broker.data();
    for name in ["orders:eu", "invoices one"] {
        ok(data, &["queue", "declare", name]);
    }
    ok(data, &["vhost", "add", "shop"]);
    let programs = tempfile::TempDir::new().unwrap();
    symlink(env!("CARGO_BIN_EXE_leveret"), programs.path().join("leveret")).unwrap();
    let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").unwrap_or_default());
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-i"]);
    bash.env("PATH", path).env("LEVERET_DATA_DIR", data).env("TERM", "dumb").env("PS1", "ready> ");
    bash.env_remove("LEVERET_URI").env("INPUTRC", "/dev/null");
    let mut terminal = Terminal::run(bash, 200);
    terminal.wait_for("ready> ");
    terminal.type_in("source <(leveret completion bash)\n");
    terminal.wait_for("ready> ");
    for (typed, seen) in [
        ("leveret que\tsh\tord\t\n", "orders:eu"),
        ("leveret queue show orders:e\t\n", "orders:eu"),
        ("leveret queue show inv\t\n", "invoices one"),
        ("leveret vhost show sh\t\n", "shop"),
        ("leveret user authenticate gu\t --new-password-file /dev/null\n", "'guest' cannot log in"),
    ] {
        terminal.type_in(typed);
        // What was typed ends with the line; what the command says comes behind it.
        terminal.wait_for("\n");
        let said = terminal.wait_for("ready> ");
        assert!(said.contains(seen) && !said.contains("does not exist"), "{typed:?}: {said:?}");
    }
    terminal.type_in("exit\n");
    terminal.end();
}

#[test]
fn who_completes_a_word_is_not_told_that_nobody_answers() {
    let nowhere = tempfile::TempDir::new().unwrap();
    let said = run(nowhere.path(), &["complete", "--", "queue", "show", ""]);
    assert_eq!((said.code, &*said.out, &*said.error), (Some(0), "", ""), "{said:?}");
}

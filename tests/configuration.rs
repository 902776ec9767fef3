//! docs/configuration.md is what the arguments say of themselves, and nothing else. Written anew by
//! `LEVERET_WRITE_DOCS=1 cargo test --test configuration`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::path::Path;

use clap::{Arg, Command, CommandFactory};
use leveret::config::CommandLine;

#[path = "support/page.rs"]
mod page;

const HEAD: &str = "\
Made from the help of `src/config.rs` by `LEVERET_WRITE_DOCS=1 cargo test --test configuration`; the test fails where \
this page says something else.

An argument wins over its environment variable, and that over the default. There is no configuration file, and nothing is read \
again while the broker runs; the thresholds of memory and disk can be changed until the next start over the management API, under \
`/api/leveret`. Vhosts, users, permissions, policies and limits are no configuration: they are data of the broker. What each bound is for stands in [bounds.md](bounds.md).

An argument that makes no sense ends the process before it touches anything: it says why and exits with 2.
";

#[test]
fn the_page_says_what_the_arguments_say() {
    let mut command = CommandLine::command();
    command.build();
    let mut text = String::from("# Configuration\n\n");
    for line in page::wrapped(HEAD) {
        writeln!(text, "{line}").unwrap();
    }
    // What speaks to a running broker configures nothing: its `--help` says what it takes.
    for verb in command.get_subcommands().filter(|verb| ["serve", "verify"].contains(&verb.get_name())) {
        add_verb(&mut text, verb);
    }
    page::must_be(Path::new("docs/configuration.md"), &text);
}

fn add_verb(text: &mut String, verb: &Command) {
    let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
    writeln!(text, "\n## `leveret {}`\n\n{}.", verb.get_name(), about.trim_end_matches('.')).unwrap();
    writeln!(text, "\n| argument | environment | default | what it says |\n|---|---|---|---|").unwrap();
    for argument in verb.get_arguments().filter(|argument| argument.get_id() != "help") {
        writeln!(text, "{}", row(argument)).unwrap();
    }
}

/// A row of the table: `--name VALUE`, the environment variable, the default, the help.
fn row(argument: &Arg) -> String {
    let mut name = format!("--{}", argument.get_long().expect("every argument has a long name"));
    let takes_value = argument.get_action().takes_values();
    if takes_value {
        for value in argument.get_value_names().unwrap_or_default() {
            name = format!("{name} {value}");
        }
    }
    let environment = argument.get_env().map(|name| format!("`{}`", name.to_string_lossy()));
    let defaults: Vec<_> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let default = if defaults.is_empty() || !takes_value {
        "–".to_owned()
    } else {
        format!("`{}`", defaults.join(","))
    };
    let help = argument.get_long_help().or_else(|| argument.get_help()).expect("every argument has a help");
    let mut help = help.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let values = argument.get_possible_values();
    if takes_value && !values.is_empty() {
        let names: Vec<_> = values.iter().map(|value| format!("`{}`", value.get_name())).collect();
        help = format!("{}: {}.", help.trim_end_matches('.'), names.join(", "));
    }
    let environment = environment.unwrap_or_else(|| "–".to_owned());
    format!("| `{name}` | {environment} | {default} | {} |", sentence(&help).replace('|', "\\|"))
}

/// With the full stop that clap takes away.
fn sentence(help: &str) -> String {
    if help.ends_with('.') { help.to_owned() } else { format!("{help}.") }
}

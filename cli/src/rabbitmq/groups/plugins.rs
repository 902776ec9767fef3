//! Plugins. Here they are part of the program: what corresponds to one is on, the rest is refused by name.

use serde_json::{Value, json};

use super::super::call::Call;
use super::super::options::flag;
use super::super::output::Output;
use super::super::term::Term;
use super::super::verb::{ANY, Answer, DIAGNOSTICS, PLUGINS, Verb, verb};
use super::super::wrong::{DATA_ERROR, Invalid, SOFTWARE, UNAVAILABLE, USAGE, Wrong};
use super::node::VERSION;
use crate::broker::Path;

/// What RabbitMQ's plugins of these names do is done by this program.
const BUILT_IN: [&str; 9] = [
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_delayed_message_exchange",
    "rabbitmq_event_exchange",
    "rabbitmq_management",
    "rabbitmq_management_agent",
    "rabbitmq_prometheus",
    "rabbitmq_random_exchange",
    "rabbitmq_recent_history_exchange",
    "rabbitmq_sharding",
];
const WHERE: &[super::super::options::Switch] = &[flag("offline"), flag("online"), flag("all")];

pub(super) const HEALTH: &[Verb] = &[
    verb("directories", "[--offline] [--online]", "Says where plugins are: nowhere", |call| {
        call.get(Path::api("version"))?;
        let what =
            "Plugin archives directory: none\nPlugin expansion directory: none\nEnabled plugins file: none";
        Ok(Output::line(what))
    })
    .of(PLUGINS)
    .with(WHERE)
    .says(|call| format!("Listing plugin directories used by node {}", call.node())),
    verb(
        "is_enabled",
        "<plugin1> [ <plugin2>] [--offline] [--online]",
        "Fails where there is nothing that corresponds",
        is_enabled,
    )
    .of(PLUGINS)
    .takes(1, ANY)
    .with(WHERE)
    .says(|call| match call.arguments() {
        [one] => format!("Asking node {} if plugin {one} is enabled...", call.node()),
        all => format!("Asking node {} if plugins {} are enabled...", call.node(), all.join(", ")),
    }),
];

pub(super) const VERBS: &[Verb] = &[
    verb(
        "disable",
        "<plugin1> [ <plugin2>] | --all [--offline] [--online]",
        "Refuses: what is built in stays",
        disable,
    )
    .of(PLUGINS)
    .takes(0, ANY)
    .with(WHERE)
    .checks(names_some)
    .says(|call| format!("Disabling plugins on node {}:\n{}", call.node(), call.arguments().join("\n"))),
    verb(
        "enable",
        "<plugin1> [ <plugin2>] | --all [--offline] [--online]",
        "Says that what corresponds is on",
        enable,
    )
    .of(PLUGINS)
    .takes(0, ANY)
    .with(WHERE)
    .checks(names_some)
    .says(|call| format!("Enabling plugins on node {}:\n{}", call.node(), call.arguments().join("\n"))),
    verb(
        "list",
        "[pattern] [--verbose] [--minimal] [--enabled] [--implicitly-enabled]",
        "Lists plugins that something here corresponds to",
        list,
    )
    .of(PLUGINS)
    .takes(0, 1)
    .with(&[
        flag("verbose").or('v'),
        flag("minimal").or('m'),
        flag("enabled").or('E'),
        flag("implicitly-enabled").or('e'),
        flag("offline"),
        flag("online"),
    ])
    .says(|call| format!("Listing plugins with pattern \"{}\" ...", pattern(call))),
    verb("set", "<plugin1> [ <plugin2>] [--offline] [--online]", "Says that what corresponds is on", enable)
        .of(PLUGINS)
        .takes(0, ANY)
        .with(WHERE)
        .says(|call| format!("Enabling plugins on node {}:\n{}", call.node(), call.arguments().join("\n"))),
];

pub(super) const EXCHANGES: &[Verb] = &[verb(
    "consistent_hash_exchange_ring_state",
    "<exchange>",
    "Refuses: there is no ring that could be shown",
    |_| {
        Err(Wrong::error(
            SOFTWARE,
            "an exchange chooses by its bindings' names and weights; there is no ring to be shown",
        ))
    },
)
.of(DIAGNOSTICS)
.takes(1, 1)];

fn pattern<'a>(call: &Call<'a>) -> &'a str {
    call.arguments().first().map_or(".*", String::as_str)
}

fn names_some(call: &Call<'_>) -> Result<(), Invalid> {
    if call.words.is("online") && call.words.is("offline") {
        return Err(Invalid::argument("Cannot set both online and offline"));
    }
    if call.arguments().is_empty() && !call.words.is("all") {
        return Err(Invalid { code: USAGE, what: "not enough arguments.".to_owned(), is_of_node: false });
    }
    Ok(())
}

fn is_enabled(call: &Call<'_>) -> Answer {
    call.get(Path::api("version"))?;
    let node = call.node();
    let missing: Vec<&str> =
        call.arguments().iter().map(String::as_str).filter(|name| !BUILT_IN.contains(name)).collect();
    let names = call.arguments().join(", ");
    match (missing.as_slice(), call.arguments()) {
        ([], [_]) => Ok(Output::line(format!("Plugin {names} is enabled on node {node}"))),
        ([], _) => Ok(Output::line(format!("Plugins {names} are enabled on node {node}"))),
        (missing, _) => {
            let (plugins, are) = if missing.len() == 1 { ("Plugin", "is") } else { ("Plugins", "are") };
            let (missing, enabled) = (missing.join(", "), BUILT_IN.join(", "));
            let what = format!(
                "{plugins} {missing} {are} not enabled on node {node}. Enabled plugins and dependencies: {enabled}"
            );
            Err(Wrong::error(UNAVAILABLE, what))
        }
    }
}

/// What nothing corresponds to is refused, all of it or nothing.
fn refuse(names: &[&str], why: &str) -> Result<(), Wrong> {
    if names.is_empty() {
        return Ok(());
    }
    Err(Wrong::error(DATA_ERROR, format!("{}: {why}", names.join(", "))))
}

fn enable(call: &Call<'_>) -> Answer {
    let missing: Vec<&str> =
        call.arguments().iter().map(String::as_str).filter(|name| !BUILT_IN.contains(name)).collect();
    refuse(&missing, "nothing here corresponds to this plugin, so it cannot be enabled")?;
    unchanged(call)
}

fn disable(call: &Call<'_>) -> Answer {
    let mut there: Vec<&str> =
        call.arguments().iter().map(String::as_str).filter(|name| BUILT_IN.contains(name)).collect();
    if call.words.is("all") {
        there = BUILT_IN.to_vec();
    }
    refuse(&there, "what this plugin does is built in here, so it cannot be disabled")?;
    unchanged(call)
}

fn unchanged(call: &Call<'_>) -> Answer {
    call.get(Path::api("version"))?;
    let names: Vec<String> = BUILT_IN.iter().map(|name| format!("  {name}\n")).collect();
    let text = format!(
        "The following plugins have been configured:\n{}Applying plugin configuration to {}...\nPlugin configuration unchanged.\n",
        names.concat(),
        call.node()
    );
    let term = Term::of(&json!({ "mode": "online", "set": BUILT_IN, "changed": [] }));
    Ok(Output::Document { text, term })
}

fn list(call: &Call<'_>) -> Answer {
    call.get(Path::api("version"))?;
    let pattern = pattern(call);
    let wanted = fancy_regex::Regex::new(pattern).map_err(|error| {
        Wrong::error(DATA_ERROR, format!("'{pattern}' is no regular expression: {error}"))
    })?;
    let names: Vec<&str> =
        BUILT_IN.iter().copied().filter(|name| wanted.is_match(name).unwrap_or(false)).collect();
    let plugins: Vec<Value> = names
        .iter()
        .map(|name| {
            json!({ "name": name, "version": VERSION, "running_version": VERSION, "enabled": "enabled", "running": true })
        })
        .collect();
    let format = if call.words.is("minimal") {
        "minimal"
    } else if call.words.is("verbose") {
        "verbose"
    } else {
        "normal"
    };
    let term = Term::of(&json!({ "status": "running", "format": format, "plugins": plugins }));
    Ok(Output::Document { text: listed(call, &names, format), term })
}

fn listed(call: &Call<'_>, names: &[&str], format: &str) -> String {
    if format == "minimal" {
        return names.iter().map(|name| format!("{name}\n")).collect();
    }
    let mut text = String::new();
    if !(call.words.is("quiet") || call.words.is("silent")) {
        text.push_str(" Configured: E = explicitly enabled; e = implicitly enabled\n");
        text.push_str(&format!(" | Status: * = running on {}\n |/\n", call.node()));
    }
    let width = names.iter().map(|name| name.len()).max().unwrap_or_default();
    for name in names {
        text.push_str(&match format {
            "verbose" => {
                format!("[E*] {name}\n     Version:     \t{VERSION}\n     Dependencies:\t[]\n     Description: \tbuilt in\n")
            }
            _ => format!("[E*] {name:width$} {VERSION}\n"),
        });
    }
    text
}

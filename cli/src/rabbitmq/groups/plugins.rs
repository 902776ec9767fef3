//! Plugins. Here they are part of the program: what corresponds to one is always on, and only whether somebody has enabled it by
//! name is kept; the rest is refused by name.

use serde_json::{Value, json};

use super::node::VERSION;
use crate::broker::Path;
use crate::rabbitmq::call::Call;
use crate::rabbitmq::options::{Switch, flag};
use crate::rabbitmq::output::Output;
use crate::rabbitmq::term::Term;
use crate::rabbitmq::verb::{ANY, Answer, DIAGNOSTICS, PLUGINS, Verb, verb};
use crate::rabbitmq::wrong::{DATA_ERROR, Invalid, SOFTWARE, UNAVAILABLE, USAGE, Wrong};

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
/// The global parameter that keeps the names of those that somebody has enabled, so that who asks for them finds them so.
const REQUESTED: &str = "leveret_plugins";
const WHERE: &[Switch] = &[flag("offline"), flag("online"), flag("all")];

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
    verb("set", "<plugin1> [ <plugin2>] [--offline] [--online]", "Says that what corresponds is on", set)
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

fn path() -> Path {
    Path::api("global-parameters").segment(REQUESTED)
}

/// Those that somebody has enabled by name.
fn requested(call: &Call<'_>) -> Result<Vec<String>, Wrong> {
    match call.get(path()) {
        Ok(parameter) => {
            let names = parameter["value"].as_array().into_iter().flatten().filter_map(Value::as_str);
            Ok(names.map(str::to_owned).collect())
        }
        Err(failure) if failure.status == Some(404) => Ok(Vec::new()),
        Err(failure) => Err(failure.into()),
    }
}

/// Has these and no others be those that somebody has enabled, and says what that changes.
fn request(call: &Call<'_>, before: &[String], mut wanted: Vec<String>) -> Answer {
    wanted.sort_unstable();
    wanted.dedup();
    let only_in = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|name| !other.contains(name)).cloned().collect()
    };
    let (enabled, disabled) = (only_in(&wanted, before), only_in(before, &wanted));
    if !(enabled.is_empty() && disabled.is_empty()) {
        call.put(path(), &json!({ "name": REQUESTED, "value": wanted }))?;
    }
    let listed = |names: &[String]| -> String { names.iter().map(|name| format!("  {name}\n")).collect() };
    let mut text = format!(
        "The following plugins have been configured:\n{}Applying plugin configuration to {}...\n",
        listed(&BUILT_IN.map(str::to_owned)),
        call.node()
    );
    if enabled.is_empty() && disabled.is_empty() {
        text.push_str("Plugin configuration unchanged.\n");
    }
    if !enabled.is_empty() {
        let (names, count) = (listed(&enabled), enabled.len());
        text.push_str(&format!(
            "The following plugins have been enabled:\n{names}\nstarted {count} plugins.\n"
        ));
    }
    if !disabled.is_empty() {
        let names = listed(&disabled);
        text.push_str(&format!(
            "The following plugins have been disabled:\n{names}\nWhat they do is built in, and stays.\n"
        ));
    }
    let term =
        Term::of(&json!({ "mode": "online", "set": BUILT_IN, "enabled": enabled, "disabled": disabled }));
    Ok(Output::Document { text, term })
}

/// The names that are given, of which each must be that of something built in.
fn known(call: &Call<'_>) -> Result<Vec<String>, Wrong> {
    if call.words.is("all") {
        return Ok(BUILT_IN.map(str::to_owned).to_vec());
    }
    let missing: Vec<&str> =
        call.arguments().iter().map(String::as_str).filter(|name| !BUILT_IN.contains(name)).collect();
    if missing.is_empty() {
        return Ok(call.arguments().to_vec());
    }
    let what =
        format!("{}: nothing here corresponds to this plugin, so it cannot be enabled", missing.join(", "));
    Err(Wrong::error(DATA_ERROR, what))
}

fn enable(call: &Call<'_>) -> Answer {
    let (names, before) = (known(call)?, requested(call)?);
    request(call, &before, [before.clone(), names].concat())
}

fn set(call: &Call<'_>) -> Answer {
    let (names, before) = (known(call)?, requested(call)?);
    request(call, &before, names)
}

/// What is not there is not enabled either.
fn disable(call: &Call<'_>) -> Answer {
    let before = requested(call)?;
    let stays = |name: &&String| !call.words.is("all") && !call.arguments().contains(name);
    let wanted = before.iter().filter(stays).cloned().collect();
    request(call, &before, wanted)
}

fn list(call: &Call<'_>) -> Answer {
    let requested = requested(call)?;
    let pattern = pattern(call);
    let wanted = fancy_regex::Regex::new(pattern).map_err(|error| {
        Wrong::error(DATA_ERROR, format!("'{pattern}' is no regular expression: {error}"))
    })?;
    let is_requested = |name: &str| requested.iter().any(|requested| requested == name);
    let is_wanted = |name: &&str| {
        let is_listed = !call.words.is("enabled") || is_requested(name);
        is_listed && wanted.is_match(name).unwrap_or(false)
    };
    let names: Vec<(&str, bool)> =
        BUILT_IN.iter().copied().filter(is_wanted).map(|name| (name, is_requested(name))).collect();
    let plugin = |(name, is_requested): &(&str, bool)| {
        let enabled = if *is_requested { "enabled" } else { "implicit" };
        json!({ "name": name, "version": VERSION, "running_version": VERSION, "enabled": enabled, "running": true })
    };
    let plugins: Vec<Value> = names.iter().map(plugin).collect();
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

fn listed(call: &Call<'_>, names: &[(&str, bool)], format: &str) -> String {
    if format == "minimal" {
        return names.iter().map(|(name, _)| format!("{name}\n")).collect();
    }
    let mut text = String::new();
    if !(call.words.is("quiet") || call.words.is("silent")) {
        text.push_str(" Configured: E = explicitly enabled; e = implicitly enabled\n");
        text.push_str(&format!(" | Status: * = running on {}\n |/\n", call.node()));
    }
    let width = names.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, is_requested) in names {
        let mark = if *is_requested { "E" } else { "e" };
        text.push_str(&match format {
            "verbose" => format!(
                "[{mark}*] {name}\n     Version:     \t{VERSION}\n     Dependencies:\t[]\n     Description: \tbuilt in\n"
            ),
            _ => format!("[{mark}*] {name:width$} {VERSION}\n"),
        });
    }
    text
}

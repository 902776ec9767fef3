//! Verbs that only Erlang can carry out: each says in one line why it makes no sense here, and ends with 70. And `eval`, which knows
//! a few expressions by sight.

use hyper::Method;
use serde_json::json;

use crate::broker::Path;
use crate::rabbitmq::call::Call;
use crate::rabbitmq::options::{HEADERS, Switch, flag, integer, text};
use crate::rabbitmq::output::{Output, Rows};
use crate::rabbitmq::verb::{ANY, Answer, CTL, DIAGNOSTICS, Tools, Verb, verb};
use crate::rabbitmq::wrong::{DATA_ERROR, Invalid, SOFTWARE, Wrong};

const CODED: &[Switch] = &[text("cipher"), text("hash"), integer("iterations"), flag("decode")];
const NO_ERLANG: &str = "runs code in an Erlang node, and this broker is none";
const ALONE: &str = "is about other nodes of a cluster, and this broker is alone";
const NO_SECRETS: &str =
    "is about secrets in RabbitMQ's configuration files, which this broker does not read";

/// A verb that is refused, with why.
const fn refused(name: &'static str, usage: &'static str, why: &'static str) -> Verb {
    Verb {
        why,
        ..verb(name, usage, why, |call| {
            Err(Wrong::error(SOFTWARE, format!("{} {}", call.verb.name, call.verb.why)))
        })
    }
    .takes(0, ANY)
}

pub(super) const CLUSTER: &[Verb] = &[
    refused("force_boot", "", ALONE),
    refused(
        "force_reset",
        "",
        "is for nodes that cannot leave their cluster; `stop_app` and `reset` delete everything here",
    ),
    refused("force_standalone_khepri_boot", "", ALONE),
    refused("forget_cluster_node", "[--offline] <existing_cluster_member_node>", ALONE)
        .takes(1, 1)
        .with(&[flag("offline")]),
    refused("join_cluster", "[--disc] <existing_cluster_member>", ALONE)
        .takes(1, 1)
        .with(&[flag("disc"), flag("ram")]),
];

pub(super) const OPERATIONS: &[Verb] = &[
    verb(
        "eval",
        "<expression>",
        "Carries out a few expressions of Erlang that test suites use, and refuses others",
        eval,
    )
    .takes(0, 1)
    .checks(|call| match call.arguments() {
        [expression] if expression.trim().is_empty() => {
            Err(Invalid::usage("\"Expression must not be blank\""))
        }
        _ => Ok(()),
    }),
    refused("eval_file", "<file path>", NO_ERLANG),
    refused("exec", "<expression> [--offline]", NO_ERLANG).with(&[flag("offline")]),
    refused(
        "remove_classic_queue_mirroring_from_policies",
        "[--timeout <timeout>]",
        "is about mirrored queues, and no policy here can ask for these",
    ),
];

pub(super) const CONFIGURATION: &[Verb] = &[
    refused(
        "decode",
        "value passphrase [--cipher <cipher>] [--hash <hash>] [--iterations <iterations>]",
        NO_SECRETS,
    )
    .with(CODED),
    refused(
        "decrypt_conf_value",
        "value passphrase [--cipher <cipher>] [--hash <hash>] [--iterations <iterations>]",
        NO_SECRETS,
    )
    .with(CODED),
    refused(
        "encode",
        "value passphrase [--cipher <cipher>] [--hash <hash>] [--iterations <iterations>]",
        NO_SECRETS,
    )
    .with(CODED),
    refused(
        "encrypt_conf_value",
        "value passphrase [--cipher <cipher>] [--hash <hash>] [--iterations <iterations>]",
        NO_SECRETS,
    )
    .with(CODED),
    refused(
        "set_channel_interceptor_priorities",
        "<interceptor> <priority> [<interceptor> <priority> ...] [--timeout <timeout>]",
        "is about plugins that change what channels carry, and there are none here",
    ),
];

const BOTH: Tools = CTL.and(DIAGNOSTICS);

pub(super) const MONITORING: &[Verb] = &[
    verb(
        "list_channel_interceptors",
        "[--no-table-headers] [--timeout <timeout>]",
        "Lists nothing: no plugins change what channels carry",
        |_| Ok(Output::Rows(Rows::default().listed_whole())),
    )
    .of(BOTH)
    .with(HEADERS)
    .says(|_| "Listing channel interceptors ...".to_owned()),
    refused("list_ciphers", "", NO_SECRETS).of(BOTH),
    refused("list_hashes", "", NO_SECRETS).of(BOTH),
];

pub(super) const DIAGNOSING: &[Verb] = &[
    refused(
        "command_line_arguments",
        "",
        "lists arguments of the Erlang virtual machine; `environment` says what this broker was told",
    )
    .of(DIAGNOSTICS),
    refused(
        "consume_event_stream",
        "[--duration|-d <seconds>] [--pattern <pattern>] [--timeout <timeout>]",
        "reads events of an Erlang node; here they are messages of the exchange amq.rabbitmq.event",
    )
    .of(DIAGNOSTICS),
    refused("coordinator_status", "", "is about streams, which there are none").of(DIAGNOSTICS),
    refused("disable_auth_attempt_source_tracking", "", "is about logins by address, which are not counted")
        .of(DIAGNOSTICS),
    refused("discover_peers", "[--timeout <timeout>]", ALONE).of(DIAGNOSTICS),
    refused("enable_auth_attempt_source_tracking", "", "is about logins by address, which are not counted")
        .of(DIAGNOSTICS),
    refused(
        "erlang_cookie_hash",
        "[--timeout <timeout>]",
        "is about Erlang's cookie; here whoever may open the control socket is let in",
    )
    .of(DIAGNOSTICS),
    refused(
        "erlang_cookie_sources",
        "[--timeout <timeout>]",
        "is about Erlang's cookie; here whoever may open the control socket is let in",
    )
    .of(DIAGNOSTICS),
    refused(
        "list_network_interfaces",
        "[--timeout <timeout>]",
        "asks the operating system, as `ip address` does",
    )
    .of(DIAGNOSTICS),
    refused("maybe_stuck", "[--timeout <timeout>]", "looks at Erlang processes, which there are none")
        .of(DIAGNOSTICS),
    refused("message_size_stats", "[--timeout <timeout>]", "counts messages by size, which nobody does here")
        .of(DIAGNOSTICS),
    refused("metadata_store_status", "", "is about Raft, which this broker does without").of(DIAGNOSTICS),
    refused("observer", "[--interval <seconds>]", "looks at Erlang processes, which there are none")
        .of(DIAGNOSTICS),
    refused("remote_shell", "", NO_ERLANG).of(DIAGNOSTICS),
    refused("resolver_info", "", "is about Erlang's resolver; this broker asks that of the operating system")
        .of(DIAGNOSTICS),
    refused(
        "runtime_thread_stats",
        "[--sample-interval <interval>]",
        "is about threads of the Erlang virtual machine",
    )
    .of(DIAGNOSTICS),
];

pub(super) const DEPRECATED: &[Verb] = &[refused("update_cluster_nodes", "<seed_node>", ALONE).takes(1, 1)];

/// What an expression asks for that is known by sight.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    SetAlarm(&'static str),
    ClearAlarm(&'static str),
    ChannelMax(u16),
    LoopbackUsers(Vec<String>),
}

/// Blanks do not count.
fn known(expression: &str) -> Option<Known> {
    let expression: String = expression.split_whitespace().collect();
    let variable = |name: &str| {
        let start = format!("application:set_env(rabbit,{name},");
        expression.strip_prefix(&*start).and_then(|rest| rest.strip_suffix(")."))
    };
    if let Some(most) = variable("channel_max") {
        return most.parse().ok().map(Known::ChannelMax);
    }
    if let Some(users) = variable("loopback_users") {
        return binaries(users).map(Known::LoopbackUsers);
    }
    ["memory", "disk"].into_iter().find_map(|resource| {
        let set = format!("rabbit_alarm:set_alarm({{{{resource_limit,{resource},node()}},[]}}).");
        let clear = format!("rabbit_alarm:clear_alarm({{resource_limit,{resource},node()}}).");
        if expression == set {
            Some(Known::SetAlarm(resource))
        } else {
            (expression == clear).then_some(Known::ClearAlarm(resource))
        }
    })
}

/// A list of binaries, as in `[<<"guest">>]`.
fn binaries(list: &str) -> Option<Vec<String>> {
    let inner = list.strip_prefix('[')?.strip_suffix(']')?;
    if inner.is_empty() {
        return Some(Vec::new());
    }
    let binary = |text: &str| Some(text.strip_prefix("<<\"")?.strip_suffix("\">>")?.to_owned());
    inner.split(',').map(binary).collect()
}

fn eval(call: &Call<'_>) -> Answer {
    let [expression] = call.arguments() else {
        return Err(Wrong::error(DATA_ERROR, "Expression to evaluate is not provided via argument or stdin"));
    };
    let alarm = |resource| Path::api("leveret/alarms").segment(resource);
    match known(expression) {
        Some(Known::SetAlarm(resource)) => call.change(Method::PUT, alarm(resource), None)?,
        Some(Known::ClearAlarm(resource)) => call.delete(alarm(resource))?,
        Some(Known::ChannelMax(most)) => {
            call.put(Path::api("leveret/channel-max"), &json!({ "channel_max": most }))?;
        }
        Some(Known::LoopbackUsers(users)) => {
            call.put(Path::api("leveret/loopback-users"), &json!({ "users": users }))?;
        }
        None => {
            let what = format!(
                "eval {NO_ERLANG}. Known by sight are rabbit_alarm:set_alarm and clear_alarm of memory and disk, and \
                 application:set_env of rabbit's channel_max and loopback_users"
            );
            return Err(Wrong::error(SOFTWARE, what));
        }
    }
    Ok(Output::line("ok"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_of_test_suites_are_known_by_sight() {
        let set = "rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []}).";
        assert_eq!(known(set), Some(Known::SetAlarm("memory")));
        let clear = "rabbit_alarm:clear_alarm({resource_limit,disk, node()}) .";
        assert_eq!(known(clear), Some(Known::ClearAlarm("disk")));
        assert_eq!(known("application:set_env(rabbit, channel_max, 500)."), Some(Known::ChannelMax(500)));
        let users = |expression| match known(expression) {
            Some(Known::LoopbackUsers(users)) => users,
            other => panic!("{other:?}"),
        };
        assert!(users("application:set_env(rabbit, loopback_users, []).").is_empty());
        assert_eq!(
            users("application:set_env(rabbit, loopback_users, [<<\"guest\">>, <<\"b\">>])."),
            ["guest", "b"]
        );
    }

    #[test]
    fn other_expressions_are_not() {
        for expression in [
            "1 + 1.",
            "rabbit_alarm:set_alarm({{resource_limit, cpu, node()}, []}).",
            "application:set_env(rabbit, channel_max, 70000).",
            "application:set_env(rabbit, loopback_users, [guest]).",
            "application:set_env(rabbit, channel_max, 5)",
        ] {
            assert_eq!(known(expression), None, "{expression}");
        }
    }
}

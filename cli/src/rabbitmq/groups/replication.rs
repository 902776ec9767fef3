//! Members of quorum queues, of which each has one: this node. What would need another one says that it is not there.

use serde_json::{Value, json};

use crate::broker::Path;
use crate::rabbitmq::call::{Call, missing};
use crate::rabbitmq::options::{Switch, flag, text};
use crate::rabbitmq::output::{Output, Rows};
use crate::rabbitmq::term::Term;
use crate::rabbitmq::verb::{Answer, DIAGNOSTICS, QUEUES, UPGRADE, Verb, verb};
use crate::rabbitmq::wrong::{DATA_ERROR, Invalid, UNAVAILABLE, USAGE, Wrong};

const PATTERNS: &[Switch] =
    &[text("vhost-pattern"), text("queue-pattern"), text("membership"), flag("errors-only")];

pub(super) const CLUSTER: &[Verb] = &[
    verb(
        "grow",
        "<node> <all | even> [--vhost-pattern <pattern>] [--queue-pattern <pattern>] [--membership <promotable|voter>]",
        "Adds no members: all that can be are there",
        |_| Ok(Output::Rows(Rows::default().listed_whole())),
    )
    .of(QUEUES)
    .takes(2, 2)
    .with(PATTERNS)
    .checks(|call| {
        has_strategy(call)?;
        match call.argument(0) == call.node() {
            true => Ok(()),
            false => Err(Invalid {
                code: USAGE,
                what: format!("node {} is not a member of the cluster", call.argument(0)),
                is_of_node: true,
            }),
        }
    })
    .says(|call| format!("Growing {} queues on {}...", call.argument(1), call.argument(0))),
    verb(
        "grow_to_count",
        "<node_count> <all | even> [--vhost-pattern <pattern>] [--queue-pattern <pattern>] [--membership <promotable|voter>]",
        "Adds no members: all that can be are there",
        |_| Ok(Output::Rows(Rows::default().listed_whole())),
    )
    .of(QUEUES)
    .takes(2, 2)
    .with(PATTERNS)
    .checks(has_strategy)
    .says(|call| format!("Growing {} queues to {} nodes...", call.argument(1), call.argument(0))),
    verb(
        "rebalance",
        "< all | quorum | stream > [--vhost-pattern <pattern>] [--queue-pattern <pattern>]",
        "Moves no leaders: all are on this node",
        rebalance,
    )
    .of(QUEUES)
    .takes(1, 1)
    .with(PATTERNS)
    .says(|call| match call.argument(0) {
        kind @ ("all" | "quorum" | "stream") => format!("Re-balancing leaders of {kind} queues..."),
        _ => String::new(),
    }),
    verb("shrink", "<node> [--errors-only]", "Removes the members on a node, which is another one", |call| {
        let node = call.argument(0);
        Err(Wrong::error(UNAVAILABLE, format!("{{:node_not_running, :{node}}}")))
    })
    .of(QUEUES)
    .takes(1, 1)
    .with(PATTERNS)
    .says(|call| format!("Shrinking queues on {}...", call.argument(0))),
];

pub(super) const VERBS: &[Verb] = &[
    verb(
        "add_member",
        "[--vhost <vhost>] <queue> <node> [--membership <promotable|voter>] [--timeout <timeout>]",
        "Adds a member, which is there already",
        |call| {
            quorum_queue(call)?;
            match call.argument(1) == call.node() {
                true => Ok(Output::Nothing),
                false => Err(Wrong::error(UNAVAILABLE, "node_not_running")),
            }
        },
    )
    .of(QUEUES)
    .takes(2, 2)
    .with(PATTERNS)
    .says(|call| format!("Adding a member for queue {} on node {}...", call.argument(0), call.argument(1))),
    verb(
        "delete_member",
        "[--vhost <vhost>] <queue> <node>",
        "Removes a member, which is not there",
        |call| {
            quorum_queue(call)?;
            match call.argument(1) == call.node() {
                true => Err(Wrong::error(
                    UNAVAILABLE,
                    "the only member of a queue cannot be removed: delete the queue",
                )),
                false => Ok(Output::Nothing),
            }
        },
    )
    .of(QUEUES)
    .takes(2, 2)
    .says(|call| format!("Removing a replica of queue {} on node {}...", call.argument(0), call.argument(1))),
    verb(
        "force_checkpoint",
        "[--vhost-pattern <pattern>] [--queue-pattern <pattern>]",
        "Has nothing to do: a queue has no log of its own",
        checkpoint,
    )
    .of(QUEUES)
    .with(PATTERNS)
    .says(|_| "Forcing checkpoint for all matching quorum queues...".to_owned()),
    verb(
        "transfer_leadership",
        "[--vhost <vhost>] <queue> <node> [--timeout <timeout>]",
        "Moves a leader to a node, which is another one",
        |call| {
            quorum_queue(call)?;
            match call.argument(1) == call.node() {
                true => Ok(Output::Nothing),
                false => Err(Wrong::error(UNAVAILABLE, "unknown_member")),
            }
        },
    )
    .of(QUEUES)
    .takes(2, 2)
    .says(|call| {
        format!(
            "Transferring leadership of quorum queue {} to node {}...",
            call.argument(0),
            call.argument(1)
        )
    }),
];

pub(super) const STATUS: &[Verb] = &[
    verb(
        "peek",
        "[--vhost <vhost>] <queue> <position> [--timeout <timeout>]",
        "Shows a message of a queue and leaves it there",
        peek,
    )
    .of(QUEUES)
    .takes(2, 2)
    .checks(|call| match call.argument(1).parse::<u32>() {
        Ok(1..) => Ok(()),
        _ => Err(Invalid::usage("\"position value must be a positive integer\"")),
    })
    .says(|call| {
        let (queue, position) = (call.argument(0), call.argument(1));
        format!("Peeking at quorum queue {queue} at position {position} on node {} ...", call.node())
    }),
    verb(
        "quorum_status",
        "[--vhost <vhost>] <queue>",
        "Says who the members of a quorum queue are",
        quorum_status,
    )
    .of(QUEUES.and(DIAGNOSTICS))
    .takes(1, 1)
    .says(|call| format!("Status of queue {} on node {} ...", call.argument(0), call.node())),
    verb("stream_status", "[--vhost <vhost>] [--tracking] <stream>", "Refuses: there are no streams", |_| {
        Err(Wrong::error(UNAVAILABLE, "there are no streams here: x-queue-type: stream is refused"))
    })
    .of(QUEUES.and(DIAGNOSTICS))
    .takes(1, 1)
    .with(&[flag("tracking")]),
];

pub(super) const OPERATIONS: &[Verb] = &[verb(
    "reclaim_quorum_memory",
    " [--vhost <vhost>] <quorum queue>",
    "Does nothing: there is no garbage to be collected",
    |call| {
        let path = Path::api("queues").segment(call.vhost()).segment(call.argument(0));
        call.get(path).map_err(|failure| missing(failure, || no_target(call)))?;
        Ok(Output::Nothing)
    },
)
.of(QUEUES.and(DIAGNOSTICS))
.takes(1, 1)
.says(|call| format!("Will garbage collect quorum queue {} ...", call.argument(0)))];

pub(super) const UPGRADING: &[Verb] =
    &[verb("post_upgrade", "", "Does nothing: there is nothing to be moved", |call| {
        let count = quorum_queues(call)?.len();
        let node = call.node();
        println!("Executing post upgrade tasks...\nRebalancing queue masters...");
        Ok(Output::line(format!("[{{\"Node name\", :{node}}}, {{\"Number of quorum queues\", {count}}}]")))
    })
    .of(UPGRADE)];

fn has_strategy(call: &Call<'_>) -> Result<(), Invalid> {
    match call.argument(1) {
        "all" | "even" => Ok(()),
        other => Err(Invalid::usage(format!("\"strategy '{other}' is not recognised.\""))),
    }
}

fn no_target(call: &Call<'_>) -> Wrong {
    Wrong::error(UNAVAILABLE, format!("Target queue was not found in virtual host '{}'", call.vhost()))
}

/// The queue that the first argument names, which has members if it is a quorum queue.
fn quorum_queue(call: &Call<'_>) -> Result<Value, Wrong> {
    let (vhost, name) = (call.vhost(), call.argument(0));
    let queue = call.get(Path::api("queues").segment(vhost).segment(name)).map_err(|failure| {
        missing(failure, || {
            Wrong::bare(DATA_ERROR, format!("queue '{name}' was not found in virtual host '{vhost}'"))
        })
    })?;
    if queue["type"] != "quorum" {
        return Err(Wrong::error(UNAVAILABLE, "{:unsupported, :rabbit_classic_queue}"));
    }
    Ok(queue)
}

fn quorum_queues(call: &Call<'_>) -> Result<Vec<Value>, Wrong> {
    let queues = call.get(Path::api("queues").query("columns", "vhost,name,type"))?;
    Ok(queues.as_array().into_iter().flatten().filter(|queue| queue["type"] == "quorum").cloned().collect())
}

fn rebalance(call: &Call<'_>) -> Answer {
    let kind = call.argument(0);
    if !["all", "quorum", "stream"].contains(&kind) {
        let what = format!("type {kind} is not supported. Try one of all, quorum, stream.");
        return Err(Wrong::error(UNAVAILABLE, what));
    }
    let count = if kind == "stream" { 0 } else { quorum_queues(call)?.len() };
    let row = vec![Term::Text(call.node()), Term::Text(count.to_string())];
    Ok(Output::PrettyRows(Rows::new(["Node name", "Number of quorum queues"], vec![row])))
}

fn checkpoint(call: &Call<'_>) -> Answer {
    let queues = quorum_queues(call)?;
    let row = |queue: &Value| vec![Term::of(&queue["vhost"]), Term::of(&queue["name"]), Term::from("{ok}")];
    Ok(Output::Rows(Rows::new(["vhost", "name", "result"], queues.iter().map(row).collect())))
}

fn quorum_status(call: &Call<'_>) -> Answer {
    quorum_queue(call)?;
    let row = [call.node().as_str(), "leader", "voter"].map(Term::from).to_vec();
    Ok(Output::PrettyRows(Rows::new(["Node Name", "Raft State", "Membership"], vec![row])))
}

/// The message at a position, counted from the head among those that are ready.
fn peek(call: &Call<'_>) -> Answer {
    let path = Path::api("queues").segment(call.vhost()).segment(call.argument(0));
    let queue = call.get(path.clone()).map_err(|failure| missing(failure, || no_target(call)))?;
    if queue["type"] != "quorum" {
        return Err(Wrong::error(UNAVAILABLE, "Cannot peek into a classic queue"));
    }
    let position: usize = call.argument(1).parse().unwrap_or(usize::MAX);
    // All before it are got and put back with it; so many at once are not.
    let body =
        json!({ "count": position, "ackmode": "ack_requeue_true", "encoding": "auto", "truncate": 64 });
    let got = call.post(path.fixed("get"), Some(&body))?;
    let Some(message) = got.get(position - 1) else {
        return Err(Wrong::error(UNAVAILABLE, "Target queue does not have a message at that position"));
    };
    let properties =
        message["properties"].as_object().into_iter().flatten().filter(|(name, _)| *name != "headers");
    let headers = message["properties"]["headers"].as_object().into_iter().flatten();
    let mut rows: Vec<Vec<Term>> =
        properties.map(|(name, value)| vec![Term::from(name.as_str()), Term::of(value)]).collect();
    rows.push(vec![Term::from("routing_keys"), Term::of(&message["routing_key"])]);
    rows.push(vec![Term::from("exchange"), Term::of(&message["exchange"])]);
    rows.push(vec![Term::from("payload (max 64 bytes)"), Term::of(&message["payload"])]);
    rows.extend(headers.map(|(name, value)| vec![Term::Text(format!("header.{name}")), Term::of(value)]));
    Ok(Output::PrettyRows(Rows::new(["keys", "values"], rows)))
}

//! The node as a process: whether it is there, waiting for it, stopping and starting it. What it says of itself is `status.rs`.

use std::path::Path as File;
use std::time::{Duration, Instant};

use hyper::Method;
use rustix::process::{Pid, test_kill_process};
use serde_json::Value;

use crate::broker::{Failure, Kind, Path};
use crate::rabbitmq::call::Call;
use crate::rabbitmq::options::{flag, integer};
use crate::rabbitmq::output::Output;
use crate::rabbitmq::verb::{ANY, Answer, CTL, DIAGNOSTICS, PLUGINS, UPGRADE, Verb, verb};
use crate::rabbitmq::wrong::{Invalid, SOFTWARE, TEMPORARY, UNAVAILABLE, USAGE, Wrong};

/// Between two looks at whether something has happened.
const PAUSE: Duration = Duration::from_millis(50);
/// How long is waited where nobody says: for the node, and for its process to end.
const PATIENCE: Duration = Duration::from_secs(300);
/// The version of RabbitMQ whose tools these are.
pub(in super::super) const VERSION: &str = "4.3.0";

pub(super) const HELP: &[Verb] =
    &[verb("version", "", "Says which RabbitMQ's tools these are as", |_| Ok(Output::line(VERSION)))
        .of(CTL.and(DIAGNOSTICS).and(PLUGINS))];

pub(super) const VERBS: &[Verb] = &[
    verb("await_startup", "", "Waits until the broker is up", await_startup),
    verb("reset", "", "Deletes everything, after `stop_app`", reset)
        .with(&[flag("yes")])
        .checks(is_stopped)
        .says(|call| format!("Resetting node {} ...", call.node())),
    verb("rotate_logs", "", "Does nothing: the log goes to where standard error goes", |_| {
        Err(Wrong::error(UNAVAILABLE, "This command does not rotate logs anymore [deprecated]"))
    }),
    verb(
        "shutdown",
        "[--wait] [--timeout <timeout>]",
        "Stops the broker, and waits until its process has ended",
        shutdown,
    )
    .with(&[flag("wait")]),
    verb("start_app", "", "Lets clients in again", |call| {
        call.post(Path::api("leveret/app/start"), None)?;
        Ok(Output::Nothing)
    })
    .says(|call| format!("Starting node {} ...", call.node())),
    verb("stop", "[--idempotent] [<pidfile>]", "Stops the broker", stop)
        .takes(0, 1)
        .with(&[flag("idempotent")])
        .says(|call| format!("Stopping and halting node {} ...", call.node())),
    verb("stop_app", "", "Closes all connections, and lets no clients in until `start_app`", |call| {
        call.post(Path::api("leveret/app/stop"), None)?;
        Ok(Output::Nothing)
    })
    .says(|call| format!("Stopping rabbit application on node {} ...", call.node())),
    verb(
        "wait",
        "[<pidfile>] [--pid|-P <pid>] [--timeout <timeout>]",
        "Waits until the broker of a process is up, or the process has ended",
        wait,
    )
    .of(CTL.and(DIAGNOSTICS))
    .takes(0, 1)
    .with(&[integer("pid").or('P')])
    .checks(|call| match (call.arguments().is_empty(), call.words.integer("pid")) {
        (true, None) => Err(Invalid::usage("\"No pid or pidfile specified\"")),
        (false, Some(_)) => Err(Invalid::usage("\"Cannot specify both pid and pidfile\"")),
        _ => Ok(()),
    }),
];

pub(super) const CLUSTER: &[Verb] = &[verb(
    "await_online_nodes",
    "<count> [--timeout <timeout>]",
    "Waits until the cluster has this many nodes; there is one",
    await_nodes,
)
.takes(1, 1)
.checks(|call| match call.argument(0).parse::<u32>() {
    Ok(1..) => Ok(()),
    _ => Err(Invalid::argument("Argument must be a positive integer")),
})
.says(|call| {
    let timeout = call.words.timeout().unwrap_or(PATIENCE).as_secs();
    let (count, node) = (call.argument(0), call.node());
    format!("Will wait for at least {count} nodes to join the cluster of {node}. Timeout: {timeout} seconds.")
})];

pub(super) const PING: &[Verb] = &[verb("ping", "[--timeout <timeout>]", "Says whether the broker answers", ping)
    .of(CTL.and(DIAGNOSTICS))
    .says(|call| {
        let timeout = call.words.timeout().map_or(60_000, |timeout| timeout.as_millis());
        format!(
            "Will ping {}. This only checks if the OS process is running and registered with epmd. Timeout: {timeout} ms.",
            call.node()
        )
    })];

pub(super) const LISTENERS: &[Verb] = &[
    verb("force_gc", "[--timeout <timeout>]", "Does nothing: there is no garbage to be collected", |_| Ok(Output::Nothing))
        .says(|call| format!("Will ask all processes on node {} to schedule a full sweep GC", call.node())),
    verb("resume_listeners", "", "Accepts clients again", |call| listeners(call, "resume")).says(|call| {
        format!("Will resume client connection listeners on node {}. The node will now accept client connections", call.node())
    }),
    verb("suspend_listeners", "", "Accepts no more clients; those that are here stay", |call| listeners(call, "suspend"))
        .says(|call| {
            format!(
                "Will suspend client connection listeners on node {}. The node will no longer accept client connections!",
                call.node()
            )
        }),
];

pub(super) const MAINTENANCE: &[Verb] = &[
    verb("drain", "", "Accepts no more clients, and closes the connections of those that are here", drain)
        .of(UPGRADE)
        .says(|call| {
            format!(
                "Will put node {} into maintenance mode. The node will no longer serve any client traffic!",
                call.node()
            )
        }),
    verb("revive", "", "Accepts clients again after `drain`", |call| listeners(call, "resume"))
        .of(UPGRADE)
        .says(|call| {
            format!(
                "Will put node {} back into regular operating mode. \
             The node will again serve client traffic and host primary queue replicas.",
                call.node()
            )
        }),
];

pub(super) const STATISTICS: &[Verb] =
    &[verb("reset_stats_db", "[--all]", "Does nothing: counts are those of what is counted", |call| {
        call.delete(Path::api("reset"))?;
        Ok(Output::Nothing)
    })
    .with(&[flag("all")])
    .says(|call| match call.words.is("all") {
        true => "Resetting statistics database in all nodes".to_owned(),
        false => format!("Resetting statistics database on node {}", call.node()),
    })];

pub(super) const DEPRECATED: &[Verb] = &[
    verb("node_health_check", "[--timeout <timeout>]", "Does nothing; see the health checks", |_| {
        // RabbitMQ says it as a result, so that `-q` does not silence it.
        Ok(Output::line(
            "This command is DEPRECATED and is a no-op. It will be removed in a future version. \n\
             Use one of the options covered in https://www.rabbitmq.com/monitoring.html#health-checks instead.",
        ))
    })
    .of(CTL.and(DIAGNOSTICS)),
    verb(
        "rename_cluster_node",
        "<oldnode1> <newnode1> [oldnode2] [newnode2] ...",
        "Does nothing: a node has the name that it has",
        |_| {
            Ok(Output::line(
                "DEPRECATED. This command is a no-op. Node renaming is incompatible with Raft-based features \
                 such as quorum queues, streams, Khepri. ",
            ))
        },
    )
    .takes(2, ANY),
];

/// `running`, `suspended` or `stopped`.
pub(super) fn state(call: &Call<'_>) -> Result<String, Failure> {
    let listeners = call.get(Path::api("leveret/listeners"))?;
    Ok(listeners["state"].as_str().unwrap_or_default().to_owned())
}

pub(super) fn is_running(call: &Call<'_>) -> Result<bool, Failure> {
    Ok(state(call)? != "stopped")
}

fn ping(call: &Call<'_>) -> Answer {
    match call.broker().and_then(|broker| broker.get(Path::api("version"))) {
        Ok(_) => Ok(Output::line("Ping succeeded")),
        Err(failure) if failure.kind == Kind::Unreachable => {
            let timeout = call.words.timeout().map_or(60_000, |timeout| timeout.as_millis());
            let node = call.node();
            let what = format!("Failed to connect and authenticate to {node} in {timeout} ms\n{failure}");
            Err(Wrong::error(UNAVAILABLE, what))
        }
        Err(failure) => Err(failure.into()),
    }
}

fn listeners(call: &Call<'_>, what: &str) -> Answer {
    call.post(Path::api("leveret/listeners").fixed(what), None)?;
    Ok(Output::Nothing)
}

fn drain(call: &Call<'_>) -> Answer {
    listeners(call, "suspend")?;
    call.change(Method::DELETE, Path::api("leveret/connections"), None)?;
    Ok(Output::Nothing)
}

fn await_startup(call: &Call<'_>) -> Answer {
    let deadline = Instant::now() + call.words.timeout().unwrap_or(PATIENCE);
    loop {
        match is_running(call) {
            Ok(true) => return Ok(Output::Nothing),
            Ok(false) => return Err(Wrong::error(UNAVAILABLE, "rabbit_is_not_running")),
            Err(failure) if failure.kind == Kind::Unreachable && Instant::now() < deadline => {
                std::thread::sleep(PAUSE);
            }
            Err(failure) => return Err(failure.into()),
        }
    }
}

fn await_nodes(call: &Call<'_>) -> Answer {
    call.get(Path::api("version"))?;
    if call.argument(0) == "1" {
        return Ok(Output::Nothing);
    }
    // There will never be more, so nothing is waited for.
    let what = format!("Error: timed out while waiting. Not enough nodes joined {}'s cluster.", call.node());
    Err(Wrong::error(SOFTWARE, what))
}

/// Everything would go: that is asked for twice, as `stop_app` and here.
fn is_stopped(call: &Call<'_>) -> Result<(), Invalid> {
    match is_running(call) {
        Ok(true) => Err(Invalid {
            code: USAGE,
            what: "this command requires the 'rabbit' app to be stopped on the target node. \
                   Stop it with 'rabbitmqctl stop_app'."
                .to_owned(),
            is_of_node: true,
        }),
        // What is wrong is told when it is carried out.
        _ => Ok(()),
    }
}

fn reset(call: &Call<'_>) -> Answer {
    call.post(Path::api("leveret/reset"), None)?;
    Ok(Output::Nothing)
}

/// The process of the broker, where it is on this machine.
fn process(call: &Call<'_>) -> Result<Option<Pid>, Failure> {
    let nodes = call.get(Path::api("nodes").query("columns", "os_pid"))?;
    let number = |text: &Value| text.as_str()?.parse().ok().and_then(Pid::from_raw);
    Ok(number(&nodes[0]["os_pid"]).filter(|pid| is_alive(*pid)))
}

fn stop(call: &Call<'_>) -> Answer {
    let process = match process(call) {
        Err(failure) if failure.kind == Kind::Unreachable && call.words.is("idempotent") => {
            let node = call.node();
            return Ok(Output::line(format!("Node {node} is no longer running. Nothing to do.")));
        }
        process => process?,
    };
    call.post(Path::api("leveret/stop"), None)?;
    if !call.arguments().is_empty() {
        await_end(call, process)?;
    }
    Ok(Output::Nothing)
}

fn shutdown(call: &Call<'_>) -> Answer {
    let (node, process) = (call.node(), process(call)?);
    let Some(pid) = process else {
        call.post(Path::api("leveret/stop"), None)?;
        return Ok(Output::line(format!("Shutting down RabbitMQ node {node}")));
    };
    let pid_number = pid.as_raw_nonzero();
    println!("Shutting down RabbitMQ node {node} running at PID {pid_number}");
    call.post(Path::api("leveret/stop"), None)?;
    println!("Waiting for PID {pid_number} to terminate");
    await_end(call, process)?;
    Ok(Output::line(format!("RabbitMQ node {node} running at PID {pid_number} successfully shut down")))
}

fn await_end(call: &Call<'_>, process: Option<Pid>) -> Result<(), Wrong> {
    let deadline = Instant::now() + call.words.timeout().unwrap_or(PATIENCE);
    while process.is_some_and(is_alive) {
        if Instant::now() > deadline {
            return Err(Wrong::bare(
                TEMPORARY,
                "Error: the broker is stopping, and its process has not ended yet",
            ));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

fn wait(call: &Call<'_>) -> Answer {
    let timeout = call.words.timeout().unwrap_or(PATIENCE);
    let deadline = Instant::now() + timeout;
    let (node, is_quiet) = (call.node(), call.words.is("quiet") || call.words.is("silent"));
    let say = |what: String| {
        if !is_quiet {
            println!("{what}");
        }
    };
    let late = || {
        let what = format!(
            "Error: operation wait on node {node} timed out. Timeout value used: {}",
            timeout.as_millis()
        );
        Wrong::bare(TEMPORARY, what)
    };
    let pid = match call.words.integer("pid") {
        Some(pid) => i32::try_from(pid).ok().and_then(Pid::from_raw),
        None => {
            let file = call.argument(0);
            say(format!("Waiting for pid file '{file}' to appear"));
            let pid = loop {
                match pid_of(File::new(file)) {
                    Some(pid) => break pid,
                    None if Instant::now() > deadline => return Err(late()),
                    None => std::thread::sleep(PAUSE),
                }
            };
            say(format!("pid is {}", pid.as_raw_nonzero()));
            Some(pid)
        }
    };
    let shown = pid.map_or_else(
        || call.words.text("pid").unwrap_or_default().to_owned(),
        |pid| pid.as_raw_nonzero().to_string(),
    );
    say(format!("Waiting for erlang distribution on node '{node}' while OS process '{shown}' is running"));
    loop {
        if !pid.is_some_and(is_alive) {
            return Err(Wrong::error(UNAVAILABLE, "process_not_running"));
        }
        match is_running(call) {
            Ok(true) => break,
            Ok(false) => {}
            Err(failure) if failure.kind == Kind::Unreachable => {}
            Err(failure) => return Err(failure.into()),
        }
        if Instant::now() > deadline {
            return Err(late());
        }
        std::thread::sleep(PAUSE);
    }
    say(format!("Waiting for applications 'rabbit_and_plugins' to start on node '{node}'"));
    say(format!("Applications 'rabbit_and_plugins' are running on node '{node}'"));
    Ok(Output::Nothing)
}

/// Whether a process goes on. One that has ended and that its parent has not taken notice of does not.
fn is_alive(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    // Behind the name, which may hold anything, in parentheses.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    test_kill_process(pid).is_ok() && !matches!(state, Some('Z' | 'X'))
}

/// The number in a file, once there is one.
fn pid_of(file: &File) -> Option<Pid> {
    let text = std::fs::read_to_string(file).ok()?;
    Pid::from_raw(text.trim().parse().ok()?)
}

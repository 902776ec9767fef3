//! What rabbitmq-diagnostics asks of a node besides its health: versions, its log, logins, TLS. There is no TLS here.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::listeners;
use crate::broker::{Broker, Failure, Path, Where};
use crate::rabbitmq::call::Call;
use crate::rabbitmq::options::{flag, integer, text};
use crate::rabbitmq::output::{Output, Rows};
use crate::rabbitmq::term::Term;
use crate::rabbitmq::verb::{Answer, CTL, DIAGNOSTICS, Verb, verb};
use crate::rabbitmq::wrong::{DATA_ERROR, Invalid, UNAVAILABLE, Wrong};

const TIMEOUT: &str = "[--timeout <timeout>]";
/// Lines that are shown where nobody says how many.
const LINES: i64 = 50;
/// Seconds for which lines are shown where nobody says how many.
const DURATION: i64 = 60;
const CIPHER_FORMATS: [&str; 3] = ["openssl", "erlang", "map"];

pub(super) const VERBS: &[Verb] = &[
    verb(
        "cipher_suites",
        "[--format <openssl | erlang | map>] [--all] [--timeout <timeout>]",
        "Lists no cipher suites: there is no TLS",
        |_| Ok(Output::Nothing),
    )
    .of(DIAGNOSTICS)
    .with(&[text("format"), flag("all")])
    .checks(|call| match call.words.text("format") {
        Some(format) if !CIPHER_FORMATS.contains(&format) => {
            Err(Invalid::argument("Format should be either openssl, erlang or map"))
        }
        _ => Ok(()),
    })
    .says(|_| "Listing available cipher suites in OpenSSL format".to_owned()),
    verb("erlang_version", TIMEOUT, "Says that there is no Erlang", |call| {
        let overview = call.get(Path::api("overview"))?;
        Ok(Output::line(overview["erlang_full_version"].as_str().unwrap_or_default()))
    })
    .of(DIAGNOSTICS)
    .says(|call| format!("Asking node {} for its Erlang/OTP version...", call.node())),
    verb(
        "list_node_auth_attempt_stats",
        "[--by-source]",
        "Lists how many logins there were, by protocol",
        attempts,
    )
    .of(CTL.and(DIAGNOSTICS))
    .with(&[flag("by-source")])
    .says(|call| format!("Listing authentication\n attempts for node \"{}\" ...", call.node())),
    verb("listeners", TIMEOUT, "Lists what the broker listens on", |call| {
        let overview = call.get(Path::api("overview"))?;
        let text: String = listeners::lines(&overview).into_iter().map(|line| line + "\n").collect();
        let term = Term::of(
            &json!({ "result": "ok", "node": call.node(), "listeners": listeners::json(&overview) }),
        );
        Ok(Output::Document { text, term })
    })
    .of(DIAGNOSTICS)
    .says(|call| format!("Asking node {} to report its protocol listeners ...", call.node())),
    verb(
        "log_tail",
        "[--number|-N <number>] [--timeout <timeout>]",
        "Shows the last lines of the log",
        |call| {
            let path = log(lines(call));
            let reply = call.broker()?.send(Method::GET, path, None)?.accepted()?;
            Ok(Output::line(String::from_utf8_lossy(&reply.body).trim_end_matches('\n')))
        },
    )
    .of(DIAGNOSTICS)
    .with(&[integer("number").or('N')])
    .says(|call| format!("Last {} log lines on node {} ...", lines(call), call.node())),
    verb(
        "log_tail_stream",
        "[--duration|-d <seconds>] [--timeout <timeout>]",
        "Shows what is logged, for a while",
        follow,
    )
    .of(DIAGNOSTICS)
    .with(&[integer("duration").or('d')])
    .says(|call| format!("Streaming logs from node {} for {} seconds ...", call.node(), duration(call))),
    verb("server_version", TIMEOUT, "Says which version of RabbitMQ the broker is as", |call| {
        let overview = call.get(Path::api("overview"))?;
        let version = overview["rabbitmq_version"].as_str().unwrap_or_default();
        let term = Term::of(&json!({ "result": "ok", "value": version }));
        Ok(Output::Document { text: format!("{version}\n"), term })
    })
    .of(DIAGNOSTICS)
    .says(|call| format!("Asking node {} for its RabbitMQ version...", call.node())),
    verb("tls_versions", TIMEOUT, "Lists no versions of TLS: there is none", |_| Ok(Output::line("")))
        .of(DIAGNOSTICS)
        .says(|_| "Listing all TLS versions supported by the runtime...".to_owned()),
];

pub(super) const CONFIGURATION: &[Verb] = &[
    verb("certificates", "", "Lists no certificates: there is no TLS", |_| Ok(Output::line("#{}")))
        .of(DIAGNOSTICS)
        .says(|call| format!("Certificates of node {} ...", call.node())),
    verb("log_location", "[--all|-a] [--timeout <timeout>]", "Says where the log is", |call| {
        let nodes = call.get(Path::api("nodes").query("columns", "log_files"))?;
        let files: Vec<&str> =
            nodes[0]["log_files"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        Ok(Output::line(files.join("\n")))
    })
    .of(DIAGNOSTICS)
    .with(&[flag("all").or('a')])
    .says(|call| format!("Log file location(s) on node {} ...", call.node())),
    verb(
        "os_env",
        TIMEOUT,
        "Lists variables of the environment by which the broker was told something",
        |call| {
            // What came of them is in its configuration; the variables themselves may hold more than is meant to be shown.
            let reply = call.broker()?.send(Method::GET, Path::api("config/effective"), None)?.accepted()?;
            let name = |line: &str| {
                let (name, value) = line.split_once(" = ")?;
                Some(format!("LEVERET_{}={value}\n", name.replace('-', "_").to_uppercase()))
            };
            let text = String::from_utf8_lossy(&reply.body).lines().filter_map(name).collect::<String>();
            Ok(Output::line(text.trim_end()))
        },
    )
    .of(DIAGNOSTICS)
    .says(|call| {
        format!("Listing RabbitMQ-specific environment variables defined on node {}...", call.node())
    }),
    verb("reset_node_auth_attempt_metrics", "", "Counts logins from 0 again", |call| {
        let node = own_name(call)?;
        call.delete(Path::api("auth/attempts").segment(&node))?;
        Ok(Output::Nothing)
    })
    .of(DIAGNOSTICS)
    .says(|call| format!("Reset auth attempt metrics on node {} ...", call.node())),
    verb(
        "resolve_hostname",
        "<hostname> [--address-family <ipv4 | ipv6>]",
        "Looks up the addresses of a host",
        resolve,
    )
    .of(DIAGNOSTICS)
    .takes(1, 1)
    .with(&[text("address-family")])
    .says(|call| {
        let family = if is_ipv6(call) { "IPv6" } else { "IPv4" };
        format!(
            "Asking node {} to resolve hostname {} to {family} addresses...",
            call.node(),
            call.argument(0)
        )
    }),
];

/// What the node calls itself in the paths of the management API.
fn own_name(call: &Call<'_>) -> Result<String, Failure> {
    let nodes = call.get(Path::api("nodes").query("columns", "name"))?;
    Ok(nodes[0]["name"].as_str().unwrap_or_default().to_owned())
}

fn attempts(call: &Call<'_>) -> Answer {
    let mut path = Path::api("auth/attempts").segment(&own_name(call)?);
    if call.words.is("by-source") {
        path = path.fixed("source");
    }
    let attempts = call.get(path)?;
    let tried = |attempt: &&Value| attempt["auth_attempts"].as_u64().unwrap_or_default() > 0;
    let attempts: Vec<Value> = attempts.as_array().into_iter().flatten().filter(tried).cloned().collect();
    let node = call.node();
    let term = Term::of(&json!({ "result": "ok", "node": node, "attempts": attempts }));
    if attempts.is_empty() {
        return Ok(Output::Document {
            text: format!("Node {node} reported no authentication attempt stats\n"),
            term,
        });
    }
    let columns = ["protocol", "auth_attempts", "auth_attempts_failed", "auth_attempts_succeeded"];
    let row = |attempt: &Value| columns.iter().map(|column| Term::of(&attempt[*column])).collect();
    let rows = Rows::new(columns, attempts.iter().map(row).collect());
    Ok(Output::Document { text: Output::Rows(rows).text(&call.words.instead("", None)), term })
}

fn lines(call: &Call<'_>) -> i64 {
    call.words.integer("number").unwrap_or(LINES).max(0)
}

fn duration(call: &Call<'_>) -> i64 {
    call.words.integer("duration").unwrap_or(DURATION).max(0)
}

fn log(lines: i64) -> Path {
    Path::api("leveret/log").query("lines", &lines.to_string())
}

/// Shows lines as they come, until the time is over. They are read by a thread of its own, for it waits for each.
fn follow(call: &Call<'_>) -> Answer {
    let place = call.place();
    let (failed, failure) = mpsc::channel();
    thread::spawn(move || {
        let ended = show(&place);
        // Nobody waits for it where the time is over.
        let _ = failed.send(ended);
    });
    let duration = Duration::from_secs(duration(call).unsigned_abs());
    match failure.recv_timeout(duration) {
        Ok(Err(failure)) => Err(failure.into()),
        _ => Ok(Output::Nothing),
    }
}

fn show(place: &Where) -> Result<(), Failure> {
    let broker = Broker::find(place)?;
    let mut body = broker.open(Method::GET, log(0).query("follow", "true"), Vec::new())?.accepted()?;
    while let Some(line) = body.next_line()? {
        println!("{line}");
    }
    Ok(())
}

fn is_ipv6(call: &Call<'_>) -> bool {
    call.words.text("address-family").is_some_and(|family| family.eq_ignore_ascii_case("ipv6"))
}

fn resolve(call: &Call<'_>) -> Answer {
    let host = call.argument(0);
    let wants = |address: &IpAddr| address.is_ipv6() == is_ipv6(call);
    let failed =
        |error: std::io::Error| Wrong::error(UNAVAILABLE, format!("{host} cannot be resolved: {error}"));
    let mut addresses: Vec<IpAddr> =
        (host, 0).to_socket_addrs().map_err(failed)?.map(|address| address.ip()).filter(wants).collect();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(Wrong::error(DATA_ERROR, format!("{host} has no such addresses")));
    }
    let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    Ok(Output::line(addresses.join("\n")))
}

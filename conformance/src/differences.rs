//! docs/differences.md is what the cases say of where Leveret differs from RabbitMQ, with a head that is written here.
//! Written anew by `LEVERET_WRITE_DOCS=1 cargo test -p leveret-conformance differences`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use crate::cases::{SECTIONS, all, section};
use crate::runner::Case;

#[path = "../../tests/support/page.rs"]
mod page;

/// What RabbitMQ answered.
const VERDICTS: &str = include_str!("../verdicts/rabbitmq-4.3.json");

const HEAD: &str = "\
Where Leveret answers otherwise than RabbitMQ 4.3 on purpose, and why. What both do is in [semantics.md](semantics.md).

Made from the cases of the [conformance suite](../conformance/README.md) by `LEVERET_WRITE_DOCS=1 cargo test -p \
leveret-conformance differences`; a test fails where this page says something else. Each row is a case that sends something and \
tells the two answers apart: either of them passes, a third one fails. Whatever is not listed and stands in docs/semantics.md is meant to be \
the same; where it is not, that is a bug.
";

/// Differences that no case can tell apart by frames, or that are of the whole.
const BEYOND: [&str; 8] = [
    "**A confirm means that the message is on disk**: written and fsynced, in all queues that it was routed to, for every persistent \
     message to a durable queue. RabbitMQ's classic queues confirm after the write (semantics 9.23).",
    "**A transaction is there as a whole or not at all**, whatever queues it concerns and whenever the process ends. RabbitMQ \
     promises that for one queue (semantics 14.3).",
    "**Quorum queues run on this one node.** They keep their rules (delivery limits, priorities, counters); there is no clustering \
     and no replication.",
    "**No streams**: `x-queue-type: stream` is refused with 540.",
    "**Nobody gets in without credentials** unless `--anonymous-user` says as whom; RabbitMQ offers ANONYMOUS by default \
     (semantics 1.11).",
    "**Content that is not complete, and what is not committed, is bounded**: a channel that holds more than its connection's \
     share is closed with 311 (see [bounds.md](bounds.md)).",
    "**A client that takes nothing of what it is sent is closed** after `--send-timeout` seconds.",
    "**The management API is nearly all of RabbitMQ's**: administration, declarations, messages, definitions, counts and \
     rates; pages for people are not there. Where definitions hold what cannot be here (a stream, a federation upstream), or \
     what is malformed, the rest is imported and the answer is 200 and names what was left out; with `strict=true` it is 400 \
     and nothing is imported. RabbitMQ answers 400 or 500 there and keeps what came before the first error, which it alone \
     names; a queue with `x-queue-master-locator` and limits of a vhost that are malformed it leaves out without a word. Of \
     a policy the keys that have a meaning are imported (not `ha-mode`), of a queue `x-queue-version` 1 is left out. \
     An import is one commit. One `get` stops at 16 MiB. The hash behind the tilde of a binding's properties \
     key is another one. Feature flags are all said to be on. Actions on replicas and rebalancing are accepted, and do \
     nothing. On a loopback address only names of this machine are answered, 421 otherwise (`--management-host`). What is \
     in queues and what connections, channels and consumers have counted is said as of the moment of the request, sums \
     over the node, vhosts and exchanges as of up to 5 s ago; RabbitMQ says everything as of up to 5 s ago. Of a single \
     thing rates are told from the second time on that somebody asks, or, with samples, at once as 0. `memory` of a queue is what its messages take; \
     `message_bytes_persistent` and `messages_persistent` count what the store has, `consumer_capacity` is 1 where a \
     consumer would take a message at this moment. `io_sync` and `io_write` are the store's commits. What means something \
     to Erlang alone is 0 or left out, and so are `incoming` of queues, and `incoming` and `outgoing` of exchanges. \
     Which fields of RabbitMQ's answers are left out, and why, is in \
     [conformance/verdicts](../conformance/verdicts/management-fields-left-out.txt). `config/effective` is a text of our own. Logins \
     are not counted by address. Listings come in pages where RabbitMQ has them, and those of vhosts \
     besides (RabbitMQ answers a page of vhosts with nothing at all), by themselves in the order of their names, connections in that in \
     which they came. Where a listing of connections, channels or the like is too long to be sorted whole (32 MiB of text), it is to \
     be asked for in pages. An expression that looks around or refers back finds \
     nothing. There is no TLS.",
];

#[test]
fn the_page_says_what_the_cases_say() {
    page::must_be(Path::new("../docs/differences.md"), &page());
}

fn page() -> String {
    let verdicts: Value = serde_json::from_str(VERDICTS).unwrap();
    let mut sections: BTreeMap<u32, Vec<Case>> = BTreeMap::new();
    for case in all().filter(|case| case.difference.is_some()) {
        sections.entry(section(&case)).or_default().push(case);
    }
    let mut text = String::from("# Differences\n\n");
    for line in page::wrapped(HEAD) {
        writeln!(text, "{line}").unwrap();
    }
    text.push_str("\n## Of the whole\n\n");
    for difference in BEYOND {
        let mut indent = "- ";
        for line in page::wrapped(difference) {
            writeln!(text, "{indent}{line}").unwrap();
            indent = "  ";
        }
    }
    for (number, mut cases) in sections {
        let name = SECTIONS.iter().find(|(section, _)| *section == number).map_or("", |(_, name)| name);
        writeln!(text, "\n## {number} {name}\n").unwrap();
        text.push_str("| statement | what is asked | RabbitMQ | Leveret | why |\n|---|---|---|---|---|\n");
        cases.sort_by_key(Case::statement);
        for case in cases {
            writeln!(text, "{}", row(&case, &verdicts)).unwrap();
        }
    }
    text
}

fn row(case: &Case, verdicts: &Value) -> String {
    let (section, number) = case.statement();
    let two = case.difference.expect("a case with two answers");
    // Whether it may be refused is a matter of configuration where 4.3.6 itself answers as Leveret does.
    let seen = verdicts["cases"][case.name]["answer"].as_str();
    let rabbitmq = match seen.filter(|seen| *seen != two.rabbitmq) {
        Some(seen) => format!("{} (4.3.6 as it comes: {seen})", two.rabbitmq),
        None => two.rabbitmq.to_owned(),
    };
    let statement = format!("{section}.{number}");
    let about = case.about.replace('|', "\\|");
    format!(
        "| [{statement}](semantics.md#{statement}) | {about} (`{}`) | {rabbitmq} | {} | {} |",
        case.name, two.leveret, two.why
    )
}

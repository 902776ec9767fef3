//! What is listed of exchanges, bindings and consumers.

use super::columns::{self, Column, fields, list_of_vhost};
use super::pids;
use crate::rabbitmq::options::HEADERS;
use crate::rabbitmq::term::Term;
use crate::rabbitmq::verb::{ANY, CTL, DIAGNOSTICS, Verb, verb};

const USAGE: &str = "[--vhost <vhost>] [--no-table-headers] [<column> ...] [--timeout <timeout>]";

const EXCHANGES: &[&[Column]] = &[
    fields!["name", "type", "durable", "auto_delete", "internal", "policy"],
    &[Column { name: "arguments", field: "arguments", cell: |exchange| Term::table(&exchange["arguments"]) }],
];
const BINDINGS: &[&[Column]] = &[
    fields!["routing_key"],
    &[
        Column { name: "source_name", field: "source", cell: |binding| Term::of(&binding["source"]) },
        Column { name: "source_kind", field: "source", cell: |_| Term::atom("exchange") },
        Column {
            name: "destination_name",
            field: "destination",
            cell: |binding| Term::of(&binding["destination"]),
        },
        Column {
            name: "destination_kind",
            field: "destination_type",
            cell: |binding| Term::of(&binding["destination_type"]),
        },
        Column { name: "arguments", field: "arguments", cell: |binding| Term::table(&binding["arguments"]) },
    ],
];
const CONSUMERS: &[&[Column]] = &[
    fields!["consumer_tag", "ack_required", "prefetch_count", "active", "activity_status", "exclusive"],
    &[
        Column { name: "queue_name", field: "queue", cell: |consumer| Term::of(&consumer["queue"]["name"]) },
        Column {
            name: "channel_pid",
            field: "channel_details",
            cell: |consumer| pids::of(&consumer["channel_details"]),
        },
        Column {
            name: "arguments",
            field: "arguments",
            cell: |consumer| Term::table(&consumer["arguments"]),
        },
    ],
];

pub(super) const VERBS: &[Verb] = &[
    verb("list_bindings", USAGE, "Lists the bindings of a vhost", |call| {
        let default = [
            "source_name",
            "source_kind",
            "destination_name",
            "destination_kind",
            "routing_key",
            "arguments",
        ];
        list_of_vhost(call, "bindings", &columns::chosen(call, BINDINGS, &default))
    })
    .of(CTL.and(DIAGNOSTICS))
    .takes(0, ANY)
    .with(HEADERS)
    .checks(|call| columns::check(call, BINDINGS))
    .says(|call| format!("Listing bindings for vhost {}...", call.vhost())),
    verb("list_consumers", USAGE, "Lists who consumes in a vhost", |call| {
        let default = [
            "queue_name",
            "channel_pid",
            "consumer_tag",
            "ack_required",
            "prefetch_count",
            "active",
            "arguments",
        ];
        list_of_vhost(call, "consumers", &columns::chosen(call, CONSUMERS, &default))
    })
    .of(CTL.and(DIAGNOSTICS))
    .takes(0, ANY)
    .with(HEADERS)
    .checks(|call| columns::check(call, CONSUMERS))
    .says(|call| format!("Listing consumers in vhost {} ...", call.vhost())),
    verb("list_exchanges", USAGE, "Lists the exchanges of a vhost", |call| {
        list_of_vhost(call, "exchanges", &columns::chosen(call, EXCHANGES, &["name", "type"]))
    })
    .of(CTL.and(DIAGNOSTICS))
    .takes(0, ANY)
    .with(HEADERS)
    .checks(|call| columns::check(call, EXCHANGES))
    .says(|call| format!("Listing exchanges for vhost {} ...", call.vhost())),
];

//! Feature flags, all of which are on, and deprecated features.

use hyper::Method;

use super::columns::{self, Column, fields};
use crate::broker::Path;
use crate::rabbitmq::call::{Call, missing};
use crate::rabbitmq::options::flag;
use crate::rabbitmq::output::Output;
use crate::rabbitmq::verb::{ANY, Answer, CTL, DIAGNOSTICS, Verb, verb};
use crate::rabbitmq::wrong::{Invalid, USAGE, Wrong};

const FLAGS: &[&[Column]] = &[fields![
    "name",
    "state",
    "stability",
    "provided_by",
    "desc",
    "doc_url",
    "require_level",
    "experiment_level"
]];
const DEPRECATED: &[&[Column]] =
    &[fields!["name", "deprecation_phase", "state", "provided_by", "desc", "doc_url"]];

pub(super) const VERBS: &[Verb] = &[
    verb(
        "enable_feature_flag",
        "[--opt-in] <all | feature_flag>",
        "Turns a feature flag on, which it is",
        enable,
    )
    .takes(1, 1)
    .with(&[flag("opt-in"), flag("experimental")])
    .checks(|call| match call.argument(0) {
        "" => Err(Invalid::argument("feature flag (or group) name cannot be an empty string")),
        _ => Ok(()),
    })
    .says(|call| match call.argument(0) {
        "all" => "Enabling all feature flags ...".to_owned(),
        flag => format!("Enabling feature flag \"{flag}\" ..."),
    }),
    verb(
        "list_deprecated_features",
        "[--used] [<column> ...]",
        "Lists deprecated features of RabbitMQ",
        |call| {
            let path = if call.words.is("used") { "deprecated-features/used" } else { "deprecated-features" };
            let columns = columns::chosen(call, DEPRECATED, &["name", "deprecation_phase"]);
            let features = call.get(Path::api(path))?;
            Ok(Output::PrettyRows(columns::rows(&columns, &features).listed_whole()))
        },
    )
    .of(CTL.and(DIAGNOSTICS))
    .takes(0, ANY)
    .with(&[flag("used")])
    .checks(|call| columns::check(call, DEPRECATED))
    .says(|call| match call.words.is("used") {
        true => "Listing deprecated features in use ...".to_owned(),
        false => "Listing deprecated features ...".to_owned(),
    }),
    verb("list_feature_flags", "[<column> ...] [--timeout <timeout>]", "Lists feature flags", |call| {
        let columns = columns::chosen(call, FLAGS, &["name", "state"]);
        let flags = call.get(Path::api("feature-flags"))?;
        Ok(Output::Rows(columns::rows(&columns, &flags)))
    })
    .of(CTL.and(DIAGNOSTICS))
    .takes(0, ANY)
    .checks(|call| columns::check(call, FLAGS))
    .says(|_| "Listing feature flags ...".to_owned()),
];

fn enable(call: &Call<'_>) -> Answer {
    let flag = call.argument(0);
    if flag == "all" {
        call.get(Path::api("feature-flags"))?;
        return Ok(Output::Nothing);
    }
    let path = Path::api("feature-flags").segment(flag).fixed("enable");
    call.change(Method::PUT, path, None).map_err(|failure| match failure.status {
        Some(400) => not_supported(call),
        _ => missing(failure, || not_supported(call)),
    })?;
    Ok(Output::Nothing)
}

fn not_supported(call: &Call<'_>) -> Wrong {
    Wrong::error(USAGE, format!("This feature flag is not supported by node {}", call.node()))
}

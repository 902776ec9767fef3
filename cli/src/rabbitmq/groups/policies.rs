//! Policies and operator policies, which differ in their path and in how they are called.

use fancy_regex::Regex;
use serde_json::{Value, json};

use super::{NOT_FOUND, json_argument, no_such_parameter, no_such_vhost};
use crate::broker::Path;
use crate::rabbitmq::call::{Call, missing};
use crate::rabbitmq::options::{HEADERS, Switch, integer, text};
use crate::rabbitmq::output::{Output, Rows};
use crate::rabbitmq::pretty;
use crate::rabbitmq::term::Term;
use crate::rabbitmq::verb::{Answer, CTL, DIAGNOSTICS, Verb, verb};
use crate::rabbitmq::wrong::{DATA_ERROR, Wrong};

const DEFINED: &[Switch] = &[integer("priority"), text("apply-to")];
const POLICY: &str = "policies";
const OPERATOR_POLICY: &str = "operator-policies";

pub(super) const VERBS: &[Verb] = &[
    verb("clear_operator_policy", "[--vhost <vhost>] <name>", "Deletes an operator policy", |call| {
        clear(call, OPERATOR_POLICY)
    })
    .takes(1, 1)
    .says(|call| {
        format!("Clearing operator policy \"{}\" on vhost \"{}\" ...", call.argument(0), call.vhost())
    }),
    verb("clear_policy", "[--vhost <vhost>] <name>", "Deletes a policy", |call| clear(call, POLICY))
        .takes(1, 1)
        .says(|call| format!("Clearing policy \"{}\" on vhost \"{}\" ...", call.argument(0), call.vhost())),
    verb(
        "list_operator_policies",
        "[--vhost <vhost>] [--no-table-headers] [--timeout <timeout>]",
        "Lists the operator policies of a vhost",
        |call| list(call, OPERATOR_POLICY),
    )
    .of(CTL.and(DIAGNOSTICS))
    .with(HEADERS)
    .says(|call| format!("Listing operator policy overrides for vhost \"{}\" ...", call.vhost())),
    verb(
        "list_policies",
        "[--vhost <vhost>] [--no-table-headers] [--timeout <timeout>]",
        "Lists the policies of a vhost",
        |call| list(call, POLICY),
    )
    .of(CTL.and(DIAGNOSTICS))
    .with(HEADERS)
    .says(|call| format!("Listing policies for vhost \"{}\" ...", call.vhost())),
    verb(
        "list_policies_that_match",
        "[--object-type <type>] <name>",
        "Lists the policies that match a queue or an exchange, the one that applies first",
        list_matching,
    )
    .of(DIAGNOSTICS)
    .takes(1, 1)
    .with(&[text("object-type")])
    .says(|call| {
        format!(
            "Listing policies that match {} '{}' in vhost '{}' ...",
            kind(call),
            call.argument(0),
            call.vhost()
        )
    }),
    verb(
        "set_operator_policy",
        "[--vhost <vhost>] [--priority <priority>] [--apply-to <apply-to>] <name> <pattern> <definition>",
        "Sets an operator policy, which bounds what policies may say",
        |call| set(call, OPERATOR_POLICY),
    )
    .takes(3, 3)
    .with(DEFINED)
    .says(|call| setting(call, "operator policy override")),
    verb(
        "set_policy",
        "[--vhost <vhost>] [--priority <priority>] [--apply-to <apply-to>] <name> <pattern> <definition>",
        "Sets a policy",
        |call| set(call, POLICY),
    )
    .takes(3, 3)
    .with(DEFINED)
    .says(|call| setting(call, "policy")),
];

fn setting(call: &Call<'_>, what: &str) -> String {
    let [name, pattern, definition] = [0, 1, 2].map(|place| call.argument(place));
    let (priority, vhost) = (priority(call), call.vhost());
    format!(
        "Setting {what} \"{name}\" for pattern \"{pattern}\" to \"{definition}\" with priority \"{priority}\" for vhost \"{vhost}\" ..."
    )
}

fn priority(call: &Call<'_>) -> i64 {
    call.words.integer("priority").unwrap_or_default()
}

fn path(call: &Call<'_>, kind: &str) -> Path {
    Path::api(kind).segment(call.vhost()).segment(call.argument(0))
}

fn set(call: &Call<'_>, kind: &str) -> Answer {
    let definition = json_argument(call.argument(2))?;
    let body = json!({
        "pattern": call.argument(1),
        "definition": definition,
        "priority": priority(call),
        "apply-to": call.words.text("apply-to").unwrap_or("all"),
    });
    call.put(path(call, kind), &body).map_err(|failure| missing(failure, || no_such_vhost(call.vhost())))?;
    Ok(Output::Nothing)
}

fn clear(call: &Call<'_>, kind: &str) -> Answer {
    call.delete(path(call, kind)).map_err(|failure| missing(failure, no_such_parameter))?;
    Ok(Output::Nothing)
}

fn list(call: &Call<'_>, kind: &str) -> Answer {
    let vhost = call.vhost();
    let policies = call.get(Path::api(kind).segment(vhost));
    let policies = policies.map_err(|failure| missing(failure, || no_such_vhost(vhost)))?;
    let definition = |policy: &Value| Term::Text(policy["definition"].to_string());
    Ok(Output::Rows(rows(policies.as_array().into_iter().flatten(), definition).listed_whole()))
}

fn rows<'a>(policies: impl Iterator<Item = &'a Value>, definition: fn(&Value) -> Term) -> Rows {
    let row = |policy: &Value| {
        vec![
            Term::of(&policy["vhost"]),
            Term::of(&policy["name"]),
            Term::of(&policy["pattern"]),
            Term::of(&policy["apply-to"]),
            definition(policy),
            Term::of(&policy["priority"]),
        ]
    };
    let columns = ["vhost", "name", "pattern", "apply-to", "definition", "priority"];
    Rows::new(columns, policies.map(row).collect())
}

fn kind<'a>(call: &Call<'a>) -> &'a str {
    call.words.text("object-type").unwrap_or("queue")
}

/// Where the object is, and the kinds of policies that concern it.
fn list_matching(call: &Call<'_>) -> Answer {
    let (kind, name, vhost) = (kind(call), call.argument(0), call.vhost());
    let (plural, kinds): (_, &[&str]) = match kind {
        "exchange" => ("exchanges", &["all", "exchanges"]),
        _ => ("queues", &["all", "queues", "classic_queues", "quorum_queues"]),
    };
    let object = call.get(Path::api(plural).segment(vhost).segment(name));
    object.map_err(|failure| missing(failure, || Wrong::bare(DATA_ERROR, NOT_FOUND)))?;
    let policies = call.get(Path::api(POLICY).segment(vhost))?;
    let concerns = |policy: &&Value| {
        let pattern = policy["pattern"].as_str().unwrap_or_default();
        // The broker took the pattern, so it is one; a match that takes too long is none there either.
        let matches = Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(name).unwrap_or(false));
        matches && kinds.iter().any(|kind| policy["apply-to"] == **kind)
    };
    let mut matching: Vec<&Value> = policies.as_array().into_iter().flatten().filter(concerns).collect();
    matching.sort_by_key(|policy| std::cmp::Reverse(policy["priority"].as_i64()));
    let term = Term::Fields(vec![
        ("policies".to_owned(), Term::List(matching.iter().map(|policy| Term::of(policy)).collect())),
        ("result".to_owned(), Term::atom("ok")),
    ]);
    let rows = rows(matching.into_iter(), |policy| {
        let pairs = policy["definition"].as_object().into_iter().flatten();
        let pair = |(name, value): (&String, &Value)| {
            format!("{{{},{}}}", Term::from(name.as_str()).erlang(), Term::of(value).erlang())
        };
        Term::Text(pairs.map(pair).collect::<Vec<_>>().concat())
    });
    Ok(Output::Document { text: pretty::table(&rows.columns, &rows.rows), term })
}

//! Runtime parameters: those of vhosts by their component, and those of the whole broker.

use serde_json::{Value, json};

use super::{json_argument, no_such_parameter, no_such_vhost};
use crate::broker::Path;
use crate::rabbitmq::call::{Call, missing};
use crate::rabbitmq::options::HEADERS;
use crate::rabbitmq::output::{Output, Rows};
use crate::rabbitmq::term::Term;
use crate::rabbitmq::verb::{Answer, CTL, DIAGNOSTICS, Verb, verb};
use crate::rabbitmq::wrong::{UNAVAILABLE, Wrong};

/// Components whose parameters are what this broker has.
const LIMITS: &str = "vhost-limits";
const POLICIES: [&str; 2] = ["policy", "operator_policy"];

pub(super) const VERBS: &[Verb] = &[
    verb("clear_global_parameter", "<name>", "Takes a parameter of the whole broker away", clear_global)
        .takes(1, 1)
        .says(|call| format!("Clearing global runtime parameter \"{}\" ...", call.argument(0))),
    verb("clear_parameter", "[--vhost <vhost>] <component_name> <name>", "Takes a parameter of a vhost away", clear)
        .takes(2, 2)
        .says(|call| {
            let (component, name) = (call.argument(0), call.argument(1));
            format!("Clearing runtime parameter \"{name}\" for component \"{component}\" on vhost \"{}\" ...", call.vhost())
        }),
    verb(
        "list_global_parameters",
        "[--no-table-headers] [--timeout <timeout>]",
        "Lists parameters of the whole broker",
        list_global,
    )
    .of(CTL.and(DIAGNOSTICS))
    .with(HEADERS)
    .says(|_| "Listing global runtime parameters ...".to_owned()),
    verb(
        "list_parameters",
        "[--vhost <vhost>] [--no-table-headers] [--timeout <timeout>]",
        "Lists parameters of a vhost",
        list,
    )
    .of(CTL.and(DIAGNOSTICS))
    .with(HEADERS)
    .says(|call| format!("Listing runtime parameters for vhost \"{}\" ...", call.vhost())),
    verb("set_global_parameter", "<name> <value>", "Sets a parameter of the whole broker", set_global)
        .takes(2, 2)
        .says(|call| {
            format!("Setting global runtime parameter \"{}\" to \"{}\" ...", call.argument(0), call.argument(1))
        }),
    verb("set_parameter", "[--vhost <vhost>] <component_name> <name> <value>", "Sets a parameter of a vhost", set)
        .takes(3, 3)
        .says(|call| {
            let [component, name, value] = [0, 1, 2].map(|place| call.argument(place));
            let vhost = call.vhost();
            format!("Setting runtime parameter \"{name}\" for component \"{component}\" to \"{value}\" in vhost \"{vhost}\" ...")
        }),
];

pub(super) const NAMING: &[Verb] = &[verb("set_cluster_name", "<name>", "Names the cluster", name_cluster)
    .takes(1, 1)
    .says(|call| format!("Setting cluster name to {} ...", call.argument(0)))];

fn parameter(call: &Call<'_>) -> Path {
    Path::api("parameters").segment(call.argument(0)).segment(call.vhost()).segment(call.argument(1))
}

fn global(call: &Call<'_>) -> Path {
    Path::api("global-parameters").segment(call.argument(0))
}

fn set(call: &Call<'_>) -> Answer {
    let [component, name] = [0, 1].map(|place| call.argument(place));
    let value = json_argument(call.argument(2))?;
    if POLICIES.contains(&component) {
        return Err(Wrong::error(UNAVAILABLE, "policies may not be set using this method"));
    }
    if component != LIMITS {
        let what = format!("Validation failed\n\ncomponent {component} not found\n");
        return Err(Wrong::error(UNAVAILABLE, what));
    }
    let body = json!({ "component": component, "vhost": call.vhost(), "name": name, "value": value });
    call.put(parameter(call), &body).map_err(|failure| missing(failure, || no_such_vhost(call.vhost())))?;
    Ok(Output::Nothing)
}

fn clear(call: &Call<'_>) -> Answer {
    call.delete(parameter(call)).map_err(|failure| missing(failure, no_such_parameter))?;
    Ok(Output::Nothing)
}

fn list(call: &Call<'_>) -> Answer {
    let vhost = call.vhost();
    let there = call.get(Path::api("vhosts").segment(vhost).query("columns", "name"));
    there.map_err(|failure| missing(failure, || no_such_vhost(vhost)))?;
    let listed = call.get(Path::api("parameters"))?;
    let in_vhost = |parameter: &&Value| {
        let component = parameter["component"].as_str().unwrap_or_default();
        parameter["vhost"] == vhost && !POLICIES.contains(&component)
    };
    let row = |parameter: &Value| {
        vec![
            Term::of(&parameter["component"]),
            Term::of(&parameter["name"]),
            Term::Text(parameter["value"].to_string()),
        ]
    };
    let rows = listed.as_array().into_iter().flatten().filter(in_vhost).map(row).collect();
    Ok(Output::Rows(Rows::new(["component", "name", "value"], rows).listed_whole()))
}

fn set_global(call: &Call<'_>) -> Answer {
    let value = json_argument(call.argument(1))?;
    call.put(global(call), &json!({ "name": call.argument(0), "value": value }))?;
    Ok(Output::Nothing)
}

fn clear_global(call: &Call<'_>) -> Answer {
    call.delete(global(call)).map_err(|failure| missing(failure, no_such_parameter))?;
    Ok(Output::Nothing)
}

fn list_global(call: &Call<'_>) -> Answer {
    let listed = call.get(Path::api("global-parameters"))?;
    let row =
        |parameter: &Value| vec![Term::of(&parameter["name"]), Term::Text(parameter["value"].to_string())];
    let rows = listed.as_array().into_iter().flatten().map(row).collect();
    Ok(Output::Rows(Rows::new(["name", "value"], rows).listed_whole()))
}

fn name_cluster(call: &Call<'_>) -> Answer {
    call.put(Path::api("cluster-name"), &json!({ "name": call.argument(0) }))?;
    Ok(Output::Nothing)
}

//! The verbs that tell of verbs. How they are called is told by the file `help` above.

use crate::rabbitmq::call::Call;
use crate::rabbitmq::help;
use crate::rabbitmq::options::flag;
use crate::rabbitmq::output::Output;
use crate::rabbitmq::verb::{Answer, CTL, DIAGNOSTICS, PLUGINS, QUEUES, Tools, UPGRADE, Verb, verb};
use crate::rabbitmq::wrong::{USAGE, Wrong};

pub(super) const VERBS: &[Verb] = &[
    verb("autocomplete", "[prefix] [--timeout <timeout>]", "Lists verbs that begin so", complete)
        .of(CTL.and(DIAGNOSTICS).and(QUEUES).and(PLUGINS))
        .takes(0, 1),
    verb("help", "(<command> | [--list-commands])", "Says how verbs are called", of_what)
        .of(CTL.and(DIAGNOSTICS).and(QUEUES).and(PLUGINS).and(UPGRADE))
        .takes(0, 1)
        .with(&[flag("list-commands")]),
];

fn tools(call: &Call<'_>) -> Tools {
    Tools::named(call.tool).unwrap_or(CTL)
}

fn complete(call: &Call<'_>) -> Answer {
    let mut names: Vec<&str> = help::verbs(tools(call)).map(|verb| verb.name).collect();
    names.retain(|name| name.starts_with(call.argument(0)));
    names.sort_unstable();
    if names.is_empty() { Ok(Output::Nothing) } else { Ok(Output::line(names.join("\n"))) }
}

fn of_what(call: &Call<'_>) -> Answer {
    let tools = tools(call);
    if call.words.is("list-commands") {
        return Ok(Output::line(help::commands(tools) + "\n"));
    }
    let Some(name) = call.arguments().first() else {
        return Ok(Output::line(help::of_tool(call.tool, tools)));
    };
    match help::verbs(tools).find(|verb| verb.name == name) {
        Some(verb) => Ok(Output::line(help::of_verb(call.tool, verb))),
        None => Err(Wrong::error(USAGE, format!("\nCommand '{name}' not found."))),
    }
}

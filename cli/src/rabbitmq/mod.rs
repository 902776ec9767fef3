//! The tools that people script, by RabbitMQ's names. Their verbs, options, output and exit codes are RabbitMQ's. A line becomes a
//! verb here; what each verb does is in `groups`.

mod admin;
mod call;
mod groups;
mod help;
mod options;
mod output;
mod pretty;
mod similar;
mod term;
mod verb;
mod wrong;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use call::Call;
use options::Words;
use output::is_for_programs;
use verb::{ANY, Tools, Verb};
use wrong::{Invalid, USAGE, Wrong};

/// The names that the program may be called by.
pub const TOOLS: [&str; 6] = [
    "rabbitmqctl",
    "rabbitmq-diagnostics",
    "rabbitmq-queues",
    "rabbitmq-plugins",
    "rabbitmq-upgrade",
    "rabbitmqadmin",
];

/// Carries out what was asked of the tool of this name, of which `arguments` are those behind the name. None where it is no tool.
#[must_use]
pub fn run(tool: &str, arguments: Vec<OsString>) -> Option<ExitCode> {
    let tool = *TOOLS.iter().find(|name| **name == tool)?;
    let line: Vec<String> =
        arguments.into_iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let line = completing(line);
    let code = match Tools::named(tool) {
        Some(tools) => carry_out(tool, tools, &line),
        None => admin::run(&line),
    };
    Some(ExitCode::from(code))
}

/// Shells that complete ask by a switch for what is a verb.
fn completing(mut line: Vec<String>) -> Vec<String> {
    if let Some(first) = line.first_mut().filter(|first| *first == "--auto-complete") {
        "autocomplete".clone_into(first);
    }
    line
}

/// A verb of this tool, by its name.
fn find(tools: Tools, name: &str) -> Option<&'static Verb> {
    help::verbs(tools).find(|verb| verb.name == name)
}

/// The exit code.
fn carry_out(tool: &str, tools: Tools, line: &[String]) -> u8 {
    // Which switches there are depends on the verb, which is the first word that is none.
    let named = Words::read(line, &[]).arguments.first().cloned().unwrap_or_default();
    let Some(verb) = find(tools, &named).or_else(|| find_behind_its_switches(tools, line)) else {
        return unknown(tool, tools, line, &named);
    };
    let words = Words::read(line, verb.switches);
    if words.is("help") {
        return said(&help::of_verb(tool, verb));
    }
    let call = Call::new(tool, verb, &words);
    match answer(&call) {
        Ok(text) => said(&text),
        Err(wrong) => {
            let (code, text) = explained(wrong, &call, line);
            // There is nobody left to be told where this cannot be written.
            let _ = writeln!(io::stderr(), "{text}");
            code
        }
    }
}

/// The verb, where a switch of its own with a value stands in front of it.
fn find_behind_its_switches(tools: Tools, line: &[String]) -> Option<&'static Verb> {
    line.iter().find_map(|word| find(tools, word))
}

/// What is printed.
fn answer(call: &Call<'_>) -> Result<String, Wrong> {
    let (words, verb) = (call.words, call.verb);
    if !words.invalid.is_empty() {
        let invalid = words.invalid.iter().map(|(name, value)| format!("\n{name} : {value}"));
        return Err(Invalid::usage(format!(
            "Invalid options for this command:{}",
            invalid.collect::<String>()
        ))
        .into());
    }
    let (few, many) = verb.arguments;
    let count = call.arguments().len();
    if count < few {
        return Err(Invalid::usage("not enough arguments.").into());
    }
    if many != ANY && count > many {
        return Err(Invalid::usage("too many arguments.").into());
    }
    output::check(words)?;
    (verb.check)(call)?;
    let banner = (verb.banner)(call);
    let is_quiet = words.is("quiet") || words.is("silent") || is_for_programs(words);
    if !banner.is_empty() && !is_quiet {
        said(&format!("{banner}\n"));
    }
    if words.is("dry-run") {
        return Ok(String::new());
    }
    Ok((verb.act)(call)?.text(words))
}

/// Prints it; whoever does not read on wants no more. The exit code.
fn said(text: &str) -> u8 {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    0
}

/// The exit code of what went wrong, and its text.
fn explained(wrong: Wrong, call: &Call<'_>, line: &[String]) -> (u8, String) {
    match wrong {
        Wrong::Said(code, text) => (code, text),
        Wrong::Failed(failure) => wrong::failed(&failure, call.verb.name, &call.node(), patience(call)),
        Wrong::Invalid(invalid) => {
            let what = if invalid.is_of_node { "Error" } else { "Error (argument validation)" };
            let usage = help::usage(call.tool, call.verb);
            let text = format!("{what}: {}\nArguments given:\n\t{}\n\n{usage}", invalid.what, line.join(" "));
            (invalid.code, text)
        }
    }
}

/// How long an answer might have taken, in milliseconds.
fn patience(call: &Call<'_>) -> u128 {
    call.words.timeout().unwrap_or(crate::broker::PATIENCE).as_millis()
}

/// There is no such verb: one that is nearly called so, or all that there are.
fn unknown(tool: &str, tools: Tools, line: &[String], named: &str) -> u8 {
    let words = Words::read(line, &[]);
    if named.is_empty() && (words.is("help") || line.iter().any(|word| word == "--help")) {
        return said(&format!("{}\n", help::of_tool(tool, tools)));
    }
    if named.is_empty() && line.iter().any(|word| word == "--version") {
        return said(&format!("{}\n", groups::VERSION));
    }
    let not_found = format!("\nCommand '{named}' not found. \n");
    let text = match (named, similar::to(named, help::verbs(tools).map(|verb| verb.name))) {
        ("", _) => help::of_tool(tool, tools),
        (_, Some(verb)) => format!("{not_found}Did you mean '{verb}'? \n"),
        (_, None) => not_found + &help::of_tool(tool, tools),
    };
    // There is nobody left to be told where this cannot be written.
    let _ = writeln!(io::stderr(), "{text}");
    USAGE
}

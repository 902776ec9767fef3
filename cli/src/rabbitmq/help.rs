//! How a tool and its verbs are called, as `help` says it, and errors do.

use super::groups::SECTIONS;
use super::verb::{Tools, Verb};

/// The line that tells how a verb is called, below its heading.
pub(super) fn usage(tool: &str, verb: &Verb) -> String {
    let words =
        if verb.usage.is_empty() { verb.name.to_owned() } else { format!("{} {}", verb.name, verb.usage) };
    format!("Usage\n\n{tool} [--node <node>] [--longnames] [--quiet] {words}")
}

/// What a verb does and how it is called.
pub(super) fn of_verb(tool: &str, verb: &Verb) -> String {
    format!("\n{}\n\n{}.\n", usage(tool, verb), verb.about)
}

/// All verbs of a tool.
pub(super) fn of_tool(tool: &str, tools: Tools) -> String {
    format!(
        "\nUsage\n\n{tool} [--node <node>] [--timeout <timeout>] [--longnames] [--quiet] <command> [<command options>]\n\n\
         Available commands:\n\n{}Use '{tool} help <command>' to learn more about a specific command",
        commands(tools)
    )
}

/// The verbs of this tool.
pub(super) fn verbs(tools: Tools) -> impl Iterator<Item = &'static Verb> {
    let tables = SECTIONS.iter().flat_map(|(_, tables)| tables.iter());
    tables.flat_map(|table| table.iter()).filter(move |verb| verb.tools.have(tools))
}

/// The verbs below their headings, with what they do beside them.
pub(super) fn commands(tools: Tools) -> String {
    let of_section = |tables: &[&'static [Verb]]| -> Vec<&'static Verb> {
        let mut verbs: Vec<&Verb> =
            tables.iter().flat_map(|table| table.iter()).filter(|verb| verb.tools.have(tools)).collect();
        verbs.sort_by_key(|verb| verb.name);
        verbs
    };
    let widest = SECTIONS.iter().flat_map(|(_, tables)| of_section(tables)).map(|verb| verb.name.len()).max();
    let width = widest.unwrap_or_default() + 2;
    let mut text = String::new();
    for (heading, tables) in SECTIONS {
        let verbs = of_section(tables);
        if verbs.is_empty() {
            continue;
        }
        let verbs: Vec<String> =
            verbs.iter().map(|verb| format!("   {:width$}{}\n", verb.name, verb.about)).collect();
        text.push_str(&format!("{heading}:\n\n{}\n", verbs.concat()));
    }
    text
}

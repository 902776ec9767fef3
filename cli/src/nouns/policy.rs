//! `leveret policy`: what is said of many queues and exchanges at once, and which of them it would change.

use std::io;

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::Done;
use super::list::{ListOptions, Source};
use super::options::{Confirm, Connect, InVhost, OfVhost, Shape, object};
use crate::broker::{Failure, Path};
use crate::output::{Column, Format, Kind, Rows, column};

#[derive(Debug, Args)]
pub struct Policy {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists policies.
    #[command(after_help = "Example:\n  leveret policy list -p shop")]
    List {
        #[command(flatten)]
        of: OfVhost,
        #[command(flatten)]
        which: Operators,
        #[command(flatten)]
        list: ListOptions,
    },
    /// Sets a policy, or says which queues and exchanges it would change and how.
    #[command(
        after_help = "Examples:\n  leveret policy set short '^logs\\.' '{\"max-length\": 1000}' --apply-to queues --dry-run\n  \
        leveret policy set short '^logs\\.' '{\"max-length\": 1000}' --apply-to queues --priority 5"
    )]
    Set {
        #[arg(value_name = "POLICY")]
        policy: String,
        /// An expression for the names that it is for.
        pattern: String,
        /// What it says, as JSON.
        #[arg(value_parser = object)]
        definition: Value,
        #[command(flatten)]
        of: InVhost,
        /// Of several that fit, the one with the highest is in effect.
        #[arg(long, value_name = "NUMBER", default_value_t = 0, allow_negative_numbers = true)]
        priority: i64,
        /// queues, exchanges, all, classic_queues, quorum_queues ...
        #[arg(long, value_name = "KIND", default_value = "all")]
        apply_to: String,
        #[command(flatten)]
        preview: Preview,
    },
    /// Deletes a policy, or says which queues and exchanges that would change and how.
    #[command(after_help = "Example:\n  leveret policy delete short --dry-run")]
    Delete {
        #[arg(value_name = "POLICY")]
        policy: String,
        #[command(flatten)]
        of: InVhost,
        #[command(flatten)]
        preview: Preview,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Shows which policy a queue or an exchange is under, and what that says (exit code 1 where there is none).
    #[command(after_help = "Example:\n  leveret policy match logs.web")]
    Match {
        /// The queue.
        name: String,
        #[command(flatten)]
        of: InVhost,
        /// The name is that of an exchange.
        #[arg(long)]
        exchange: bool,
        #[command(flatten)]
        shape: Shape,
    },
}

#[derive(Debug, Args)]
struct Operators {
    /// The policies of operators, which users of the vhost cannot change.
    #[arg(long)]
    operator: bool,
}

#[derive(Debug, Args)]
struct Preview {
    #[command(flatten)]
    which: Operators,
    /// Says what would change, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    shape: Shape,
}

const COLUMNS: &[Column] = &[
    column("vhost", "vhost", "VHOST", Kind::Text),
    column("name", "name", "NAME", Kind::Text),
    column("pattern", "pattern", "PATTERN", Kind::Text),
    column("apply_to", "apply-to", "APPLIES TO", Kind::Text),
    column("priority", "priority", "PRIORITY", Kind::Count),
    column("definition", "definition", "DEFINITION", Kind::Arguments),
];

/// What a policy changes.
const CHANGES: &[Column] = &[
    column("type", "type", "TYPE", Kind::Text),
    column("name", "name", "NAME", Kind::Text),
    column("policy_before", "before.policy", "POLICY BEFORE", Kind::Text),
    column("before", "before.definition", "BEFORE", Kind::Arguments),
    column("policy_after", "after.policy", "POLICY AFTER", Kind::Text),
    column("after", "after.definition", "AFTER", Kind::Arguments),
];

const MATCHED: &[Column] = &[
    column("name", "name", "NAME", Kind::Text),
    column("policy", "policy", "POLICY", Kind::Text),
    column("operator_policy", "operator_policy", "OPERATOR POLICY", Kind::Text),
    column("definition", "effective_policy_definition", "DEFINITION", Kind::Arguments),
];

impl Operators {
    fn path(&self) -> Path {
        Path::api(if self.operator { "operator-policies" } else { "policies" })
    }
}

impl Policy {
    pub(super) fn run(self) -> Result<Done, Failure> {
        let connect = &self.connect;
        match self.verb {
            Verb::List { of, which, list } => {
                let path = of.vhost.iter().fold(which.path(), |path, vhost| path.segment(vhost));
                return list.run(connect, COLUMNS, &Source::Listed(path));
            }
            Verb::Set { policy, pattern, definition, of, priority, apply_to, preview } => {
                let body = json!({
                    "pattern": pattern, "definition": definition, "priority": priority, "apply-to": apply_to,
                });
                if preview.dry_run {
                    return preview.show(connect, &of.vhost, &policy, body);
                }
                let path = preview.which.path().segment(&of.vhost).segment(&policy);
                let reply = connect.broker()?.send(Method::PUT, path, Some(&body))?;
                reply.accepted().map_err(|failure| failure.about(format!("the vhost '{}'", of.vhost)))?;
                connect.say(&format!("The policy '{policy}' in vhost '{}' is set.", of.vhost))?;
            }
            Verb::Delete { policy, of, preview, confirm } => {
                if preview.dry_run {
                    return preview.show(connect, &of.vhost, &policy, json!({"delete": true}));
                }
                let thing = format!("the policy '{policy}' in vhost '{}'", of.vhost);
                let broker = connect.broker()?;
                let path = preview.which.path().segment(&of.vhost).segment(&policy);
                broker.get(path.clone()).map_err(|failure| failure.about(&thing))?;
                confirm.ask(&format!("Delete {thing}?"))?;
                let reply = broker.send(Method::DELETE, path, None)?;
                reply.accepted().map_err(|failure| failure.about(&thing))?;
                connect.say(&format!("Deleted {thing}."))?;
            }
            Verb::Match { name, of, exchange, shape } => {
                let kind = if exchange { "exchange" } else { "queue" };
                let path = Path::api(&format!("{kind}s")).segment(&of.vhost).segment(&name);
                let found = connect.broker()?.get(path);
                let found = found.map_err(|failure| {
                    failure.about(format!("the {kind} '{name}' in vhost '{}'", of.vhost))
                })?;
                connect.show(&shape, MATCHED, &found)?;
                let names =
                    ["policy", "operator_policy"].map(|name| found[name].as_str().unwrap_or_default());
                return Ok(if names.iter().all(|name| name.is_empty()) { Done::No } else { Done::Yes });
            }
        }
        Ok(Done::Yes)
    }
}

impl Preview {
    fn show(&self, connect: &Connect, vhost: &str, policy: &str, mut body: Value) -> Result<Done, Failure> {
        body["operator"] = self.which.operator.into();
        let chosen = self.shape.chosen(CHANGES)?;
        let path = Path::api("leveret/policy-preview").segment(vhost).segment(policy);
        let reply = connect.broker()?.send(Method::POST, path, Some(&body))?;
        let thing = format!("the policy '{policy}' or the vhost '{vhost}'");
        let found = reply.accepted().map_err(|failure| failure.about(thing))?.json()?;
        let changes = found["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let style = self.shape.style(connect.quiet, Format::Tsv);
        let mut rows = Rows::new(io::stdout().lock(), style, chosen, self.shape.is_whole());
        let written = changes.iter().try_for_each(|change| rows.push(change)).and_then(|()| rows.finish());
        written.map_err(Failure::output)?;
        let total = found["total"].as_u64().unwrap_or_default();
        if !connect.quiet {
            let shown = changes.len() as u64;
            let more = if shown < total { format!(" (the first {shown} are shown)") } else { String::new() };
            eprintln!("leveret: {total} would change{more}; nothing was changed");
        }
        Ok(Done::Yes)
    }
}

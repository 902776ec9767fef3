//! What `leveret` understands of a running broker: one file per noun, the arguments that many have, and how a failure becomes an exit code.

mod api;
mod binding;
mod channel;
mod completion;
mod config;
mod connection;
mod context;
mod definitions;
mod difference;
mod exchange;
mod health;
mod limit;
mod list;
mod log;
mod message;
mod options;
mod parameter;
mod permission;
mod policy;
mod progress;
mod queue;
mod status;
mod top;
mod user;
mod vhost;

use std::process::ExitCode;

use clap::{Command, Subcommand};

use crate::broker::Kind;

/// What is asked of a running broker.
#[derive(Debug, Subcommand)]
pub enum Noun {
    /// The broker at a glance.
    Status(status::Status),
    /// Whether the broker is well: exit code 0, or 1 and why not.
    Health(health::Health),
    /// The broker and its fullest queues, again and again.
    Top(top::Top),
    /// Queues: how much is in them, declaring, deleting, purging.
    Queue(queue::Queue),
    /// Exchanges.
    Exchange(exchange::Exchange),
    /// Bindings from exchanges to queues and to other exchanges.
    Binding(binding::Binding),
    /// Messages: publishing one, getting a few.
    Message(message::Message),
    /// Connections of clients.
    Connection(connection::Connection),
    /// Channels of clients.
    Channel(channel::Channel),
    /// Consumers: who takes from which queue.
    Consumer(channel::Consumer),
    /// Vhosts.
    Vhost(vhost::Vhost),
    /// Users, their tags and passwords.
    User(user::User),
    /// What users may do in vhosts.
    Permission(permission::Permission),
    /// What is said of many queues and exchanges at once.
    Policy(policy::Policy),
    /// How much there may be: of vhosts, users, the broker.
    Limit(limit::Limit),
    /// Parameters of vhosts, and global ones.
    Parameter(parameter::Parameter),
    /// All that is declared and administered, as a file.
    Definitions(definitions::Definitions),
    /// What the broker has logged.
    Log(log::Log),
    /// What the broker was told, and whether it would start with what it is to be told.
    Config(config::Config),
    /// Brokers by names of one's own.
    Context(context::Context),
    /// Sends any request to the management API, and prints the answer.
    Api(api::Api),
    /// Prints what has a shell complete verbs and arguments, and names of vhosts, queues, exchanges and users.
    Completion(completion::Completion),
    /// What a word may become.
    #[command(hide = true)]
    Complete(completion::Complete),
}

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Yes,
    /// It was asked whether something is so, and it is not.
    No,
}

impl Noun {
    /// Carries it out, and says on stderr what kept it from that. `program` is all that the program understands, `serve` too.
    #[must_use]
    pub fn run(self, program: fn() -> Command) -> ExitCode {
        let done = match self {
            Noun::Status(status) => status.run(),
            Noun::Health(health) => health.run(),
            Noun::Top(top) => top.run(),
            Noun::Queue(queue) => queue.run(),
            Noun::Exchange(exchange) => exchange.run(),
            Noun::Binding(binding) => binding.run(),
            Noun::Message(message) => message.run(),
            Noun::Connection(connection) => connection.run(),
            Noun::Channel(channel) => channel.run(),
            Noun::Consumer(consumer) => consumer.run(),
            Noun::Vhost(vhost) => vhost.run(),
            Noun::User(user) => user.run(),
            Noun::Permission(permission) => permission.run(),
            Noun::Policy(policy) => policy.run(),
            Noun::Limit(limit) => limit.run(),
            Noun::Parameter(parameter) => parameter.run(),
            Noun::Definitions(definitions) => definitions.run(),
            Noun::Log(log) => log.run(),
            Noun::Config(config) => config.run(program),
            Noun::Context(context) => context.run(),
            Noun::Api(api) => api.run(),
            Noun::Completion(completion) => completion.run(),
            Noun::Complete(complete) => complete.run(program),
        };
        match done {
            Ok(Done::Yes) => ExitCode::SUCCESS,
            Ok(Done::No) => ExitCode::from(1),
            Err(failure) => {
                // Where nobody reads the output any more, nobody wants to hear of it.
                if !failure.what.is_empty() {
                    eprintln!("leveret: {failure}");
                }
                ExitCode::from(exit_code(failure.kind))
            }
        }
    }
}

fn exit_code(kind: Kind) -> u8 {
    match kind {
        Kind::Refused | Kind::Output => 1,
        Kind::Usage => 2,
        Kind::NotAllowed => 3,
        Kind::NotFound => 4,
        Kind::Unreachable => 5,
        Kind::TimedOut => 6,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[derive(clap::Parser)]
    struct Program {
        #[command(subcommand)]
        _noun: Noun,
    }

    /// What is typed for each verb, and the verb.
    fn verbs<'a>(before: &str, command: &'a Command, found: &mut Vec<(String, &'a Command)>) {
        for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help" && !verb.is_hide_set())
        {
            let typed = format!("{before} {}", verb.get_name());
            if !verb.has_subcommands() {
                found.push((typed.clone(), verb));
            }
            verbs(&typed, verb, found);
        }
    }

    #[test]
    fn the_help_of_each_verb_has_examples_that_are_understood() {
        let mut program = Program::command();
        program.build();
        let mut found = Vec::new();
        verbs("leveret", &program, &mut found);
        assert!(found.len() > 50, "{}", found.len());
        for (typed, verb) in found {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> =
                help.lines().map(str::trim).filter(|line| line.contains("leveret ")).collect();
            assert!(!examples.is_empty(), "`{typed} --help` has no example");
            for example in examples {
                assert!(example.contains(&typed), "`{example}` is no example of `{typed}`");
                let words = words(&example[example.find("leveret").unwrap()..]);
                if let Err(error) = Program::command().try_get_matches_from(&words) {
                    panic!("`{example}`: {words:?}: {error}");
                }
            }
        }
    }

    /// The words of an example as a shell cuts them, up to a redirection or a remark.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let (mut in_text, mut before) = (false, ' ');
        for c in line.chars() {
            match c {
                '\'' => in_text = !in_text,
                '<' | '>' | ')' | '(' if !in_text => break,
                ' ' if !in_text && before == ' ' => {}
                ' ' if !in_text => words.push(String::new()),
                c => words.last_mut().unwrap().push(c),
            }
            before = c;
        }
        if words.last().is_some_and(|word| word.is_empty() && !line.ends_with('\'')) {
            words.pop();
        }
        words
    }
}

//! `leveret completion`: what shells ask as somebody types. The script of a shell is a few lines; what a word may become is answered by the
//! program itself, which knows its verbs and arguments, and asks the broker for names.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, Args, Command, ValueEnum};

use super::Done;
use super::{context, options};
use crate::broker::{Broker, Failure, Path, Where};

/// How long somebody who pressed a key waits for names.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Names that are offered at the most.
const MOST: usize = 1000;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  source <(leveret completion bash)\n  leveret completion zsh >~/.zfunc/_leveret\n  \
    leveret completion fish >~/.config/fish/completions/leveret.fish"
)]
pub struct Completion {
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// The words that were typed, the last of which is to be completed.
#[derive(Debug, Args)]
pub struct Complete {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Bash takes colons and equal signs for the ends of words, which they are not: the words are cut anew, and of what a word may become the
/// part is left out that Bash leaves standing.
const BASH: &str = r#"_leveret() {
  local words candidate typed=${COMP_LINE:0:COMP_POINT}
  read -a words <<<"$typed"
  [[ $typed == *[[:space:]] ]] && words+=("")
  local word=${words[-1]} program=${words[0]}
  local standing=${word%"${word##*[:=]}"}
  COMPREPLY=()
  while IFS= read -r candidate; do
    COMPREPLY+=("$(printf %q "${candidate#"$standing"}")")
  done < <("$program" complete -- "${words[@]:1}" 2>/dev/null)
}
complete -o default -F _leveret leveret
"#;

const ZSH: &str = r#"#compdef leveret
_leveret() {
  local -a found
  found=("${(@f)$("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  [[ -n "${found[*]}" ]] && compadd -- "${found[@]}" || _files
}
if [[ "${funcstack[1]}" == _leveret ]]; then _leveret "$@"; else compdef _leveret leveret; fi
"#;

const FISH: &str = r"complete -c leveret -a '(leveret complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
";

impl Completion {
    pub(super) fn run(self) -> Result<Done, Failure> {
        let script = match self.shell {
            Shell::Bash => BASH,
            Shell::Zsh => ZSH,
            Shell::Fish => FISH,
        };
        io::stdout().write_all(script.as_bytes()).map_err(Failure::output)?;
        Ok(Done::Yes)
    }
}

impl Complete {
    pub(super) fn run(self, program: fn() -> Command) -> Result<Done, Failure> {
        let mut program = program();
        program.build();
        let typed = Typed::read(&program, &self.words);
        let mut found = typed.fixed();
        if let Some(names) = typed.names() {
            found.extend(names.of_broker(&typed));
        }
        found.retain(|candidate| candidate.starts_with(typed.word));
        found.truncate(MOST);
        let mut out = io::stdout().lock();
        for candidate in found.iter().filter(|candidate| !candidate.contains('\n')) {
            writeln!(out, "{candidate}").map_err(Failure::output)?;
        }
        Ok(Done::Yes)
    }
}

/// What was typed, as far as it is understood.
struct Typed<'a> {
    command: &'a Command,
    /// The word to complete.
    word: &'a str,
    /// The option whose value it is.
    option: Option<&'a Arg>,
    /// How many values that belong to no option came before it.
    position: usize,
    /// Values of options, by their long names.
    said: Vec<(&'a str, &'a str)>,
}

/// What a name is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    Vhosts,
    Queues,
    Exchanges,
    Users,
    Policies,
    Connections,
    /// Which are no broker's.
    Contexts,
}

impl<'a> Typed<'a> {
    fn read(program: &'a Command, words: &'a [String]) -> Typed<'a> {
        let (word, before) = words.split_last().map_or(("", &[][..]), |(word, before)| (word, before));
        let mut typed = Typed { command: program, word, option: None, position: 0, said: Vec::new() };
        for word in before {
            if let Some(option) = typed.option.take() {
                typed.said.push((option.get_long().unwrap_or_default(), word));
            } else if let Some(option) = typed.option_called(word) {
                match word.split_once('=') {
                    Some((_, value)) => typed.said.push((option.get_long().unwrap_or_default(), value)),
                    None => typed.option = Some(option),
                }
            } else if word.starts_with('-') {
                // It takes no value.
            } else if let Some(command) = typed.command.find_subcommand(word) {
                typed.command = command;
                typed.position = 0;
            } else {
                typed.position += 1;
            }
        }
        typed
    }

    /// The option of this command that this word begins, if it takes a value.
    fn option_called(&self, word: &str) -> Option<&'a Arg> {
        let word = word.split_once('=').map_or(word, |(name, _)| name);
        let is_called = |option: &&Arg| {
            let long = word.strip_prefix("--").is_some_and(|name| option.get_long() == Some(name));
            let short = word.strip_prefix('-').filter(|name| name.chars().count() == 1);
            long || short.is_some_and(|name| option.get_short() == name.chars().next())
        };
        self.command.get_arguments().filter(|option| option.get_action().takes_values()).find(is_called)
    }

    /// The argument that the word is a value of.
    fn argument(&self) -> Option<&'a Arg> {
        self.option.or_else(|| {
            let positions: Vec<&Arg> = self.command.get_positionals().collect();
            // The last one takes what is beyond it, if it takes several.
            positions.get(self.position).copied().or_else(|| {
                let last = positions.last()?;
                last.get_num_args().is_some_and(|values| values.max_values() > 1).then_some(*last)
            })
        })
    }

    /// Verbs, options and values that are known without a broker.
    fn fixed(&self) -> Vec<String> {
        let values = self.argument().map(Arg::get_possible_values).unwrap_or_default();
        let mut found: Vec<String> = values
            .iter()
            .filter(|value| !value.is_hide_set())
            .map(|value| value.get_name().to_owned())
            .collect();
        if self.option.is_some() {
            return found;
        }
        if self.word.starts_with('-') {
            let options = self.command.get_arguments().filter(|option| !option.is_hide_set());
            found.extend(options.filter_map(Arg::get_long).map(|name| format!("--{name}")));
            return found;
        }
        let verbs = self.command.get_subcommands().filter(|verb| !verb.is_hide_set());
        found.extend(verbs.map(|verb| verb.get_name().to_owned()));
        found
    }

    /// Of what it is a name; None where that is not known.
    fn names(&self) -> Option<Names> {
        if self.word.starts_with('-') && self.option.is_none() {
            return None;
        }
        let value = self.argument()?.get_value_names()?.first()?;
        Some(match value.as_str() {
            "VHOST" => Names::Vhosts,
            "QUEUE" => Names::Queues,
            "EXCHANGE" => Names::Exchanges,
            "USER" => Names::Users,
            "POLICY" => Names::Policies,
            "CONNECTION" => Names::Connections,
            "CONTEXT" => Names::Contexts,
            _ => return None,
        })
    }

    fn said(&self, name: &str) -> Option<&'a str> {
        self.said.iter().rev().find(|(said, _)| *said == name).map(|(_, value)| *value)
    }
}

impl Names {
    /// None where the broker cannot be asked: nothing may be said while somebody types.
    fn of_broker(self, typed: &Typed<'_>) -> Vec<String> {
        self.asked(typed).unwrap_or_default()
    }

    fn asked(self, typed: &Typed<'_>) -> Result<Vec<String>, Failure> {
        let place = Where {
            data_dir: typed.said("data-dir").map(PathBuf::from),
            uri: typed.said("uri").map(str::to_owned),
            user: typed.said("username").map(str::to_owned),
            password_file: typed.said("password-file").map(PathBuf::from),
            patience: Some(PATIENCE),
            is_silent: true,
        };
        let vhost = typed.said("vhost").unwrap_or("/");
        let path = match self {
            Names::Contexts => return Ok(context::names()),
            Names::Vhosts => Path::api("vhosts"),
            Names::Users => Path::api("users"),
            Names::Connections => Path::api("connections"),
            Names::Queues => Path::api("queues").segment(vhost).query("disable_stats", "true"),
            Names::Exchanges => Path::api("exchanges").segment(vhost),
            Names::Policies => Path::api("policies").segment(vhost),
        };
        let broker = Broker::find(&options::place(typed.said("context"), place)?)?;
        let mut items = broker.list(path.query("columns", "name"))?;
        let mut names = Vec::new();
        while names.len() < MOST
            && let Some(item) = items.next_item()?
        {
            let name = item["name"].as_str().unwrap_or_default();
            if !name.is_empty() && name.starts_with(typed.word) {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[derive(clap::Parser)]
    struct Program {
        #[command(subcommand)]
        _noun: super::super::Noun,
    }

    /// What the words may become without a broker, and of what the last is a name.
    fn completed(words: &[&str]) -> (Vec<String>, Option<Names>) {
        let mut program = Program::command();
        program.build();
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let typed = Typed::read(&program, &words);
        let mut fixed = typed.fixed();
        fixed.retain(|candidate| candidate.starts_with(typed.word));
        (fixed, typed.names())
    }

    #[test]
    fn verbs_options_and_their_values_complete() {
        assert_eq!(completed(&["que"]).0, ["queue"]);
        assert_eq!(completed(&["queue", "de"]).0, ["declare", "delete"]);
        assert_eq!(completed(&["queue", "list", "--data"]).0, ["--data-dir"]);
        assert_eq!(completed(&["queue", "list", "--format", ""]).0, ["table", "json", "csv", "tsv"]);
        assert_eq!(completed(&["completion", "z"]).0, ["zsh"]);
        assert!(!completed(&[""]).0.contains(&"complete".to_owned()), "hidden");
    }

    #[test]
    fn names_complete_where_they_belong() {
        for (words, names) in [
            (&["queue", "show", ""][..], Some(Names::Queues)),
            (&["queue", "purge", "--yes", "a", ""], Some(Names::Queues)),
            (&["queue", "show", "-p", ""], Some(Names::Vhosts)),
            (&["queue", "show", "-p", "/", ""], Some(Names::Queues)),
            (&["queue", "show", "a", ""], None),
            (&["queue", "list", ""], None),
            (&["user", "delete", ""], Some(Names::Users)),
            (&["permission", "list", "--user", ""], Some(Names::Users)),
            (&["exchange", "delete", ""], Some(Names::Exchanges)),
            (&["queue", "show", "--"], None),
        ] {
            assert_eq!(completed(words).1, names, "{words:?}");
        }
    }
}
